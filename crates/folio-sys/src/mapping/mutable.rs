//! Mappings that are written to, and that grow.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::mm::{MapFlags, MprotectFlags, MsyncFlags, ProtFlags};

use super::{Area, CopyError, Extent, Mapping};
use crate::copy::copy_in;
use crate::fault::FaultPolicy;

/// A [`Mapping`] that is written to as well.
///
/// Any number of processes and threads may write, so that writing takes a shared
/// reference: bytes are copied in by routines that tolerate others, and what two of them
/// write to one place at one time mixes. A write to a lost page, or to a hole for
/// which the disk has no room, is [`CopyError::Fault`].
///
/// ```
/// use folio_sys::{fault::FaultPolicy, mapping::{Extent, MappingMut}};
///
/// let mapping = MappingMut::anonymous(Extent::new(0, 100), FaultPolicy::Handler)?;
/// mapping.write_all_at(7, b"hello").unwrap();
/// let mut word = [0; 5];
/// mapping.mapping().read_exact_at(7, &mut word).unwrap();
/// assert_eq!(&word, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct MappingMut {
    mapping: Arc<Mapping>,
    /// What grows with the mapping; `None` for memory of no file.
    file: Option<OwnedFd>,
    /// Whether the pages may be written to now. It changes by exclusive reference only,
    /// so never during a write.
    writable: bool,
    growing: Mutex<()>,
}

/// Why bytes could not be written to a [`MappingMut`].
#[derive(Debug)]
pub enum WriteError {
    /// The mapping does not have all of these bytes.
    OutOfRange,
    /// It is protected against writing.
    ReadOnly,
    /// They could not be copied.
    Copy(CopyError),
}

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

impl MappingMut {
    /// Maps an extent of `file`, which must be open for reading and writing.
    ///
    /// # Errors
    ///
    /// As for [`Mapping::of_file`]; EACCES when the file is not open for both, EPERM when it is
    /// sealed against writing.
    pub fn of_file(file: OwnedFd, extent: Extent, policy: FaultPolicy) -> io::Result<Self> {
        let pages = extent.pages()?;
        let overflow = || io::Error::from(io::ErrorKind::InvalidInput);
        let size_bytes = pages.size_for(extent.len()).ok_or_else(overflow)?;
        let reserved = pages.size_for(extent.reserved()).ok_or_else(overflow)?;
        if reserved > size_bytes {
            if pages.page_bytes != crate::page::size() {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "a file of huge pages cannot be mapped so that it can grow",
                ));
            }
            // What cannot be mapped is better found out before an address range is at stake.
            let probe_bytes = pages.page_bytes;
            map_file(file.as_fd(), pages.file_offset, probe_bytes)?;
        }
        let area = if reserved > size_bytes {
            let area = Area::reserve(reserved)?;
            if size_bytes > 0 {
                // SAFETY: whole pages inside the reservation, which nobody knows of yet.
                unsafe {
                    area.map_over(0, size_bytes, file.as_fd(), pages.file_offset, READ_WRITE)
                }?;
            }
            area
        } else if size_bytes > 0 {
            map_file(file.as_fd(), pages.file_offset, size_bytes)?
        } else {
            Area::empty()
        };
        let mapping = Mapping::in_area(area, pages, extent.len(), policy)?;
        Ok(Self::new(mapping, Some(file)))
    }

    /// Memory of no file, all zero, shared with the children that this process forks. The
    /// extent's offset is of no consequence.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidInput` for a size that no address space has.
    pub fn anonymous(extent: Extent, policy: FaultPolicy) -> io::Result<Self> {
        let len = extent.len();
        let extent = Extent::new(0, len).reserve(extent.reserved().max(len));
        let pages = extent.pages()?;
        // All that is reserved is mapped at once: pages take memory when they
        // are first used, and a forked child sees those too by which this grows later.
        let area = match pages.size_for(extent.reserved()) {
            None | Some(0) => Area::empty(),
            Some(size_bytes) => Area::anonymous(size_bytes)?,
        };
        let mapping = Mapping::in_area(area, pages, len, policy)?;
        Ok(Self::new(mapping, None))
    }

    fn new(mut mapping: Mapping, file: Option<OwnedFd>) -> Self {
        mapping.protection = Some(OnceLock::new());
        Self {
            mapping: Arc::new(mapping),
            file,
            writable: true,
            growing: Mutex::new(()),
        }
    }

    /// The mapping, to be read: see [`Span`](super::Span).
    #[must_use]
    #[inline]
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// The file that is mapped; `None` for memory of no file.
    #[must_use]
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Gives up the mapping, but for what spans still hold of it, and keeps the file;
    /// `None` for memory of no file.
    #[must_use]
    pub fn into_file(self) -> Option<OwnedFd> {
        self.file
    }

    /// How many bytes it can grow to: see [`grow`](Self::grow).
    #[must_use]
    pub fn capacity(&self) -> usize {
        let pages = self.mapping.pages;
        self.mapping.area.size_bytes().saturating_sub(pages.skew)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// [`WriteError::OutOfRange`] and [`WriteError::ReadOnly`] when nothing was written;
    /// [`CopyError::Fault`] when a page is lost, and then the bytes before it were.
    #[inline]
    pub fn write_all_at(&self, offset: usize, bytes: &[u8]) -> Result<(), WriteError> {
        if !self.writable {
            return Err(WriteError::ReadOnly);
        }
        let mapping = &*self.mapping;
        let (start, len, policy) = (mapping.start, mapping.len(), mapping.policy);
        // SAFETY: the mapping's bytes are mapped, and its pages writable, as long as this borrow
        // lasts; no reference to them is given out without a promise of that. The policy came
        // from `prepare`.
        unsafe { write_all(start, len, policy, offset, bytes) }.or_else(|error| match error {
            WriteError::Copy(error) => self.write_watched(offset, bytes, error),
            other => Err(other),
        })
    }

    /// Goes on after a write that failed, if it was because the page is watched by protection and there is no
    /// handler to see to it.
    #[cold]
    fn write_watched(
        &self,
        offset: usize,
        bytes: &[u8],
        error: CopyError,
    ) -> Result<(), WriteError> {
        let policy = self.mapping.policy;
        let watched = self.mapping.protection_in_use();
        let (Some(watched), FaultPolicy::Syscall) = (watched, policy) else {
            return Err(WriteError::Copy(error));
        };
        let (mut done, mut outcome, mut tried) = (0, Err(error), None);
        while let Err(CopyError::Fault { copied }) = outcome {
            done += copied;
            let to = self.mapping.start.as_ptr().wrapping_add(offset + done);
            // A page that cannot be written to when it is writable is lost.
            if tried == Some(done) || !watched.open(to.addr()) {
                outcome = Err(CopyError::Fault { copied: 0 });
                break;
            }
            tried = Some(done);
            let rest = bytes.get(done..).unwrap_or_default();
            // SAFETY: as in `write_all_at`, for what is left of the same bytes.
            outcome = unsafe { copy_in(to, rest.as_ptr(), rest.len(), policy) };
        }
        outcome.map_err(|error| {
            WriteError::Copy(match error {
                CopyError::Fault { copied } => CopyError::Fault {
                    copied: done + copied,
                },
                CopyError::System(error) => CopyError::System(error),
            })
        })
    }

    /// Writes the changed pages of a range to the file, and waits until they are there.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the mapping does not have all of the range; the system's, EIO
    /// when the device failed.
    pub fn flush(&self, offset: usize, len: usize) -> io::Result<()> {
        self.mapping.sync(offset, len, MsyncFlags::SYNC)
    }

    /// Asks for the changed pages of a range to be written to the file, and does not wait.
    /// On Linux that is what happens to them anyway, sooner or later (`msync(2)`, NOTES).
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the mapping does not have all of the range; otherwise the system's.
    pub fn flush_async(&self, offset: usize, len: usize) -> io::Result<()> {
        self.mapping.sync(offset, len, MsyncFlags::ASYNC)
    }

    /// Grows to at least `len` bytes in place: whoever reads or writes goes on meanwhile. The
    /// file is left as it is; the bytes past its end are lost ones until it grows too.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` for more bytes than
    /// [`capacity`](Self::capacity); otherwise the system's.
    pub fn grow(&self, len: usize) -> io::Result<()> {
        // The lock guards no data, so a panic elsewhere leaves none broken.
        let _alone = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let (area, pages) = (&self.mapping.area, self.mapping.pages);
        let old_len = self.mapping.len();
        if len <= old_len {
            return Ok(());
        }
        if len > self.capacity() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let old_size = pages.size_for(old_len).ok_or_else(too_large)?;
        let size = pages.size_for(len).ok_or_else(too_large)?;
        if let Some(file) = self.file().filter(|_| size > old_size) {
            let protection = if self.writable {
                READ_WRITE
            } else {
                ProtFlags::READ
            };
            let file_offset = pages.file_offset + old_size as u64;
            // SAFETY: whole pages of the reservation, which end within it, since the capacity
            // does. No length has reached them yet, so nobody reads or writes there; the
            // lock keeps other growth out.
            unsafe { area.map_over(old_size, size - old_size, file, file_offset, protection) }?;
        }
        self.mapping.len.store(len, Ordering::Release);
        Ok(())
    }

    /// Allows or forbids writing to all pages, for this mapping only: other mappings of
    /// the file, here and in other processes, stay as they are.
    ///
    /// # Errors
    ///
    /// The system's. Writing is then forbidden.
    pub fn set_writable(&mut self, writable: bool) -> io::Result<()> {
        let mapping = &self.mapping;
        self.writable = false;
        let watched = mapping.protection_in_use();
        if let Some(watched) = watched {
            watched.forbid_writing();
        }
        let size_bytes = match self.file {
            Some(_) => mapping.pages.size_for(mapping.len()).unwrap_or(0),
            // All of its pages are mapped from the beginning.
            None => mapping.area.size_bytes(),
        };
        if size_bytes > 0 {
            let flags = if writable {
                MprotectFlags::READ | MprotectFlags::WRITE
            } else {
                MprotectFlags::READ
            };
            // SAFETY: pages of this mapping alone. They stay readable, and all writes to
            // them go through `self`, borrowed exclusively here, which remembers.
            unsafe { rustix::mm::mprotect(mapping.area.address(0), size_bytes, flags) }?;
        }
        if let Some(watched) = watched.filter(|_| writable) {
            watched.allow_writing()?;
        }
        self.writable = writable;
        Ok(())
    }

    /// Whether writing is allowed now.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }
}

fn map_file(file: BorrowedFd<'_>, file_offset: u64, size_bytes: usize) -> io::Result<Area> {
    Area::of_file(file, file_offset, size_bytes, READ_WRITE, MapFlags::SHARED)
}

/// Writes all of `bytes` at `offset` into the `len` bytes that begin at `start`.
///
/// # Safety
///
/// The `len` bytes lie in a mapping of pages that are written to, which stays mapped for the
/// duration, and there is no reference to any of them but to atomics. `policy` came
/// from [`FaultPolicy::prepare`].
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a length that the caller knows makes this a few loads and stores"
)]
pub(crate) unsafe fn write_all(
    start: NonNull<u8>,
    len: usize,
    policy: FaultPolicy,
    offset: usize,
    bytes: &[u8],
) -> Result<(), WriteError> {
    if offset > len || bytes.len() > len - offset {
        return Err(WriteError::OutOfRange);
    }
    let to = start.as_ptr().wrapping_add(offset);
    // SAFETY: `bytes` is a reference, so nobody changes them, and they are none of the mapping's.
    // The target was just seen to be within it; the rest is the caller's word.
    unsafe { copy_in(to, bytes.as_ptr(), bytes.len(), policy) }.map_err(WriteError::Copy)
}
