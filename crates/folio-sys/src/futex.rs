//! Waiting for a word in shared memory to change (`futex(2)`).
//!
//! The futexes are shared ones: who waits and who wakes may be different processes that
//! have the word at different addresses. A deadline is a point of `CLOCK_MONOTONIC`, which all
//! processes of a machine have in common, and which no one can set.

#[cfg(target_os = "linux")]
#[path = "futex/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "futex/polling.rs"]
mod system;

use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// The bit of a lock word that says that somebody waits (`FUTEX_WAITERS`).
pub const WAITERS: u32 = 0x8000_0000;
/// The bit of a lock word that says that its owner died (`FUTEX_OWNER_DIED`).
pub const OWNER_DIED: u32 = 0x4000_0000;
/// The bits of a lock word that are its owner's thread id (`FUTEX_TID_MASK`).
pub const TID_MASK: u32 = 0x3fff_ffff;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// As [`now_ns`] counts.
    at_ns: u64,
}

impl Deadline {
    /// So much later than now; the end of time, some 584 years after the machine's start, if that is
    /// later still.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            at_ns: now_ns().saturating_add(duration_ns),
        }
    }

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Ord::min(self, other)
    }

    /// Whether it is now, or was before.
    #[must_use]
    pub fn has_passed(self) -> bool {
        now_ns() >= self.at_ns
    }
}

/// How a [`wait`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// Somebody woke this thread, or the kernel did for no reason.
    Woken,
    /// The word was another before the thread slept.
    Changed,
    /// The deadline has passed.
    TimedOut,
    /// A signal was handled meanwhile, or the system would not wait: look at the word, and wait again.
    Interrupted,
}

/// Sleeps until somebody [wakes](wake) a waiter of the word, unless it is not `expected`.
///
/// That the word is `expected` and that the thread sleeps is one step to all who change the word and
/// then wake. After any outcome the word may have changed or not: look at it.
///
/// Where a sandbox refuses the system call, and on systems other than Linux, this sleeps a millisecond at a
/// time, as long as the word is `expected`.
///
/// ```
/// use folio_sys::futex::{Deadline, Waited, wait, wake};
/// use std::{sync::atomic::AtomicU32, time::Duration};
///
/// let word = AtomicU32::new(5);
/// assert_eq!(wait(&word, 4, None), Waited::Changed);
/// assert_eq!(wait(&word, 5, Some(Deadline::after(Duration::from_millis(1)))), Waited::TimedOut);
/// assert_eq!(wake(&word, 1), 0, "nobody waits");
/// ```
pub fn wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Waited {
    system::wait(word, expected, deadline)
}

/// Wakes at most `count` threads that [wait] for the word, and says how many.
pub fn wake(word: &AtomicU32, count: u32) -> u32 {
    system::wake(word, count)
}

/// The time in nanoseconds since some point before the machine's start (`CLOCK_MONOTONIC`): the same for all
/// processes of one boot, but for those in a time namespace of their own.
#[must_use]
pub fn now_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a timespec, to be filled.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    // POSIX has the clock on every system, and it is never negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// How long a thread sleeps that cannot be woken.
const POLL: Duration = Duration::from_millis(1);

/// Sleeps a while in place of a wait.
fn poll(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Waited {
    if word.load(std::sync::atomic::Ordering::Acquire) != expected {
        return Waited::Changed;
    }
    if deadline.is_some_and(Deadline::has_passed) {
        return Waited::TimedOut;
    }
    std::thread::sleep(POLL);
    Waited::Interrupted
}
