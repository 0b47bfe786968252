//! A value that is made once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use folio_sys::futex::Deadline;
use folio_sys::shared_memory::SharedMemory;

use super::LockError;
use super::here::within;
use super::once::{Doer, WORDS_BYTES};
use super::value::Value;
use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::raw::environment::Limit;
use crate::{Fingerprint, Payload, Result};

/// A value that is made once, by one thread of all processes, and does not change after that.
///
/// When whoever makes it dies, or panics, the next one makes it.
///
/// ```
/// use folio_ipc::{OnceValue, Region};
///
/// let region = Region::options().anonymous()?;
/// let seed = region.object::<OnceValue<u64>>("seed")?;
/// assert_eq!(seed.get(), None);
/// assert_eq!(seed.get_or_init(|| 42)?, 42);
/// assert_eq!(seed.get_or_init(|| 43)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OnceValue<T> {
    doer: Doer,
    value: Value<T>,
}

impl<T: Payload> OnceValue<T> {
    const VALUE: usize = Value::<T>::after(WORDS_BYTES);

    /// The value, if it is made.
    #[must_use]
    #[inline]
    pub fn get(&self) -> Option<T> {
        self.doer.is_done().then(|| self.value.get(&self.doer.lock))
    }

    /// Makes the value, if it is not made; `false` if it was.
    ///
    /// # Errors
    ///
    /// As for [`get_or_init`](Self::get_or_init).
    pub fn set(&self, value: &T) -> Result<bool, LockError> {
        let mut was_made = false;
        self.doer.run(Limit::Never, || {
            self.value.set(&self.doer.lock, value);
            was_made = true;
        })?;
        Ok(was_made)
    }

    /// The value, which this thread makes, unless it is made, or is being made by somebody else, who is waited for.
    ///
    /// # Errors
    ///
    /// [`LockError::Deadlock`] when this thread is making it; [`LockError::Region`].
    #[inline]
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> Result<T, LockError> {
        match self.get() {
            Some(value) => Ok(value),
            None => self.init_within(Limit::Never, make),
        }
    }

    /// The same, unless somebody else is making it.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] when somebody else is making it; else as for [`get_or_init`](Self::get_or_init).
    pub fn try_get_or_init(&self, make: impl FnOnce() -> T) -> Result<T, LockError> {
        self.init_within(Limit::Try, make)
    }

    /// The same, waiting for whoever makes it no longer than this.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`]; else as for [`get_or_init`](Self::get_or_init).
    pub fn get_or_init_timeout(
        &self,
        timeout: Duration,
        make: impl FnOnce() -> T,
    ) -> Result<T, LockError> {
        self.init_within(within(timeout), make)
    }

    #[cold]
    fn init_within(
        &self,
        limit: Limit<Deadline>,
        make: impl FnOnce() -> T,
    ) -> Result<T, LockError> {
        self.doer.run(limit, || {
            let value = make();
            self.value.set(&self.doer.lock, &value);
        })?;
        Ok(self.value.get(&self.doer.lock))
    }
}

impl<T: Payload> Object for OnceValue<T> {
    type Initial = ();

    const KIND: ObjectKind = ObjectKind::OnceValue;
    const FINGERPRINT: Fingerprint = Fingerprint::of::<T>("OnceValue");

    fn size_bytes(_: Option<&()>) -> usize {
        Self::VALUE + size_of::<T>()
    }

    fn align() -> usize {
        align_of::<T>().max(64)
    }

    fn initialise(_: &Arc<SharedMemory>, _: usize, _: Option<&()>) -> Result<()> {
        Ok(())
    }

    fn bind(attached: &Arc<Attached>, offset: usize, _: usize) -> Result<Self> {
        Ok(Self {
            doer: Doer::bind(attached, offset)?,
            value: Value::new(offset + Self::VALUE),
        })
    }
}

impl<T: Payload + fmt::Debug> fmt::Debug for OnceValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceValue").field(&self.get()).finish()
    }
}
