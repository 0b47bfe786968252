//! Something that happens, and threads that wait for it.
//!
//! ```text
//!  31        30 … 1   0
//! ┌─────────┬───────┬─────┐      0             not set
//! │ WAITERS │       │ SET │      SET           set
//! └─────────┴───────┴─────┘      WAITERS       not set, somebody sleeps
//!                                WAITERS|SET   set, a woken waiter has not consumed it yet (automatic reset)
//! ```
//!
//! With manual reset the event stays set, and setting it wakes all. With automatic reset one waiter
//! consumes it: setting it wakes one. Who slept leaves WAITERS behind when it consumes the event, for those who sleep on;
//! when setting it wakes nobody, the bit goes. A waiter that dies between being woken and consuming leaves the event
//! set: the next nap that ends, or the next arrival, takes it.

use super::atomics::{AtomicU32, Ordering};
use super::environment::{Environment, Failure, Limit, Nap, Waited};
use super::step;

const SET: u32 = 1;
const WAITERS: u32 = 0x8000_0000;

/// What becomes of the event when somebody has waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// It stays set, for all, until it is reset.
    Manual,
    /// It is reset by the one that has waited.
    Automatic,
}

/// Whether it is set.
#[inline]
pub(crate) fn is_set(word: &AtomicU32) -> bool {
    word.load(Ordering::Acquire) & SET != 0
}

/// Sets it.
pub(crate) fn set<E: Environment>(env: E, word: &AtomicU32, reset: Reset) {
    match reset {
        Reset::Manual => {
            let before = word.swap(SET, Ordering::AcqRel);
            step!(env, "event.set.stored");
            if before & WAITERS != 0 {
                env.wake(word, u32::MAX);
            }
        }
        Reset::Automatic => {
            let before = word.fetch_or(SET, Ordering::AcqRel);
            step!(env, "event.set.stored");
            if before & WAITERS != 0 && env.wake(word, 1) == 0 {
                let both = SET | WAITERS;
                _ = word.compare_exchange(both, SET, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
    }
    step!(env, "event.set.woken");
}

/// Resets it. Whether it was set.
pub(crate) fn reset(word: &AtomicU32) -> bool {
    word.fetch_and(!SET, Ordering::AcqRel) & SET != 0
}

/// Waits until it is set.
#[inline]
pub(crate) fn wait<E: Environment>(
    env: E,
    word: &AtomicU32,
    reset: Reset,
    limit: Limit<E::Deadline>,
) -> Result<(), Failure> {
    if consume(word, reset, 0) {
        step!(env, "event.wait.consumed");
        return Ok(());
    }
    if limit.is_try() {
        return Err(Failure::WouldBlock);
    }
    wait_unset(env, word, reset, limit)
}

/// Consumes the event if it is set, leaving `waiters` behind.
#[inline]
fn consume(word: &AtomicU32, reset: Reset, waiters: u32) -> bool {
    let mut seen = word.load(Ordering::Acquire);
    while seen & SET != 0 {
        if reset == Reset::Manual {
            return true;
        }
        let left = (seen & !SET) | waiters;
        match word.compare_exchange(seen, left, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

#[cold]
fn wait_unset<E: Environment>(
    env: E,
    word: &AtomicU32,
    reset: Reset,
    limit: Limit<E::Deadline>,
) -> Result<(), Failure> {
    env.begin_waiting();
    let outcome = sleep_until_set(env, word, reset, limit);
    env.end_waiting();
    outcome
}

fn sleep_until_set<E: Environment>(
    env: E,
    word: &AtomicU32,
    reset: Reset,
    limit: Limit<E::Deadline>,
) -> Result<(), Failure> {
    let mut left_behind = 0;
    let mut naps = 0;
    loop {
        if consume(word, reset, left_behind) {
            step!(env, "event.wait.consumed");
            return Ok(());
        }
        let seen = word.load(Ordering::Acquire);
        let expected = seen | WAITERS;
        if seen & SET != 0
            || (expected != seen
                && word
                    .compare_exchange(seen, expected, Ordering::AcqRel, Ordering::Relaxed)
                    .is_err())
        {
            continue;
        }
        step!(env, "event.wait.marked");
        match env.wait(word, expected, limit.deadline(), Nap::Probe { nth: naps }) {
            Waited::Woken => left_behind = WAITERS,
            Waited::Napped => {
                naps += 1;
                left_behind = WAITERS;
            }
            Waited::TimedOut if consume(word, reset, WAITERS) => return Ok(()),
            Waited::TimedOut => return Err(Failure::TimedOut),
        }
        step!(env, "event.wait.woken");
    }
}
