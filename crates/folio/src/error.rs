//! What can go wrong when a file is used as memory, and where.

use std::io;
use std::path::{Path, PathBuf};

use folio_sys::frozen::Missing;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with what was being done, to which source, and at which offset.
///
/// `Display` gives one line without the cause; [`std::error::Error::source`]
/// keeps the system's error where there is one.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// What was being done, as a verb: `open`, `read`, `map`.
        action: &'static str,
        /// The source, by path, or a name in angle brackets such as `<stdin>`.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// The bytes asked for are not all there.
    #[error(
        "{}: bytes {offset}..{} asked for, but it has only {size}",
        path.display(),
        u128::from(*offset) + u128::from(*len)
    )]
    OutOfRange {
        /// The source.
        path: PathBuf,
        /// The first byte asked for.
        offset: u64,
        /// How many bytes were asked for.
        len: u64,
        /// How many bytes there are.
        size: u64,
    },

    /// A mapped page is gone: the file was cut short under its mapping, its
    /// device failed, or its disk is full.
    #[error(
        "{}: fault at byte {offset}: the file was truncated or its device failed",
        path.display()
    )]
    Fault {
        /// The source.
        path: PathBuf,
        /// The first byte that could not be reached.
        offset: u64,
    },

    /// Bytes and their checksum disagree: said by a [`ReadAt`](crate::ReadAt) that checks what it
    /// hands out.
    #[error(
        "{}: {what} at byte {offset} is damaged: checksum {expected:016x} expected, {found:016x} found",
        path.display()
    )]
    Checksum {
        /// The source.
        path: PathBuf,
        /// What is damaged, such as `page`.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// The checksum that is stored.
        expected: u64,
        /// The checksum of the bytes that are there.
        found: u64,
    },

    /// Bytes that are not proven immutable, so that they are no
    /// [`Frozen`](crate::Frozen) ones.
    #[error("{}: its bytes may change: {missing}", path.display())]
    NotFrozen {
        /// The source.
        path: PathBuf,
        /// What the proof lacks.
        missing: Missing,
    },

    /// There is more than the limit that was set.
    #[error("{}: more than {limit} bytes, which is the limit", path.display())]
    TooLarge {
        /// The source.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },

    /// A map cannot grow this far in place.
    #[error(
        "{}: cannot grow to {len} bytes in place: there is room for {capacity} (reserve more when mapping)",
        path.display()
    )]
    NoRoom {
        /// The source.
        path: PathBuf,
        /// How many bytes were to be had.
        len: u64,
        /// For how many bytes there is address space.
        capacity: u64,
    },

    /// A file is no checkpoint, or not the one that is wanted here.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// Somebody else has the file to himself.
    #[error("{}: another draft of it is open", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },

    /// The journal that stands beside a file is of no use.
    #[error("{}: {reason}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it, and what can be done.
        reason: &'static str,
    },

    /// This kind of source cannot do this.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The source.
        path: PathBuf,
        /// What it cannot do, and what can be done instead.
        reason: &'static str,
    },
}

impl Error {
    /// Wraps a system error with what was being done and to what.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether this is a lost page rather than a wrong request: see [`Error::Fault`].
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Fault { .. })
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::OutOfRange { .. } => io::ErrorKind::UnexpectedEof,
            Error::Fault { .. } => io::ErrorKind::Other,
            Error::NotFrozen { .. } => io::ErrorKind::PermissionDenied,
            Error::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Error::NoRoom { .. } => io::ErrorKind::OutOfMemory,
            Error::InUse { .. } => io::ErrorKind::WouldBlock,
            Error::Checksum { .. } | Error::Checkpoint { .. } | Error::Journal { .. } => {
                io::ErrorKind::InvalidData
            }
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}
