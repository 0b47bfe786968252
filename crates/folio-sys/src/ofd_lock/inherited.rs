//! Descriptors that no forked child is to keep.
//!
//! A child has a descriptor of its own for everything that its parent has open, to the same open file: so the
//! parent's locks would outlive the parent. The handler that runs in each forked child closes them, and must do
//! so by nothing but atomics and system calls.

use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

/// A place in the list of descriptors. Places are used again, and never freed: a child's handler may be
/// reading them at any time.
#[derive(Debug)]
pub(super) struct Entry {
    /// Whether an [`OfdLock`](super::OfdLock) has it, be it one that a forked child inherited.
    is_taken: AtomicBool,
    /// The open descriptor, or [`NONE`].
    descriptor: AtomicI32,
    /// Set before the entry is in the list, and never changed.
    next: AtomicPtr<Entry>,
}

const NONE: RawFd = -1;

/// The first entry. Entries are put in front, and none is ever taken out.
static FIRST: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

/// How many forks have begun in this process, and how many of those are over.
static FORKS_BEGUN: AtomicUsize = AtomicUsize::new(0);
static FORKS_ENDED: AtomicUsize = AtomicUsize::new(0);

/// How many threads are about to open a descriptor or to close one: their entries do not tell what is open.
static CHANGING: AtomicUsize = AtomicUsize::new(0);

/// How often a fork gives way to threads that are changing: first at once, and then by a nap, as on a busy
/// machine they may not get to run for long. They need a few system calls; but a signal handler that
/// forks may have interrupted one of them, and then it waits for itself, a second or two.
const MOST_YIELDS: usize = 1_000;
const MOST_NAPS: usize = 10_000;
const NAP: Duration = Duration::from_micros(100);

/// Opens a descriptor, of which no child will ever have a copy that the list does not know.
pub(super) fn keep(open: impl Fn() -> io::Result<RawFd>) -> io::Result<&'static Entry> {
    // From now on, forks are counted.
    crate::process::fork_generation();
    let entry = free_entry();
    loop {
        let (opened, is_known) = apart_from_forks(|| {
            let opened = open()?;
            entry.descriptor.store(opened, Ordering::SeqCst);
            Ok(())
        });
        match opened {
            Ok(()) if is_known => return Ok(entry),
            // A child may have a copy of the descriptor and not know of it. So this one is not to be locked.
            Ok(()) => entry.close_apart(),
            Err(error) => {
                entry.release();
                return Err(error);
            }
        }
    }
}

/// Does something while no other thread forks, and says whether that was so to the end.
fn apart_from_forks<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let forks = loop {
        let ended = FORKS_ENDED.load(Ordering::SeqCst);
        CHANGING.fetch_add(1, Ordering::SeqCst);
        // From here on, a fork sees this thread, if this thread does not see the fork.
        if FORKS_BEGUN.load(Ordering::SeqCst) == ended {
            break ended;
        }
        CHANGING.fetch_sub(1, Ordering::SeqCst);
        std::thread::yield_now();
    };
    let outcome = work();
    let is_apart = FORKS_BEGUN.load(Ordering::SeqCst) == forks;
    CHANGING.fetch_sub(1, Ordering::SeqCst);
    (outcome, is_apart)
}

/// To be called in the parent before each fork.
pub(crate) fn fork_begins() {
    FORKS_BEGUN.fetch_add(1, Ordering::SeqCst);
    for turn in 0..MOST_YIELDS + MOST_NAPS {
        if CHANGING.load(Ordering::SeqCst) == 0 {
            break;
        }
        if turn < MOST_YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(NAP);
        }
    }
}

/// To be called in the parent after each fork.
pub(crate) fn fork_ends() {
    FORKS_ENDED.fetch_add(1, Ordering::SeqCst);
}

/// To be called in each forked child. Async-signal-safe.
pub(crate) fn close_all() {
    for entry in entries() {
        entry.close();
    }
    // Whatever other threads were about, they are not in this process.
    CHANGING.store(0, Ordering::SeqCst);
    FORKS_ENDED.store(FORKS_BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
}

impl Entry {
    /// `None` in a child that inherited the entry.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        Some(self.descriptor.load(Ordering::Relaxed)).filter(|&descriptor| descriptor != NONE)
    }

    fn close(&self) {
        let descriptor = self.descriptor.swap(NONE, Ordering::SeqCst);
        if descriptor != NONE {
            // SAFETY: it was in the entry, and so nobody else's, and no longer is.
            unsafe { super::close(descriptor) };
        }
    }

    /// Closes the descriptor, of which a child that is forked meanwhile would have a copy that is in no entry.
    fn close_apart(&self) {
        apart_from_forks(|| self.close());
    }

    /// Closes the descriptor, and leaves the entry to others.
    pub(super) fn release(&self) {
        self.close_apart();
        self.is_taken.store(false, Ordering::Release);
    }

    fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::Acquire)
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    let first = FIRST.load(Ordering::Acquire);
    // SAFETY: null, or an entry of the list, none of which is ever freed.
    std::iter::successors(unsafe { first.as_ref() }, |entry| {
        let next = entry.next.load(Ordering::Acquire);
        // SAFETY: as above.
        unsafe { next.as_ref() }
    })
}

/// An entry that nobody else has, of the list.
fn free_entry() -> &'static Entry {
    if let Some(free) = entries().find(|entry| entry.take()) {
        return free;
    }
    let entry: &'static Entry = Box::leak(Box::new(Entry {
        is_taken: AtomicBool::new(true),
        descriptor: AtomicI32::new(NONE),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let mut first = FIRST.load(Ordering::Relaxed);
    loop {
        entry.next.store(first, Ordering::Relaxed);
        let new = ptr::from_ref(entry).cast_mut();
        match FIRST.compare_exchange_weak(first, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return entry,
            Err(other) => first = other,
        }
    }
}
