//! Waiting for a condition, without a state that a dead waiter could leave behind.
//!
//! Three words:
//!
//! | word | what |
//! |---|---|
//! | sequence | changed by every notification; what waiters sleep on |
//! | arrivals | how many waits there were |
//! | gone | of the waits up to here it is known that none sleeps |
//!
//! `arrivals == gone`: nobody sleeps, and a notification is two loads. Else the sequence is changed, and
//! the kernel woken. Where it has woken fewer than it was asked to, none sleeps of
//! those who had arrived, and `gone` says so: they read the sequence before they arrived, and find it changed.
//!
//! A waiter that dies takes at most the notification with it that it was woken by. So that even this
//! wedges nobody, waits end by themselves after a second, and callers look at their condition again.

use super::atomics::{AtomicU32, Ordering};
use super::environment::{Environment, Limit, Nap, Waited};
use super::step;

/// The words of a condition variable.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub(crate) sequence: &'a AtomicU32,
    pub(crate) arrivals: &'a AtomicU32,
    pub(crate) gone: &'a AtomicU32,
}

/// A wait that has begun: notifications count from here on.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    sequence: u32,
}

/// Begins to wait, with the mutex still locked.
pub(crate) fn arrive<E: Environment>(env: E, words: Words<'_>) -> Ticket {
    let sequence = words.sequence.load(Ordering::SeqCst);
    step!(env, "condvar.wait.begun");
    words.arrivals.fetch_add(1, Ordering::SeqCst);
    step!(env, "condvar.wait.arrived");
    Ticket { sequence }
}

/// Sleeps until a notification that came after [`arrive`], with the mutex unlocked.
pub(crate) fn sleep<E: Environment>(
    env: E,
    words: Words<'_>,
    ticket: Ticket,
    limit: Limit<E::Deadline>,
) -> Waited {
    if limit.is_try() {
        return Waited::TimedOut;
    }
    env.begin_waiting();
    let waited = env.wait(words.sequence, ticket.sequence, limit.deadline(), Nap::Long);
    env.end_waiting();
    step!(env, "condvar.wait.woken");
    waited
}

/// Wakes at most `count` of those who wait.
#[inline]
pub(crate) fn notify<E: Environment>(env: E, words: Words<'_>, count: u32) {
    let arrivals = words.arrivals.load(Ordering::SeqCst);
    if arrivals != words.gone.load(Ordering::Relaxed) {
        notify_sleepers(env, words, count, arrivals);
    }
}

#[cold]
fn notify_sleepers<E: Environment>(env: E, words: Words<'_>, count: u32, arrivals: u32) {
    words.sequence.fetch_add(1, Ordering::SeqCst);
    step!(env, "condvar.notify.changed");
    if env.wake(words.sequence, count) < count {
        words.gone.store(arrivals, Ordering::Relaxed);
    }
    step!(env, "condvar.notify.woken");
}
