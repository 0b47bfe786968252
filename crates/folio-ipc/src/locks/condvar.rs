//! Waiting until a value that a mutex protects is as one wants it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use folio_sys::futex::Deadline;
use folio_sys::shared_memory::{Pinned, SharedMemory};

use super::here::{Lock, within};
use super::{LockResult, MutexGuard};
use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::raw::condvar as raw;
use crate::raw::environment::{Limit, Waited};
use crate::{Fingerprint, Payload, Result};

/// Where threads wait until the value of a [`Mutex`](crate::Mutex) is as they want it.
///
/// Waits end when another thread notifies, and now and then without: look at the value each time, or let
/// [`wait_while`](Self::wait_while) do so. A waiter that dies leaves nothing behind that
/// others would wait for. One that is woken and dies before it looks takes one [`notify_one`](Self::notify_one) with it: the
/// others look by themselves after a second.
///
/// ```
/// use folio_ipc::{Condvar, Mutex, Region};
///
/// let region = Region::options().anonymous()?;
/// let jobs = region.object::<Mutex<u32>>("jobs")?;
/// let changed = region.object::<Condvar>("jobs-changed")?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         jobs.lock().expect("nobody dies").set(&3);
///         changed.notify_one().expect("the region is there");
///     });
///     let guard = jobs.lock().expect("nobody dies");
///     let guard = changed.wait_while(guard, |jobs| *jobs == 0).expect("nobody dies");
///     assert_eq!(guard.get(), 3);
/// });
/// # Ok::<(), folio_ipc::Error>(())
/// ```
pub struct Condvar {
    lock: Lock,
    sequence: Pinned<AtomicU32>,
    arrivals: Pinned<AtomicU32>,
    gone: Pinned<AtomicU32>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// Somebody notified, or nobody did.
    Woken,
    /// The time was over.
    TimedOut,
}

impl Condvar {
    /// Unlocks, waits, and locks again.
    ///
    /// # Errors
    ///
    /// As for [`Mutex::lock`](crate::Mutex::lock). The guard is gone, but for
    /// [`LockError::OwnerDied`](crate::LockError::OwnerDied), which brings it.
    pub fn wait<'a, T: Payload>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_within(guard, Limit::Never).0
    }

    /// The same, and waits no longer than this: also, whether the time was over.
    ///
    /// It may return later: the mutex is waited for without a limit.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout<'a, T: Payload>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, Wakeup)> {
        let (relocked, wakeup) = self.wait_within(guard, within(timeout));
        with(relocked, wakeup)
    }

    /// Waits for as long as the value is as `is_unwanted` says.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait): [`LockError::OwnerDied`](crate::LockError::OwnerDied) brings the guard at once,
    /// whatever the value is.
    pub fn wait_while<'a, T: Payload>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut is_unwanted: impl FnMut(&T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while is_unwanted(&guard.get()) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// The same, and waits no longer than this: also, whether the time was over while the value was still unwanted.
    ///
    /// # Errors
    ///
    /// As for [`wait_while`](Self::wait_while).
    pub fn wait_timeout_while<'a, T: Payload>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut is_unwanted: impl FnMut(&T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, Wakeup)> {
        let limit = within(timeout);
        let mut wakeup = Wakeup::Woken;
        while is_unwanted(&guard.get()) {
            if wakeup == Wakeup::TimedOut {
                return Ok((guard, wakeup));
            }
            let (relocked, why) = self.wait_within(guard, limit);
            wakeup = why;
            match with(relocked, why) {
                Ok((relocked, _)) => guard = relocked,
                Err(error) => return Err(error),
            }
        }
        Ok((guard, Wakeup::Woken))
    }

    /// Wakes one of those who wait. Costs next to nothing when nobody does.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`](crate::Error::Lost), or as for the first lock of a thread.
    pub fn notify_one(&self) -> Result<()> {
        self.notify(1)
    }

    /// Wakes all who wait. Costs next to nothing when nobody does.
    ///
    /// # Errors
    ///
    /// As for [`notify_one`](Self::notify_one).
    pub fn notify_all(&self) -> Result<()> {
        self.notify(u32::MAX)
    }

    fn notify(&self, count: u32) -> Result<()> {
        let here = self.lock.here(None).map_err(|error| *error)?;
        raw::notify(here, self.words(), count);
        Ok(())
    }

    fn wait_within<'a, T: Payload>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Limit<Deadline>,
    ) -> (LockResult<MutexGuard<'a, T>>, Wakeup) {
        let here = match self.lock.here(None) {
            Ok(here) => here,
            Err(error) => return (Err(error.into()), Wakeup::Woken),
        };
        let mutex = guard.mutex();
        let ticket = raw::arrive(here, self.words());
        drop(guard);
        let wakeup = match raw::sleep(here, self.words(), ticket, limit) {
            Waited::TimedOut => Wakeup::TimedOut,
            Waited::Woken | Waited::Napped => Wakeup::Woken,
        };
        (mutex.lock(), wakeup)
    }

    fn words(&self) -> raw::Words<'_> {
        raw::Words {
            sequence: &self.sequence,
            arrivals: &self.arrivals,
            gone: &self.gone,
        }
    }
}

fn with<T: Payload>(
    relocked: LockResult<MutexGuard<'_, T>>,
    wakeup: Wakeup,
) -> LockResult<(MutexGuard<'_, T>, Wakeup)> {
    match relocked {
        Ok(guard) => Ok((guard, wakeup)),
        Err(error) => Err(error.map(|guard| (guard, wakeup))),
    }
}

impl Object for Condvar {
    type Initial = ();

    const KIND: ObjectKind = ObjectKind::Condvar;
    const FINGERPRINT: Fingerprint = Fingerprint::bare("Condvar");

    fn size_bytes(_: Option<&()>) -> usize {
        16
    }

    fn align() -> usize {
        16
    }

    fn initialise(_: &Arc<SharedMemory>, _: usize, _: Option<&()>) -> Result<()> {
        Ok(())
    }

    fn bind(attached: &Arc<Attached>, offset: usize, _: usize) -> Result<Self> {
        let lock = Lock::new(attached, offset);
        Ok(Self {
            sequence: lock.pin(0)?,
            arrivals: lock.pin(4)?,
            gone: lock.pin(8)?,
            lock,
        })
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar")
            .field("offset", &self.lock.offset())
            .finish_non_exhaustive()
    }
}
