//! Linux has futexes.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Timespec};

use super::{Deadline, Waited};

/// Any waker will do (`FUTEX_BITSET_MATCH_ANY`).
const ANY: NonZeroU32 = NonZeroU32::MAX;

pub(super) fn wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Waited {
    // Unlike FUTEX_WAIT, this takes a point in time, on CLOCK_MONOTONIC.
    let until = deadline.map(timespec);
    match futex::wait_bitset(word, Flags::empty(), expected, until.as_ref(), ANY) {
        Ok(()) => Waited::Woken,
        Err(Errno::AGAIN) => Waited::Changed,
        Err(Errno::TIMEDOUT) => Waited::TimedOut,
        Err(Errno::INTR) => Waited::Interrupted,
        // EFAULT for a lost page, which looking at the word replaces; whatever a sandbox answers.
        Err(_) => super::poll(word, expected, deadline),
    }
}

pub(super) fn wake(word: &AtomicU32, count: u32) -> u32 {
    // The kernel takes a signed number.
    let count = count.min(i32::MAX.unsigned_abs());
    // An error means that there is nobody who could be woken: see `wait`.
    let woken = futex::wake(word, Flags::empty(), count).unwrap_or(0);
    u32::try_from(woken).unwrap_or(u32::MAX)
}

fn timespec(deadline: Deadline) -> Timespec {
    const NS_PER_SECOND: u64 = 1_000_000_000;

    Timespec {
        // Divided, so it is far below.
        tv_sec: i64::try_from(deadline.at_ns / NS_PER_SECOND).unwrap_or(i64::MAX),
        tv_nsec: u32::try_from(deadline.at_ns % NS_PER_SECOND)
            .unwrap_or(0)
            .into(),
    }
}
