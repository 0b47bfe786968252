//! Something that is done once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use folio_sys::futex::Deadline;
use folio_sys::robust::RobustWord;
use folio_sys::shared_memory::{Pinned, SharedMemory};

use super::LockError;
use super::here::{Here, Lock, within, words};
use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::raw::environment::Limit;
use crate::raw::once as raw;
use crate::{Fingerprint, Result};

/// Where the word is that says that it is done.
const DONE: usize = size_of::<RobustWord>();
/// How many bytes of words there are.
pub(super) const WORDS_BYTES: usize = DONE + size_of::<AtomicU32>();

/// Something that is done once, by one thread of all processes.
///
/// When whoever does it dies, or panics, the next one does it, from the beginning: what the dead has
/// done of it stands.
///
/// ```
/// use folio_ipc::{Once, Region};
///
/// let region = Region::options().anonymous()?;
/// let once = region.object::<Once>("tables-made")?;
/// let mut times = 0;
/// once.call(|| times += 1)?;
/// once.call(|| times += 1)?;
/// assert_eq!(times, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Once {
    doer: Doer,
}

impl Once {
    /// Does it, or waits until whoever does has done it.
    ///
    /// # Errors
    ///
    /// [`LockError::Deadlock`] when this thread is doing it; [`LockError::Region`].
    pub fn call(&self, action: impl FnOnce()) -> Result<(), LockError> {
        self.doer.run(Limit::Never, action)
    }

    /// Does it, unless somebody else is doing it.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] when somebody else is doing it; else as for [`call`](Self::call).
    pub fn try_call(&self, action: impl FnOnce()) -> Result<(), LockError> {
        self.doer.run(Limit::Try, action)
    }

    /// Does it, or waits for whoever does, no longer than this.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`]; else as for [`call`](Self::call).
    pub fn call_timeout(&self, timeout: Duration, action: impl FnOnce()) -> Result<(), LockError> {
        self.doer.run(within(timeout), action)
    }

    /// Whether it is done.
    #[must_use]
    #[inline]
    pub fn is_done(&self) -> bool {
        self.doer.is_done()
    }
}

impl Object for Once {
    type Initial = ();

    const KIND: ObjectKind = ObjectKind::Once;
    const FINGERPRINT: Fingerprint = Fingerprint::bare("Once");

    fn size_bytes(_: Option<&()>) -> usize {
        WORDS_BYTES
    }

    fn align() -> usize {
        64
    }

    fn initialise(_: &Arc<SharedMemory>, _: usize, _: Option<&()>) -> Result<()> {
        Ok(())
    }

    fn bind(attached: &Arc<Attached>, offset: usize, _: usize) -> Result<Self> {
        Ok(Self {
            doer: Doer::bind(attached, offset)?,
        })
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("is_done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// Who does something once, and whether it is done.
pub(super) struct Doer {
    pub(super) lock: Lock,
    robust: Pinned<RobustWord>,
    done: Pinned<AtomicU32>,
}

impl Doer {
    pub(super) fn bind(attached: &Arc<Attached>, offset: usize) -> Result<Self> {
        let lock = Lock::new(attached, offset);
        Ok(Self {
            robust: lock.pin(0)?,
            done: lock.pin(DONE)?,
            lock,
        })
    }

    #[inline]
    pub(super) fn is_done(&self) -> bool {
        raw::is_done(self.words())
    }

    pub(super) fn run(
        &self,
        limit: Limit<Deadline>,
        action: impl FnOnce(),
    ) -> Result<(), LockError> {
        if self.is_done() {
            return Ok(());
        }
        let here = self.lock.here(Some(&self.robust))?;
        match raw::begin(here, self.words(), limit)? {
            raw::Turn::Done => {}
            raw::Turn::Mine { .. } => {
                let turn = Turn { doer: self };
                action();
                turn.end();
            }
        }
        Ok(())
    }

    fn words(&self) -> raw::Words<'_> {
        raw::Words {
            doer: words(&self.robust),
            done: &self.done,
        }
    }
}

impl Doer {
    fn holding(&self) -> Option<Here<'_>> {
        self.lock.holding(&self.robust)
    }
}

/// This thread's turn. When it panics, it is the next one's.
struct Turn<'a> {
    doer: &'a Doer,
}

impl Turn<'_> {
    fn end(self) {
        if let Some(here) = self.doer.holding() {
            raw::end(here, self.doer.words());
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(here) = self.doer.holding() {
            raw::abandon(here, self.doer.words());
        }
    }
}
