//! The algorithms of the locks, over atomics and an [`environment`] alone.
//!
//! They know nothing of regions, of types, or of how one sleeps: so loom can try them, with processes that die
//! at any step (`RUSTFLAGS="--cfg loom" cargo test -p folio-ipc --lib --release loom`). Three rules make
//! them outlive the death of a process at any instruction:
//!
//! - What says who has something is one word, changed by one instruction. Whatever
//!   else is stored is a hint, or can be found out from such words.
//! - Nobody waits for a thread without looking, now and then, whether it is still there.
//! - A count of waiters is never needed to be right. It may be too high, for the dead stay counted; that costs a
//!   system call that wakes nobody.

pub(crate) mod atomics;
pub(crate) mod barrier;
pub(crate) mod condvar;
pub(crate) mod environment;
pub(crate) mod event;
pub(crate) mod mutex;
pub(crate) mod once;
pub(crate) mod rwlock;
pub(crate) mod semaphore;

#[cfg(all(loom, test))]
mod model;

/// A point between two steps of an algorithm: a test or a model can end the process there.
macro_rules! step {
    ($env:expr, $name:literal) => {
        #[cfg(loom)]
        $env.reached($name);
        #[cfg(not(loom))]
        {
            let _: &_ = &$env;
            $crate::kill::kill_point!($name);
        }
    };
}
pub(crate) use step;
