//! A number of permits.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use folio_sys::futex::Deadline;
use folio_sys::shared_memory::{Pinned, PinnedSlice, SharedMemory};

use super::LockResult;
use super::error::Refusal;
use super::here::{Lock, within};
use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::raw::environment::{Identity as _, Limit};
use crate::raw::semaphore::{self as raw, Words as _};
use crate::{Error, Fingerprint, Result};

const COUNT: usize = 4;
const PERMITS: usize = 64;
/// Each is a word, and who finds none free has looked at all.
const MOST_PERMITS: u32 = 65_536;

/// A number of permits, which threads of all processes take and give back.
///
/// The permits of a process that dies, or of a thread that ends without giving them back, come back: nothing is
/// inconsistent by that, so that nobody is told. How many permits there are is said when it is made; without that,
/// one.
///
/// ```
/// use folio_ipc::{LockError, Region, Semaphore};
///
/// let region = Region::options().anonymous()?;
/// let downloads = region.object_with::<Semaphore>("downloads", || 2)?;
/// let first = downloads.acquire()?;
/// let second = downloads.acquire()?;
/// assert!(matches!(downloads.try_acquire(), Err(LockError::WouldBlock)));
/// drop(first);
/// assert!(downloads.try_acquire().is_ok());
/// # drop(second);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Semaphore {
    lock: Lock,
    words: Permits,
}

impl Semaphore {
    /// Takes a permit, and waits for one if there is none.
    ///
    /// # Errors
    ///
    /// [`LockError::Region`](crate::LockError::Region).
    #[inline]
    pub fn acquire(&self) -> LockResult<Permit<'_>> {
        self.acquire_within(Limit::Never)
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`](crate::LockError::WouldBlock) when there is none; [`LockError::Region`](crate::LockError::Region).
    #[inline]
    pub fn try_acquire(&self) -> LockResult<Permit<'_>> {
        self.acquire_within(Limit::Try)
    }

    /// Takes a permit, and waits no longer than this for one.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`](crate::LockError::TimedOut) when there was none; [`LockError::Region`](crate::LockError::Region).
    pub fn acquire_timeout(&self, timeout: Duration) -> LockResult<Permit<'_>> {
        self.acquire_within(within(timeout))
    }

    /// How many permits there are, taken or not.
    #[must_use]
    pub fn permits(&self) -> u32 {
        self.words.count
    }

    /// How many of them nobody has, at some time between call and return.
    #[must_use]
    pub fn available(&self) -> u32 {
        let permits = self.words.holders.iter();
        let free = permits.filter(|permit| permit.load(Ordering::Relaxed) == 0);
        u32::try_from(free.count()).unwrap_or(self.words.count)
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "its result would go through memory, which takes longer than taking the lock"
    )]
    fn acquire_within(&self, limit: Limit<Deadline>) -> LockResult<Permit<'_>> {
        let taken = self.lock.known().and_then(|thread| {
            let index = raw::take_first(thread, &self.words)?;
            Some((index, thread.tid()))
        });
        let (index, tid) = match taken {
            Some(taken) => taken,
            None => self.acquire_slowly(limit)?,
        };
        Ok(Permit {
            semaphore: self,
            held: u64::from(index) << 32 | u64::from(tid),
            _not_send: PhantomData,
        })
    }

    /// The permit's index, and this thread's id.
    #[cold]
    fn acquire_slowly(&self, limit: Limit<Deadline>) -> Result<(u32, u32), Refusal> {
        let here = self.lock.here(None)?;
        Ok((raw::acquire(here, &self.words, limit)?, here.tid()))
    }

    #[cold]
    fn release_slowly(&self, permit: &AtomicU64, tid: u32) {
        if let Some(here) = self.lock.still_here(None, tid) {
            raw::release(here, &self.words, permit);
        }
    }

    /// Lets those in who wait for a permit that was given back.
    #[cold]
    fn open(&self, tid: u32) {
        if let Some(here) = self.lock.still_here(None, tid) {
            raw::open(here, &self.words);
        }
    }
}

/// The words of a semaphore that is in a region.
pub(super) struct Permits {
    gate: Pinned<AtomicU32>,
    holders: PinnedSlice<AtomicU64>,
    count: u32,
}

impl Permits {
    /// Those of the semaphore at an offset, if it can be there.
    pub(super) fn at(memory: &Arc<SharedMemory>, offset: usize, len: usize) -> Option<Self> {
        let stored = memory.u32_at(offset.checked_add(COUNT)?)?;
        let count = stored.load(Ordering::Relaxed).max(1);
        (len >= size_of_permits(count)?).then_some(())?;
        Some(Self {
            gate: memory.pin(offset)?,
            holders: memory.pin_all(offset.checked_add(PERMITS)?, usize::try_from(count).ok()?)?,
            count,
        })
    }
}

impl raw::Words for Permits {
    #[inline]
    fn gate(&self) -> &AtomicU32 {
        &self.gate
    }

    #[inline]
    fn count(&self) -> u32 {
        self.count
    }

    #[inline]
    fn permit(&self, index: u32) -> Option<&AtomicU64> {
        self.holders.get(index as usize)
    }
}

/// Where the word of a permit is, from the beginning of the semaphore.
pub(super) fn offset_of_permit(index: u64) -> u64 {
    PERMITS as u64 + index * size_of::<AtomicU64>() as u64
}

/// How many permits there is room for in a semaphore of so many bytes.
pub(super) fn permits_in(len: u64) -> u64 {
    len.saturating_sub(PERMITS as u64) / size_of::<AtomicU64>() as u64
}

/// How many bytes a semaphore takes.
fn size_of_permits(count: u32) -> Option<usize> {
    usize::try_from(count)
        .ok()?
        .checked_mul(size_of::<AtomicU64>())?
        .checked_add(PERMITS)
}

impl Object for Semaphore {
    /// How many permits there are: 1 to 65,536.
    type Initial = u32;

    const KIND: ObjectKind = ObjectKind::Semaphore;
    const FINGERPRINT: Fingerprint = Fingerprint::bare("Semaphore");

    fn size_bytes(initial: Option<&u32>) -> usize {
        let count = initial.map_or(1, |&count| count.clamp(1, MOST_PERMITS));
        size_of_permits(count).unwrap_or(usize::MAX)
    }

    fn align() -> usize {
        64
    }

    fn initialise(memory: &Arc<SharedMemory>, offset: usize, initial: Option<&u32>) -> Result<()> {
        let count = initial.copied().unwrap_or(1);
        if !(1..=MOST_PERMITS).contains(&count) {
            return Err(Error::Options {
                reason: format!("a semaphore of {count} permits: 1 to {MOST_PERMITS} are possible"),
            });
        }
        if let Some(word) = memory.u32_at(offset + COUNT) {
            word.store(count, Ordering::Relaxed);
        }
        Ok(())
    }

    fn bind(attached: &Arc<Attached>, offset: usize, len: usize) -> Result<Self> {
        let lock = Lock::new(attached, offset);
        let words = Permits::at(lock.memory(), offset, len)
            .ok_or_else(|| lock.damaged("a semaphore with more permits than it has room for"))?;
        Ok(Self { lock, words })
    }
}

/// A permit of a [`Semaphore`]. Dropping it gives it back.
///
/// It belongs to the thread that took it. A child that this thread forks has a copy, which gives nothing back.
#[must_use = "it is given back when it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    /// Its index and, in the low half, the id of its thread: two fields are returned in registers, three are not.
    held: u64,
    _not_send: PhantomData<*const ()>,
}

impl Permit<'_> {
    #[inline]
    fn index(&self) -> u32 {
        (self.held >> 32) as u32
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
    fn tid(&self) -> u32 {
        self.held as u32
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        let semaphore = self.semaphore;
        let Some(permit) = semaphore.words.permit(self.index()) else {
            return;
        };
        match semaphore.lock.still_known() {
            Some(thread) if thread.tid() == self.tid() => {
                if raw::give_back(thread, &semaphore.words, permit) {
                    semaphore.open(self.tid());
                }
            }
            _ => semaphore.release_slowly(permit, self.tid()),
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("offset", &self.lock.offset())
            .field("permits", &self.words.count)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.index()).finish()
    }
}
