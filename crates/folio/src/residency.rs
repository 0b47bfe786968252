//! What of a file is in memory, and who has it there.
//!
//! [`Residency`] tells which pages of a file the page cache holds, and brings them in or drops them;
//! [`Mappers`] which processes map it, and what each holds; [`ProcessMemory`] the files that a process
//! holds.
//!
//! Processes are seen through `/proc/PID/maps` and `/proc/PID/smaps` (`proc_pid_smaps(5)`), so on Linux only;
//! elsewhere nothing is found. Reading another user's needs `CAP_SYS_PTRACE`.

mod file_id;
mod load;
mod mapper;
mod memory;
mod pages;
mod prefetcher;
mod process;
mod smaps;

use std::fs::{File, OpenOptions};
use std::ops::RangeBounds;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{Mapping, Span};

pub use file_id::FileId;
pub use mapper::{Mapper, Mappers};
pub use memory::Memory;
pub use pages::{Basis, PageCounts};
pub use prefetcher::{Prefetched, Prefetcher};
pub use process::{MappedFile, ProcessMemory};

use crate::range::ByteRange;
use crate::{Error, Result};

/// A file whose pages in memory are looked at, brought in and dropped.
///
/// It need not be mapped. Looking reads no page in, and touches none.
///
/// ```
/// use folio::Residency;
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, vec![1; 1 << 20])?;
/// let residency = Residency::open(&file)?;
/// # #[cfg(target_os = "linux")] {
/// let all = residency.pages(..)?;
/// println!("{:?} of {} pages are in memory, by {}", all.resident, all.pages, all.basis);
/// assert_eq!(all.resident, Some(all.pages)); // it was just written
/// assert!(residency.pages(..4096)?.pages <= all.pages);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Residency {
    file: File,
    path: PathBuf,
}

impl Residency {
    /// Opens a regular file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be opened for reading; [`Error::Unsupported`] for what is no
    /// regular file, and so has no pages of its own in memory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        options.read(true);
        // A pipe that nobody writes to would be waited for.
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits();
        let file = options
            .custom_flags(i32::try_from(nonblock).unwrap_or(0))
            .open(path)
            .map_err(|error| Error::io("open", path, error))?;
        Self::of(file, path)
    }

    /// Takes a file that is open for reading. The path is for messages, and to see that another file has taken
    /// its place.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn of(file: impl Into<File>, path: impl AsRef<Path>) -> Result<Self> {
        let (file, path) = (file.into(), path.as_ref());
        let metadata = file
            .metadata()
            .map_err(|error| Error::io("look at", path, error))?;
        if !metadata.is_file() {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                reason: "it is no regular file, so none of it is kept in memory",
            });
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// How many bytes the file has now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system does not tell.
    pub fn len(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|error| Error::io("look at", &self.path, error))
    }

    /// Whether the file has no bytes now.
    ///
    /// # Errors
    ///
    /// As for [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Counts the pages of a range of the file, as long as it is now, by their state.
    ///
    /// Pages that the range has only part of are counted.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the file does not have all of the range; [`Error::Io`] when the system
    /// refuses both ways to learn it.
    pub fn pages(&self, range: impl RangeBounds<u64>) -> Result<PageCounts> {
        let range = self.range(&range)?;
        pages::count(self, &[range]).map(|counts| counts.into_iter().next().unwrap_or_default())
    }

    /// Counts the pages of the file in `count` parts of about one size, in order; in fewer, of a page
    /// each, where the file has no more pages than that.
    ///
    /// # Errors
    ///
    /// As for [`pages`](Self::pages).
    pub fn cells(&self, count: usize) -> Result<Vec<PageCounts>> {
        pages::count(self, &pages::parts(self.len()?, count))
    }

    /// All processes that map the file now.
    ///
    /// # Errors
    ///
    /// As for [`Mappers::of`]; [`Error::Unsupported`] where the system does not tell which file a mapping is of, or the
    /// file cannot be mapped.
    pub fn mappers(&self) -> Result<Mappers> {
        Mappers::of(self.file_id()?)
    }

    /// Which file this is, in the terms of `/proc`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be mapped, which is how it is found out; [`Error::Unsupported`] where there is
    /// no `/proc`.
    pub fn file_id(&self) -> Result<FileId> {
        // A page will do, and an empty file can have one mapped as well.
        let mapping = Mapping::of_file(&self.file, 0, 1, FaultPolicy::Syscall)
            .map_err(|error| Error::io("map", &self.path, error))?;
        FileId::of_mapping(&Span::of(mapping.into())).ok_or_else(|| Error::Unsupported {
            path: self.path.clone(),
            reason: "the system does not tell which file a mapping is of",
        })
    }

    /// Whether another file stands at the path now, or none.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(ours), Ok(there)) => id(ours) != id(there),
            _ => true,
        }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A range of the file, as long as it is now.
    fn range(&self, range: &impl RangeBounds<u64>) -> Result<ByteRange> {
        let size = self.len()?;
        ByteRange::of_bounds(size, range).map_err(|(offset, len)| Error::OutOfRange {
            path: self.path.clone(),
            offset,
            len,
            size,
        })
    }
}

impl AsFd for Residency {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
