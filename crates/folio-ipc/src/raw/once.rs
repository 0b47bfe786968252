//! Something that is done once, by whoever comes first and lives.
//!
//! Beside a [`mutex`], which its doer has meanwhile, one word:
//!
//! ```text
//! 0: not done ── the doer, who has the mutex ──▶ 1: done
//! ```
//!
//! A doer that dies leaves 0 and a mutex whose owner died. The next one does it from the beginning.

use super::atomics::{AtomicU32, Ordering};
use super::environment::{Condition, Environment, Failure, Limit};
use super::{mutex, step};

const DONE: u32 = 1;

/// The words of a once.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub(crate) doer: mutex::Words<'a>,
    pub(crate) done: &'a AtomicU32,
}

/// Whose turn it is.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is done.
    Done,
    /// The caller is to do it, and then to call [`end`] or [`abandon`].
    Mine {
        /// Whether somebody began before, and died.
        was_begun: bool,
    },
}

/// Whether it is done.
#[inline]
pub(crate) fn is_done(words: Words<'_>) -> bool {
    words.done.load(Ordering::Acquire) == DONE
}

/// Waits until it is done, or is the caller's to do.
#[inline]
pub(crate) fn begin<E: Environment>(
    env: E,
    words: Words<'_>,
    limit: Limit<E::Deadline>,
) -> Result<Turn, Failure> {
    if is_done(words) {
        return Ok(Turn::Done);
    }
    begin_undone(env, words, limit)
}

#[cold]
fn begin_undone<E: Environment>(
    env: E,
    words: Words<'_>,
    limit: Limit<E::Deadline>,
) -> Result<Turn, Failure> {
    let condition = mutex::lock(env, words.doer, limit)?;
    step!(env, "once.begin.locked");
    if is_done(words) {
        words.doer.repaired();
        mutex::unlock(env, words.doer);
        return Ok(Turn::Done);
    }
    Ok(Turn::Mine {
        was_begun: condition == Condition::Inconsistent,
    })
}

/// Says that it is done.
pub(crate) fn end<E: Environment>(env: E, words: Words<'_>) {
    step!(env, "once.end.begun");
    words.done.store(DONE, Ordering::Release);
    step!(env, "once.end.done");
    words.doer.repaired();
    mutex::unlock(env, words.doer);
}

/// Leaves it to the next one.
pub(crate) fn abandon<E: Environment>(env: E, words: Words<'_>) {
    mutex::unlock(env, words.doer);
}
