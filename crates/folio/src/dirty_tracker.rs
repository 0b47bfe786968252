//! Which pages of a map were written to.

mod arm;

use std::path::Path;
use std::sync::Arc;

pub(crate) use arm::Arm;
use arm::Seat;

use crate::dirty_pages::{DirtyPages, Layout};
use crate::map::Map;
use crate::page_set::PageSet;
use crate::{MapMut, Result};

/// Which pages of a [`MapMut`] were written to since the last [`checkpoint`](Self::checkpoint).
///
/// Pages are write-protected, and a write takes the protection away, which is how it is found: no page is
/// read, and a page that nobody writes to costs next to nothing. On Linux 6.7 and later the kernel does
/// this by itself (userfaultfd and `PAGEMAP_SCAN`), for files of any file system; elsewhere, folio's signal
/// handler does. [`TrackingMethod`] tells them apart.
///
/// Any number of trackers may follow one map: each is told of all writes since its own checkpoint.
///
/// # What is seen
///
/// All that this process writes through this map, in any thread, by folio or by code that has the address.
/// Not seen is what reaches the file otherwise: by `write(2)`, by another map of the file, in this process
/// too, and by other processes, forked children among them.
///
/// Pages by which the map [grows](MapMut::grow) count as written: they are new to whoever keeps a copy. So
/// do, now and then, pages that were not written to: those that the file lost meanwhile, and by
/// [`TrackingMethod::Protection`], where there are more than 16,000 runs of written pages, some between
/// these. A page that was written to is never left out.
///
/// # After `fork`
///
/// A tracker belongs to the process that made it: in a forked child its methods are
/// [`Error::Unsupported`](crate::Error::Unsupported). The child writes to the map as before, unseen by its
/// parent's trackers, and may make trackers of its own.
///
/// # Cost
///
/// By the kernel, a write to a page that is clean takes a little more than the page fault that it takes
/// anyway; later writes take what they always do. Making the first tracker enters each page of the map in
/// the page table (8 bytes a page). Pages of a tracked map are faulted in one by one, not 16 at a time.
///
/// ```
/// use folio::{DirtyTracker, Map};
///
/// let map = Map::options().reserve(1 << 20).anonymous(100_000)?;
/// let mut backup = DirtyTracker::new(&map)?;
/// let mut replica = DirtyTracker::new(&map)?;
/// map.put(50_000, &7_u64)?;
/// assert_eq!(replica.checkpoint()?.page_count(), 1);
/// assert!(replica.checkpoint()?.is_empty());
/// map.put(0, &7_u64)?;
/// assert_eq!(replica.checkpoint()?.page_count(), 1);
/// assert_eq!(backup.checkpoint()?.page_count(), 2);
/// # Ok::<(), folio::Error>(())
/// ```
#[derive(Debug)]
pub struct DirtyTracker {
    arm: Arc<Arm>,
    seat: Seat,
    method: TrackingMethod,
    map: Arc<Map>,
}

/// How writes to pages are found out.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackingMethod {
    /// By the kernel: userfaultfd's asynchronous write-protection, and `PAGEMAP_SCAN`. No signal
    /// is raised. Linux 6.7 and later, unless a sandbox or the administrator refuses.
    Userfaultfd,
    /// By `mprotect(2)`, and folio's handler of SIGSEGV or, for a map with
    /// [`FaultPolicy::Syscall`](crate::FaultPolicy::Syscall), the error of the system call that writes.
    /// Everywhere. The first write to a page costs a signal and a system call, and a checkpoint a system
    /// call for each run of pages.
    ///
    /// The kernel does not get past the protection: a system call of other code that is to write to the map, such
    /// as `read(2)` into it, fails with EFAULT.
    Protection,
}

/// How to track. Made by [`DirtyTracker::options`].
#[derive(Debug, Clone, Default)]
pub struct DirtyTrackerOptions {
    method: Option<TrackingMethod>,
}

impl DirtyTrackerOptions {
    /// Tracks by this method, or not at all. Default: the kernel's where it can be had.
    #[must_use]
    pub fn method(mut self, method: TrackingMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// Tracks writes to a map from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when the system refuses: with a method that is asked for, ENOSYS,
    /// EINVAL, EPERM or `Unsupported` where it cannot be had.
    /// [`Error::Unsupported`](crate::Error::Unsupported) when the map is tracked by the other method
    /// already.
    pub fn track(&self, map: &MapMut) -> Result<DirtyTracker> {
        let arm = Arc::clone(map.arm());
        let (seat, method) = arm.enlist(map.mapping(), self.method, map.path())?;
        Ok(DirtyTracker {
            arm,
            seat,
            method,
            map: Arc::clone(map.map()),
        })
    }
}

impl DirtyTracker {
    /// Tracks writes to a map from now on, by the best method there is.
    ///
    /// # Errors
    ///
    /// As for [`DirtyTrackerOptions::track`].
    pub fn new(map: &MapMut) -> Result<Self> {
        Self::options().track(map)
    }

    /// Options: the kernel's method where it can be had.
    #[must_use]
    pub fn options() -> DirtyTrackerOptions {
        DirtyTrackerOptions::default()
    }

    /// The pages written to since the last checkpoint, or since the tracker was made, and begins anew.
    ///
    /// The pages are protected again before this returns. What is read of them afterwards holds all the
    /// writes that they were found by; a write that comes later, or meanwhile, is found by the next
    /// checkpoint, if not by this one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when the system refuses; then nothing is forgotten.
    /// [`Error::Unsupported`](crate::Error::Unsupported) in a process forked from that of the tracker.
    pub fn checkpoint(&mut self) -> Result<DirtyPages> {
        let path = self.map.path();
        let pages = self.arm.look(self.seat, path, std::mem::take)?;
        Ok(self.found(pages))
    }

    /// The pages written to since the last checkpoint, which the next one will report as well.
    ///
    /// # Errors
    ///
    /// As for [`checkpoint`](Self::checkpoint).
    pub fn dirty(&self) -> Result<DirtyPages> {
        let path = self.map.path();
        let pages = self.arm.look(self.seat, path, |pages| pages.clone())?;
        Ok(self.found(pages))
    }

    /// Has the next checkpoint report these pages, too: they were to be dealt with, and were not.
    pub(crate) fn put_back(&mut self, pages: &DirtyPages) {
        self.arm.put_back(self.seat, &pages.pages);
    }

    /// The method in use.
    #[must_use]
    pub fn method(&self) -> TrackingMethod {
        self.method
    }

    /// The path of the map, or a name such as `<anonymous>`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// The map, as long as it was at first; its mapping is as long as it is now.
    pub(crate) fn whole(&self) -> &Map {
        &self.map
    }

    /// How many bytes the map has now.
    pub(crate) fn map_len(&self) -> u64 {
        self.map.span().mapping().len() as u64
    }

    /// What was found, for those who think in bytes.
    fn found(&self, pages: PageSet) -> DirtyPages {
        let mapping = self.map.span().mapping();
        let page_bytes = mapping.page_bytes() as u64;
        let layout = Layout {
            page_bytes,
            skew: self.map.offset() % page_bytes,
            len: self.map_len(),
        };
        DirtyPages { pages, layout }
    }
}

impl Drop for DirtyTracker {
    fn drop(&mut self) {
        self.arm.discharge(self.seat);
    }
}
