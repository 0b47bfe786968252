//! Bytes of a file in memory.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags};

pub use crate::copy::CopyError;
use crate::copy::copy_out;
use crate::fault::FaultPolicy;
use crate::page;

/// A shared, read-only mapping of a range of a file, at any offset and of any length.
///
/// The bytes are the file's own pages in the page cache, so that any number of
/// processes that map the file hold them once. Other processes may change or truncate
/// them at any time; therefore they are only copied out, through a [`Span`].
pub struct Mapping {
    /// The first byte of the range: `skew` bytes into its page.
    start: NonNull<u8>,
    len: usize,
    skew: usize,
    policy: FaultPolicy,
}

// SAFETY: the value owns its mapping, which belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared Mapping is only looked at: its bytes are out of reach but through a Span.
unsafe impl Sync for Mapping {}

/// A range of a [`Mapping`], which it keeps mapped, and from which bytes are copied.
///
/// ```
/// use std::io::Write;
/// use std::sync::Arc;
/// use folio_sys::{fault::FaultPolicy, mapping::{Mapping, Span}};
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(b"hello, world")?;
/// let mapping = Mapping::of_file(&file, 7, 5, FaultPolicy::Handler)?;
/// let span = Span::of(Arc::new(mapping));
/// let mut word = [0; 5];
/// span.read_exact_at(0, &mut word).unwrap();
/// assert_eq!(&word, b"world");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Span {
    /// The first byte. With the length and the policy it stands here, not behind the
    /// pointer to the mapping, so that a read takes no detour.
    start: NonNull<u8>,
    len: usize,
    policy: FaultPolicy,
    mapping: Arc<Mapping>,
}

// SAFETY: the pointer is into the mapping, which the span owns a share of, and which belongs to no thread.
unsafe impl Send for Span {}
// SAFETY: a shared Span only copies bytes out, by routines that tolerate that
// anyone changes the bytes meanwhile.
unsafe impl Sync for Span {}

/// Why bytes of a [`Span`] could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The span does not have all of these bytes.
    OutOfRange,
    /// They could not be copied.
    Copy(CopyError),
}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset_bytes` on.
    ///
    /// The range may reach past the end of the file: the bytes from the page after
    /// the end on are then lost ones until the file grows. A range of no bytes maps nothing and always
    /// succeeds.
    ///
    /// # Errors
    ///
    /// The system's: ENODEV for what cannot be mapped (pipes, ttys, most of `/proc`
    /// and `/sys`), EACCES for a descriptor not open for reading, ENOMEM when no hole in the
    /// address space is large enough. `InvalidInput` when offset and length overflow.
    pub fn of_file(
        file: impl AsFd,
        offset_bytes: u64,
        len: usize,
        policy: FaultPolicy,
    ) -> io::Result<Self> {
        let policy = policy.prepare()?;
        let (page_offset, skew) = page::split(offset_bytes);
        if len == 0 {
            return Ok(Self {
                start: NonNull::dangling(),
                len: 0,
                skew: 0,
                policy,
            });
        }
        let size_bytes = len
            .checked_add(skew)
            .filter(|&size| isize::try_from(size).is_ok())
            .filter(|&size| page_offset.checked_add(size as u64).is_some())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the kernel chooses a free address (null hint, no MAP_FIXED), so no
        // memory that anyone uses is replaced.
        let base = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                size_bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                page_offset,
            )
        }?;
        let start = base.cast::<u8>().wrapping_add(skew);
        let start =
            NonNull::new(start).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self {
            start,
            len,
            skew,
            policy,
        })
    }

    /// How many bytes are mapped, as was asked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no bytes are mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How lost pages are found out here: what was asked for, or what the
    /// architecture has.
    #[must_use]
    pub fn policy(&self) -> FaultPolicy {
        self.policy
    }

    /// Brings all pages into memory and into this process's page table, and waits for it,
    /// so that the first reads take no page faults.
    ///
    /// By `MADV_POPULATE_READ` (Linux 5.14 and later; `madvise(2)`); where that is
    /// missing, this does nothing.
    ///
    /// # Errors
    ///
    /// The system's: EFAULT when a page is lost, ENOMEM, EIO and the like when one
    /// cannot be had.
    pub fn populate(&self) -> io::Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::io::Errno;
            use rustix::mm::Advice;

            let base = self.start.as_ptr().wrapping_sub(self.skew).cast();
            // SAFETY: exactly the mapping that `of_file` made. Populating for reading
            // changes no byte of it, and reports a lost page instead of raising a signal.
            let done = unsafe {
                rustix::mm::madvise(base, self.len + self.skew, Advice::LinuxPopulateRead)
            };
            match done {
                // Kernels that do not know the advice.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Span {
    /// All of a mapping.
    #[must_use]
    pub fn of(mapping: Arc<Mapping>) -> Self {
        Self {
            start: mapping.start,
            len: mapping.len,
            policy: mapping.policy,
            mapping,
        }
    }

    /// The mapping that the span is a range of.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The address of the first byte, to look the mapping up in `/proc/self/maps` and its
    /// like. Dangling when empty.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// How many bytes there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A range of this span, `offset` counted from its start; `None` if the span does
    /// not have all of it.
    #[must_use]
    pub fn part(&self, offset: usize, len: usize) -> Option<Self> {
        if len > self.len.checked_sub(offset)? {
            return None;
        }
        // In bounds of the mapping, or one past its end; so it is not null.
        let start = NonNull::new(self.start.as_ptr().wrapping_add(offset))?;
        Some(Self {
            start,
            len,
            policy: self.policy,
            mapping: Arc::clone(&self.mapping),
        })
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// When others write to the same bytes meanwhile, each byte is one that was there
    /// at some moment, and no more is promised.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`] when the span ends before, and then `buf` is as it was;
    /// [`CopyError::Fault`] when a page is lost, and then `buf` holds the bytes before it.
    #[inline]
    pub fn read_exact_at(&self, offset: usize, buf: &mut [u8]) -> Result<(), ReadError> {
        if offset > self.len || buf.len() > self.len - offset {
            return Err(ReadError::OutOfRange);
        }
        let from = self.start.as_ptr().wrapping_add(offset);
        // SAFETY: `buf` is ours alone, and overlaps no mapping made here, since no
        // reference into one is ever given out. The source is buf.len() bytes from `offset`,
        // and those were just seen to be within the span, which is within the mapping,
        // which stays mapped while the span holds its share of it. The policy came from `prepare`.
        unsafe { copy_out(buf.as_mut_ptr(), from, buf.len(), self.policy) }.map_err(ReadError::Copy)
    }

    /// Copies bytes from `offset` on into `buf`, as many as both have, and says how many.
    ///
    /// # Errors
    ///
    /// As for [`read_exact_at`](Self::read_exact_at), but never out of range.
    #[inline]
    pub fn read_at(&self, offset: usize, buf: &mut [u8]) -> Result<usize, ReadError> {
        let count = self.len.saturating_sub(offset).min(buf.len());
        match buf.get_mut(..count) {
            None | Some([]) => Ok(0),
            Some(buf) => self.read_exact_at(offset, buf).map(|()| count),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        let base = self.start.as_ptr().wrapping_sub(self.skew);
        // SAFETY: exactly the mapping that `of_file` made; borrows of it have ended.
        let unmapped = unsafe { rustix::mm::munmap(base.cast(), self.len + self.skew) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("start", &self.start)
            .field("len", &self.len)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
