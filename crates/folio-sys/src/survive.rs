//! Mappings whose lost pages become zeros, for those who hold slices of them, or atomics in them.
//!
//! A slice is read by any code, not by folio's routines, so that a fault in it has no error exit; nor
//! has one in an atomic operation. What can be done is to give the instruction something to read, or
//! to write to: the SIGBUS handler maps a page of zeros over the lost one, counts it, and lets the
//! instruction run again. The page is this process's own.

use std::ptr::{self, without_provenance_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use rustix::mm::{MapFlags, ProtFlags};

use crate::page;

/// A range of addresses in which lost pages are replaced, until this is dropped.
///
/// Whoever makes one keeps the addresses mapped, whole pages, for as long.
#[derive(Debug)]
pub(crate) struct Survivor {
    entry: &'static Entry,
}

/// A place in the list that the handler searches. Entries are used again, and never freed:
/// a handler may be reading them at any time.
#[derive(Debug)]
struct Entry {
    /// Odd while the range changes. (A sequence lock: a reader that sees it odd, or changed,
    /// has read nothing.)
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    /// Whether the pages that replace others are written to.
    is_written: AtomicBool,
    torn_pages: AtomicUsize,
    /// Set before the entry is in the list, and never changed.
    next: AtomicPtr<Entry>,
}

/// What the code does with the pages of a range, lost ones or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    ReadWrite,
}

/// Whether any page was ever lost.
static ANY_LOST: AtomicBool = AtomicBool::new(false);

/// The first entry. Entries are put in front, and none is ever taken out.
static FIRST: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

/// The entries that nobody uses. Its lock also keeps changes of the list apart; the handler
/// takes it in no case.
static FREE: Mutex<Vec<&'static Entry>> = Mutex::new(Vec::new());

/// Whether a page was lost in any mapping of this process that [`note_lost`] was told of, or that survived.
#[inline]
pub(crate) fn any_lost() -> bool {
    ANY_LOST.load(Ordering::Acquire)
}

/// Says that a page was lost, and was counted where it belongs.
pub(crate) fn note_lost() {
    ANY_LOST.store(true, Ordering::Release);
}

impl Survivor {
    /// Has pages replaced from now on that are lost between two addresses.
    ///
    /// # Safety
    ///
    /// As long as the value lives, the addresses up to where it is [cut](Self::cut) are whole pages
    /// of its maker's, mapped or reserved, that are used as is said, and whose loss
    /// nobody finds out otherwise than by seeing zeros. Where they are written to, what was
    /// written may turn into zeros, too.
    pub(crate) unsafe fn new(start: usize, size_bytes: usize, used: Use) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = free.pop().unwrap_or_else(add_entry);
        entry.set(start, start.saturating_add(size_bytes), used);
        Self { entry }
    }

    /// Leaves the pages from `size_bytes` on alone, from now on.
    pub(crate) fn cut(&self, size_bytes: usize) {
        let start = self.entry.start.load(Ordering::Relaxed);
        // One store, that makes no range of two: nobody need be kept from reading meanwhile,
        // and a fault in what is left finds its range at any time.
        self.entry
            .end
            .fetch_min(start.saturating_add(size_bytes), Ordering::Release);
    }

    /// How many times a page was replaced. Two threads that meet a lost page at
    /// the same time may count it twice.
    #[inline]
    pub(crate) fn torn_pages(&self) -> usize {
        self.entry.torn_pages.load(Ordering::Acquire)
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        self.entry.set(0, 0, Use::Read);
        free.push(self.entry);
    }
}

/// Puts another entry into the list. The caller holds the lock.
fn add_entry() -> &'static Entry {
    let entry = Box::leak(Box::new(Entry {
        version: AtomicUsize::new(0),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        is_written: AtomicBool::new(false),
        torn_pages: AtomicUsize::new(0),
        next: AtomicPtr::new(FIRST.load(Ordering::Relaxed)),
    }));
    FIRST.store(entry, Ordering::Release);
    entry
}

impl Entry {
    /// Changes the range. The caller holds the lock.
    fn set(&self, start: usize, end: usize, used: Use) {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.is_written
            .store(used == Use::ReadWrite, Ordering::Relaxed);
        self.torn_pages.store(0, Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// What the page at the address is used for, if it is in the range. One that is being changed has
    /// none: the range of whoever asks is not, since the mapping in which that thread faults is alive.
    fn use_at(&self, address: usize) -> Option<Use> {
        let before = self.version.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        let end = self.end.load(Ordering::Relaxed);
        let is_written = self.is_written.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        let is_here = before == after && before % 2 == 0 && (start..end).contains(&address);
        is_here.then_some(if is_written {
            Use::ReadWrite
        } else {
            Use::Read
        })
    }
}

/// Replaces the page at an address that raised SIGBUS by one of zeros, if it is in a
/// mapping that is to survive. False, and nothing is changed, if it is not, or the
/// kernel has no page left.
///
/// Async-signal-safe: it reads atomics and makes one system call, without touching `errno`
/// on Linux, where folio has a handler.
#[cfg_attr(
    not(any(guarded, test)),
    expect(
        dead_code,
        reason = "the signal handler calls it, which not every architecture has"
    )
)]
pub(crate) fn replace_lost_page(address: usize) -> bool {
    let mut entry = FIRST.load(Ordering::Acquire);
    // SAFETY: null, or an entry of the list, none of which is ever freed.
    while let Some(current) = unsafe { entry.as_ref() } {
        if let Some(used) = current.use_at(address) {
            return replace(address, current, used);
        }
        entry = current.next.load(Ordering::Acquire);
    }
    false
}

#[cold]
fn replace(address: usize, entry: &Entry, used: Use) -> bool {
    let page = address & !(page::size() - 1);
    let protection = match used {
        Use::Read => ProtFlags::READ,
        Use::ReadWrite => ProtFlags::READ.union(ProtFlags::WRITE),
    };
    // SAFETY: the page is one of a survivor's, whose maker vouches that it is its own, used as was
    // said, and may turn into zeros. It is lost, so nobody reads anything else there.
    let replaced = unsafe {
        rustix::mm::mmap_anonymous(
            without_provenance_mut(page),
            page::size(),
            protection,
            MapFlags::PRIVATE | MapFlags::FIXED,
        )
    };
    if replaced.is_ok() {
        entry.torn_pages.fetch_add(1, Ordering::Release);
        note_lost();
    }
    replaced.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultPolicy;
    use crate::mapping::Mapping;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn knows_its_own_ranges_alone() {
        assert!(!replace_lost_page(0));
        assert!(!replace_lost_page(usize::MAX));
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * page::size() as u64).unwrap();
        let mapping = Mapping::of_file(&file, 0, 2 * page::size(), FaultPolicy::Handler).unwrap();
        let address = mapping.first_address();
        assert!(!replace_lost_page(address));
        // SAFETY: two whole pages, mapped longer than the survivor lives, and read by nobody.
        let survivor = unsafe { Survivor::new(address, 2 * page::size(), Use::Read) };
        survivor.cut(page::size());
        assert!(!replace_lost_page(address - 1));
        assert!(!replace_lost_page(address + page::size()));
        assert_eq!(survivor.torn_pages(), 0);
        assert!(replace_lost_page(address + 5));
        assert_eq!(survivor.torn_pages(), 1);
        drop(survivor);
        assert!(!replace_lost_page(address + 5));
    }

    #[test]
    fn ranges_that_come_and_go_are_never_mixed() {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // In no range of those below, but between two of them.
                        for address in [0x1800, 0x2800, 0x3800] {
                            let mut entry = FIRST.load(Ordering::Acquire);
                            // SAFETY: as in replace_lost_page.
                            while let Some(current) = unsafe { entry.as_ref() } {
                                assert!(current.use_at(address).is_none(), "{address:#x}");
                                entry = current.next.load(Ordering::Acquire);
                            }
                        }
                    }
                });
            }
            for round in 0..100_000 {
                let start = 0x1000 * (1 + round % 3);
                // SAFETY: nothing is mapped there, so nothing faults there, and nobody
                // asks for a replacement.
                drop(unsafe { Survivor::new(start, 0x800, Use::Read) });
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
