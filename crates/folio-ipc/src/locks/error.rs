//! What can come of taking a lock.

use std::error::Error as StdError;
use std::fmt;

use sealed::Guard;

use super::{MutexGuard, Permit, ReadGuard, WriteGuard};
use crate::raw::environment::Failure;
use crate::{Error, Payload};

/// The result of taking a lock.
pub type LockResult<G> = Result<G, LockError<G>>;

/// Why a lock was not simply taken.
///
/// `G` is the guard that would have been returned.
///
/// ```
/// use folio_ipc::{LockError, Mutex, Region};
///
/// let region = Region::options().anonymous()?;
/// let hits = region.object::<Mutex<u64>>("hits")?;
/// let guard = match hits.lock() {
///     Ok(guard) => guard,
///     Err(LockError::OwnerDied(guard)) => {
///         // The data is as the dead left it. Make it right, then say so.
///         guard.set(&0);
///         guard.recovered();
///         guard
///     }
///     Err(error) => return Err(error.into()),
/// };
/// guard.update(|hits| *hits += 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # `?`
///
/// A guard borrows its lock, and stays with its thread: an error that carries one can be neither. So `?` drops the
/// guard, that is, gives the lock back, still inconsistent if its owner died, and goes on with the error. It does so in functions that return
/// `Box<dyn Error>`, `Box<dyn Error + Send + Sync>`, [`folio_ipc::Error`](crate::Error) or `LockError`:
///
/// ```
/// use std::error::Error;
///
/// use folio_ipc::{LockError, Mutex, Region};
///
/// fn count(region: &Region) -> Result<u64, Box<dyn Error + Send + Sync>> {
///     let hits = region.object::<Mutex<u64>>("hits")?;
///     let guard = hits.lock()?;
///     guard.update(|hits| *hits += 1);
///     Ok(guard.get())
/// }
///
/// fn read(region: &Region) -> folio_ipc::Result<u64> {
///     Ok(region.object::<Mutex<u64>>("hits")?.lock()?.get())
/// }
///
/// // For any other error that is made of errors: those of `anyhow`, `eyre`, or `#[from]` of `thiserror`.
/// fn reset<E: From<LockError>>(hits: &Mutex<u64>) -> Result<(), E> {
///     hits.lock().map_err(LockError::without_guard)?.set(&0);
///     Ok(())
/// }
///
/// let region = Region::options().anonymous()?;
/// assert_eq!(count(&region)?, 1);
/// assert_eq!(read(&region)?, 1);
/// reset::<LockError>(&*region.object("hits")?)?;
/// assert_eq!(read(&region)?, 0);
/// # Ok::<(), Box<dyn Error + Send + Sync>>(())
/// ```
///
/// Only an error without a guard, a `LockError`, is itself an [`Error`](std::error::Error).
#[non_exhaustive]
pub enum LockError<G = ()> {
    /// The lock was taken, but who had it before died with it, or panicked, and the data is as it was then.
    ///
    /// Whoever makes it right says so by `recovered()`; else the next one gets this error again.
    OwnerDied(G),
    /// Somebody else has it, and this attempt does not wait.
    WouldBlock,
    /// Somebody else had it all the time.
    TimedOut,
    /// This thread has it already.
    Deadlock,
    /// One of those is dead for whom the others would wait: [`Barrier`](crate::Barrier) alone.
    Broken,
    /// There is no room for another holder of the same thread.
    TooMany,
    /// The region cannot be used.
    Region(Box<Error>),
}

impl<G> LockError<G> {
    /// The same error without the guard, which is dropped: the lock is given back, still inconsistent if its
    /// owner died.
    pub fn without_guard(self) -> LockError {
        self.map(drop)
    }

    /// The guard, if the lock was taken.
    ///
    /// # Errors
    ///
    /// The error, if it was not.
    pub fn into_guard(self) -> Result<G, LockError> {
        match self {
            Self::OwnerDied(guard) => Ok(guard),
            other => Err(other.without_guard()),
        }
    }

    pub(crate) fn map<H>(self, change: impl FnOnce(G) -> H) -> LockError<H> {
        match self {
            Self::OwnerDied(guard) => LockError::OwnerDied(change(guard)),
            Self::WouldBlock => LockError::WouldBlock,
            Self::TimedOut => LockError::TimedOut,
            Self::Deadlock => LockError::Deadlock,
            Self::Broken => LockError::Broken,
            Self::TooMany => LockError::TooMany,
            Self::Region(error) => LockError::Region(error),
        }
    }
}

impl<G> From<Failure> for LockError<G> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::WouldBlock => Self::WouldBlock,
            Failure::TimedOut => Self::TimedOut,
            Failure::Deadlock => Self::Deadlock,
            Failure::Broken => Self::Broken,
            Failure::TooMany => Self::TooMany,
        }
    }
}

impl<G> From<Box<Error>> for LockError<G> {
    fn from(error: Box<Error>) -> Self {
        Self::Region(error)
    }
}

/// Why there is no guard: what the slow ways return, so that the guard is made, in registers, by the fast one.
pub(super) enum Refusal {
    Lock(Failure),
    Region(Box<Error>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Lock(failure)
    }
}

impl From<Box<Error>> for Refusal {
    fn from(error: Box<Error>) -> Self {
        Self::Region(error)
    }
}

impl<G> From<Refusal> for LockError<G> {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Lock(failure) => failure.into(),
            Refusal::Region(error) => error.into(),
        }
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str("OwnerDied(..)"),
            Self::WouldBlock => f.write_str("WouldBlock"),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::Deadlock => f.write_str("Deadlock"),
            Self::Broken => f.write_str("Broken"),
            Self::TooMany => f.write_str("TooMany"),
            Self::Region(error) => f.debug_tuple("Region").field(error).finish(),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnerDied(_) => "the lock's owner died with it",
            Self::WouldBlock => "somebody else has the lock",
            Self::TimedOut => "somebody else had the lock until the time was over",
            Self::Deadlock => "this thread has the lock already",
            Self::Broken => "one of those who are to meet at the barrier is dead",
            Self::TooMany => "this thread has the lock too often",
            Self::Region(_) => "the lock cannot be used",
        })
    }
}

/// Not for errors with guards: they could be boxed as little as those can leave their threads, and `?` would try to.
impl StdError for LockError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Region(error) => Some(error),
            _ => None,
        }
    }
}

impl<G> From<LockError<G>> for Error {
    /// Drops the guard, if there is one.
    fn from(error: LockError<G>) -> Self {
        match error.without_guard() {
            LockError::Region(error) => *error,
            source => Self::Lock { source },
        }
    }
}

impl<G: Guard> From<LockError<G>> for LockError {
    /// Drops the guard, if there is one.
    fn from(error: LockError<G>) -> Self {
        error.without_guard()
    }
}

impl<G: Guard> From<LockError<G>> for Box<dyn StdError + Send + Sync> {
    /// Drops the guard, if there is one.
    fn from(error: LockError<G>) -> Self {
        Box::new(error.without_guard())
    }
}

impl<G: Guard> From<LockError<G>> for Box<dyn StdError> {
    /// Drops the guard, if there is one.
    fn from(error: LockError<G>) -> Self {
        Box::new(error.without_guard())
    }
}

mod sealed {
    /// What an error may carry: not `()`, so that errors without a guard are errors as others are.
    pub trait Guard {}
}

impl<T: Payload> Guard for MutexGuard<'_, T> {}
impl<T: Payload> Guard for ReadGuard<'_, T> {}
impl<T: Payload> Guard for WriteGuard<'_, T> {}
impl Guard for Permit<'_> {}
