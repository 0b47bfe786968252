//! Bytes that nobody can change any more.

use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use crate::mapping::Area;

/// Proven immutable bytes: a slice, safely, at no cost.
///
/// The proof is one of these:
///
/// - a file in memory that is sealed against writing, shrinking and growing
///   ([`of_sealed`](Self::of_sealed)): the kernel grants these seals only when nobody has a
///   writable mapping, and takes none back (`fcntl(2)`, File Sealing);
/// - a file under fs-verity, held in memory ([`of_verity`](Self::of_verity));
/// - memory that belongs to this value alone (`From<Vec<u8>>`).
///
/// Clones share the bytes.
#[derive(Clone)]
pub struct FrozenBytes {
    /// The first byte. It stands here, not behind the pointer to the owner, so
    /// that a reference to the bytes takes no detour.
    start: NonNull<u8>,
    len: usize,
    owner: Arc<Owner>,
}

/// What keeps the bytes where and as they are. It is only ever dropped.
enum Owner {
    Mapped {
        /// It unmaps the bytes when it is dropped.
        area: Area,
        file: OwnedFd,
        is_sealed: bool,
    },
    Memory(Box<[u8]>),
}

// SAFETY: the pointer is into the owner, which this value has a share of, and neither the
// bytes nor the owner belong to a thread.
unsafe impl Send for FrozenBytes {}
// SAFETY: the bytes never change, so any number of threads may read them.
unsafe impl Sync for FrozenBytes {}

/// Why a file's bytes are not proven immutable.
#[derive(Debug)]
pub enum FreezeError {
    /// Somebody may write to it, or cut it short, or lengthen it.
    NotFrozen(Missing),
    /// The system refused.
    System(io::Error),
}

/// What a file lacks to be proven immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// It is a file in memory without all of the seals.
    Seals {
        /// It may be written to. (A seal against future writable mappings alone leaves
        /// those that exist.)
        write: bool,
        /// It may be cut short.
        shrink: bool,
        /// It may be lengthened.
        grow: bool,
    },
    /// It is no file that can be sealed, and not under fs-verity either.
    Proof,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Seals {
            write,
            shrink,
            grow,
        } = *self
        else {
            return f.write_str("neither a sealed memfd nor a file under fs-verity");
        };
        f.write_str("not sealed against")?;
        let mut before = " ";
        for (missing, what) in [(write, "writing"), (shrink, "shrinking"), (grow, "growing")] {
            if missing {
                write!(f, "{before}{what}")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

impl From<io::Error> for FreezeError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<rustix::io::Errno> for FreezeError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

impl FrozenBytes {
    /// Part of these bytes, which it shares; `None` if the range is not all there.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        let part = self.get(range)?;
        Some(Self {
            start: NonNull::from(part).cast(),
            len: part.len(),
            owner: Arc::clone(&self.owner),
        })
    }

    /// The file that the bytes are in; `None` for memory of this process alone. For a
    /// [part](Self::part) it is the whole file.
    #[must_use]
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match &*self.owner {
            Owner::Mapped { file, .. } => Some(file.as_fd()),
            Owner::Memory(_) => None,
        }
    }

    /// Whether the bytes are in a sealed file in memory, which others take by
    /// [`of_sealed`](Self::of_sealed).
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(
            &*self.owner,
            Owner::Mapped {
                is_sealed: true,
                ..
            }
        )
    }

    /// Where in its [file](Self::file), or its memory, these bytes begin: not 0 for a part.
    #[must_use]
    pub fn offset(&self) -> usize {
        let first = match &*self.owner {
            Owner::Mapped { area, .. } => area.base().as_ptr().addr(),
            Owner::Memory(bytes) => bytes.as_ptr().addr(),
        };
        self.start.as_ptr().addr().wrapping_sub(first)
    }
}

impl Deref for FrozenBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` are the owner's bytes or a part of them, which stay there
        // until it is dropped, after the borrow of `self`. Nobody changes them: that
        // was proven when the owner was made. They can be read without a fault: those of
        // memory are there; so are those of sealed files in memory, which nobody can
        // cut short, and those of verity files, which are locked in memory. The length
        // is below isize::MAX, as of every allocation and every mapping.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl From<Box<[u8]>> for FrozenBytes {
    fn from(bytes: Box<[u8]>) -> Self {
        let owner = Arc::new(Owner::Memory(bytes));
        let bytes: &[u8] = match &*owner {
            Owner::Memory(bytes) => bytes,
            Owner::Mapped { .. } => &[],
        };
        Self {
            start: NonNull::from(bytes).cast(),
            len: bytes.len(),
            owner,
        }
    }
}

impl From<Vec<u8>> for FrozenBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(bytes.into_boxed_slice())
    }
}

impl fmt::Debug for FrozenBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenBytes")
            .field("len", &self.len)
            .field("file", &self.file())
            .finish_non_exhaustive()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::fs::{AtFlags, SealFlags, StatxAttributes, StatxFlags};
    use rustix::io::Errno;
    use rustix::mm::{MapFlags, ProtFlags};

    use super::{Arc, Area, AsFd, FreezeError, FrozenBytes, Missing, OwnedFd, Owner, io};
    use crate::file;

    /// The file systems of Linux that have fs-verity (`linux/magic.h`): ext4, f2fs, Btrfs.
    const VERITY_FILE_SYSTEMS: [u32; 3] = [0xEF53, 0xF2F5_2010, 0x9123_683E];

    impl FrozenBytes {
        /// Seals a file in memory for ever, and maps it.
        ///
        /// # Errors
        ///
        /// EBUSY when somebody has a writable mapping of the file, or is reading into it
        /// at this moment; EPERM when it may not be sealed; otherwise as for
        /// [`of_sealed`](Self::of_sealed).
        pub fn seal(file: OwnedFd) -> Result<Self, FreezeError> {
            let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
            rustix::fs::fcntl_add_seals(&file, seals)?;
            Self::of_sealed(file)
        }

        /// Maps a file in memory whose seals are seen to be there, wherever it came from.
        ///
        /// # Errors
        ///
        /// [`FreezeError::NotFrozen`] for want of a seal, or for what cannot be sealed;
        /// [`FreezeError::System`] when it is not open for reading, or cannot be mapped.
        pub fn of_sealed(file: OwnedFd) -> Result<Self, FreezeError> {
            let seals = match rustix::fs::fcntl_get_seals(&file) {
                Ok(seals) => seals,
                Err(Errno::INVAL) => return Err(FreezeError::NotFrozen(Missing::Proof)),
                Err(error) => return Err(error.into()),
            };
            let missing = |seal| !seals.contains(seal);
            let (write, shrink, grow) = (
                missing(SealFlags::WRITE),
                missing(SealFlags::SHRINK),
                missing(SealFlags::GROW),
            );
            if write || shrink || grow {
                return Err(FreezeError::NotFrozen(Missing::Seals {
                    write,
                    shrink,
                    grow,
                }));
            }
            // From here on the size cannot change any more.
            let stat = rustix::fs::fstat(&file)?;
            let block_bytes = u64::try_from(stat.st_blksize).unwrap_or(0);
            let page_bytes = file::page_bytes(&file, block_bytes)?;
            let (area, len) = map(&file, u64::try_from(stat.st_size).ok(), page_bytes)?;
            if page_bytes > crate::page::size() {
                // A huge page is taken from the pool when it is first touched, and a touch that
                // finds none is a SIGBUS. Here it is an error. Once there, pages stay: the seals
                // forbid to punch holes.
                populate(&area)?;
            }
            Ok(Self::of_area(area, len, file, true))
        }

        /// Maps a file under fs-verity, and locks it in memory.
        ///
        /// The kernel lets nobody change such a file. But what it reads from a damaged disk, it
        /// finds out and refuses, which would be SIGBUS for whoever holds a slice. So all
        /// is read, and verified, here and now, and then locked, so that
        /// nothing is read again. (A forked child inherits the mapping but no locks: there
        /// the signal is possible again, once this process has ended.)
        ///
        /// # Errors
        ///
        /// [`FreezeError::NotFrozen`] for a file without fs-verity, or on a file system that is
        /// not known to enforce it (FUSE takes the word of a process for it);
        /// [`FreezeError::System`] when a page is damaged, and above the
        /// limit of locked memory (`RLIMIT_MEMLOCK`): copy the file then.
        pub fn of_verity(file: OwnedFd) -> Result<Self, FreezeError> {
            let magic = file::file_system_magic(&file)?;
            let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_SYNC_AS_STAT;
            let stat = rustix::fs::statx(&file, c"", flags, StatxFlags::SIZE)?;
            let is_verity = stat.stx_attributes.contains(StatxAttributes::VERITY);
            if !is_verity || !VERITY_FILE_SYSTEMS.contains(&magic) {
                return Err(FreezeError::NotFrozen(Missing::Proof));
            }
            let (area, len) = map(&file, Some(stat.stx_size), crate::page::size())?;
            if area.size_bytes() > 0 {
                populate(&area)?;
                // SAFETY: pages of this area alone, which are kept where they are.
                unsafe { rustix::mm::mlock(area.address(0), area.size_bytes()) }?;
            }
            Ok(Self::of_area(area, len, file, false))
        }

        fn of_area(area: Area, len: usize, file: OwnedFd, is_sealed: bool) -> Self {
            Self {
                start: area.base(),
                len,
                owner: Arc::new(Owner::Mapped {
                    area,
                    file,
                    is_sealed,
                }),
            }
        }
    }

    /// Maps the whole of a file that cannot change, to be read.
    fn map(
        file: &OwnedFd,
        size: Option<u64>,
        page_bytes: usize,
    ) -> Result<(Area, usize), FreezeError> {
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let len = size
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(too_large)?;
        if len == 0 {
            return Ok((Area::empty(), 0));
        }
        let size_bytes = len
            .checked_next_multiple_of(page_bytes)
            .filter(|&size| isize::try_from(size).is_ok())
            .ok_or_else(too_large)?;
        let map = |sharing| Area::of_file(file.as_fd(), 0, size_bytes, ProtFlags::READ, sharing);
        // Before Linux 6.7 a file sealed against writing had no shared mappings when its
        // descriptor was writable. Private ones show the same pages until they
        // are written to, which these never are.
        let area = match map(MapFlags::SHARED) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => map(MapFlags::PRIVATE),
            outcome => outcome,
        }?;
        Ok((area, len))
    }

    /// Brings all pages into memory, or says why one cannot be had. Linux 5.14 and later; on
    /// those before it is an error, for there is no other way to be sure.
    fn populate(area: &Area) -> io::Result<()> {
        let advice = rustix::mm::Advice::LinuxPopulateRead;
        // SAFETY: pages of this area alone; populating for reading changes no byte of
        // them, and reports a lost page instead of raising a signal.
        unsafe { rustix::mm::madvise(area.address(0), area.size_bytes(), advice) }?;
        Ok(())
    }
}
