//! A thread at a lock: what the algorithms ask of the region and of the kernel.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use folio_sys::futex::{self, Deadline};
use folio_sys::robust::{self, Known, Ready, RobustWord, Thread};
use folio_sys::shared_memory::{Pinned, SharedMemory};

use crate::participant::{Attached, Record, ThreadRecord, is_id_abroad};
use crate::raw::environment::{Environment, Identity, Limit, Nap, Owner, Waited, mark};
use crate::raw::mutex::{self, TID_MASK, Words};
use crate::{Error, Result};

/// How long a waiter sleeps before it first looks for dead owners, and the longest that it does.
const FIRST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(100);
const LONG_NAP: Duration = Duration::from_secs(1);

/// How often a waiter looks before it sleeps, if that has helped lately: with the pauses between, about as
/// long as sleeping and being woken take.
const MOST_ROUNDS: u32 = 24;
const FEWEST_ROUNDS: u32 = 4;
/// How many instructions that wait are between two looks, at first and at most. Each look takes the line
/// of the cache away from the owner: few looks let it do more meanwhile.
const FIRST_PAUSE: u32 = 16;
const LONGEST_PAUSE: u32 = 128;

/// How many times a lock is tried in vain before its owner's death is looked for, where the kernel would have
/// told of it.
const REFUSALS_PER_PROBE: u32 = 64;

/// A lock as this process has it: where it is, and how waiting for it went.
pub(super) struct Lock {
    attached: Arc<Attached>,
    /// The region's.
    id: u32,
    offset: usize,
    /// Whether words may be linked into a list of the kernel's: a peer that means harm could have this
    /// process write where the peer wants it to.
    links: bool,
    /// How often to look before sleeping.
    rounds: AtomicU32,
    /// How many times somebody else had it when it was tried.
    refusals: AtomicU32,
}

impl Lock {
    pub(super) fn new(attached: &Arc<Attached>, offset: usize) -> Self {
        let may_spin = thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        Self {
            attached: Arc::clone(attached),
            id: attached.id(),
            offset,
            links: attached.is_private(),
            rounds: AtomicU32::new(if may_spin { MOST_ROUNDS / 2 } else { 0 }),
            refusals: AtomicU32::new(0),
        }
    }

    pub(super) fn attached(&self) -> &Arc<Attached> {
        &self.attached
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// This thread at the lock.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "its result would go through memory, which takes longer than taking the lock"
    )]
    pub(super) fn here<'a>(
        &'a self,
        robust: Option<&'a RobustWord>,
    ) -> Result<Here<'a>, Box<Error>> {
        if self.attached.is_lost() {
            return Err(Box::new(self.lost()));
        }
        let thread = robust::current();
        let (thread, mark) = match robust::known(self.id) {
            Some(known) => (thread, known.noted()),
            None => self.first_here()?,
        };
        Ok(Here {
            lock: self,
            robust,
            thread,
            mark,
            tid: thread.tid(),
        })
    }

    /// This thread, if it has used the region last of all and no page of that is lost.
    #[inline]
    pub(super) fn known(&self) -> Option<Known> {
        if self.attached.is_lost() {
            return None;
        }
        robust::known(self.id)
    }

    /// This thread, if it has used the region last of all: for what it gives up, lost pages or not.
    #[inline]
    pub(super) fn still_known(&self) -> Option<Known> {
        robust::known(self.id)
    }

    /// This thread and its mark, of which it was not known that it is the region's, or which is abroad.
    #[cold]
    fn first_here(&self) -> Result<(Thread, u32), Box<Error>> {
        let record = self.attached.thread().map_err(Box::new)?;
        Ok((record.as_owner(), mark(record.index(), record.tid())))
    }

    /// This thread, if it is abroad and this is the id by which locks know it.
    #[cold]
    fn thread_abroad(&self, tid: u32) -> Option<Thread> {
        // Not in a forked child that has not used the region: that would make it a participant, which has nothing yet.
        if !is_id_abroad(tid) || self.attached.living_participant().is_none() {
            return None;
        }
        let record = self.attached.thread().ok()?;
        (record.tid() == tid).then(|| record.as_owner())
    }

    /// Takes a mutex if that can be done in a few instructions: nobody has it, it is sound, and this thread has no other
    /// lock. Whether it did.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call takes as long as what it does")]
    pub(super) fn take_free(&self, robust: &RobustWord) -> bool {
        if self.attached.is_lost() {
            return false;
        }
        robust::ready(self.id, self.links)
            .is_some_and(|ready| mutex::take_free(Quick { ready, robust }, words(robust)))
    }

    /// This thread at a lock that the thread with this id took, to give it up: `None` in a
    /// child that it has forked, which is another thread.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "its result would go through memory, which takes longer than taking the lock"
    )]
    pub(super) fn still_here<'a>(
        &'a self,
        robust: Option<&'a RobustWord>,
        tid: u32,
    ) -> Option<Here<'a>> {
        let mut thread = robust::current();
        if thread.tid() != tid {
            thread = self.thread_abroad(tid)?;
        }
        let (thread, mark) = match robust::known(self.id) {
            Some(known) => (thread, known.noted()),
            // It has used another region since.
            None => self.first_here().ok()?,
        };
        Some(Here {
            lock: self,
            robust,
            thread,
            mark,
            tid,
        })
    }

    /// This thread at a mutex that it has: `None` where it has not, as in a child that it has forked.
    pub(super) fn holding<'a>(&'a self, robust: &'a RobustWord) -> Option<Here<'a>> {
        let mut thread = robust::current();
        let tid = robust.word().load(Ordering::Relaxed) & TID_MASK;
        if thread.tid() != tid {
            thread = self.thread_abroad(tid)?;
        }
        Some(Here {
            lock: self,
            robust: Some(robust),
            thread,
            // Who has a mutex is not asked for it.
            mark: 0,
            tid,
        })
    }

    /// Gives up a mutex, and says that its value may be wrong where its owner is on its way out of a panic.
    /// It stays as it is where this thread has not got it: as in a child that it has forked, or after somebody
    /// scribbled over the word.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call takes as long as what it does")]
    pub(super) fn give_up(&self, robust: &RobustWord, panic: Panic) {
        let is_done = !panic.began_since()
            && robust::ready_to_release(robust)
                .is_some_and(|ready| mutex::give_up(Quick { ready, robust }, words(robust)));
        if !is_done {
            self.give_up_slowly(robust, panic);
        }
    }

    #[cold]
    fn give_up_slowly(&self, robust: &RobustWord, panic: Panic) {
        let Some(here) = self.holding(robust) else {
            // Somebody scribbled over it, or this is a child.
            return robust::current().withdraw(robust);
        };
        let words = words(robust);
        if panic.began_since() {
            words.inconsistent();
        }
        mutex::unlock(here, words);
    }

    #[cold]
    fn lost(&self) -> Error {
        match self.attached.image().check_not_lost() {
            Err(error) => error,
            Ok(()) => self.damaged("pages of it were lost"),
        }
    }

    /// An error for a lock that is not all there.
    pub(super) fn damaged(&self, what: &str) -> Error {
        self.attached.image().damaged(self.offset as u64, what)
    }

    /// A word of the region, `from` bytes behind the beginning of the lock.
    pub(super) fn pin<W: folio_sys::shared_memory::Word>(&self, from: usize) -> Result<Pinned<W>> {
        self.offset
            .checked_add(from)
            .and_then(|offset| self.memory().pin::<W>(offset))
            .ok_or_else(|| self.damaged("a lock outside of it"))
    }

    pub(super) fn memory(&self) -> &Arc<SharedMemory> {
        self.attached.memory()
    }
}

/// Whether a thread was unwinding from a panic when it took a lock.
///
/// It has a whole register's width: of a byte that was written a moment ago, compilers read more, to pass it on, which
/// processors cannot serve before the write, and all that is before it, is in the cache.
#[derive(Clone, Copy)]
pub(super) struct Panic(usize);

impl Panic {
    #[inline]
    pub(super) fn seen() -> Self {
        Self(usize::from(thread::panicking()))
    }

    /// Whether the thread has panicked with the lock.
    #[inline]
    fn began_since(self) -> bool {
        self.0 == 0 && thread::panicking()
    }
}

/// The words of a mutex.
#[inline]
pub(super) fn words(robust: &RobustWord) -> Words<'_> {
    Words {
        word: robust.word(),
        beside: robust.user(),
    }
}

/// The limit that a duration means, from now on.
pub(super) fn within(timeout: Duration) -> Limit<Deadline> {
    Limit::Until(Deadline::after(timeout))
}

/// The record and the low half of the thread id that an owner's mark names.
pub(crate) fn mark_of(mark: u32) -> Option<(u32, u32)> {
    (mark >> 16)
        .checked_sub(1)
        .map(|record| (record, mark & 0xffff))
}

/// A thread at a lock. It is of use to that thread alone, and not in a child that the thread has forked.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    lock: &'a Lock,
    robust: Option<&'a RobustWord>,
    thread: Thread,
    mark: u32,
    tid: u32,
}

/// A thread at a mutex that nobody waits for, while it has no other lock.
#[derive(Clone, Copy)]
struct Quick<'a> {
    ready: Ready,
    robust: &'a RobustWord,
}

impl Identity for Known {
    #[inline]
    fn tid(&self) -> u32 {
        Known::tid(self)
    }

    #[inline]
    fn mark(&self) -> u32 {
        self.noted()
    }
}

impl Identity for Quick<'_> {
    #[inline]
    fn tid(&self) -> u32 {
        self.ready.known().tid()
    }

    #[inline]
    fn mark(&self) -> u32 {
        self.ready.known().noted()
    }
}

impl Owner for Quick<'_> {
    #[inline]
    fn announce(&self) {
        self.ready.announce(self.robust);
    }

    #[inline]
    fn announce_release(&self) {
        // It is announced since it was taken.
    }

    #[inline]
    fn concluded(&self) {
        self.ready.concluded();
    }
}

impl Here<'_> {
    /// This thread's record, to say that it waits: no system call is far from here.
    fn thread_record(&self) -> Option<ThreadRecord<'_>> {
        self.lock.attached.thread().ok()
    }

    /// Whether a living thread other than this has that id. Slow: it looks at all records.
    fn is_any_other_alive(&self, tid: u32) -> bool {
        let image = self.lock.attached.image();
        let count = image.layout().dimensions.threads;
        (0..count)
            .filter_map(|record| Record::load(image, record).ok())
            .filter(|state| state.tid == tid && state.index != self.record())
            .any(|state| {
                state
                    .owner
                    .is_some_and(|owner| self.lock.attached.is_alive(owner))
            })
    }
}

impl Identity for Here<'_> {
    #[inline]
    fn tid(&self) -> u32 {
        self.tid
    }

    #[inline]
    fn mark(&self) -> u32 {
        self.mark
    }
}

impl Owner for Here<'_> {
    #[inline]
    fn announce(&self) {
        if let Some(robust) = self.robust {
            self.thread.announce(robust, self.lock.links);
        }
    }

    #[inline]
    fn announce_release(&self) {
        if let Some(robust) = self.robust {
            self.thread.announce_release(robust);
        }
    }

    #[inline]
    fn concluded(&self) {
        self.thread.concluded();
    }
}

impl Environment for Here<'_> {
    type Deadline = Deadline;

    #[cold]
    fn withdraw(&self) {
        if let Some(robust) = self.robust {
            self.thread.withdraw(robust);
        }
    }

    #[cold]
    fn is_owner_dead(&self, tid: u32, mark: u32) -> bool {
        match mark_of(mark) {
            Some((record, half)) if half == tid & 0xffff => self.is_dead(record, tid),
            // It is between two instructions, or died there; or no thread has ever had this id.
            // This thread is none of these: it would know.
            _ => !self.is_any_other_alive(tid),
        }
    }

    #[cold]
    fn is_dead(&self, record: u32, tid: u32) -> bool {
        self.lock.attached.is_dead(record, tid)
    }

    fn probes_at_once(&self) -> bool {
        let is_recovered =
            self.robust.is_some() && self.lock.links && self.thread.kernel_recovers();
        // The kernel may have been kept from it, by the libc's mutexes or by too many locks held.
        !is_recovered
            || self.lock.refusals.fetch_add(1, Ordering::Relaxed) % REFUSALS_PER_PROBE
                == REFUSALS_PER_PROBE - 1
    }

    fn wait(
        &self,
        word: &AtomicU32,
        expected: u32,
        deadline: Option<Deadline>,
        nap: Nap,
    ) -> Waited {
        let nap = match nap {
            Nap::Courtesy => FIRST_NAP,
            Nap::Probe { nth } => FIRST_NAP.saturating_mul(1 << nth.min(10)).min(LONGEST_NAP),
            Nap::Long => LONG_NAP,
        };
        let end = Deadline::after(nap);
        let earlier = deadline.map_or(end, |deadline| deadline.min(end));
        match futex::wait(word, expected, Some(earlier)) {
            futex::Waited::TimedOut if deadline.is_some_and(Deadline::has_passed) => {
                Waited::TimedOut
            }
            futex::Waited::TimedOut => Waited::Napped,
            _ => Waited::Woken,
        }
    }

    fn wake(&self, word: &AtomicU32, count: u32) -> u32 {
        futex::wake(word, count)
    }

    fn spin_rounds(&self) -> u32 {
        self.lock.rounds.load(Ordering::Relaxed)
    }

    fn pause(&self, round: u32) {
        let pauses = FIRST_PAUSE << round.min(LONGEST_PAUSE.ilog2());
        for _ in 0..pauses.min(LONGEST_PAUSE) {
            hint::spin_loop();
        }
    }

    fn spun(&self, in_time: bool) {
        let rounds = self.lock.rounds.load(Ordering::Relaxed);
        let next = if in_time {
            (rounds + rounds / 4 + 1).min(MOST_ROUNDS)
        } else {
            (rounds / 2).max(FEWEST_ROUNDS)
        };
        if next != rounds {
            self.lock.rounds.store(next, Ordering::Relaxed);
        }
    }

    fn begin_waiting(&self) {
        if let Some(record) = self.thread_record() {
            record.set_waiting(self.lock.offset);
        }
    }

    fn end_waiting(&self) {
        if let Some(record) = self.thread_record() {
            record.clear_waiting();
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds are compared modulo 2^32"
    )]
    fn now_ms(&self) -> u32 {
        (futex::now_ns() / 1_000_000) as u32
    }
}
