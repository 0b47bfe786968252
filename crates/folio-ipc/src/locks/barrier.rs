//! A point that a number of threads reach together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use folio_sys::futex::Deadline;
use folio_sys::robust::RobustWord;
use folio_sys::shared_memory::{Pinned, SharedMemory};

use super::LockError;
use super::here::{Lock, within, words};
use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::raw::environment::Limit;
use crate::raw::{barrier as raw, mutex};
use crate::{Error, Fingerprint, Result};

const PARTIES: usize = size_of::<RobustWord>();
const GENERATION: usize = 64;
const PLACES: usize = 128;
const PLACE_BYTES: usize = 16;
const MOST_PARTIES: u32 = 65_536;

/// A point that a number of threads of all processes reach together, any number of times.
///
/// How many there are is said when it is made. A barrier breaks when a thread is dead that the others would wait for: one that
/// has arrived, or that met the others the last time and was not replaced since. All who wait get
/// [`LockError::Broken`] then, and so do all who come, until it is [`reset`](Self::reset). A thread
/// that ended counts as dead.
///
/// ```
/// use folio_ipc::{Barrier, Region};
///
/// let region = Region::options().anonymous()?;
/// let ready = region.object_with::<Barrier>("ready", || 2)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| ready.wait().expect("nobody dies"));
///     ready.wait().expect("nobody dies");
/// });
/// # Ok::<(), folio_ipc::Error>(())
/// ```
pub struct Barrier {
    lock: Lock,
    robust: Pinned<RobustWord>,
    generation: Pinned<AtomicU32>,
    parties: u32,
}

/// How a thread met the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierOutcome {
    /// It was the last to arrive: it alone is told so.
    Leader,
    /// Another was.
    Follower,
}

impl Barrier {
    /// Arrives, and waits for the others.
    ///
    /// # Errors
    ///
    /// [`LockError::Broken`] when one of them is dead; [`LockError::Region`].
    pub fn wait(&self) -> Result<BarrierOutcome, LockError> {
        self.wait_within(Limit::Never)
    }

    /// Arrives if all others have.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] when others are missing; else as for [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<BarrierOutcome, LockError> {
        self.wait_within(Limit::Try)
    }

    /// Arrives, and waits for the others no longer than this. When the time is over, it has not arrived.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`]; else as for [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierOutcome, LockError> {
        self.wait_within(within(timeout))
    }

    /// Makes a broken barrier usable again, for whoever comes next. Those who wait get [`LockError::Broken`].
    ///
    /// # Errors
    ///
    /// [`LockError::Region`].
    pub fn reset(&self) -> Result<(), LockError> {
        let here = self.lock.here(Some(&self.robust))?;
        Ok(raw::reset(here, &self.places())?)
    }

    /// Whether it is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        raw::is_broken(&self.places())
    }

    /// How many threads meet.
    #[must_use]
    pub fn parties(&self) -> u32 {
        self.parties
    }

    fn wait_within(&self, limit: Limit<Deadline>) -> Result<BarrierOutcome, LockError> {
        let here = self.lock.here(Some(&self.robust))?;
        Ok(match raw::wait(here, &self.places(), limit)? {
            raw::Met::Leader => BarrierOutcome::Leader,
            raw::Met::Follower => BarrierOutcome::Follower,
        })
    }

    fn places(&self) -> Places<'_> {
        Places { barrier: self }
    }
}

#[derive(Clone, Copy)]
struct Places<'a> {
    barrier: &'a Barrier,
}

impl raw::Words for Places<'_> {
    fn lock(&self) -> mutex::Words<'_> {
        words(&self.barrier.robust)
    }

    fn generation(&self) -> &AtomicU32 {
        &self.barrier.generation
    }

    fn parties(&self) -> u32 {
        self.barrier.parties
    }

    fn place(&self, index: u32) -> Option<(&AtomicU64, &AtomicU32)> {
        let lock = &self.barrier.lock;
        let offset = lock.offset() + PLACES + index as usize * PLACE_BYTES;
        let holder = lock.memory().u64_at(offset)?;
        let arrived = lock.memory().u32_at(offset + size_of::<AtomicU64>())?;
        Some((holder, arrived))
    }
}

fn size_of_places(parties: u32) -> Option<usize> {
    usize::try_from(parties)
        .ok()?
        .checked_mul(PLACE_BYTES)?
        .checked_add(PLACES)
}

impl Object for Barrier {
    /// How many threads meet: 1 to 65,536.
    type Initial = u32;

    const KIND: ObjectKind = ObjectKind::Barrier;
    const FINGERPRINT: Fingerprint = Fingerprint::bare("Barrier");

    fn size_bytes(initial: Option<&u32>) -> usize {
        let parties = initial.map_or(1, |&parties| parties.clamp(1, MOST_PARTIES));
        size_of_places(parties).unwrap_or(usize::MAX)
    }

    fn align() -> usize {
        64
    }

    fn initialise(memory: &Arc<SharedMemory>, offset: usize, initial: Option<&u32>) -> Result<()> {
        let parties = initial.copied().unwrap_or(1);
        if !(1..=MOST_PARTIES).contains(&parties) {
            return Err(Error::Options {
                reason: format!("a barrier of {parties}: 1 to {MOST_PARTIES} are possible"),
            });
        }
        if let Some(word) = memory.u32_at(offset + PARTIES) {
            word.store(parties, Ordering::Relaxed);
        }
        Ok(())
    }

    fn bind(attached: &Arc<Attached>, offset: usize, len: usize) -> Result<Self> {
        let lock = Lock::new(attached, offset);
        let stored = lock.pin::<AtomicU32>(PARTIES)?;
        let parties = stored.load(Ordering::Relaxed).max(1);
        if size_of_places(parties).is_none_or(|size| size > len) {
            return Err(lock.damaged("a barrier of more threads than it has room for"));
        }
        Ok(Self {
            robust: lock.pin(0)?,
            generation: lock.pin(GENERATION)?,
            parties,
            lock,
        })
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("offset", &self.lock.offset())
            .field("parties", &self.parties)
            .finish_non_exhaustive()
    }
}
