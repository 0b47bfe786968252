//! What can go wrong with a table: reading one, building one, importing into one.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the file, the place in it, and what was expected and found.
///
/// `Display` gives one line without the cause; [`std::error::Error::source`]
/// keeps the system's error where there is one.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes behind a table could not be read.
    #[error(transparent)]
    Bytes(folio::Error),

    /// A system call failed.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// The file does not begin as a table does.
    #[error("{}: {reason}: not a folio table", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
        /// Why it cannot be one.
        reason: &'static str,
    },

    /// The table is intact and of a format version that this build cannot read.
    #[error("{}: format version {found}, but this build reads version {supported} only", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in its header.
        found: u32,
        /// The version that this build reads.
        supported: u32,
    },

    /// The table is intact and needs something that this build does not know.
    #[error("{}: the table needs {what}, which this build does not know", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it needs.
        what: String,
    },

    /// The file is shorter or longer than the table in it.
    #[error(
        "{}: {} bytes expected, but the file has {found}: it was {}",
        path.display(),
        expected,
        if found < expected { "cut short" } else { "added to" }
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// The length that the header states, or that of a header where not even that is there.
        expected: u64,
        /// The length that the file has.
        found: u64,
    },

    /// Bytes and their checksum disagree.
    #[error(
        "{}: {what} at byte {offset} is damaged: checksum {expected:016x} expected, {found:016x} found",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The part of the file: `header`, `page`, `footer`, `checksums section`.
        what: &'static str,
        /// Where that part begins.
        offset: u64,
        /// The checksum that is stored.
        expected: u64,
        /// The checksum of the bytes that are there.
        found: u64,
    },

    /// The table contradicts itself, or points outside itself.
    #[error("{}: damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there, with what was expected and found.
        what: String,
    },

    /// There is not enough memory, or address space, for this many bytes.
    #[error("not enough memory for {len} bytes")]
    OutOfMemory {
        /// How many bytes were needed.
        len: u64,
    },

    /// A key is empty or longer than a key can be.
    #[error(
        "line {line}: a key of {len} bytes: keys have 1 to {} bytes",
        crate::MAX_KEY_LEN
    )]
    KeyLength {
        /// Where the key came from.
        line: u64,
        /// How long it is.
        len: u64,
    },

    /// A value is longer than a value can be.
    #[error(
        "line {line}: a value of {len} bytes: values have at most {} bytes",
        crate::MAX_VALUE_LEN
    )]
    ValueLength {
        /// Where the value came from.
        line: u64,
        /// How long it is.
        len: u64,
    },

    /// A key was given twice.
    #[error("line {line}: duplicate key \"{key}\", first given on line {first_line}")]
    DuplicateKey {
        /// The key, escaped, and cut to a length that fits a message.
        key: String,
        /// Where it came from first.
        first_line: u64,
        /// Where it came from again.
        line: u64,
    },

    /// All the records together are more than the format can address.
    #[error(
        "{len} bytes of records: a table holds at most {} bytes",
        crate::format::MAX_RECORDS_LEN
    )]
    TooLarge {
        /// How many bytes the records would take.
        len: u64,
    },

    /// No hash seed spreads the keys over the index within the longest allowed probe.
    #[error("no hash seed out of {attempts} spreads these keys: were they chosen to collide?")]
    NoSeed {
        /// How many seeds were tried.
        attempts: u64,
    },

    /// The place to write to is not a file that can be replaced.
    #[error("{}: cannot write a table there: {reason}", path.display())]
    Target {
        /// The place.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },

    /// The bytes of a cursor are not those of one.
    #[error("not a cursor, or one of another version")]
    Cursor,

    /// A line of the input cannot be imported.
    #[error("{}: line {line}: {problem}", path.display())]
    Line {
        /// The input.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },

    /// The input has no such column.
    #[error("{}: no column \"{wanted}\": the columns are {}", path.display(), found.join(", "))]
    NoColumn {
        /// The input.
        path: PathBuf,
        /// The column asked for.
        wanted: String,
        /// The columns that there are.
        found: Vec<String>,
    },

    /// A column of an input that has no names for its columns.
    #[error("{}: column \"{wanted}\" asked for, but TSV has no header: the first field is the key, the rest the value", path.display())]
    NoHeader {
        /// The input.
        path: PathBuf,
        /// The column asked for.
        wanted: String,
    },

    /// A name of an input format that there is not.
    #[error("unknown format \"{found}\": tsv, csv and jsonl are known")]
    UnknownFormat {
        /// The name.
        found: String,
    },

    /// The folder, or the file in it, is not a store's.
    #[error("{}: {reason}: not a folio store", path.display())]
    NotAStore {
        /// The folder or file.
        path: PathBuf,
        /// Why it cannot be one.
        reason: &'static str,
    },

    /// Nothing was published in the store yet.
    #[error("{}: nothing is published in this store yet", path.display())]
    EmptyStore {
        /// The store's folder.
        path: PathBuf,
    },

    /// The store has no such generation.
    #[error("{}: {}", path.display(), no_generation(*generation))]
    NoGeneration {
        /// The store's folder.
        path: PathBuf,
        /// The number, where one was asked for.
        generation: Option<u64>,
    },
}

fn no_generation(number: Option<u64>) -> String {
    match number {
        Some(number) => format!("there is no generation {number}"),
        None => "there is no generation before the current one".to_owned(),
    }
}

impl From<folio::Error> for Error {
    fn from(error: folio::Error) -> Self {
        match error {
            folio::Error::Checksum {
                path,
                what,
                offset,
                expected,
                found,
            } => Self::Checksum {
                path,
                what,
                offset,
                expected,
                found,
            },
            error => Self::Bytes(error),
        }
    }
}

impl Error {
    /// Whether a page behind the bytes is lost (see [`folio::Error::is_fault`]),
    /// rather than the request or the table wrong.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Bytes(error) if error.is_fault())
    }

    /// A table that contradicts itself at `offset` of `path`.
    #[cold]
    pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            offset,
            what: what.into(),
        }
    }

    /// Wraps a system error with what was being done and to what.
    #[cold]
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
