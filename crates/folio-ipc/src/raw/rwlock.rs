//! A lock for one writer or many readers, each of whom may die.
//!
//! Writers have a [`mutex`]. Readers have a word each, so that it is known who reads: a
//! dead reader's word is cleared by the writer that waits for it.
//!
//! ```text
//! a reader's word, in the slot of its thread record:
//!
//!  31        30 … 23            22 … 0
//! ┌─────────┬──────────────────┬────────────────┐
//! │ WAITERS │ how often it has │ reader's tid   │      0: does not read
//! │         │ the lock         │                │
//! └─────────┴──────────────────┴────────────────┘
//!
//! reader: own word 0 → 1, tid        writer: mutex's word 0 → tid
//!         look at the mutex's word           look at the readers' words
//!         0: it reads                        all 0: it writes
//!         else: own word → 0                 else: sets WAITERS in one, sleeps on it
//! ```
//!
//! Store, then look, on both sides: one of two who come at the same time sees the other. A reader
//! that has seen a writer takes the mutex itself, enters its word, and gives the mutex
//! up again: so readers and writers stand in one queue, and neither starves. Who reads already may enter
//! again whoever waits, since the writer waits for its word anyway.
//!
//! A thread whose record has no slot reads alone, as a writer. `used` is one more than the highest slot that was ever entered, so that writers look at no more than those.

use super::atomics::{AtomicU32, Ordering, store_before_load};
use super::environment::{Condition, Environment, Failure, Identity, Limit, Nap, Waited};
use super::mutex::{self, WAITERS};
use super::step;

/// The thread ids of Linux have 22 bits at most (`PID_MAX_LIMIT`); those by which locks know threads of other namespaces, 23.
const TID_MASK: u32 = 0x007f_ffff;
const ONE: u32 = 0x0080_0000;
const DEPTH_MASK: u32 = 0x7f80_0000;

/// The words of a lock for readers and writers.
pub(crate) trait Words {
    /// The writers' mutex.
    fn writers(&self) -> mutex::Words<'_>;

    /// One more than the highest slot that was ever entered.
    fn used(&self) -> &AtomicU32;

    /// The word of the thread with that record.
    fn reader(&self, record: u32) -> Option<&AtomicU32>;
}

/// Why a thread does not read yet: [`read_on`] takes it from there.
#[derive(Clone, Copy)]
pub(crate) enum Delay {
    /// It has entered its word, but somebody writes.
    Writer,
    /// Its word was this one already.
    Word(u32),
}

/// Begins to read, if nobody writes and this thread does not read. `slot` is its word.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call takes as long as what it does")]
pub(crate) fn enter(
    thread: impl Identity,
    words: &impl Words,
    slot: &AtomicU32,
) -> Result<Condition, Delay> {
    if words.used().load(Ordering::Acquire) <= thread.record() {
        words
            .used()
            .fetch_max(thread.record() + 1, Ordering::SeqCst);
    }
    slot.compare_exchange(0, entry(thread), Ordering::SeqCst, Ordering::Relaxed)
        .map_err(Delay::Word)?;
    step!(thread, "rwlock.read.entered");
    store_before_load();
    if words.writers().word.load(Ordering::SeqCst) != 0 {
        return Err(Delay::Writer);
    }
    Ok(words.writers().condition())
}

/// Begins to read.
#[inline]
pub(crate) fn read<E: Environment>(
    env: E,
    words: &impl Words,
    limit: Limit<E::Deadline>,
) -> Result<Condition, Failure> {
    let Some(slot) = words.reader(env.record()) else {
        return mutex::lock(env, words.writers(), limit);
    };
    enter(env, words, slot).or_else(|delay| read_on(env, words, slot, delay, limit))
}

/// Ends reading, if this thread does, nobody waits for that, and it reads no more than once. Whether it did: if not, [`end_read`] goes on.
#[inline]
pub(crate) fn leave(thread: impl Identity, slot: &AtomicU32) -> bool {
    step!(thread, "rwlock.read.ending");
    slot.compare_exchange(entry(thread), 0, Ordering::Release, Ordering::Relaxed)
        .is_ok()
}

/// Ends reading. Does nothing where this thread does not read.
#[inline]
pub(crate) fn end_read<E: Environment>(env: E, words: &impl Words) {
    let Some(slot) = words.reader(env.record()) else {
        return mutex::unlock(env, words.writers());
    };
    if !leave(env, slot) {
        leave_contended(env, slot);
    }
}

/// Begins to write.
#[inline]
pub(crate) fn write<E: Environment>(
    env: E,
    words: &impl Words,
    limit: Limit<E::Deadline>,
) -> Result<Condition, Failure> {
    let own = words.reader(env.record());
    if own.is_some_and(|own| own.load(Ordering::Relaxed) & TID_MASK == tid(env)) {
        return Err(Failure::Deadlock);
    }
    let condition = mutex::lock(env, words.writers(), limit)?;
    step!(env, "rwlock.write.entered");
    store_before_load();
    let used = words.used().load(Ordering::SeqCst);
    // What a hostile process stored in `used` ends where the slots end.
    let readers = (0..used).map_while(|record| Some((record, words.reader(record)?)));
    let mut is_untouched = false;
    for (record, reader) in readers {
        if reader.load(Ordering::SeqCst) == 0 {
            continue;
        }
        if !is_untouched {
            is_untouched = true;
            words.writers().set_untouched(true);
        }
        if let Err(failure) = await_reader(env, reader, record, limit) {
            words.writers().set_untouched(false);
            mutex::unlock(env, words.writers());
            return Err(failure);
        }
    }
    if is_untouched {
        words.writers().set_untouched(false);
    }
    Ok(condition)
}

/// The thread that a reader's word names, if any reads there.
#[cfg(not(loom))]
pub(crate) fn reader_of(word: u32) -> Option<u32> {
    let tid = word & TID_MASK;
    (tid != 0).then_some(tid)
}

/// Clears the words of readers of whom `is_dead` says so, by their records and ids. The words, and whether writers
/// sleep on them.
#[cfg(not(loom))]
pub(crate) fn recover<'a>(
    words: &'a impl Words,
    is_dead: &'a dyn Fn(u32, u32) -> bool,
) -> impl Iterator<Item = (&'a AtomicU32, bool)> {
    let used = words.used().load(Ordering::SeqCst);
    let slots = (0..used).map_while(|record| Some((record, words.reader(record)?)));
    slots.filter_map(|(record, slot)| {
        let seen = slot.load(Ordering::SeqCst);
        if seen == 0 || !is_dead(record, seen & TID_MASK) {
            return None;
        }
        slot.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|seen| (slot, seen & WAITERS != 0))
    })
}

#[inline]
fn tid(env: impl Identity) -> u32 {
    env.tid() & TID_MASK
}

#[inline]
fn entry(env: impl Identity) -> u32 {
    ONE | tid(env)
}

/// Begins to read after [`enter`] did not.
#[cold]
pub(crate) fn read_on<E: Environment>(
    env: E,
    words: &impl Words,
    slot: &AtomicU32,
    delay: Delay,
    limit: Limit<E::Deadline>,
) -> Result<Condition, Failure> {
    match delay {
        Delay::Word(word) if word & TID_MASK == tid(env) => return enter_again(words, slot),
        // This thread's record was another's, who died or ended as a reader.
        Delay::Word(word) => clear(env, slot, word),
        Delay::Writer => leave_contended(env, slot),
    }
    step!(env, "rwlock.read.left");
    let condition = mutex::lock(env, words.writers(), limit)?;
    slot.store(entry(env), Ordering::SeqCst);
    step!(env, "rwlock.read.entered_in_turn");
    mutex::unlock(env, words.writers());
    Ok(condition)
}

fn enter_again(words: &impl Words, slot: &AtomicU32) -> Result<Condition, Failure> {
    // Others change no more of it than the bit for waiters.
    if slot.load(Ordering::Relaxed) & DEPTH_MASK == DEPTH_MASK {
        return Err(Failure::TooMany);
    }
    slot.fetch_add(ONE, Ordering::Relaxed);
    Ok(words.writers().condition())
}

#[cold]
fn leave_contended<E: Environment>(env: E, slot: &AtomicU32) {
    let mut seen = slot.load(Ordering::Relaxed);
    while seen & TID_MASK == tid(env) {
        let left = if seen & DEPTH_MASK > ONE {
            seen - ONE
        } else {
            0
        };
        match slot.compare_exchange(seen, left, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) if left == 0 && seen & WAITERS != 0 => {
                step!(env, "rwlock.read.waking");
                env.wake(slot, 1);
                return;
            }
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// Clears the word of a reader that is no more.
fn clear<E: Environment>(env: E, slot: &AtomicU32, seen: u32) {
    let cleared = slot.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
    if cleared.is_ok() && seen & WAITERS != 0 {
        env.wake(slot, 1);
    }
}

/// Waits until a reader has ended, or is found dead.
#[cold]
fn await_reader<E: Environment>(
    env: E,
    slot: &AtomicU32,
    record: u32,
    limit: Limit<E::Deadline>,
) -> Result<(), Failure> {
    let mut rounds = if limit.is_try() { 0 } else { env.spin_rounds() };
    let mut naps = 0;
    let mut is_late = false;
    loop {
        let seen = slot.load(Ordering::SeqCst);
        if seen == 0 {
            return Ok(());
        }
        if rounds > 0 {
            rounds -= 1;
            env.pause(naps);
            continue;
        }
        if limit.is_try() {
            if env.is_dead(record, seen & TID_MASK) {
                clear(env, slot, seen);
                continue;
            }
            return Err(Failure::WouldBlock);
        }
        if is_late {
            return Err(Failure::TimedOut);
        }
        let expected = seen | WAITERS;
        if expected != seen
            && slot
                .compare_exchange(seen, expected, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
        {
            continue;
        }
        step!(env, "rwlock.write.waiting");
        match env.wait(slot, expected, limit.deadline(), Nap::Probe { nth: naps }) {
            Waited::Woken => {}
            Waited::TimedOut => is_late = true,
            Waited::Napped => {
                naps += 1;
                if env.is_dead(record, seen & TID_MASK) {
                    clear(env, slot, expected);
                }
            }
        }
    }
}
