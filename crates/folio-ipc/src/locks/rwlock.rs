//! A value that many may read, or one may change.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use folio_sys::futex::Deadline;
use folio_sys::robust::RobustWord;
use folio_sys::shared_memory::{Pinned, PinnedSlice, SharedMemory};

use super::error::Refusal;
use super::here::{Lock, Panic, within, words};
use super::value::Value;
use super::{LockError, LockResult};
use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::raw::environment::{Condition, Identity as _, Limit};
use crate::raw::mutex;
use crate::raw::rwlock::{self as raw, Words as _};
use crate::{Fingerprint, Payload, Result};

/// How many threads can read at the same time. The records of more have no word here: they read alone.
pub(super) const READERS: u32 = 1024;
/// Words of readers with neighbouring records are in different lines of the cache.
const LINES: u32 = 64;
const WORDS_PER_LINE: u32 = READERS / LINES;

const USED: usize = size_of::<RobustWord>();
const SLOTS: usize = 64;
const VALUE: usize = SLOTS + READERS as usize * size_of::<AtomicU32>();

/// A value that many threads of all processes may read at the same time, or one may change.
///
/// A reader that dies reads no longer. When a writer dies, or panics, whoever is next, reader or writer, gets
/// [`LockError::OwnerDied`] with the guard, and so do all, until a writer says that the value is right again.
/// Readers and writers wait in one queue: neither starve. A thread that reads may begin to read again while writers wait.
///
/// All zeros is an unlocked lock around a zero value. It takes 4 KiB beside the value: each reader has a word of its own, so that
/// it is known who reads, and so that readers do not slow each other down.
///
/// ```
/// use folio_ipc::{Region, RwLock};
///
/// let region = Region::options().anonymous()?;
/// let limits = region.object_with::<RwLock<[u32; 2]>>("limits", || [10, 20])?;
/// assert_eq!(limits.read()?.get(), [10, 20]);
/// limits.write()?.update(|limits| limits[1] = 30);
/// assert_eq!(limits.read()?.get(), [10, 30]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RwLock<T> {
    lock: Lock,
    words: Slots,
    value: Value<T>,
}

impl<T: Payload> RwLock<T> {
    const VALUE: usize = Value::<T>::after(VALUE);

    /// Begins to read, and waits while somebody writes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, when a writer died or panicked; [`LockError::Deadlock`] when this thread writes;
    /// [`LockError::TooMany`] when it reads already, 255 times; [`LockError::Region`].
    #[inline]
    pub fn read(&self) -> LockResult<ReadGuard<'_, T>> {
        self.read_within(Limit::Never)
    }

    /// Begins to read if nobody writes, or is about to.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read), and [`LockError::WouldBlock`].
    #[inline]
    pub fn try_read(&self) -> LockResult<ReadGuard<'_, T>> {
        self.read_within(Limit::Try)
    }

    /// Begins to read, and waits no longer than this while somebody writes.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read), and [`LockError::TimedOut`].
    pub fn read_timeout(&self, timeout: Duration) -> LockResult<ReadGuard<'_, T>> {
        self.read_within(within(timeout))
    }

    /// Begins to write, and waits while others read or write.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, when a writer died or panicked; [`LockError::Deadlock`] when this
    /// thread reads or writes; [`LockError::Region`].
    #[inline]
    pub fn write(&self) -> LockResult<WriteGuard<'_, T>> {
        self.write_within(Limit::Never)
    }

    /// Begins to write if nobody reads or writes.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), and [`LockError::WouldBlock`].
    #[inline]
    pub fn try_write(&self) -> LockResult<WriteGuard<'_, T>> {
        self.write_within(Limit::Try)
    }

    /// Begins to write, and waits no longer than this while others read or write.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), and [`LockError::TimedOut`].
    pub fn write_timeout(&self, timeout: Duration) -> LockResult<WriteGuard<'_, T>> {
        self.write_within(within(timeout))
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "its result would go through memory, which takes longer than taking the lock"
    )]
    fn read_within(&self, limit: Limit<Deadline>) -> LockResult<ReadGuard<'_, T>> {
        let entered = self.lock.known().and_then(|thread| {
            let slot = self.words.reader(thread.record())?;
            Some((raw::enter(thread, &self.words, slot), thread.tid()))
        });
        let (condition, tid) = match entered {
            Some((Ok(condition), tid)) => (condition, tid),
            Some((Err(delay), _)) => self.read_slowly(Some(delay), limit)?,
            None => self.read_slowly(None, limit)?,
        };
        let guard = ReadGuard {
            lock: self,
            tid: tid as usize,
            _not_send: PhantomData,
        };
        match condition {
            Condition::Sound => Ok(guard),
            Condition::Inconsistent => Err(LockError::OwnerDied(guard)),
        }
    }

    /// In what condition it is read, and this thread's id.
    #[cold]
    fn read_slowly(
        &self,
        delay: Option<raw::Delay>,
        limit: Limit<Deadline>,
    ) -> Result<(Condition, u32), Refusal> {
        let here = self.lock.here(Some(&self.words.robust))?;
        let condition = match delay.zip(self.words.reader(here.record())) {
            Some((delay, slot)) => raw::read_on(here, &self.words, slot, delay, limit),
            None => raw::read(here, &self.words, limit),
        };
        Ok((condition?, here.tid()))
    }

    #[cold]
    fn end_read_slowly(&self, tid: usize) {
        let tid = u32::try_from(tid).unwrap_or(0);
        if let Some(here) = self.lock.still_here(Some(&self.words.robust), tid) {
            raw::end_read(here, &self.words);
        }
    }

    #[inline]
    fn write_within(&self, limit: Limit<Deadline>) -> LockResult<WriteGuard<'_, T>> {
        let here = self.lock.here(Some(&self.words.robust))?;
        let condition = raw::write(here, &self.words, limit)?;
        let guard = WriteGuard {
            lock: self,
            _not_send: PhantomData,
            panic: Panic::seen(),
        };
        match condition {
            Condition::Sound => Ok(guard),
            Condition::Inconsistent => Err(LockError::OwnerDied(guard)),
        }
    }
}

impl<T: Payload> Object for RwLock<T> {
    type Initial = T;

    const KIND: ObjectKind = ObjectKind::RwLock;
    const FINGERPRINT: Fingerprint = Fingerprint::of::<T>("RwLock");

    fn size_bytes(_: Option<&T>) -> usize {
        Self::VALUE + size_of::<T>()
    }

    fn align() -> usize {
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
            words: Slots::at(lock.memory(), offset)
                .ok_or_else(|| lock.damaged("a lock outside of it"))?,
            value: Value::new(offset + Self::VALUE),
            lock,
        })
    }
}

/// The words of a lock that is in a region.
pub(super) struct Slots {
    robust: Pinned<RobustWord>,
    used: Pinned<AtomicU32>,
    readers: PinnedSlice<AtomicU32>,
}

impl Slots {
    /// Those of the lock at an offset, if it can be there.
    pub(super) fn at(memory: &Arc<SharedMemory>, offset: usize) -> Option<Self> {
        Some(Self {
            robust: memory.pin(offset)?,
            used: memory.pin(offset.checked_add(USED)?)?,
            readers: memory.pin_all(offset.checked_add(SLOTS)?, READERS as usize)?,
        })
    }
}

impl raw::Words for Slots {
    #[inline]
    fn writers(&self) -> mutex::Words<'_> {
        words(&self.robust)
    }

    #[inline]
    fn used(&self) -> &AtomicU32 {
        &self.used
    }

    #[inline]
    fn reader(&self, record: u32) -> Option<&AtomicU32> {
        self.readers.get(word_of_reader(record)? as usize)
    }
}

/// Which word is that of the thread with that record; `None` if it has none.
#[inline]
fn word_of_reader(record: u32) -> Option<u32> {
    (record < READERS).then_some(record % LINES * WORDS_PER_LINE + record / LINES)
}

/// Where the word of the thread with that record is, from the beginning of the lock; `None` if it has none.
pub(super) fn offset_of_reader(record: u32) -> Option<u64> {
    word_of_reader(record).map(|word| SLOTS as u64 + u64::from(word) * 4)
}

/// A [`RwLock`] that is being read. Dropping it ends that.
#[must_use = "it unlocks when it is dropped"]
pub struct ReadGuard<'a, T: Payload> {
    lock: &'a RwLock<T>,
    /// Of a register's width, as [`Panic`] is and for the same reason.
    tid: usize,
    _not_send: PhantomData<*const ()>,
}

impl<T: Payload> ReadGuard<'_, T> {
    /// The value.
    #[must_use]
    #[inline]
    pub fn get(&self) -> T {
        self.lock.value.get(&self.lock.lock)
    }

    /// Copies a part of the value's bytes, from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when the value has fewer.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.lock.value.read_at(&self.lock.lock, offset, bytes)
    }

    /// Whether a writer died or panicked, and none has said since that the value is right again.
    #[must_use]
    pub fn is_inconsistent(&self) -> bool {
        words(&self.lock.words.robust).condition() == Condition::Inconsistent
    }
}

impl<T: Payload> Drop for ReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let RwLock { lock, .. } = self.lock;
        let is_done = lock.still_known().is_some_and(|thread| {
            thread.tid() as usize == self.tid
                && self
                    .lock
                    .words
                    .reader(thread.record())
                    .is_some_and(|slot| raw::leave(thread, slot))
        });
        if !is_done {
            self.lock.end_read_slowly(self.tid);
        }
    }
}

/// A [`RwLock`] that is being written to. Dropping it ends that.
#[must_use = "it unlocks when it is dropped"]
pub struct WriteGuard<'a, T: Payload> {
    lock: &'a RwLock<T>,
    _not_send: PhantomData<*const ()>,
    panic: Panic,
}

impl<T: Payload> WriteGuard<'_, T> {
    /// The value.
    #[must_use]
    #[inline]
    pub fn get(&self) -> T {
        self.lock.value.get(&self.lock.lock)
    }

    /// Changes the value.
    #[inline]
    pub fn set(&self, value: &T) {
        self.lock.value.set(&self.lock.lock, value);
    }

    /// Changes the value by what `change` does to a copy of it, and returns what that returns.
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
        self.lock.value.read_at(&self.lock.lock, offset, bytes)
    }

    /// Changes a part of the value's bytes, from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when the value has fewer.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.lock.value.write_at(&self.lock.lock, offset, bytes)
    }

    /// Whether a writer died or panicked, and none has said since that the value is right again.
    #[must_use]
    pub fn is_inconsistent(&self) -> bool {
        words(&self.lock.words.robust).condition() == Condition::Inconsistent
    }

    /// Says that the value is right again, after [`LockError::OwnerDied`].
    pub fn recovered(&self) {
        if self.lock.lock.holding(&self.lock.words.robust).is_some() {
            words(&self.lock.words.robust).repaired();
        }
    }
}

impl<T: Payload> Drop for WriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let RwLock { lock, words, .. } = self.lock;
        lock.give_up(&words.robust, self.panic);
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("offset", &self.lock.offset())
            .finish_non_exhaustive()
    }
}

impl<T: Payload + fmt::Debug> fmt::Debug for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadGuard").field(&self.get()).finish()
    }
}

impl<T: Payload + fmt::Debug> fmt::Debug for WriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteGuard").field(&self.get()).finish()
    }
}
