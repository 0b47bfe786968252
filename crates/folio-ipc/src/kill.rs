//! Points at which a process can be told to end itself, for tests.
//!
//! A child process that has `FOLIO_KILL_POINT=name` or `name:nth` in its environment kills itself by SIGKILL
//! when it passes that point for the `nth` time, the first time being 1. Compiled in with debug assertions or the feature
//! `kill-points` only.

/// The names of all points, each of which some `kill_point!` has.
const NAMES: &[&str] = &[
    "attach.attached",
    "attach.dead_reaped",
    "attach.epoch_stored",
    "attach.slot_taken",
    "barrier.reset.cleared",
    "barrier.wait.all_woken",
    "barrier.wait.arrived",
    "barrier.wait.broken",
    "barrier.wait.met",
    "barrier.wait.placed",
    "barrier.wait.withdrawn",
    "barrier.wait.woken",
    "block.adopted",
    "commit.applied",
    "commit.applied_first",
    "commit.committed",
    "commit.written",
    "condvar.notify.changed",
    "condvar.notify.woken",
    "condvar.wait.arrived",
    "condvar.wait.begun",
    "condvar.wait.woken",
    "create.allocated",
    "create.linked",
    "create.written",
    "detach.records_freed",
    "detach.slot_freed",
    "event.set.stored",
    "event.set.woken",
    "event.wait.consumed",
    "event.wait.marked",
    "event.wait.woken",
    "grow.allocated",
    "grow.stored",
    "heap.locked",
    "heap.owned",
    "heap.unlocked",
    "mutex.lock.announced",
    "mutex.lock.marked_inconsistent",
    "mutex.lock.owned",
    "mutex.lock.taken",
    "mutex.lock.taken_contended",
    "mutex.unlock.announced",
    "mutex.unlock.disowned",
    "mutex.unlock.handing_over",
    "mutex.unlock.released",
    "mutex.unlock.waking",
    "mutex.wait.left",
    "mutex.wait.marked",
    "mutex.wait.woken",
    "object.allocated",
    "object.initialised",
    "object.inserted",
    "object.pinned",
    "object.unpinned",
    "once.begin.locked",
    "once.end.begun",
    "once.end.done",
    "reap.records_freed",
    "reap.recovered",
    "record.claimed",
    "remove.hidden",
    "remove.swept",
    "rwlock.read.ending",
    "rwlock.read.entered",
    "rwlock.read.entered_in_turn",
    "rwlock.read.left",
    "rwlock.read.waking",
    "rwlock.write.entered",
    "rwlock.write.waiting",
    "semaphore.acquire.taken",
    "semaphore.permit.recovered",
    "semaphore.release.begun",
    "semaphore.release.freed",
    "semaphore.release.opened",
    "semaphore.wait.marked",
    "semaphore.wait.woken",
];

/// The names of all points at which a process can be told to end itself.
///
/// A process ends by SIGKILL at the point that the environment variable `FOLIO_KILL_POINT` names,
/// as `name`, or `name:nth` to end at the `nth` passage. That is for tests; builds without debug assertions
/// and without the feature `kill-points` have no points, and this list is empty.
///
/// ```
/// if cfg!(debug_assertions) {
///     assert!(folio_ipc::kill_points().contains(&"commit.committed"));
/// }
/// ```
#[must_use]
pub fn kill_points() -> &'static [&'static str] {
    if cfg!(any(debug_assertions, feature = "kill-points")) {
        NAMES
    } else {
        &[]
    }
}

/// Ends this process if it was told to end here.
macro_rules! kill_point {
    ($name:literal) => {
        #[cfg(any(debug_assertions, feature = "kill-points"))]
        {
            const {
                assert!(
                    $crate::kill::is_named($name),
                    "not in the list of kill points"
                )
            };
            $crate::kill::reached($name);
        }
    };
}
pub(crate) use kill_point;

/// Whether the list has this name.
#[cfg(any(debug_assertions, feature = "kill-points"))]
pub(crate) const fn is_named(name: &str) -> bool {
    let mut names = NAMES;
    while let [first, rest @ ..] = names {
        if is_same(first.as_bytes(), name.as_bytes()) {
            return true;
        }
        names = rest;
    }
    false
}

#[cfg(any(debug_assertions, feature = "kill-points"))]
const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([first, rest @ ..], [other_first, other_rest @ ..]) = (one, other) {
        if *first != *other_first {
            return false;
        }
        (one, other) = (rest, other_rest);
    }
    one.is_empty() && other.is_empty()
}

#[cfg(any(debug_assertions, feature = "kill-points"))]
pub(crate) fn reached(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let wanted = std::env::var("FOLIO_KILL_POINT").ok()?;
        let (name, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        assert!(NAMES.contains(&name), "no kill point has the name {name}");
        Some((name.to_owned(), AtomicU64::new(nth.parse().unwrap_or(1))))
    });
    if let Some((wanted, passages)) = wanted {
        if wanted == name && passages.fetch_sub(1, Ordering::Relaxed) == 1 {
            folio_sys::process::kill_self();
        }
    }
}
