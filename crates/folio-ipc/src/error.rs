//! What can go wrong with a region, or with an object in it.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the region, the place in it, and what was expected and found.
///
/// `Display` gives one line without the cause; [`std::error::Error::source`]
/// keeps the system's error where there is one.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The region's file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// A region cannot be made with these options.
    #[error("a region cannot be made: {reason}")]
    Options {
        /// Which option, and what it may be.
        reason: String,
    },

    /// The file does not begin as a region does.
    #[error("{}: {reason}: not a folio region", path.display())]
    NotARegion {
        /// The file.
        path: PathBuf,
        /// Why it cannot be one.
        reason: &'static str,
    },

    /// The region is of a format version that this build cannot use.
    #[error("{}: region format version {found}, but this build uses version {supported} only", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in its header.
        found: u32,
        /// The version that this build uses.
        supported: u32,
    },

    /// The region was made by a program with other pointers: regions have the word size of their makers.
    #[error("{}: a region of {found}-bit programs, and this is a {supported}-bit one", path.display())]
    WordSize {
        /// The file.
        path: PathBuf,
        /// The bits of a word in its header.
        found: u32,
        /// The bits of a word of this program.
        supported: u32,
    },

    /// The region was made on a machine of the other byte order.
    #[error("{}: a region of a machine of another byte order", path.display())]
    ByteOrder {
        /// The file.
        path: PathBuf,
    },

    /// The parts of the region are not as this build lays them out.
    #[error("{}: layout {found:016x}, but this build's is {expected:016x}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The fingerprint of this build's layout.
        expected: u64,
        /// The fingerprint in the header.
        found: u64,
    },

    /// The region contradicts itself, or points outside itself.
    #[error("{}: damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there, with what was expected and found.
        what: String,
    },

    /// The file is shorter than the region in it.
    #[error("{}: {expected} bytes expected, but the file has {found}: it was cut short", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The size in the header, or that of a header where not even that is there.
        expected: u64,
        /// The length that the file has.
        found: u64,
    },

    /// The file was cut short while it was open, or the device failed: pages of the region are gone.
    ///
    /// What was in them reads as zeros, and changes of them reach nobody. Close the region; make another.
    #[error("{}: pages of the region were lost while it was open", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
    },

    /// Others than this process's user may write to the region, and it was not said that they may.
    #[error("{}: refused: {reason} (owner {owner}, mode {mode:04o})", path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
        /// The id of the user that owns the file.
        owner: u32,
        /// What is not trusted.
        reason: &'static str,
    },

    /// Other processes were attaching to the region all the time, or one that does was stopped.
    #[error("{}: somebody has been attaching for {waited_ms} ms", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long this process waited, in milliseconds.
        waited_ms: u64,
    },

    /// The region has no free block that is large enough, and may not grow further.
    #[error("{}: no room for {size_bytes} bytes", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// How many bytes were needed.
        size_bytes: u64,
    },

    /// Each of the region's participant slots is taken by a living process.
    #[error("{}: all {limit} participants are there", path.display())]
    TooManyParticipants {
        /// The file.
        path: PathBuf,
        /// How many the region was made for.
        limit: u32,
    },

    /// Each of the region's thread records is taken by a living thread.
    #[error("{}: all {limit} thread records are taken", path.display())]
    TooManyThreads {
        /// The file.
        path: PathBuf,
        /// How many the region was made for.
        limit: u32,
    },

    /// The directory has no room for another name.
    #[error("{}: all {limit} places of the directory are taken", path.display())]
    TooManyObjects {
        /// The file.
        path: PathBuf,
        /// How many objects the region was made for.
        limit: u32,
    },

    /// A name is empty or longer than a name can be.
    #[error(
        "a name of {len} bytes: names have 1 to {} bytes",
        crate::directory::MAX_NAME_LEN
    )]
    Name {
        /// How long it is.
        len: usize,
    },

    /// There is no object of that name.
    #[error("no object \"{name}\"")]
    NoSuchObject {
        /// The name, escaped.
        name: String,
    },

    /// The object of that name is of another type.
    #[error("object \"{name}\" is {found}, not {expected}")]
    Fingerprint {
        /// The name, escaped.
        name: String,
        /// The type that was asked for.
        expected: String,
        /// The type that it was made as.
        found: String,
    },

    /// A part of a value was asked for that it does not have.
    #[error("{}: {len} bytes at {offset} of a value of {size_bytes}", path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// Where the part begins, in the value.
        offset: u64,
        /// How long it is.
        len: u64,
        /// How long the value is.
        size_bytes: u64,
    },

    /// A lock was not taken.
    #[error("a lock was not taken")]
    Lock {
        /// Why.
        source: crate::LockError,
    },

    /// An object that this process had before it was forked was removed before the child
    /// used the region.
    #[error("{}: an object was removed before this forked process could attach", path.display())]
    Removed {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            offset,
            what: what.into(),
        }
    }

    /// Whether the system refused for want of space.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}
