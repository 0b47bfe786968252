//! Memory that processes share to write to it: atomics in a mapped file.

mod pinned;

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mm::ProtFlags;

use crate::fault::FaultPolicy;
use crate::mapping::{Area, CopyError, ReadError, SHARED, WriteError, read_exact, write_all};
use crate::page;
use crate::survive::{self, Survivor, Use};
pub use pinned::{Pinned, PinnedSlice, Word};

/// What a [`SharedMemory`] is mapped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To be looked at: bytes are copied out, and there are no atomics.
    ReadOnly,
    /// To be changed.
    ReadWrite,
}

/// A file in memory from its first byte on, which other processes have in memory, too, and
/// change at any time.
///
/// What is in it is reached by atomics, which borrow it or keep it mapped ([`pin`](Self::pin)),
/// and by copies. It grows in place, up to a capacity for which address space is reserved, while
/// others use it.
///
/// # When the file is cut short
///
/// Bytes that the file no longer has are *lost*. A copy reports that as an error. An atomic
/// cannot: where folio has a signal handler (see [`fault`](crate::fault)), the page
/// turns into one of zeros that is this process's own, and is no longer shared with anybody. Both are
/// counted: once [`lost_pages`](Self::lost_pages) is more than 0, what is in memory means
/// nothing. Two threads that meet a lost page at one time may each put zeros there, the second over what the
/// first has written since. Elsewhere, and after handlers of eight kinds have displaced folio's,
/// an atomic operation on a lost page ends the process by SIGBUS, and only copies are safe.
///
/// ```
/// use folio_sys::shared_memory::{Access, SharedMemory};
/// use std::sync::atomic::Ordering::Relaxed;
///
/// let file = tempfile::tempfile()?;
/// file.set_len(8192)?;
/// let memory = SharedMemory::map(file.into(), 4096, 1 << 20, Access::ReadWrite)?;
/// memory.u64_at(64).unwrap().fetch_add(5, Relaxed);
/// assert!(memory.u64_at(4096).is_none(), "not mapped yet");
/// memory.grow(8192)?;
/// memory.write_at(4096, b"hello").unwrap();
///
/// let mut bytes = [0; 8];
/// memory.read_at(64, &mut bytes).unwrap();
/// assert_eq!(u64::from_ne_bytes(bytes), 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SharedMemory {
    /// The first byte.
    start: NonNull<u8>,
    /// It only ever grows, and does so after the pages are there.
    len: AtomicUsize,
    /// How many whole [`AtomicU32`]s there are: 0 where there are none to be had.
    words: AtomicUsize,
    policy: FaultPolicy,
    access: Access,
    capacity: usize,
    /// How many copies met a lost page.
    failed_copies: AtomicUsize,
    growing: Mutex<()>,
    /// Offsets of words that were in a list of the kernel's when a [`Pinned`] let go of them: see
    /// `Drop`.
    left_owned: Mutex<Vec<usize>>,
    pages: ManuallyDrop<Pages>,
    file: OwnedFd,
}

/// What is unmapped at the end.
#[derive(Debug)]
struct Pages {
    /// `None` where folio has no handler. It stands before the area, and so is dropped before the pages are
    /// unmapped.
    survivor: Option<Survivor>,
    area: Area,
}

// SAFETY: the value owns its area, which belongs to no thread; `start` points into it.
unsafe impl Send for SharedMemory {}
// SAFETY: a shared SharedMemory gives out atomics, and bytes by guarded copies, which tolerate that
// anyone changes them meanwhile.
unsafe impl Sync for SharedMemory {}

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

impl SharedMemory {
    /// Maps the first `len` bytes of `file`, and reserves address space for `capacity`, or for `len`
    /// if that is more.
    ///
    /// The file should have these bytes, and for writing, room for them on its disk (`fallocate(2)`):
    /// those that it lacks are lost ones.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for sizes that no address space has. The system's: EACCES when the file is not
    /// open for reading, or not for writing as well where that is asked for; EPERM for writing to
    /// one that is sealed against it; ENODEV for what cannot be mapped; ENOMEM when no hole in the address
    /// space is large enough.
    pub fn map(file: OwnedFd, len: usize, capacity: usize, access: Access) -> io::Result<Self> {
        let capacity = capacity.max(len);
        let reserved = whole_pages(capacity).ok_or(io::ErrorKind::InvalidInput)?;
        let mapped = whole_pages(len).ok_or(io::ErrorKind::InvalidInput)?;
        let policy = FaultPolicy::Handler.prepare()?;
        let area = if reserved == 0 {
            Area::empty()
        } else {
            // What cannot be mapped is better found out before an address range is at stake.
            let probe_bytes = page::size();
            Area::of_file(file.as_fd(), 0, probe_bytes, access.protection(), SHARED)?;
            Area::reserve(reserved)?
        };
        if mapped > 0 {
            // SAFETY: whole pages inside the reservation, which nobody knows of yet.
            unsafe { area.map_over(0, mapped, file.as_fd(), 0, access.protection()) }?;
        }
        let survivor = (policy == FaultPolicy::Handler && reserved > 0).then(|| {
            let start = area.base().as_ptr().addr();
            // SAFETY: the area's pages, all of which are its own until the survivor is dropped (see the
            // order of the fields) or cut. They are read and written as is said, and whoever has atomics
            // there is told that they may turn into zeros.
            unsafe { Survivor::new(start, reserved, access.usage()) }
        });
        Ok(Self {
            start: area.base(),
            len: AtomicUsize::new(len),
            words: AtomicUsize::new(access.words(len)),
            policy,
            access,
            capacity,
            failed_copies: AtomicUsize::new(0),
            growing: Mutex::new(()),
            left_owned: Mutex::new(Vec::new()),
            pages: ManuallyDrop::new(Pages { survivor, area }),
            file,
        })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What it is mapped for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// How many bytes are mapped.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Whether none are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes can be mapped: see [`grow`](Self::grow).
    #[must_use]
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Maps more of the file: its first `len` bytes, which it has already. Where as many are mapped, nothing
    /// changes. Whoever uses what was there before goes on meanwhile.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` for more bytes than [`capacity`](Self::capacity); otherwise the system's, and
    /// then it may not grow any more.
    pub fn grow(&self, len: usize) -> io::Result<()> {
        // The lock guards no data, so a panic elsewhere leaves none broken.
        let _alone = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let old_len = self.len();
        if len <= old_len {
            return Ok(());
        }
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let area = &self.pages.area;
        let mapped = whole_pages(old_len).ok_or_else(too_large)?;
        let size_bytes = whole_pages(len)
            .filter(|&size| len <= self.capacity && size <= area.size_bytes())
            .ok_or_else(too_large)?;
        if size_bytes > mapped {
            let (file, protection) = (self.file.as_fd(), self.access.protection());
            let more = size_bytes - mapped;
            // SAFETY: whole pages of the reservation, which end within it. No length has reached them
            // yet, so nobody uses them; the lock keeps other growth out.
            unsafe { area.map_over(mapped, more, file, mapped as u64, protection) }.inspect_err(
                |_| {
                    // The area has no pages from there on.
                    if let Some(survivor) = &self.pages.survivor {
                        survivor.cut(mapped);
                    }
                },
            )?;
        }
        // In this order: whoever has seen the length finds as many words.
        self.words.store(self.access.words(len), Ordering::Release);
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    /// How many times a lost page was met: see [above](Self#when-the-file-is-cut-short). A page that
    /// several threads meet at one time, or copies, may count several times.
    #[must_use]
    #[inline]
    pub fn lost_pages(&self) -> usize {
        if !survive::any_lost() {
            return 0;
        }
        let replaced = self.pages.survivor.as_ref().map_or(0, Survivor::torn_pages);
        replaced.saturating_add(self.failed_copies.load(Ordering::Acquire))
    }

    /// The four bytes at `offset` as an atomic; `None` if they are not all mapped, if the
    /// offset is no multiple of four, and where memory is mapped to be read alone.
    #[must_use]
    #[inline]
    pub fn u32_at(&self, offset: usize) -> Option<&AtomicU32> {
        // What is left over of an odd offset gets into the highest bits, above any count of words.
        if offset.rotate_right(2) >= self.words.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: so many bytes from the start on are mapped, as was just seen.
        let word = unsafe { self.start.add(offset) }.cast::<AtomicU32>();
        // SAFETY: aligned, as was just seen, since the start is a page's. It is mapped, readable and
        // writable, as long as `self` lives, which outlives the reference. Any
        // bytes are an AtomicU32. Who else accesses them does so by atomics or in assembly.
        Some(unsafe { word.as_ref() })
    }

    /// The eight bytes at `offset` as an atomic, on the conditions of [`u32_at`](Self::u32_at).
    #[must_use]
    #[inline]
    pub fn u64_at(&self, offset: usize) -> Option<&AtomicU64> {
        if offset.rotate_right(3) >= self.words.load(Ordering::Acquire) / 2 {
            return None;
        }
        // SAFETY: as in `u32_at`.
        let word = unsafe { self.start.add(offset) }.cast::<AtomicU64>();
        // SAFETY: as in `u32_at`.
        Some(unsafe { word.as_ref() })
    }

    /// The atomic at `offset` as a value that keeps the memory mapped, and asks nothing at each use;
    /// `None` if not all of it is mapped, if it would not be aligned, and where memory is mapped to be
    /// read alone.
    ///
    /// ```
    /// use folio_sys::shared_memory::{Access, SharedMemory};
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering::Relaxed}};
    ///
    /// let file = tempfile::tempfile()?;
    /// file.set_len(4096)?;
    /// let memory = Arc::new(SharedMemory::map(file.into(), 4096, 4096, Access::ReadWrite)?);
    /// let counter = memory.pin::<AtomicU32>(128).unwrap();
    /// drop(memory);
    /// assert_eq!(counter.fetch_add(1, Relaxed), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn pin<W: Word>(self: &Arc<Self>, offset: usize) -> Option<Pinned<W>> {
        Pinned::new(self, offset)
    }

    /// So many atomics in a row, the first at `offset`, as [`pin`](Self::pin) gives one. Of no atomics the first must be
    /// there all the same.
    #[must_use]
    pub fn pin_all<W: Word>(
        self: &Arc<Self>,
        offset: usize,
        count: usize,
    ) -> Option<PinnedSlice<W>> {
        PinnedSlice::new(self, offset, count)
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// When others write to the same bytes meanwhile, each byte is one that was there
    /// at some moment, and no more is promised.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`] when not all of the bytes are mapped, and then `buf` is as it was;
    /// [`CopyError::Fault`] when a page is lost, and then `buf` holds the bytes before it.
    #[inline]
    pub fn read_at(&self, offset: usize, buf: &mut [u8]) -> Result<(), ReadError> {
        // SAFETY: `len` bytes from `start` on are mapped for as long as `self` is. The
        // policy came from `prepare`.
        match unsafe { read_exact(self.start, self.len(), self.policy, offset, buf) } {
            Ok(()) => Ok(()),
            Err(error) => Err(self.unread(error)),
        }
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// What two write to one place at one time mixes.
    ///
    /// # Errors
    ///
    /// [`WriteError::OutOfRange`] and [`WriteError::ReadOnly`] when nothing was written;
    /// [`CopyError::Fault`] when a page is lost, and then the bytes before it were.
    #[inline]
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), WriteError> {
        if self.access == Access::ReadOnly {
            return Err(WriteError::ReadOnly);
        }
        // SAFETY: `len` bytes from `start` on are mapped, and writable, for as long as `self` is. No
        // references to them are given out but to atomics. The policy came from `prepare`.
        match unsafe { write_all(self.start, self.len(), self.policy, offset, bytes) } {
            Ok(()) => Ok(()),
            Err(error) => Err(self.unwritten(error)),
        }
    }

    #[cold]
    fn unread(&self, error: ReadError) -> ReadError {
        if let ReadError::Copy(cause) = &error {
            self.count_lost(cause);
        }
        error
    }

    #[cold]
    fn unwritten(&self, error: WriteError) -> WriteError {
        if let WriteError::Copy(cause) = &error {
            self.count_lost(cause);
        }
        error
    }

    fn count_lost(&self, cause: &CopyError) {
        if let CopyError::Fault { .. } = cause {
            self.failed_copies.fetch_add(1, Ordering::Release);
            survive::note_lost();
        }
    }
}

impl Access {
    fn protection(self) -> ProtFlags {
        match self {
            Self::ReadOnly => ProtFlags::READ,
            Self::ReadWrite => READ_WRITE,
        }
    }

    fn usage(self) -> Use {
        match self {
            Self::ReadOnly => Use::Read,
            Self::ReadWrite => Use::ReadWrite,
        }
    }

    /// How many atomics of four bytes there are in `len` bytes.
    fn words(self, len: usize) -> usize {
        match self {
            Self::ReadOnly => 0,
            Self::ReadWrite => len / size_of::<AtomicU32>(),
        }
    }
}

/// The size of the whole pages that hold `len` bytes; `None` when no address space has that many.
fn whole_pages(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(page::size())
        .filter(|&size| isize::try_from(size).is_ok())
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let left_owned = self
            .left_owned
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let left_owned = std::mem::take(left_owned);
        if left_owned
            .into_iter()
            .any(|offset| pinned::is_owned_at(self, offset))
        {
            // A thread ended its use without giving up the word, and the kernel and the
            // libc still follow its list: so the pages stay mapped for ever.
            return;
        }
        // SAFETY: never used again: this is the end of the value.
        unsafe { ManuallyDrop::drop(&mut self.pages) };
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory")
            .field("start", &self.start)
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
