//! Finding out that this process is a forked child of the one that it was.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{ofd_lock, robust};

/// 0 until forks are counted.
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// How many forks lie between this process and the one that first asked, and one more.
///
/// Whoever keeps something that a forked child must not use as its own keeps this number with it, and
/// compares. It is one load, but for the first time. It is 0 only if the libc had no room for the handlers that
/// count (`pthread_atfork(3)`), and then nobody is told of forks. Children made by `_Fork`,
/// `vfork` or a bare `clone(2)` are not counted either, and must do nothing but exec.
///
/// In each child that is counted, the descriptors of [`OfdLock`](crate::ofd_lock::OfdLock)s are closed, and
/// [`robust::current`] is found out anew.
#[inline]
pub fn fork_generation() -> u64 {
    match GENERATION.load(Ordering::Relaxed) {
        0 => begin(),
        generation => generation as u64,
    }
}

#[cold]
fn begin() -> u64 {
    // Two threads that come here at one time both register: what the handlers do is right twice, too. A lock could be
    // held for ever in a child that was forked meanwhile.
    // SAFETY: the three functions are as handlers are to be, and live as long as the program.
    let status = unsafe {
        libc::pthread_atfork(
            Some(before_fork),
            Some(after_fork_in_parent),
            Some(after_fork_in_child),
        )
    };
    if status == 0 {
        // Unless another thread has, or this is a child that was forked since.
        let _ = GENERATION.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
    }
    GENERATION.load(Ordering::Relaxed) as u64
}

unsafe extern "C" fn before_fork() {
    ofd_lock::fork_begins();
}

unsafe extern "C" fn after_fork_in_parent() {
    ofd_lock::fork_ends();
}

/// Async-signal-safe, since a process of several threads may fork.
unsafe extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    robust::forget();
    ofd_lock::close_all();
}
