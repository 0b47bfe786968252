//! The lock of the heap and the directory.
//!
//! It is held for microseconds, by folio's own code, and by one thread of all that have the region
//! open. Its word is one that the kernel knows (`robust_list`): when the owner dies, the kernel marks it and
//! wakes a waiter. Where that fails (the owner's C library is another, say), waiters find out by themselves.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use folio_sys::futex::{self, Deadline, OWNER_DIED, TID_MASK, WAITERS};
use folio_sys::robust::Thread;

use super::Heap;
use super::journal;
use crate::Result;
use crate::kill::kill_point;
use crate::participant::{Attached, Record, ThreadRecord};
use crate::region::CONTROL;

/// The offset by which thread records know the lock.
#[expect(clippy::cast_possible_truncation, reason = "it is 4096")]
const OFFSET: usize = CONTROL as usize;

/// How long a waiter sleeps before it looks whether the owner is alive; then twice that, up to the longest.
const FIRST_NAP: Duration = Duration::from_millis(2);
const LONGEST_NAP: Duration = Duration::from_millis(64);

/// How often a thread looks at the word before it sleeps.
const SPINS: u32 = 100;

/// The lock, held.
#[derive(Debug)]
pub(super) struct HeapLock<'a> {
    attached: &'a Attached,
    record: ThreadRecord<'a>,
    thread: Thread,
}

impl Attached {
    /// Waits for the heap, and finishes what somebody may have died over.
    pub(crate) fn heap(&self) -> Result<Heap<'_>> {
        let lock = HeapLock::take(self)?;
        journal::recover(self.image())?;
        Ok(Heap::new(self, lock))
    }
}

impl<'a> HeapLock<'a> {
    fn take(attached: &'a Attached) -> Result<Self> {
        attached.image().check_not_lost()?;
        let record = attached.thread()?;
        let thread = record.as_owner();
        // Both stay so until it is unlocked: whoever dies meanwhile has died with the lock.
        record.set_pending(OFFSET);
        thread.announce(attached.heap_lock(), attached.is_private());
        let lock = Self {
            attached,
            record,
            thread,
        };
        let word = attached.heap_lock().word();
        let taken = word.compare_exchange(0, record.tid(), Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            lock.wait();
        }
        kill_point!("heap.locked");
        lock.owner().store(record.index() + 1, Ordering::Relaxed);
        kill_point!("heap.owned");
        Ok(lock)
    }

    /// Where the owner puts down its record's number, and one.
    fn owner(&self) -> &'a AtomicU32 {
        let [owner, ..] = self.attached.heap_lock().user();
        owner
    }

    #[cold]
    fn wait(&self) {
        let word = self.attached.heap_lock().word();
        for _ in 0..SPINS {
            if word.load(Ordering::Relaxed) & TID_MASK == 0 && self.try_take(0) {
                return;
            }
            std::hint::spin_loop();
        }
        let mut nap = FIRST_NAP;
        loop {
            // Others may be waiting as well: the word says so from here on.
            if self.try_take(WAITERS) {
                return;
            }
            let current = word.load(Ordering::Relaxed);
            if current & TID_MASK == 0 {
                continue;
            }
            let expected = current | WAITERS;
            if current != expected
                && word
                    .compare_exchange(current, expected, Ordering::Relaxed, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            self.record.set_waiting(OFFSET);
            let waited = futex::wait(word, expected, Some(Deadline::after(nap)));
            self.record.clear_waiting();
            if matches!(waited, futex::Waited::TimedOut) {
                nap = (nap * 2).min(LONGEST_NAP);
                self.release_for_the_dead(expected);
            }
        }
    }

    /// Takes the lock if nobody has it; with `flags` in the word beside those that it has.
    fn try_take(&self, flags: u32) -> bool {
        let word = self.attached.heap_lock().word();
        let current = word.load(Ordering::Relaxed);
        // A dead owner's mark goes: what it was about to change is in the journal.
        let new = (current & !OWNER_DIED) | flags | self.record.tid();
        current & TID_MASK == 0
            && word
                .compare_exchange(current, new, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Marks the word, as the kernel does, if the owner that it names is dead.
    fn release_for_the_dead(&self, seen: u32) {
        if !self.is_owner_alive(seen & TID_MASK) {
            let word = self.attached.heap_lock().word();
            let marked = OWNER_DIED | WAITERS;
            let _ = word.compare_exchange(seen, marked, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether any living thread can be the owner: one of that id that has announced the lock and
    /// is not waiting for it. Other threads may have the same id in other namespaces: the
    /// record that the owner has put down decides, if it got so far.
    fn is_owner_alive(&self, tid: u32) -> bool {
        let lock_offset = CONTROL;
        let image = self.attached.image();
        let is_it = |state: &crate::participant::RecordState| {
            state.tid == tid && state.pending == lock_offset && state.waiting_on != lock_offset
        };
        if let Some(record) = self.owner().load(Ordering::Relaxed).checked_sub(1) {
            return Record::load(image, record).is_ok_and(|state| {
                is_it(&state)
                    && state
                        .owner
                        .is_some_and(|owner| self.attached.is_alive(owner))
            });
        }
        self.attached
            .records_at(lock_offset)
            .filter(|state| is_it(state) && state.index != self.record.index())
            .any(|state| {
                state
                    .owner
                    .is_some_and(|owner| self.attached.is_alive(owner))
            })
    }
}

impl Drop for HeapLock<'_> {
    fn drop(&mut self) {
        let lock = self.attached.heap_lock();
        self.owner().store(0, Ordering::Relaxed);
        let before = lock.word().swap(0, Ordering::Release);
        kill_point!("heap.unlocked");
        if before & WAITERS != 0 {
            futex::wake(lock.word(), 1);
        }
        self.thread.concluded();
        self.record.clear_pending();
    }
}
