//! Records from text: TSV, CSV and JSON Lines.
//!
//! Every error names the input and the line, counted from 1 as an editor counts.
//!
//! - **TSV** has no header. A line's key is what stands before the first tab, its value
//!   is the rest of the line, further tabs included. Nothing is quoted or escaped: the
//!   bytes are kept as they are, so that they need not be UTF-8. A line without a tab, a
//!   blank one included, is an error. An empty first field, which cannot be a key, and a backslash as the second
//!   begin an escaped line of [`export`](crate::export).
//! - **CSV** (RFC 4180) has a header. The key is a column, by default the first one. The
//!   value is a column, or else the whole row as a JSON object of strings in the
//!   order of the header.
//! - **JSON Lines**: the key is a field of each line's object, by default `key`. The
//!   value is the line, as it is, or else a field. A field that is a string gives the
//!   string's bytes; any other gives its JSON text. Where a field `NAME` is wanted and there is none, a string
//!   `NAME_base64` gives the bytes that it stands for. Blank lines are skipped. Where neither
//!   key nor value is chosen, a line that [`export`](crate::export) wrote is the record that it was.
//!
//! Only `\n` ends a line of TSV or JSON Lines: a `\r` before it stays part of the value.
//! A last line without `\n` counts.
//!
//! ```
//! use std::path::Path;
//! use folio_table::import::{self, Format, Options};
//! use folio_table::{Builder, Table};
//!
//! let input = "name,legs\nant,6\nbat,2\n".as_bytes();
//! let mut builder = Builder::new();
//! let options = Options::new(Format::Csv);
//! let count = import::read_into(input, Path::new("a.csv"), &options, &mut builder, |_| ())?;
//! assert_eq!(count, 2);
//!
//! let table = Table::from_bytes(builder.to_vec()?, "a")?;
//! let ant = table.get(b"ant")?.unwrap_or_default();
//! assert_eq!(ant, br#"{"name":"ant","legs":"6"}"#);
//! # Ok::<(), folio_table::Error>(())
//! ```

mod comma;
mod json;
mod lines;
mod rows;
mod tab;

use std::io::BufRead;
use std::path::Path;
use std::str::FromStr;

use crate::{Builder, Error, MAX_KEY_LEN, MAX_VALUE_LEN, Result};

/// A format of text that records can be read from.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Key, tab, value; one record a line.
    Tsv,
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

impl Format {
    /// The format that a file's extension stands for: `tsv`, `csv`, `jsonl` or
    /// `ndjson`, in upper or lower case.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.parse().ok()
    }
}

impl FromStr for Format {
    type Err = Error;

    /// Takes the names that are extensions: see [`Format::from_path`].
    fn from_str(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "tsv" => Ok(Self::Tsv),
            "csv" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            _ => Err(Error::UnknownFormat {
                found: name.to_owned(),
            }),
        }
    }
}

/// How an input is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The format of the input.
    pub format: Format,
    /// The column or field that is the key. In CSV a column is named by its header or,
    /// where no header is so, by its number, counted from 1.
    pub key: Option<String>,
    /// The column or field that is the value.
    pub value: Option<String>,
}

impl Options {
    /// A format, with its own choice of key and value.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            key: None,
            value: None,
        }
    }
}

/// Adds all records of `input` to a builder and returns how many they are.
///
/// `name` stands for the input in errors. `progress` is told now and then, and at the
/// end, how many bytes of the input were consumed.
///
/// A line is at most twice as long as a key and a value can be, and a row of CSV, whose
/// fields are held together, at most 256 MiB: an input without line ends gives an error
/// before it fills the memory.
///
/// # Errors
///
/// [`Error::Line`] for a line that is no record; [`Error::NoColumn`] and
/// [`Error::NoHeader`] when the key or value is not in the input at all; [`Error::Io`]
/// when the input cannot be read; [`Error::OutOfMemory`]. The builder then has the
/// records before the error.
pub fn read_into(
    input: impl BufRead,
    name: &Path,
    options: &Options,
    builder: &mut Builder,
    progress: impl FnMut(u64),
) -> Result<u64> {
    let mut target = Target {
        name,
        builder,
        count: 0,
    };
    let progress = Progress::new(progress);
    match options.format {
        Format::Tsv => tab::read(input, options, MAX_LINE_LEN, &mut target, progress)?,
        Format::Csv => comma::read(input, options, MAX_ROW_LEN, &mut target, progress)?,
        Format::JsonLines => json::read(input, options, MAX_LINE_LEN, &mut target, progress)?,
    }
    Ok(target.count)
}

/// Longer lines cannot be records, or are not to be had in the address space.
const MAX_LINE_LEN: u64 = {
    // Escaped, each byte may take two, and as JSON fewer, but for the names around them.
    let longest = 2 * (MAX_KEY_LEN as u64 + 1 + MAX_VALUE_LEN) + 64;
    let addressable = usize::MAX as u64 / 8;
    if longest < addressable {
        longest
    } else {
        addressable
    }
};

/// A row of CSV takes up to nine times its length, if it is all commas.
const MAX_ROW_LEN: u64 = 256 << 20;

/// Where records go, and what of them is told in errors.
struct Target<'a> {
    name: &'a Path,
    builder: &'a mut Builder,
    count: u64,
}

impl Target<'_> {
    fn add(&mut self, line: u64, key: &[u8], value: &[u8]) -> Result<()> {
        match self.builder.add(line, key, value) {
            Ok(()) => self.count += 1,
            Err(error) => return Err(self.refused(line, error)),
        }
        Ok(())
    }

    #[cold]
    fn refused(&self, line: u64, error: Error) -> Error {
        let problem = match error {
            Error::KeyLength { len: 0, .. } => "the key is empty".to_owned(),
            Error::KeyLength { len, .. } => {
                format!("the key has {len} bytes: at most {MAX_KEY_LEN} are allowed")
            }
            Error::ValueLength { len, .. } => {
                format!("the value has {len} bytes: at most {MAX_VALUE_LEN} are allowed")
            }
            other => return other,
        };
        self.error(line, problem)
    }

    #[cold]
    fn error(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::Line {
            path: self.name.to_owned(),
            line,
            problem: problem.into(),
        }
    }
}

/// Passes on how far the input is read, but not for each short record.
struct Progress<P> {
    report: P,
    reported: u64,
}

impl<P: FnMut(u64)> Progress<P> {
    fn new(report: P) -> Self {
        Self {
            report,
            reported: 0,
        }
    }

    fn at(&mut self, consumed: u64) {
        const STEP: u64 = 64 << 10;
        if consumed - self.reported >= STEP {
            self.reported = consumed;
            (self.report)(consumed);
        }
    }

    fn end(mut self, consumed: u64) {
        (self.report)(consumed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader, Read};

    use super::*;

    /// What is said of an endless input when a line may have a hundred bytes.
    fn read_bounded(start: &[u8], repeated: u8, format: Format) -> String {
        let input = BufReader::new(start.chain(io::repeat(repeated)));
        let mut target = Target {
            name: Path::new("in"),
            builder: &mut Builder::new(),
            count: 0,
        };
        let options = Options::new(format);
        let progress = Progress::new(|_| ());
        let read = match format {
            Format::Tsv => tab::read(input, &options, 100, &mut target, progress),
            Format::Csv => comma::read(input, &options, 100, &mut target, progress),
            Format::JsonLines => json::read(input, &options, 100, &mut target, progress),
        };
        read.unwrap_err().to_string()
    }

    #[test]
    fn an_endless_line_ends_in_an_error() {
        let too_long = "in: line 2: longer than 100 bytes";
        assert_eq!(read_bounded(b"a\tb\n", b'x', Format::Tsv), too_long);
        assert_eq!(
            read_bounded(b"{\"key\":1}\n", b' ', Format::JsonLines),
            too_long
        );
        let too_long = "in: line 2: a row of more than 100 bytes";
        assert_eq!(read_bounded(b"a,b\n", b'x', Format::Csv), too_long);
        assert_eq!(read_bounded(b"a,b\n", b',', Format::Csv), too_long);
        assert_eq!(read_bounded(b"a,b\n\"", b'\n', Format::Csv), too_long);
        let too_long = "in: line 1: a row of more than 100 bytes";
        assert_eq!(read_bounded(b"", b',', Format::Csv), too_long);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit() {
        let mut builder = Builder::new();
        let mut target = Target {
            name: Path::new("in"),
            builder: &mut builder,
            count: 0,
        };
        let line = [b"k\t".as_slice(), &[b'v'; 98]].concat();
        let input = [line.as_slice(), b"\n"].concat();
        let progress = Progress::new(|_| ());
        tab::read(
            input.as_slice(),
            &Options::new(Format::Tsv),
            100,
            &mut target,
            progress,
        )
        .unwrap();
        let progress = Progress::new(|_| ());
        assert!(
            tab::read(
                input.as_slice(),
                &Options::new(Format::Tsv),
                99,
                &mut target,
                progress
            )
            .is_err()
        );
        assert_eq!(target.count, 1);
    }
}
