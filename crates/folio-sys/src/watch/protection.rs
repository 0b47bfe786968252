//! Watching by protection: a write to a page that `mprotect(2)` has made read-only raises SIGSEGV, and
//! folio's handler notes the page, makes it writable, and lets the instruction run again.
//!
//! # How notes and protection agree
//!
//! Whenever no handler is at work, every writable page is noted. So no write goes unseen. A handler
//! notes the page before it makes it writable, lest somebody else's write precede the note, and again
//! after it, lest the note be taken in between. Who takes notes takes them first and protects those pages
//! then: what is written in between is written to pages that were just taken. And it waits for the handlers
//! that were at work, which may have made a page writable after it was protected.
//! That wait ends, since a page is made writable once for each time that it is protected.

use std::io;
use std::ops::Range;
use std::ptr::{self, without_provenance_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::mm::MprotectFlags;

use crate::process_mark::ProcessMark;

/// Pages that are watched now and then, and can be from now until this is dropped.
///
/// Faults that were raised while pages were watched may be handled afterwards. So
/// the handler knows the pages for as long as the mapping lives.
#[derive(Debug)]
pub(crate) struct Protection {
    entry: &'static Entry,
    pages: Box<Pages>,
    /// That of the process that last began to watch.
    mark: Mutex<Option<ProcessMark>>,
}

/// What the handler knows of a mapping.
#[derive(Debug)]
struct Pages {
    start: usize,
    page_bytes: usize,
    /// How many pages were watched at any time, from the first on.
    reach: AtomicUsize,
    /// How many are now.
    covered: AtomicUsize,
    /// A bit for each page: it may be written to, and may have been.
    noted: Box<[AtomicUsize]>,
    /// How many handlers are at work.
    handlers: AtomicUsize,
    /// How many runs of writable pages there are, at most.
    runs: AtomicUsize,
    /// Whether pages may be made writable at all.
    writable: AtomicBool,
}

/// A place in the list that the handler searches. Entries are used again, and never freed:
/// a handler may be reading them at any time.
#[derive(Debug)]
struct Entry {
    /// Odd while the rest changes. (A sequence lock: a reader that sees it odd, or changed,
    /// has read nothing.)
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    pages: AtomicPtr<Pages>,
    /// Set before the entry is in the list, and never changed.
    next: AtomicPtr<Entry>,
}

static FIRST: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

/// The entries that nobody uses. Its lock also keeps changes of the list apart; the handler
/// takes it in no case.
static FREE: Mutex<Vec<&'static Entry>> = Mutex::new(Vec::new());

/// The most runs of writable pages in a watched mapping, each of which takes one of the process's
/// mappings: a quarter of those that Linux allows (`vm.max_map_count`) unless told otherwise.
const MOST_RUNS: usize = 16_000;

const READ: MprotectFlags = MprotectFlags::READ;
const READ_WRITE: MprotectFlags = MprotectFlags::READ.union(MprotectFlags::WRITE);
const WORD_BITS: usize = usize::BITS as usize;

impl Protection {
    /// Has faults handled in pages from `start` on. None is protected yet.
    ///
    /// # Safety
    ///
    /// As long as the value lives, the pages belong to a mapping, or to address space that it
    /// may grow into, which nobody else changes the protection of; and none is protected against writing but by
    /// this, and after [`forbid_writing`](Self::forbid_writing).
    pub(crate) unsafe fn new(start: usize, page_bytes: usize, count: usize) -> Self {
        let pages = Box::new(Pages {
            start,
            page_bytes,
            reach: AtomicUsize::new(0),
            covered: AtomicUsize::new(0),
            noted: zeros(count.div_ceil(WORD_BITS)),
            handlers: AtomicUsize::new(0),
            runs: AtomicUsize::new(0),
            writable: AtomicBool::new(true),
        });
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = free.pop().unwrap_or_else(add_entry);
        let end = start.saturating_add(count.saturating_mul(page_bytes));
        entry.set(start, end, ptr::from_ref(&*pages).cast_mut());
        Self {
            entry,
            pages,
            mark: Mutex::new(None),
        }
    }

    /// Begins anew to watch no pages, whatever was noted before.
    pub(super) fn start(&self) -> io::Result<()> {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        if !mark.as_ref().is_some_and(ProcessMark::is_of_this_process) {
            // Handlers at work are those of the parent's threads, which are not here.
            self.pages.handlers.store(0, Ordering::SeqCst);
            *mark = Some(ProcessMark::new()?);
        }
        self.pages.covered.store(0, Ordering::SeqCst);
        self.pages.runs.store(0, Ordering::SeqCst);
        for word in &self.pages.noted {
            // Most are untouched, and shall take no memory.
            if word.load(Ordering::SeqCst) != 0 {
                word.store(0, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// Watches more pages, of which none was watched before.
    pub(super) fn cover(&self, pages: Range<usize>) -> io::Result<()> {
        self.pages.reach.fetch_max(pages.end, Ordering::SeqCst);
        let end = pages.end;
        let outcome = self.pages.protect(pages, READ);
        self.pages.wait_for_handlers();
        outcome?;
        self.pages.covered.store(end, Ordering::SeqCst);
        Ok(())
    }

    /// Calls `each` with the runs of pages noted, of the first `count`, and watches these again.
    pub(super) fn take(&self, count: usize, each: &mut dyn FnMut(Range<usize>)) -> io::Result<()> {
        self.pages.runs.store(0, Ordering::SeqCst);
        let mut outcome = Ok(());
        let mut finish = |run: Range<usize>| {
            if run.is_empty() {
                return;
            }
            let protected = self.pages.protect(run.clone(), READ);
            if protected.is_err() {
                // They stay writable, and so noted.
                self.pages.note(run.clone());
                outcome = protected;
            }
            each(run);
        };
        let mut run = 0..0;
        let words = self.pages.noted.iter().take(count.div_ceil(WORD_BITS));
        for (index, word) in words.enumerate() {
            if word.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let page = index * WORD_BITS + bits.trailing_zeros() as usize;
                if page == run.end {
                    run.end += 1;
                } else {
                    finish(run);
                    run = page..page + 1;
                }
                bits &= bits - 1;
            }
        }
        finish(run);
        self.pages.wait_for_handlers();
        Ok(outcome?)
    }

    /// Watches no longer. What is noted afterwards is of no interest.
    pub(super) fn end(&self) {
        let count = self.pages.covered.swap(0, Ordering::SeqCst);
        if self.pages.writable.load(Ordering::SeqCst) {
            let outcome = self.pages.protect(0..count, READ_WRITE);
            debug_assert!(outcome.is_ok(), "mprotect: {outcome:?}");
        }
    }

    /// Whether an address that could not be written to can be now, and so is to be tried again.
    pub(crate) fn open(&self, address: usize) -> bool {
        self.pages.open(address)
    }

    /// To be called before all pages are protected for a reason of their own.
    pub(crate) fn forbid_writing(&self) {
        self.pages.writable.store(false, Ordering::SeqCst);
    }

    /// To be called after all pages were made writable: protects those that are watched again, but
    /// for those noted. Nobody writes meanwhile.
    pub(crate) fn allow_writing(&self) -> io::Result<()> {
        let count = self.pages.covered.load(Ordering::SeqCst);
        let mut clean = 0;
        for page in 0..count {
            if self.pages.is_noted(page) {
                self.pages.protect(clean..page, READ)?;
                clean = page + 1;
            }
        }
        self.pages.protect(clean..count, READ)?;
        self.pages.writable.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for Protection {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        self.entry.set(0, 0, ptr::null_mut());
        free.push(self.entry);
    }
}

/// Makes the page at an address that raised SIGSEGV writable and notes it, if the page is one that
/// may be watched. False, and nothing is changed, if it is not.
///
/// Async-signal-safe: it reads and writes atomics and makes system calls that do not touch `errno`
/// on Linux, where folio has a handler.
#[cfg_attr(
    not(any(guarded, test)),
    expect(
        dead_code,
        reason = "the signal handler calls it, which not every architecture has"
    )
)]
pub(crate) fn open_watched_page(address: usize) -> bool {
    let mut entry = FIRST.load(Ordering::Acquire);
    // SAFETY: null, or an entry of the list, none of which is ever freed.
    while let Some(current) = unsafe { entry.as_ref() } {
        let pages = current.pages_at(address);
        // SAFETY: null, or the pages of a mapping in which this thread has just faulted, so that
        // it is alive, and with it its `Protection`.
        if let Some(pages) = unsafe { pages.as_ref() } {
            return pages.open(address);
        }
        entry = current.next.load(Ordering::Acquire);
    }
    false
}

impl Pages {
    fn open(&self, address: usize) -> bool {
        if !self.writable.load(Ordering::SeqCst) {
            return false;
        }
        let page = address.wrapping_sub(self.start) / self.page_bytes;
        if page >= self.reach.load(Ordering::SeqCst) {
            return false;
        }
        self.handlers.fetch_add(1, Ordering::SeqCst);
        let opened = self.open_page(page);
        self.handlers.fetch_sub(1, Ordering::SeqCst);
        opened
    }

    fn open_page(&self, page: usize) -> bool {
        // A page beside a writable one joins its run.
        let joins =
            self.is_noted(page + 1) || page.checked_sub(1).is_some_and(|p| self.is_noted(p));
        let may_split = joins || self.runs.fetch_add(1, Ordering::SeqCst) < MOST_RUNS;
        if may_split && self.open_pages(page..page + 1) {
            return true;
        }
        // There are as many mappings as there may be. The pages up to one that is
        // writable need no more of them.
        self.open_pages(self.gap_at(page)) || self.open_pages(0..self.reach.load(Ordering::SeqCst))
    }

    fn open_pages(&self, pages: Range<usize>) -> bool {
        self.note(pages.clone());
        let outcome = self.protect(pages.clone(), READ_WRITE);
        self.note(pages);
        outcome.is_ok()
    }

    /// The pages from a writable one, or the first, to this one.
    fn gap_at(&self, page: usize) -> Range<usize> {
        let mut first = page;
        while let Some(before) = first.checked_sub(1) {
            if self.is_noted(before) {
                break;
            }
            first = before;
        }
        first..page + 1
    }

    fn is_noted(&self, page: usize) -> bool {
        let word = self.noted.get(page / WORD_BITS);
        word.is_some_and(|word| word.load(Ordering::SeqCst) & (1 << (page % WORD_BITS)) != 0)
    }

    fn note(&self, pages: Range<usize>) {
        for page in pages {
            if let Some(word) = self.noted.get(page / WORD_BITS) {
                word.fetch_or(1 << (page % WORD_BITS), Ordering::SeqCst);
            }
        }
    }

    fn wait_for_handlers(&self) {
        while self.handlers.load(Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
    }

    fn protect(&self, pages: Range<usize>, flags: MprotectFlags) -> rustix::io::Result<()> {
        let size_bytes = pages.len() * self.page_bytes;
        if size_bytes == 0 {
            return Ok(());
        }
        let first = without_provenance_mut(self.start + pages.start * self.page_bytes);
        // SAFETY: pages of a mapping whose owner leaves their protection to this. They stay
        // readable, and who writes to them finds them writable, by way of the handler.
        unsafe { rustix::mm::mprotect(first, size_bytes, flags) }
    }
}

/// Words that take no memory until they are used.
fn zeros(count: usize) -> Box<[AtomicUsize]> {
    let words = Box::into_raw(vec![0_usize; count].into_boxed_slice());
    // SAFETY: an AtomicUsize has the size, the alignment and the values of a usize, and the box was
    // just given up.
    unsafe { Box::from_raw(words as *mut [AtomicUsize]) }
}

/// Puts another entry into the list. The caller holds the lock.
fn add_entry() -> &'static Entry {
    let entry = Box::leak(Box::new(Entry {
        version: AtomicUsize::new(0),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        pages: AtomicPtr::new(ptr::null_mut()),
        next: AtomicPtr::new(FIRST.load(Ordering::Relaxed)),
    }));
    FIRST.store(entry, Ordering::Release);
    entry
}

impl Entry {
    /// Changes what is watched. The caller holds the lock.
    fn set(&self, start: usize, end: usize, pages: *mut Pages) {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.pages.store(pages, Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// The pages that an address is in, or null. An entry that is being changed has none: those of whoever asks do
    /// not change, since the mapping in which that thread faults is alive.
    fn pages_at(&self, address: usize) -> *const Pages {
        let before = self.version.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        let end = self.end.load(Ordering::Relaxed);
        let pages = self.pages.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        if before == after && before % 2 == 0 && (start..end).contains(&address) {
            pages
        } else {
            ptr::null()
        }
    }
}
