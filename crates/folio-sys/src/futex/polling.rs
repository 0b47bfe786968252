//! What takes the place of futexes on systems that have none between processes.

use std::sync::atomic::AtomicU32;

use super::{Deadline, Waited};

pub(super) fn wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Waited {
    super::poll(word, expected, deadline)
}

/// Nobody need be woken: those who wait look by themselves.
pub(super) fn wake(_word: &AtomicU32, _count: u32) -> u32 {
    0
}
