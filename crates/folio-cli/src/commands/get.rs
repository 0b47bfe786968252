//! `folio get TABLE KEY…`

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use folio_table::MAX_KEY_LEN;

use crate::commands::store::Opened;
use crate::commands::verify::VerifyArgs;
use crate::failure::{Failure, Outcome, complain};
use crate::output;

/// Print the values of keys, each with a newline, in the order asked.
///
/// A key that is not in the table is named on stderr, and the exit status is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The table, as `folio build` made it, or a store's folder.
    table: PathBuf,

    /// The keys. Their bytes are used as they come; `-` reads keys from standard input, one a line.
    #[arg(required_unless_present = "stdin", value_name = "KEY")]
    keys: Vec<OsString>,

    /// Read keys from standard input, one a line, after those named.
    #[arg(long)]
    stdin: bool,

    #[command(flatten)]
    verify: VerifyArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut values = Values {
        table: args.verify.open(&args.table)?,
        name: &args.table,
        out: output::stdout()?,
        value: Vec::new(),
        is_missing: false,
    };
    for key in &args.keys {
        match key.as_bytes() {
            b"-" => values.print_all_of(io::stdin().lock())?,
            key => values.print(key)?,
        }
    }
    if args.stdin {
        values.print_all_of(io::stdin().lock())?;
    }
    values.out.flush()?;
    if values.is_missing {
        Err(Failure::Reported)
    } else {
        Ok(())
    }
}

/// Looks values up and prints them.
struct Values<'a, W> {
    table: Opened,
    name: &'a Path,
    out: W,
    value: Vec<u8>,
    is_missing: bool,
}

impl<W: Write> Values<'_, W> {
    fn print(&mut self, key: &[u8]) -> Outcome {
        self.value.clear();
        if self.table.get_into(key, &mut self.value)? {
            self.value.push(b'\n');
            self.out.write_all(&self.value)?;
        } else {
            self.is_missing = true;
            complain(&format!(
                "{}: no such key: {}",
                self.name.display(),
                excerpt(key)
            ));
        }
        Ok(())
    }

    /// Prints the values of all keys of an input, one a line.
    fn print_all_of(&mut self, input: impl Read) -> Outcome {
        let mut input = BufReader::with_capacity(64 << 10, input);
        let mut key = Vec::new();
        loop {
            if input.buffer().is_empty() {
                // Whoever writes the keys may be waiting for the values.
                self.out.flush()?;
            }
            let is_key = next_line(&mut input, &mut key)
                .map_err(|error| Failure::new(format!("<stdin>: cannot read: {error}")))?;
            if !is_key {
                return Ok(());
            }
            self.print(&key)?;
        }
    }
}

/// Reads a line without its end; of one that is too long for a key, only the beginning.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let most = MAX_KEY_LEN as u64 + 1;
    input.by_ref().take(most).read_until(b'\n', line)?;
    let is_line = !line.is_empty();
    if line.ends_with(b"\n") {
        line.pop();
    } else if line.len() > MAX_KEY_LEN {
        input.skip_until(b'\n')?;
    }
    Ok(is_line)
}

/// A key as it is named in a message: all of it, unless it is very long.
fn excerpt(key: &[u8]) -> String {
    const MOST: usize = 1000;
    let text = |bytes| String::from_utf8_lossy(bytes).escape_debug().to_string();
    match key.get(..MOST) {
        Some(start) if key.len() > MOST => format!("{}…", text(start)),
        _ => text(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_lengths() {
        let long = vec![b'x'; MAX_KEY_LEN];
        let longer = vec![b'y'; MAX_KEY_LEN + 1];
        let longest = vec![b'z'; 5 * MAX_KEY_LEN];
        let input = [b"a", &b""[..], &long, &longer, &longest, b"b\r", b"c"].join(&b'\n');
        for capacity in [1, 10, 64 << 10] {
            let mut input = BufReader::with_capacity(capacity, input.as_slice());
            let (mut line, mut lines) = (Vec::new(), Vec::new());
            while next_line(&mut input, &mut line).unwrap() {
                lines.push(line.clone());
            }
            // One byte more than a key has is enough to tell that it is none.
            let cut = &longest[..=MAX_KEY_LEN];
            let expected = [b"a", &b""[..], &long, &longer, cut, b"b\r", b"c"];
            assert!(lines == expected, "{capacity}");
        }
    }
}
