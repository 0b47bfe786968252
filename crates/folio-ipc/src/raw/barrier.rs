//! A point that a number of threads reach together, and that breaks when one of them is dead.
//!
//! Each thread of the party has a place: who it is, and in which generation it arrived last. A
//! [`mutex`] keeps arrivals apart; what it protects is right after each single store, so that whoever takes it over from
//! the dead has nothing to repair. How many have arrived is not counted up, but counted.
//!
//! ```text
//! generation:  31       30 … 20       19 … 0              a place:  63 … 32       31 … 0
//!             ┌────────┬─────────────┬────────────────┐            ┌─────────────┬──────┐
//!             │ BROKEN │ how often   │ how often all  │            │ record, + 1 │ tid  │
//!             │        │ it was reset│ met            │            └─────────────┴──────┘
//!             └────────┴─────────────┴────────────────┘             arrived: generation, + 1
//! ```
//!
//! Places are kept from one generation to the next, so that those are known for whom the others wait. A thread that
//! is new takes the place of one that has not arrived: parties may change hands between generations.

use super::atomics::{AtomicU32, AtomicU64, Ordering};
use super::environment::{Environment, Failure, Limit, Nap, Waited};
use super::semaphore::holder_of;
use super::{mutex, step};

const BROKEN: u32 = 0x8000_0000;
const RESETS_ONE: u32 = 0x0010_0000;
const MEETINGS_MASK: u32 = 0x000f_ffff;

/// The words of a barrier.
pub(crate) trait Words {
    /// What keeps arrivals apart.
    fn lock(&self) -> mutex::Words<'_>;

    /// How often all met, and whether it is broken.
    fn generation(&self) -> &AtomicU32;

    /// How many are to meet.
    fn parties(&self) -> u32;

    /// A place: who has it, and when that thread arrived.
    fn place(&self, index: u32) -> Option<(&AtomicU64, &AtomicU32)>;
}

/// What the last one to arrive is told, and nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The caller was the last.
    Leader,
    /// Somebody else was.
    Follower,
}

/// Arrives, and waits for the others.
pub(crate) fn wait<E: Environment>(
    env: E,
    words: &impl Words,
    limit: Limit<E::Deadline>,
) -> Result<Met, Failure> {
    lock(env, words, limit)?;
    let arrived = arrive(env, words, limit);
    unlock(env, words);
    match arrived? {
        Arrival::Last => {
            if words.parties() > 1 {
                env.wake(words.generation(), u32::MAX);
            }
            step!(env, "barrier.wait.all_woken");
            Ok(Met::Leader)
        }
        Arrival::At(generation) => await_others(env, words, generation, limit),
    }
}

/// Whether somebody died whom others waited for.
pub(crate) fn is_broken(words: &impl Words) -> bool {
    words.generation().load(Ordering::Acquire) & BROKEN != 0
}

/// Makes it usable again, for a new party. Threads that wait are told that it broke.
pub(crate) fn reset<E: Environment>(env: E, words: &impl Words) -> Result<(), Failure> {
    lock(env, words, Limit::Never)?;
    let generation = words.generation();
    generation.fetch_or(BROKEN, Ordering::AcqRel);
    env.wake(generation, u32::MAX);
    for (holder, arrived) in places(words) {
        arrived.store(0, Ordering::Relaxed);
        holder.store(0, Ordering::Relaxed);
    }
    step!(env, "barrier.reset.cleared");
    let next = generation.load(Ordering::Relaxed).wrapping_add(RESETS_ONE);
    generation.store(next & !BROKEN & !MEETINGS_MASK, Ordering::Release);
    unlock(env, words);
    Ok(())
}

enum Arrival {
    Last,
    At(u32),
}

fn lock<E: Environment>(
    env: E,
    words: &impl Words,
    limit: Limit<E::Deadline>,
) -> Result<(), Failure> {
    // What a dead owner has left is right after each of its stores.
    _ = mutex::lock(env, words.lock(), limit)?;
    words.lock().repaired();
    Ok(())
}

fn unlock<E: Environment>(env: E, words: &impl Words) {
    mutex::unlock(env, words.lock());
}

fn places<W: Words>(words: &W) -> impl Iterator<Item = (&AtomicU64, &AtomicU32)> {
    (0..words.parties()).map_while(|index| words.place(index))
}

fn mark_of(generation: u32) -> u32 {
    (generation & !BROKEN).wrapping_add(1)
}

fn next_after(generation: u32) -> u32 {
    (generation & !BROKEN & !MEETINGS_MASK) | (generation.wrapping_add(1) & MEETINGS_MASK)
}

/// What a generation that is no longer the one of the arrival means for those who arrived in it.
fn outcome_of(arrival: u32, now: u32) -> Result<Met, Failure> {
    let met_since = now & MEETINGS_MASK != arrival & MEETINGS_MASK;
    let was_reset = (now ^ arrival) & !BROKEN & !MEETINGS_MASK != 0;
    if met_since && !was_reset {
        Ok(Met::Follower)
    } else {
        Err(Failure::Broken)
    }
}

fn identity<E: Environment>(env: E) -> u64 {
    (u64::from(env.record()) + 1) << 32 | u64::from(env.tid())
}

fn arrive<E: Environment>(
    env: E,
    words: &impl Words,
    limit: Limit<E::Deadline>,
) -> Result<Arrival, Failure> {
    let generation = words.generation().load(Ordering::Acquire);
    if generation & BROKEN != 0 {
        return Err(Failure::Broken);
    }
    let mark = mark_of(generation);
    let missing = places(words)
        .filter(|(_, arrived)| arrived.load(Ordering::Relaxed) != mark)
        .count();
    if missing > 1 && limit.is_try() {
        return Err(Failure::WouldBlock);
    }
    let (holder, arrived) = find_place(env, words, mark).ok_or(Failure::Broken)?;
    holder.store(identity(env), Ordering::Relaxed);
    step!(env, "barrier.wait.placed");
    arrived.store(mark, Ordering::Release);
    step!(env, "barrier.wait.arrived");
    if missing > 1 {
        return Ok(Arrival::At(generation));
    }
    let next = next_after(generation);
    // Not if somebody found the barrier broken meanwhile.
    let met =
        words
            .generation()
            .compare_exchange(generation, next, Ordering::AcqRel, Ordering::Relaxed);
    step!(env, "barrier.wait.met");
    met.map(|_| Arrival::Last).map_err(|_| Failure::Broken)
}

/// This thread's own place, else a free one, else one whose thread has not arrived.
fn find_place<E: Environment, W: Words>(
    env: E,
    words: &W,
    mark: u32,
) -> Option<(&AtomicU64, &AtomicU32)> {
    let own = identity(env);
    let absent = || places(words).filter(move |(_, at)| at.load(Ordering::Relaxed) != mark);
    absent()
        .find(|(holder, _)| holder.load(Ordering::Relaxed) == own)
        .or_else(|| absent().find(|(holder, _)| holder.load(Ordering::Relaxed) == 0))
        .or_else(|| absent().next())
}

fn await_others<E: Environment>(
    env: E,
    words: &impl Words,
    generation: u32,
    limit: Limit<E::Deadline>,
) -> Result<Met, Failure> {
    env.begin_waiting();
    let outcome = sleep_until_met(env, words, generation, limit);
    env.end_waiting();
    outcome
}

fn sleep_until_met<E: Environment>(
    env: E,
    words: &impl Words,
    generation: u32,
    limit: Limit<E::Deadline>,
) -> Result<Met, Failure> {
    let word = words.generation();
    let mut naps = 0;
    for round in 0..env.spin_rounds() {
        if word.load(Ordering::Acquire) != generation {
            break;
        }
        env.pause(round);
    }
    loop {
        let seen = word.load(Ordering::Acquire);
        if seen != generation {
            return outcome_of(generation, seen);
        }
        match env.wait(word, generation, limit.deadline(), Nap::Probe { nth: naps }) {
            Waited::Woken => {}
            Waited::Napped => {
                naps += 1;
                break_if_dead(env, words, generation);
            }
            Waited::TimedOut => return withdraw(env, words, generation),
        }
        step!(env, "barrier.wait.woken");
    }
}

/// Breaks the barrier if one of those is dead whom the others wait for.
fn break_if_dead<E: Environment>(env: E, words: &impl Words, generation: u32) {
    let is_dead = |(holder, _): (&AtomicU64, _)| {
        let seen = holder.load(Ordering::Acquire);
        holder_of(seen).is_some_and(|(record, tid)| env.is_dead(record, tid))
    };
    if places(words).any(is_dead) {
        let word = words.generation();
        let broken = generation | BROKEN;
        let changed =
            word.compare_exchange(generation, broken, Ordering::AcqRel, Ordering::Relaxed);
        step!(env, "barrier.wait.broken");
        if changed.is_ok() {
            env.wake(word, u32::MAX);
        }
    }
}

/// Takes the arrival back, unless all have met.
fn withdraw<E: Environment>(env: E, words: &impl Words, generation: u32) -> Result<Met, Failure> {
    // Not for long: nobody sleeps while having this lock.
    lock(env, words, Limit::Never)?;
    let seen = words.generation().load(Ordering::Acquire);
    let outcome = if seen == generation {
        let own = identity(env);
        for (holder, arrived) in places(words) {
            if holder.load(Ordering::Relaxed) == own {
                arrived.store(0, Ordering::Relaxed);
            }
        }
        Err(Failure::TimedOut)
    } else {
        outcome_of(generation, seen)
    };
    step!(env, "barrier.wait.withdrawn");
    unlock(env, words);
    outcome
}
