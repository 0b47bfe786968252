//! A semaphore whose permits come back when their holders die.
//!
//! There is no count. Each permit is a word, 0 or the thread that has it, so that taking one and saying
//! who took it is the same instruction, and whoever waits can look which holders are dead.
//!
//! ```text
//! a permit:   63 … 32                    31 … 0
//!            ┌──────────────────────────┬────────┐
//!            │ index of the record, + 1 │ tid    │      0: free
//!            └──────────────────────────┴────────┘
//! the gate:   31 … 2                     1          0
//!            ┌──────────────────────────┬──────────┬─────────┐
//!            │ sequence                 │ STARVING │ WAITERS │
//!            └──────────────────────────┴──────────┴─────────┘
//! ```
//!
//! Who finds no permit sets WAITERS, looks once more, and sleeps on the gate; who is woken looks first. Who gives a permit back looks at
//! the gate after that, and where WAITERS is set, clears it, counts the sequence up, and wakes all: one
//! that was woken alone and died would have left the others asleep. STARVING is set by a waiter
//! that has waited for a millisecond; then others hold back for one, once.

use super::atomics::{AtomicU32, AtomicU64, Ordering, store_before_load};
use super::environment::{Environment, Failure, Identity, Limit, Nap, Waited};
use super::step;

const WAITERS: u32 = 1;
const STARVING: u32 = 2;
const SEQUENCE_ONE: u32 = 4;

/// The words of a semaphore.
pub(crate) trait Words {
    /// What those sleep on who want a permit.
    fn gate(&self) -> &AtomicU32;

    /// How many permits there are.
    fn count(&self) -> u32;

    /// The word of a permit.
    fn permit(&self, index: u32) -> Option<&AtomicU64>;
}

/// Takes the permit that this thread looks at first, if it is free and nobody starves; its index. If there is none, [`acquire`] goes on.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call takes as long as what it does")]
pub(crate) fn take_first(thread: impl Identity, words: &impl Words) -> Option<u32> {
    if words.gate().load(Ordering::Relaxed) & STARVING != 0 {
        return None;
    }
    let first = first_of(thread, words.count());
    take_one(thread, words.permit(first)?).then_some(first)
}

/// Takes a permit; its index.
#[inline]
pub(crate) fn acquire<E: Environment>(
    env: E,
    words: &impl Words,
    limit: Limit<E::Deadline>,
) -> Result<u32, Failure> {
    if let Some(index) = take_first(env, words) {
        return Ok(index);
    }
    if words.gate().load(Ordering::Relaxed) & STARVING == 0 {
        if let Some(index) = take(env, words) {
            return Ok(index);
        }
    }
    acquire_contended(env, words, limit)
}

/// Gives a permit back, unless it is not this thread's. Whether somebody waits for it, who is to be [let in](open).
#[inline]
pub(crate) fn give_back(thread: impl Identity, words: &impl Words, permit: &AtomicU64) -> bool {
    step!(thread, "semaphore.release.begun");
    let freed = permit.compare_exchange(holder(thread), 0, Ordering::SeqCst, Ordering::Relaxed);
    step!(thread, "semaphore.release.freed");
    store_before_load();
    freed.is_ok() && words.gate().load(Ordering::SeqCst) & WAITERS != 0
}

/// Gives a permit back. Does nothing where it is not this thread's.
pub(crate) fn release<E: Environment>(env: E, words: &impl Words, permit: &AtomicU64) {
    if give_back(env, words, permit) {
        open(env, words);
    }
}

/// Takes back the permits of threads of which `is_dead` says so, by their records and ids. How many, and
/// the gate, if those who wait at it are to be woken.
#[cfg(not(loom))]
pub(crate) fn recover<'a>(
    words: &'a impl Words,
    is_dead: &dyn Fn(u32, u32) -> bool,
) -> (u32, Option<&'a AtomicU32>) {
    let mut count = 0;
    for permit in (0..words.count()).map_while(|index| words.permit(index)) {
        let seen = permit.load(Ordering::SeqCst);
        if seen != 0 && holder_of(seen).is_none_or(|(record, tid)| is_dead(record, tid)) {
            let taken_back = permit.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::Relaxed);
            count += u32::from(taken_back.is_ok());
        }
    }
    let is_waited_at = count > 0 && clear_waiters(words);
    (count, is_waited_at.then(|| words.gate()))
}

/// The record and the thread of a permit's holder, if somebody has it.
pub(crate) fn holder_of(permit: u64) -> Option<(u32, u32)> {
    let record = u32::try_from(permit >> 32).ok()?.checked_sub(1)?;
    let tid = u32::try_from(permit & u64::from(u32::MAX)).ok()?;
    Some((record, tid))
}

#[inline]
fn holder(thread: impl Identity) -> u64 {
    (u64::from(thread.record()) + 1) << 32 | u64::from(thread.tid())
}

/// The permit that a thread looks at first: threads begin at different ones, without a division.
#[inline]
fn first_of(thread: impl Identity, count: u32) -> u32 {
    // Less than twice the count.
    let first = thread.record() & (u32::MAX >> count.saturating_sub(1).leading_zeros().min(31));
    first.checked_sub(count).unwrap_or(first)
}

/// Takes a permit if it is free.
#[inline]
fn take_one(thread: impl Identity, permit: &AtomicU64) -> bool {
    permit.load(Ordering::SeqCst) == 0 && {
        let taken = permit.compare_exchange(0, holder(thread), Ordering::SeqCst, Ordering::Relaxed);
        step!(thread, "semaphore.acquire.taken");
        taken.is_ok()
    }
}

/// Takes any free permit.
fn take(thread: impl Identity, words: &impl Words) -> Option<u32> {
    let count = words.count();
    let first = first_of(thread, count);
    (first..count).chain(0..first).find(|&index| {
        words
            .permit(index)
            .is_some_and(|permit| take_one(thread, permit))
    })
}

/// Wakes those who wait at the gate.
#[cold]
pub(crate) fn open<E: Environment>(env: E, words: &impl Words) {
    if clear_waiters(words) {
        step!(env, "semaphore.release.opened");
        env.wake(words.gate(), u32::MAX);
    }
}

/// Whether there are waiters, who must be woken then.
fn clear_waiters(words: &impl Words) -> bool {
    let gate = words.gate();
    let mut seen = gate.load(Ordering::SeqCst);
    while seen & WAITERS != 0 {
        let opened = seen.wrapping_add(SEQUENCE_ONE) & !WAITERS;
        match gate.compare_exchange(seen, opened, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

#[cold]
fn acquire_contended<E: Environment>(
    env: E,
    words: &impl Words,
    limit: Limit<E::Deadline>,
) -> Result<u32, Failure> {
    if limit.is_try() {
        return try_contended(env, words);
    }
    if let Some(index) = spin(env, words) {
        return Ok(index);
    }
    env.begin_waiting();
    let outcome = wait(env, words, limit);
    env.end_waiting();
    outcome
}

fn try_contended<E: Environment>(env: E, words: &impl Words) -> Result<u32, Failure> {
    if let Some(index) = take(env, words) {
        return Ok(index);
    }
    if env.probes_at_once() && bury(env, words) {
        return take(env, words).ok_or(Failure::WouldBlock);
    }
    Err(Failure::WouldBlock)
}

fn spin<E: Environment>(env: E, words: &impl Words) -> Option<u32> {
    let rounds = env.spin_rounds();
    for round in 0..rounds {
        if words.gate().load(Ordering::Relaxed) & STARVING != 0 {
            return None;
        }
        if let Some(index) = take(env, words) {
            env.spun(true);
            return Some(index);
        }
        env.pause(round);
    }
    if rounds > 0 {
        env.spun(false);
    }
    None
}

fn wait<E: Environment>(
    env: E,
    words: &impl Words,
    limit: Limit<E::Deadline>,
) -> Result<u32, Failure> {
    let gate = words.gate();
    let mut was_courteous = false;
    let mut is_starving = false;
    let mut is_late = false;
    let mut naps = 0;
    loop {
        let seen = gate.load(Ordering::SeqCst);
        if seen & STARVING != 0 && !is_starving && !was_courteous {
            // Not for a permit: for whoever starves to have gone first.
            is_late = env.wait(gate, seen, limit.deadline(), Nap::Courtesy) == Waited::TimedOut;
            was_courteous = true;
            // If it is dead, the bit would make everyone slow for ever.
            gate.fetch_and(!STARVING, Ordering::Relaxed);
            continue;
        }
        let take = || {
            let index = take(env, words)?;
            if is_starving {
                gate.fetch_and(!STARVING, Ordering::Relaxed);
            }
            Some(index)
        };
        let expected = seen | WAITERS;
        if expected != seen {
            // Who was woken, and marks the gate only to find a permit, would wake others for nothing later.
            if let Some(index) = take() {
                return Ok(index);
            }
            let marked = gate.compare_exchange(seen, expected, Ordering::SeqCst, Ordering::Relaxed);
            if marked.is_err() {
                continue;
            }
        }
        step!(env, "semaphore.wait.marked");
        store_before_load();
        if let Some(index) = take() {
            return Ok(index);
        }
        if is_late {
            return Err(Failure::TimedOut);
        }
        match env.wait(gate, expected, limit.deadline(), Nap::Probe { nth: naps }) {
            Waited::Woken => {}
            Waited::TimedOut => is_late = true,
            Waited::Napped => {
                naps += 1;
                is_starving = true;
                gate.fetch_or(STARVING, Ordering::Relaxed);
                bury(env, words);
            }
        }
        step!(env, "semaphore.wait.woken");
    }
}

/// Takes back the permits of the dead. Whether there were any.
fn bury<E: Environment>(env: E, words: &impl Words) -> bool {
    let mut any = false;
    for index in 0..words.count() {
        let Some(permit) = words.permit(index) else {
            break;
        };
        let seen = permit.load(Ordering::SeqCst);
        // A holder that no thread can be is none.
        let is_dead = holder_of(seen).is_none_or(|(record, tid)| env.is_dead(record, tid));
        if seen != 0 && is_dead {
            any |= permit
                .compare_exchange(seen, 0, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok();
            step!(env, "semaphore.permit.recovered");
        }
    }
    if any {
        open(env, words);
    }
    any
}
