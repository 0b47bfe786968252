//! Something that happens.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use folio_sys::futex::Deadline;
use folio_sys::shared_memory::{Pinned, SharedMemory};

use super::LockError;
use super::here::{Lock, within};
use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::raw::environment::Limit;
use crate::raw::event as raw;
use crate::{Fingerprint, Result};

const RESET: usize = 4;
const AUTOMATIC: u32 = 1;

/// Something that happens, and that threads of all processes wait for.
///
/// Which way it is reset is said when it is made; without that, by hand.
///
/// ```
/// use folio_ipc::{Event, EventReset, Region};
///
/// let region = Region::options().anonymous()?;
/// let stop = region.object::<Event>("stop")?;
/// assert!(stop.try_wait().is_err());
/// stop.set()?;
/// stop.wait()?;
/// assert!(stop.is_set());
///
/// let job = region.object_with::<Event>("job", || EventReset::Automatic)?;
/// job.set()?;
/// job.wait()?;
/// assert!(!job.is_set());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Event {
    lock: Lock,
    word: Pinned<AtomicU32>,
    reset: raw::Reset,
}

/// What becomes of an [`Event`] that somebody has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EventReset {
    /// It stays set, for all who wait and all who come, until [`Event::reset`].
    #[default]
    Manual,
    /// One thread has it: it is not set any more. Setting it twice before anybody has waited is as setting it once.
    ///
    /// A thread that dies before its wait returns leaves the event to another, or takes it with it.
    Automatic,
}

impl Event {
    /// Sets it, and wakes all who wait, or one, as it is reset.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`](crate::Error::Lost), or as for the first lock of a thread.
    pub fn set(&self) -> Result<()> {
        let here = self.lock.here(None).map_err(|error| *error)?;
        raw::set(here, &self.word, self.reset);
        Ok(())
    }

    /// Resets it; whether it was set.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set).
    pub fn reset(&self) -> Result<bool> {
        self.lock.attached().image().check_not_lost()?;
        Ok(raw::reset(&self.word))
    }

    /// Whether it is set.
    #[must_use]
    #[inline]
    pub fn is_set(&self) -> bool {
        raw::is_set(&self.word)
    }

    /// Waits until it is set.
    ///
    /// # Errors
    ///
    /// [`LockError::Region`].
    pub fn wait(&self) -> Result<(), LockError> {
        self.wait_within(Limit::Never)
    }

    /// The same, if it is set.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] if it is not; [`LockError::Region`].
    pub fn try_wait(&self) -> Result<(), LockError> {
        self.wait_within(Limit::Try)
    }

    /// Waits until it is set, no longer than this.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`]; [`LockError::Region`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), LockError> {
        self.wait_within(within(timeout))
    }

    fn wait_within(&self, limit: Limit<Deadline>) -> Result<(), LockError> {
        let here = self.lock.here(None)?;
        Ok(raw::wait(here, &self.word, self.reset, limit)?)
    }
}

impl Object for Event {
    type Initial = EventReset;

    const KIND: ObjectKind = ObjectKind::Event;
    const FINGERPRINT: Fingerprint = Fingerprint::bare("Event");

    fn size_bytes(_: Option<&EventReset>) -> usize {
        8
    }

    fn align() -> usize {
        8
    }

    fn initialise(
        memory: &Arc<SharedMemory>,
        offset: usize,
        initial: Option<&EventReset>,
    ) -> Result<()> {
        if initial == Some(&EventReset::Automatic) {
            if let Some(word) = memory.u32_at(offset + RESET) {
                word.store(AUTOMATIC, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn bind(attached: &Arc<Attached>, offset: usize, _: usize) -> Result<Self> {
        let lock = Lock::new(attached, offset);
        let reset = lock.pin::<AtomicU32>(RESET)?;
        Ok(Self {
            word: lock.pin(0)?,
            reset: if reset.load(Ordering::Relaxed) == AUTOMATIC {
                raw::Reset::Automatic
            } else {
                raw::Reset::Manual
            },
            lock,
        })
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .field("reset", &self.reset)
            .finish_non_exhaustive()
    }
}
