//! Locks between processes, with types.
//!
//! The algorithms are in [`raw`](crate::raw); here are their words in a region, the data that they protect, guards,
//! and the [`here`]: the thread, the kernel and the region around them.

mod barrier;
mod condvar;
mod error;
mod event;
mod here;
mod holders;
mod mutex;
mod once;
mod once_value;
mod recover;
mod rwlock;
mod semaphore;
mod value;

pub use barrier::{Barrier, BarrierOutcome};
pub use condvar::{Condvar, Wakeup};
pub use error::{LockError, LockResult};
pub use event::{Event, EventReset};
pub use mutex::{Mutex, MutexGuard};
pub use once::Once;
pub use once_value::OnceValue;
pub(crate) use recover::recover;
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use semaphore::{Permit, Semaphore};

pub(crate) use here::mark_of;
pub(crate) use holders::holders;
