//! Runs of whole pages of the address space that somebody owns.

use std::ffi::c_void;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::page;

/// How pages are shared that several processes write to: some systems keep those otherwise in which
/// there are locks.
#[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd"))]
pub(crate) const SHARED: MapFlags =
    MapFlags::SHARED.union(MapFlags::from_bits_retain(libc::MAP_HASSEMAPHORE as u32));
#[cfg(not(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd")))]
pub(crate) const SHARED: MapFlags = MapFlags::SHARED;

/// Pages that nobody else may map over or unmap: a mapping, or a reservation with
/// mappings in it. Unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Area {
    base: NonNull<u8>,
    /// It only ever shrinks, when the kernel leaves it unknown whose the rest is.
    size_bytes: AtomicUsize,
}

// SAFETY: the value owns its pages, which belong to no thread.
unsafe impl Send for Area {}
// SAFETY: a shared Area gives out addresses alone; those who use them answer for it.
unsafe impl Sync for Area {}

impl Area {
    /// No pages.
    pub(crate) fn empty() -> Self {
        Self {
            base: NonNull::dangling(),
            size_bytes: AtomicUsize::new(0),
        }
    }

    /// Shared pages of a file, at an address that the kernel chooses.
    pub(crate) fn of_file(
        file: BorrowedFd<'_>,
        file_offset: u64,
        size_bytes: usize,
        protection: ProtFlags,
        sharing: MapFlags,
    ) -> io::Result<Self> {
        // SAFETY: the kernel chooses a free address (null hint, no MAP_FIXED), so no
        // memory that anyone uses is replaced.
        let base = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                size_bytes,
                protection,
                sharing,
                file,
                file_offset,
            )
        }?;
        Self::owning(base, size_bytes)
    }

    /// Pages of no file, all zero, at an address that the kernel chooses.
    pub(crate) fn anonymous(size_bytes: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        Self::of_no_file(size_bytes, protection, MapFlags::SHARED)
    }

    /// Pages of no file, all zero and no other process's, at an address that the kernel chooses.
    #[cfg(target_os = "linux")]
    pub(crate) fn private(size_bytes: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        Self::of_no_file(size_bytes, protection, MapFlags::PRIVATE)
    }

    /// Address space alone: its pages cannot be read, and take no memory.
    pub(crate) fn reserve(size_bytes: usize) -> io::Result<Self> {
        Self::of_no_file(size_bytes, ProtFlags::empty(), MapFlags::PRIVATE)
    }

    fn of_no_file(size_bytes: usize, protection: ProtFlags, sharing: MapFlags) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let flags = sharing | MapFlags::NORESERVE;
        #[cfg(not(target_os = "linux"))]
        let flags = sharing;
        // SAFETY: as in of_file.
        let base =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), size_bytes, protection, flags) }?;
        Self::owning(base, size_bytes)
    }

    fn owning(base: *mut c_void, size_bytes: usize) -> io::Result<Self> {
        Ok(Self {
            base: NonNull::new(base.cast())
                .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?,
            size_bytes: AtomicUsize::new(size_bytes),
        })
    }

    /// The first byte; dangling when there are no pages.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes.load(Ordering::Acquire)
    }

    /// The address `offset` bytes into the area, for a system call.
    pub(crate) fn address(&self, offset: usize) -> *mut c_void {
        self.base.as_ptr().wrapping_add(offset).cast()
    }

    /// Replaces the pages of `size_bytes` from `at` on, to the area's end or not, by shared
    /// pages of a file.
    ///
    /// # Errors
    ///
    /// The system's. Then the pages from `at` on are the area's no more: they
    /// cannot be used, and are never unmapped.
    ///
    /// # Safety
    ///
    /// `at` and `size_bytes` are whole pages, inside the area. Nobody reads or writes the
    /// pages that are replaced, during the call, and nobody else replaces any meanwhile.
    pub(crate) unsafe fn map_over(
        &self,
        at: usize,
        size_bytes: usize,
        file: BorrowedFd<'_>,
        file_offset: u64,
        protection: ProtFlags,
    ) -> io::Result<()> {
        debug_assert!(at + size_bytes <= self.size_bytes() && at % page::size() == 0);
        // SAFETY: what MAP_FIXED replaces is pages of this area, as the caller vouches,
        // which nobody uses.
        let mapped = unsafe {
            rustix::mm::mmap(
                self.address(at),
                size_bytes,
                protection,
                SHARED | MapFlags::FIXED,
                file,
                file_offset,
            )
        };
        mapped.map(drop).map_err(|error| {
            // A MAP_FIXED that fails may have unmapped what stood there (mmap(2), NOTES),
            // and then anybody's next mapping may stand there now. So the rest
            // is given up: address space is lost, but nobody's memory is.
            self.size_bytes.store(at, Ordering::Release);
            error.into()
        })
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        let size_bytes = self.size_bytes();
        if size_bytes == 0 {
            return;
        }
        // SAFETY: pages that this value owns; whoever used them has ended.
        let unmapped = unsafe { rustix::mm::munmap(self.address(0), size_bytes) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}
