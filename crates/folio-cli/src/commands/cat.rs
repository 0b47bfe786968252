//! `folio cat SOURCE [--offset N] [--length N]`

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use folio::Source;

use crate::failure::{Failure, Outcome};
use crate::output;

/// Print a file's bytes, from any offset, whatever the file is.
///
/// SOURCE is a regular file, a pipe, a tty, an entry of /proc or /sys, a device, or `-` for
/// standard input. Regular files are mapped; what cannot be mapped is read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to read, or `-` for standard input.
    source: PathBuf,

    /// Begin at this byte; K, M, G or T after the number multiply by powers of 1024.
    #[arg(long, value_name = "N", default_value = "0", value_parser = parse_bytes)]
    offset: u64,

    /// Print this many bytes; without it, all up to the end.
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    length: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let source = open(&args.source)?;
    let mut out = output::stdout()?;
    match source.len() {
        Some(size) => {
            let length = args.length.unwrap_or(size.saturating_sub(args.offset));
            source.view(args.offset, length)?.copy_to(&mut out)?;
        }
        None => copy_in_order(&source, args, &mut out)?,
    }
    out.flush()?;
    Ok(())
}

/// Opens a path, or standard input for `-`.
pub(crate) fn open(path: &Path) -> folio::Result<Source> {
    if path == Path::new("-") {
        Source::stdin()
    } else {
        Source::open(path)
    }
}

/// Reads past what comes before the offset, as a stream of unknown length demands.
fn copy_in_order(source: &Source, args: &Args, out: &mut impl Write) -> Outcome {
    let mut reader = source.reader();
    let skipped = io::copy(&mut reader.by_ref().take(args.offset), &mut io::sink())?;
    let copied = match args.length {
        None => io::copy(&mut reader, out)?,
        Some(length) => io::copy(&mut reader.take(length), out)?,
    };
    if skipped < args.offset || args.length.is_some_and(|length| copied < length) {
        out.flush()?;
        return Err(Failure::new(format!(
            "{}: ended at byte {}, before all that was asked for",
            source.path().display(),
            skipped + copied
        )));
    }
    Ok(())
}

/// A count of bytes: digits, then perhaps K, M, G or T, which may be spelled out as KiB and so on.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let is_unit = |text: &&str| text.ends_with(['k', 'K', 'm', 'M', 'g', 'G', 't', 'T']);
    let text = text.strip_suffix("iB").filter(is_unit).unwrap_or(text);
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (1, 10),
        Some(b'm' | b'M') => (1, 20),
        Some(b'g' | b'G') => (1, 30),
        Some(b't' | b'T') => (1, 40),
        _ => (0, 0),
    };
    let digits = text.get(..text.len() - digits).unwrap_or_default();
    let count: u64 = digits
        .parse()
        .map_err(|_| "expected a number of bytes, such as 4096 or 4K".to_owned())?;
    count
        .checked_mul(1 << shift)
        .ok_or_else(|| "more bytes than any file has".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts() {
        assert_eq!(parse_bytes("0"), Ok(0));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("3k"), Ok(3072));
        assert_eq!(parse_bytes("16G"), Ok(16 << 30));
        assert_eq!(parse_bytes("5MiB"), Ok(5 << 20));
        for wrong in [
            "",
            "K",
            "-1",
            "1.5",
            "1KB",
            "1iB",
            "iB",
            "KiB",
            "ü",
            "99999999T",
        ] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
