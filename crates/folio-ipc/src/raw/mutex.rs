//! A mutual exclusion that passes on when its owner dies.
//!
//! Its word is in the format of the kernel's robust futexes, `Documentation/locking/robust-futex-ABI.rst`:
//!
//! ```text
//!  31        30          29 … 0
//! ┌─────────┬───────────┬────────────────┐
//! │ WAITERS │ OWNER_DIED│ owner's tid    │
//! └─────────┴───────────┴────────────────┘
//!
//!  0                      free
//!  tid                    taken, nobody sleeps
//!  tid | WAITERS          taken, who gives it up wakes one
//!  OWNER_DIED [| WAITERS] free, its owner died
//!  WAITERS                free, kept for the heir for a moment
//!
//!       lock: CAS                        unlock: CAS
//!  0 ───────────────▶ tid ────────────────────────────────▶ 0
//!                      │ a waiter: CAS                       ▲
//!                      ▼           unlock: swap, wake one    │
//!                tid|WAITERS ────────────────────────────────┤
//!                      │           unlock with an heir:      │ the heir's time is over
//!                      │           swap, wake all            │
//!                      ├──────────────────────────────▶ WAITERS ──▶ tid|WAITERS
//!                      │ owner dies: the kernel, or a waiter that found out
//!                      ▼
//!              OWNER_DIED|WAITERS ──▶ tid|WAITERS, marked inconsistent
//! ```
//!
//! Five words beside it, none of which decides who owns the lock:
//!
//! | word | what |
//! |---|---|
//! | owner | the owner's mark, 0 while nobody has the lock |
//! | state | bit 0: inconsistent, until somebody says that the data was repaired. Bit 1: the owner has not come to the data yet |
//! | heir | the mark of a waiter that was passed over too often |
//! | since | when a waiter saw the owner have the lock, in milliseconds; 0: none has yet, or says so |
//! | waiters | how many threads sleep or are about to; those that died in their sleep stay counted |
//!
//! A thread that arrives may take the lock before one that was woken: that is what makes it fast.
//! Who waited for a millisecond or was passed over [`PATIENCE`] times names itself heir. The next owner to
//! give the lock up leaves it to the heir; others hold back for a millisecond, which is all: an heir that
//! died keeps nobody waiting longer.

use super::atomics::{AtomicU32, Ordering};
use super::environment::{Condition, Environment, Failure, Limit, Nap, Owner, Waited};
use super::step;

/// Somebody sleeps.
pub(crate) const WAITERS: u32 = 0x8000_0000;
/// The owner died.
pub(crate) const OWNER_DIED: u32 = 0x4000_0000;
/// The owner's thread id.
pub(crate) const TID_MASK: u32 = 0x3fff_ffff;

const INCONSISTENT: u32 = 1;
const UNTOUCHED: u32 = 2;

/// How often a waiter is passed over before it names itself heir.
#[cfg(not(loom))]
const PATIENCE: u32 = 8;
#[cfg(loom)]
const PATIENCE: u32 = 1;

/// The words of a mutex.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub(crate) word: &'a AtomicU32,
    pub(crate) beside: &'a [AtomicU32; 5],
}

impl<'a> Words<'a> {
    #[inline]
    fn owner(self) -> &'a AtomicU32 {
        let [owner, ..] = self.beside;
        owner
    }

    #[inline]
    fn state(self) -> &'a AtomicU32 {
        let [_, state, ..] = self.beside;
        state
    }

    fn heir(self) -> &'a AtomicU32 {
        let [_, _, heir, ..] = self.beside;
        heir
    }

    fn since(self) -> &'a AtomicU32 {
        let [_, _, _, since, _] = self.beside;
        since
    }

    fn waiters(self) -> &'a AtomicU32 {
        let [.., waiters] = self.beside;
        waiters
    }

    /// Whether an owner died or panicked, and nobody has repaired the data since.
    #[inline]
    pub(crate) fn condition(self) -> Condition {
        if self.state().load(Ordering::Relaxed) & INCONSISTENT == 0 {
            Condition::Sound
        } else {
            Condition::Inconsistent
        }
    }

    /// Says whether the owner has yet to come to the data, so that it would leave that as it is if it died now. For the owner.
    pub(super) fn set_untouched(self, is_untouched: bool) {
        let state = self.state().load(Ordering::Relaxed) & !UNTOUCHED;
        let state = state | if is_untouched { UNTOUCHED } else { 0 };
        self.state().store(state, Ordering::Relaxed);
    }

    /// Says that the last owner has died. For the owner.
    fn inherited(self) {
        if self.state().load(Ordering::Relaxed) & UNTOUCHED == 0 {
            self.inconsistent();
        } else {
            self.set_untouched(false);
        }
    }

    /// Says that the data is right again. For the owner.
    pub(crate) fn repaired(self) {
        self.state().store(0, Ordering::Relaxed);
    }

    /// Says that the data may be wrong. For the owner.
    pub(crate) fn inconsistent(self) {
        self.state().store(INCONSISTENT, Ordering::Relaxed);
    }
}

/// Takes the lock if it is free, and its data is right as far as anybody knows. Whether it did: if not, [`lock`] goes on.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call takes as long as what it does")]
pub(crate) fn take_free(env: impl Owner, words: Words<'_>) -> bool {
    env.announce();
    step!(env, "mutex.lock.announced");
    let taken = words
        .word
        .compare_exchange(0, env.tid(), Ordering::SeqCst, Ordering::Relaxed);
    if taken.is_ok() {
        step!(env, "mutex.lock.taken");
        own(env, words);
    }
    taken.is_ok()
}

/// Takes the lock.
#[inline]
pub(crate) fn lock<E: Environment>(
    env: E,
    words: Words<'_>,
    limit: Limit<E::Deadline>,
) -> Result<Condition, Failure> {
    if take_free(env, words) {
        return Ok(words.condition());
    }
    lock_contended(env, words, limit)
}

/// Gives the lock up, which is this thread's, if nobody waits for it. Whether it did: if not, [`unlock`] goes on.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call takes as long as what it does")]
pub(crate) fn give_up(env: impl Owner, words: Words<'_>) -> bool {
    env.announce_release();
    step!(env, "mutex.unlock.announced");
    words.owner().store(0, Ordering::Relaxed);
    step!(env, "mutex.unlock.disowned");
    let released = words
        .word
        .compare_exchange(env.tid(), 0, Ordering::Release, Ordering::Relaxed);
    if released.is_ok() {
        step!(env, "mutex.unlock.released");
        env.concluded();
    }
    released.is_ok()
}

/// Gives the lock up. Does nothing where it is not this thread's, as in a child that was forked by the owner.
#[inline]
pub(crate) fn unlock<E: Environment>(env: E, words: Words<'_>) {
    if words.word.load(Ordering::Relaxed) & TID_MASK != env.tid() {
        return;
    }
    if !give_up(env, words) {
        unlock_contended(env, words);
        step!(env, "mutex.unlock.released");
        env.concluded();
    }
}

/// Marks a lock as its owner's legacy if `is_owner_dead` says so of the id in its word and the mark beside it.
/// Whether a waiter is to be woken, if it was marked.
#[cfg(not(loom))]
pub(crate) fn recover(words: Words<'_>, is_owner_dead: impl Fn(u32, u32) -> bool) -> Option<bool> {
    let seen = words.word.load(Ordering::Acquire);
    let mark = words.owner().load(Ordering::Acquire);
    if seen & TID_MASK == 0 || !is_owner_dead(seen & TID_MASK, mark) {
        return None;
    }
    let died = OWNER_DIED | (seen & WAITERS);
    let marked = words
        .word
        .compare_exchange(seen, died, Ordering::AcqRel, Ordering::Relaxed);
    marked.is_ok().then_some(seen & WAITERS != 0)
}

/// What comes after the word was taken.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "its result would go through memory, which takes longer than taking the lock"
)]
fn own(env: impl Owner, words: Words<'_>) {
    words.owner().store(env.mark(), Ordering::Relaxed);
    step!(env, "mutex.lock.owned");
}

#[cold]
fn unlock_contended<E: Environment>(env: E, words: Words<'_>) {
    words.since().store(0, Ordering::Relaxed);
    if words.heir().load(Ordering::Relaxed) == 0 {
        words.word.swap(0, Ordering::AcqRel);
        words.since().store(0, Ordering::Relaxed);
        step!(env, "mutex.unlock.waking");
        env.wake(words.word, 1);
    } else {
        words.word.swap(WAITERS, Ordering::AcqRel);
        words.since().store(0, Ordering::Relaxed);
        step!(env, "mutex.unlock.handing_over");
        env.wake(words.word, u32::MAX);
    }
}

#[cold]
fn lock_contended<E: Environment>(
    env: E,
    words: Words<'_>,
    limit: Limit<E::Deadline>,
) -> Result<Condition, Failure> {
    let mut contender = Contender {
        env,
        words,
        limit,
        is_counted: false,
        was_courteous: limit.is_try(),
        is_late: false,
        passed_over: 0,
        naps: 0,
    };
    let outcome = contender.spin().map_or_else(|| contender.wait(), Ok);
    contender.leave();
    if outcome.is_err() {
        env.withdraw();
    }
    outcome
}

/// A thread on its way to a lock that others want as well.
struct Contender<'a, E: Environment> {
    env: E,
    words: Words<'a>,
    limit: Limit<E::Deadline>,
    /// Whether it is among the waiters that are counted.
    is_counted: bool,
    /// Whether it has held back for an heir.
    was_courteous: bool,
    /// Whether its deadline has passed.
    is_late: bool,
    passed_over: u32,
    naps: u32,
}

impl<E: Environment> Contender<'_, E> {
    /// Looks again for about as long as going to sleep and being woken takes.
    fn spin(&self) -> Option<Condition> {
        if self.limit.is_try() {
            return None;
        }
        let rounds = self.env.spin_rounds();
        for round in 0..rounds {
            let seen = self.words.word.load(Ordering::Relaxed);
            if self.is_free(seen) {
                if let Some(condition) = self.take(seen) {
                    self.env.spun(true);
                    return Some(condition);
                }
            } else if seen & TID_MASK == self.env.tid() {
                return None;
            }
            self.env.pause(round);
        }
        if rounds > 0 {
            self.env.spun(false);
        }
        None
    }

    fn wait(&mut self) -> Result<Condition, Failure> {
        loop {
            let seen = self.words.word.load(Ordering::Acquire);
            if self.is_free(seen) {
                if let Some(condition) = self.take(seen) {
                    return Ok(condition);
                }
            } else if self.is_mine(seen) {
                return Err(Failure::Deadlock);
            } else if self.limit.is_try() {
                if !(self.env.probes_at_once() && self.bury(seen)) {
                    return Err(Failure::WouldBlock);
                }
            } else if self.is_late {
                return Err(Failure::TimedOut);
            } else {
                self.sleep(seen);
            }
        }
    }

    fn is_free(&self, seen: u32) -> bool {
        if seen == WAITERS && !self.was_courteous {
            let heir = self.words.heir().load(Ordering::Relaxed);
            return heir == 0 || heir == self.env.mark();
        }
        seen & TID_MASK == 0
    }

    fn is_mine(&self, seen: u32) -> bool {
        seen & TID_MASK == self.env.tid()
            && self.words.owner().load(Ordering::Relaxed) == self.env.mark()
    }

    /// Takes the word, if it is still as it was seen.
    fn take(&self, seen: u32) -> Option<Condition> {
        let Self { env, words, .. } = self;
        // Whoever has slept answers for those who sleep on: their bit went when the lock was given up, or says that
        // somebody slept, who may be this thread alone. Who comes while the lock is kept sleeps for a millisecond at most.
        let waiters = if !self.is_counted {
            seen & WAITERS
        } else if words.waiters().load(Ordering::Acquire) > 1 {
            WAITERS
        } else {
            0
        };
        words
            .word
            .compare_exchange(
                seen,
                env.tid() | waiters,
                Ordering::SeqCst,
                Ordering::Relaxed,
            )
            .ok()?;
        step!(env, "mutex.lock.taken_contended");
        if seen & OWNER_DIED != 0 {
            words.inherited();
            words.since().store(0, Ordering::Relaxed);
            step!(env, "mutex.lock.marked_inconsistent");
        }
        if seen == WAITERS {
            // The heir has it, or has let its time pass.
            words.heir().store(0, Ordering::Relaxed);
        }
        own(*env, *words);
        Some(words.condition())
    }

    /// Sleeps, after seeing that somebody else has the lock.
    fn sleep(&mut self, seen: u32) {
        let Self { env, words, .. } = *self;
        self.count();
        let expected = seen | WAITERS;
        if expected != seen
            && words
                .word
                .compare_exchange(seen, expected, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        step!(env, "mutex.wait.marked");
        self.date(expected);
        let is_kept = expected == WAITERS;
        let nap = if is_kept {
            Nap::Courtesy
        } else {
            Nap::Probe { nth: self.naps }
        };
        let waited = env.wait(words.word, expected, self.limit.deadline(), nap);
        step!(env, "mutex.wait.woken");
        if is_kept {
            self.was_courteous = true;
        }
        match waited {
            Waited::Woken => self.passed_over += 1,
            Waited::Napped => {
                self.naps += 1;
                self.passed_over = PATIENCE;
                self.bury(expected);
            }
            Waited::TimedOut => self.is_late = true,
        }
        if self.passed_over >= PATIENCE && !self.is_late {
            let heir = words.heir();
            // Who is heir already stays so; a dead one goes with the next owner.
            _ = heir.compare_exchange(0, env.mark(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Marks the lock as its owner's legacy, if it is dead. Whether it was.
    fn bury(&self, seen: u32) -> bool {
        let owner = self.words.owner().load(Ordering::Acquire);
        if seen & TID_MASK == 0 || !self.env.is_owner_dead(seen & TID_MASK, owner) {
            return false;
        }
        let died = OWNER_DIED | (seen & WAITERS);
        self.words
            .word
            .compare_exchange(seen, died, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn count(&mut self) {
        if self.is_counted {
            return;
        }
        self.is_counted = true;
        self.words.waiters().fetch_add(1, Ordering::AcqRel);
        self.env.begin_waiting();
    }

    /// Says since when, at the latest, the owner has had the lock, for those who inspect the region; unless somebody has.
    /// The word, in which waiters are marked, is as it was seen.
    fn date(&self, seen: u32) {
        let Words { word, .. } = self.words;
        let since = self.words.since();
        if seen & TID_MASK == 0 || since.load(Ordering::Relaxed) != 0 {
            return;
        }
        let now = self.env.now_ms().max(1);
        let dated = since.compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed);
        // The owner takes it back after giving the lock up: if it has not done that by now, it will take this back.
        if dated.is_ok() && word.load(Ordering::Acquire) != seen {
            _ = since.compare_exchange(now, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn leave(&self) {
        let Self { env, words, .. } = self;
        if !self.is_counted {
            return;
        }
        env.end_waiting();
        words.waiters().fetch_sub(1, Ordering::AcqRel);
        let heir = words.heir();
        if heir.load(Ordering::Relaxed) != env.mark() {
            return;
        }
        _ = heir.compare_exchange(env.mark(), 0, Ordering::Relaxed, Ordering::Relaxed);
        step!(env, "mutex.wait.left");
        // Not taken, and perhaps kept for this thread already: then it is the next one's.
        let passed_on =
            words
                .word
                .compare_exchange(WAITERS, 0, Ordering::AcqRel, Ordering::Relaxed);
        if passed_on.is_ok() {
            env.wake(words.word, 1);
        }
    }
}
