//! This thread's record.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use folio_sys::process::fork_generation;
use folio_sys::robust::{self, Thread};

use super::record::{Newcomer, PENDING, Record, WAITING_ON, WAITING_SINCE, is_id_abroad};
use super::{Attached, Participant, reap};
use crate::raw::environment::mark;
use crate::{Error, Result};

/// This thread, as the region knows it: what it is about to lock or unlock, and what it waits for.
///
/// Another thread must not use it.
#[derive(Clone, Copy)]
pub(crate) struct ThreadRecord<'a> {
    attached: &'a Attached,
    pending: &'a AtomicU64,
    index: u32,
    tid: u32,
}

/// What tells a record of this thread: which region, and which process, since forked children have copies.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    attached: u32,
    generation: u64,
}

/// A record, and where in the region it says what is pending.
#[derive(Clone, Copy)]
struct Recent {
    key: Key,
    index: u32,
    tid: u32,
    pending_at: usize,
}

impl Recent {
    // No region has this id.
    const NONE: Self = Self {
        key: Key {
            attached: 0,
            generation: 0,
        },
        index: 0,
        tid: 0,
        pending_at: 0,
    };
}

/// A record of this thread, given back when the thread ends.
struct Owned {
    recent: Recent,
    owner: Participant,
    attached: Weak<Attached>,
}

thread_local! {
    /// The record that was used last.
    static RECENT: Cell<Recent> = const { Cell::new(Recent::NONE) };
    static OWNED: RefCell<Vec<Owned>> = const { RefCell::new(Vec::new()) };
}

/// Has the record found first from now on, also by those who only ask for the thread's mark.
fn remember(recent: Recent) {
    let Recent {
        key, index, tid, ..
    } = recent;
    RECENT.set(recent);
    if !is_id_abroad(tid) {
        robust::current().note(key.attached, mark(index, tid));
    }
}

impl Attached {
    /// This thread's record, taken at first use.
    #[inline]
    pub(crate) fn thread(&self) -> Result<ThreadRecord<'_>> {
        let key = Key {
            attached: self.id,
            generation: fork_generation(),
        };
        let recent = RECENT.get();
        if recent.key == key {
            if let Some(pending) = self.image.memory().u64_at(recent.pending_at) {
                return Ok(ThreadRecord {
                    attached: self,
                    pending,
                    index: recent.index,
                    tid: recent.tid,
                });
            }
        }
        self.thread_slow(key)
    }

    fn record(&self, recent: Recent) -> Result<ThreadRecord<'_>> {
        Ok(ThreadRecord {
            attached: self,
            pending: self.image.word(recent.pending_at as u64)?,
            index: recent.index,
            tid: recent.tid,
        })
    }

    #[cold]
    fn thread_slow(&self, key: Key) -> Result<ThreadRecord<'_>> {
        let known = OWNED.try_with(|owned| {
            let owned = owned.borrow();
            owned
                .iter()
                .map(|owned| owned.recent)
                .find(|recent| recent.key == key)
        });
        let recent = match known {
            Ok(Some(recent)) => recent,
            Ok(None) => self.claim(key)?,
            // The thread is ending, and could not give the record back.
            Err(_) => return Err(self.too_many_threads()),
        };
        remember(recent);
        self.record(recent)
    }

    fn claim(&self, key: Key) -> Result<Recent> {
        let life = self.life()?;
        let thread = Newcomer {
            owner: life.participant(),
            tid: robust::current().tid(),
            is_abroad: life.is_abroad(),
        };
        let mut claimed = Record::claim(&self.image, thread)?;
        if claimed.is_none() {
            self.reap_for_records(key, thread)?;
            claimed = Record::claim(&self.image, thread)?;
        }
        let (index, tid) = claimed.ok_or_else(|| self.too_many_threads())?;
        let recent = self.recent(key, index, tid);
        let record = Owned {
            recent,
            owner: thread.owner,
            attached: Weak::clone(&self.me),
        };
        OWNED.with_borrow_mut(|all| {
            all.retain(|owned| owned.attached.strong_count() > 0);
            all.push(record);
        });
        Ok(recent)
    }

    fn recent(&self, key: Key, index: u32, tid: u32) -> Recent {
        let at = self.image.layout().record(index).unwrap_or(0);
        Recent {
            key,
            index,
            tid,
            pending_at: usize::try_from(at + PENDING).unwrap_or(usize::MAX),
        }
    }

    /// Cleans up behind the dead, by means of the record that is kept for that.
    fn reap_for_records(&self, key: Key, thread: Newcomer) -> Result<()> {
        let image = &self.image;
        let claimed = Record::claim_reapers(image, thread, |other| self.is_alive(other))?;
        let Some((index, tid)) = claimed else {
            // Somebody else is at it.
            std::thread::yield_now();
            return Ok(());
        };
        remember(self.recent(key, index, tid));
        let reaped = self.heap().and_then(|heap| reap(&heap));
        remember(Recent::NONE);
        Record::free(image, index)?;
        reaped.map(|_| ())
    }

    fn too_many_threads(&self) -> Error {
        Error::TooManyThreads {
            path: self.image.path().to_owned(),
            limit: self.image.layout().dimensions.threads,
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // The parent's records are no concern of a child that has copies of these.
        if self.recent.key.generation != fork_generation() {
            return;
        }
        let Some(attached) = self.attached.upgrade() else {
            return;
        };
        let image = &attached.image;
        let index = self.recent.index;
        if Record::load(image, index).is_ok_and(|state| state.owner == Some(self.owner)) {
            // Else whoever cleans up finds it when the process has ended.
            let _ = Record::free(image, index);
        }
    }
}

impl ThreadRecord<'_> {
    /// Which of the region's thread records this is.
    #[must_use]
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The id by which locks know this thread: the system's, unless its process is abroad.
    #[must_use]
    #[inline]
    pub(crate) fn tid(&self) -> u32 {
        self.tid
    }

    /// The thread as the owner of words. The kernel does nothing for those that are abroad.
    pub(crate) fn as_owner(&self) -> Thread {
        if is_id_abroad(self.tid) {
            robust::unlisted(self.tid)
        } else {
            robust::current()
        }
    }

    /// Says that the lock at this offset is about to be taken or given up.
    #[inline]
    pub(crate) fn set_pending(&self, lock_offset: usize) {
        self.pending.store(lock_offset as u64, Ordering::Relaxed);
        // A thread that is killed has done what comes before, in the order of its instructions.
        compiler_fence(Ordering::SeqCst);
    }

    /// Says that it was.
    #[inline]
    pub(crate) fn clear_pending(&self) {
        compiler_fence(Ordering::SeqCst);
        self.pending.store(0, Ordering::Relaxed);
    }

    /// Says that this thread waits for the lock at this offset from now on.
    pub(crate) fn set_waiting(&self, lock_offset: usize) {
        self.store(WAITING_SINCE, folio_sys::futex::now_ns());
        self.store(WAITING_ON, lock_offset as u64);
    }

    /// Says that it waits no longer.
    pub(crate) fn clear_waiting(&self) {
        self.store(WAITING_ON, 0);
    }

    fn store(&self, word: u64, value: u64) {
        let image = &self.attached.image;
        let at = image.layout().record(self.index).unwrap_or(0);
        // The record was mapped when this was made.
        if let Ok(word) = image.word(at + word) {
            word.store(value, Ordering::Release);
        }
    }
}

impl fmt::Debug for ThreadRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadRecord")
            .field("index", &self.index)
            .field("tid", &self.tid)
            .finish_non_exhaustive()
    }
}
