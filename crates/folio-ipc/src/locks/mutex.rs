//! A value that one thread at a time may touch.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use folio_sys::futex::Deadline;
use folio_sys::robust::RobustWord;
use folio_sys::shared_memory::{Pinned, SharedMemory};

use super::error::Refusal;
use super::here::{Lock, Panic, within, words};
use super::value::Value;
use super::{LockError, LockResult};
use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::raw::environment::{Condition, Limit};
use crate::raw::mutex as raw;
use crate::{Fingerprint, Payload, Result};

/// A value that one thread of all processes at a time may touch.
///
/// When its owner dies, by SIGKILL too, whoever is next gets [`LockError::OwnerDied`] with the guard, and the value
/// as it was at that moment. The same goes for an owner that panics. Who waits longest is served
/// after a millisecond or a few turns of others at the latest.
///
/// All zeros is an unlocked mutex around a zero value.
///
/// ```
/// use folio_ipc::{Mutex, Region};
///
/// let region = Region::options().anonymous()?;
/// let hits = region.object::<Mutex<u64>>("hits")?;
/// hits.lock()?.update(|hits| *hits += 1);
/// assert_eq!(hits.lock()?.get(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Mutex<T> {
    lock: Lock,
    robust: Pinned<RobustWord>,
    value: Value<T>,
}

impl<T: Payload> Mutex<T> {
    const VALUE: usize = Value::<T>::after(size_of::<RobustWord>());

    /// Takes the lock, and waits for it if somebody else has it.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, when the last owner died or panicked; [`LockError::Deadlock`] when this thread has
    /// the lock already; [`LockError::Region`].
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.lock_within(Limit::Never)
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock), and [`LockError::WouldBlock`] when somebody else has it.
    #[inline]
    pub fn try_lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.lock_within(Limit::Try)
    }

    /// Takes the lock, and waits for it no longer than this.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock), and [`LockError::TimedOut`].
    pub fn lock_timeout(&self, timeout: Duration) -> LockResult<MutexGuard<'_, T>> {
        match self.try_lock() {
            Err(LockError::WouldBlock) => self.lock_within(within(timeout)),
            done => done,
        }
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "its result would go through memory, which takes longer than taking the lock"
    )]
    fn lock_within(&self, limit: Limit<Deadline>) -> LockResult<MutexGuard<'_, T>> {
        let condition = if self.lock.take_free(&self.robust) {
            words(&self.robust).condition()
        } else {
            self.lock_slowly(limit)?
        };
        let guard = MutexGuard {
            mutex: self,
            robust: &self.robust,
            _not_send: PhantomData,
            panic: Panic::seen(),
        };
        match condition {
            Condition::Sound => Ok(guard),
            Condition::Inconsistent => Err(LockError::OwnerDied(guard)),
        }
    }

    #[cold]
    fn lock_slowly(&self, limit: Limit<Deadline>) -> Result<Condition, Refusal> {
        let here = self.lock.here(Some(&self.robust))?;
        Ok(raw::lock(here, words(&self.robust), limit)?)
    }
}

impl<T: Payload> Object for Mutex<T> {
    type Initial = T;

    const KIND: ObjectKind = ObjectKind::Mutex;
    const FINGERPRINT: Fingerprint = Fingerprint::of::<T>("Mutex");

    fn size_bytes(_: Option<&T>) -> usize {
        Self::VALUE + size_of::<T>()
    }

    fn align() -> usize {
        // So that the words are in one line of the cache.
        align_of::<T>().max(64)
    }

    fn initialise(memory: &Arc<SharedMemory>, offset: usize, initial: Option<&T>) -> Result<()> {
        if let Some(value) = initial {
            Value::initialise(memory, offset + Self::VALUE, value);
        }
        Ok(())
    }

    fn bind(attached: &Arc<Attached>, offset: usize, _: usize) -> Result<Self> {
        let lock = Lock::new(attached, offset);
        Ok(Self {
            robust: lock.pin(0)?,
            value: Value::new(offset + Self::VALUE),
            lock,
        })
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("offset", &self.lock.offset())
            .finish_non_exhaustive()
    }
}

/// A locked [`Mutex`]. Dropping it unlocks.
///
/// It belongs to the thread that locked. A child that this thread forks has a copy, which unlocks nothing.
#[must_use = "it unlocks when it is dropped"]
pub struct MutexGuard<'a, T: Payload> {
    mutex: &'a Mutex<T>,
    /// The mutex's, nearer.
    robust: &'a RobustWord,
    _not_send: PhantomData<*const ()>,
    panic: Panic,
}

impl<'a, T: Payload> MutexGuard<'a, T> {
    /// The value.
    #[must_use]
    #[inline]
    pub fn get(&self) -> T {
        self.mutex.value.get(&self.mutex.lock)
    }

    /// Changes the value.
    #[inline]
    pub fn set(&self, value: &T) {
        self.mutex.value.set(&self.mutex.lock, value);
    }

    /// Changes the value by what `change` does to a copy of it, and returns what that returns.
    ///
    /// Nothing is written before it returns. A process that is killed while the copy is written
    /// back may have written any part of it.
    #[inline]
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.get();
        let result = change(&mut value);
        self.set(&value);
        result
    }

    /// Copies a part of the value's bytes, from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when the value has fewer.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.mutex.value.read_at(&self.mutex.lock, offset, bytes)
    }

    /// Changes a part of the value's bytes, from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when the value has fewer.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.mutex.value.write_at(&self.mutex.lock, offset, bytes)
    }

    /// Whether an owner died or panicked, and nobody has said since that the value is right again.
    #[must_use]
    pub fn is_inconsistent(&self) -> bool {
        words(self.robust).condition() == Condition::Inconsistent
    }

    /// Says that the value is right again, after [`LockError::OwnerDied`].
    pub fn recovered(&self) {
        if self.mutex.lock.holding(self.robust).is_some() {
            words(self.robust).repaired();
        }
    }

    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: Payload> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.lock.give_up(self.robust, self.panic);
    }
}

impl<T: Payload + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MutexGuard").field(&self.get()).finish()
    }
}
