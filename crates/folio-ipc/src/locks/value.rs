//! The data that a lock protects.

use std::marker::PhantomData;
use std::sync::Arc;

use folio_sys::shared_memory::SharedMemory;

use super::here::Lock;
use crate::{Error, Payload, Result};

/// A value of type `T` in a region. It is copied out and in: other processes can write to it whatever locks say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<T> {
    offset: usize,
    _of: PhantomData<fn() -> T>,
}

impl<T: Payload> Value<T> {
    /// How far behind the beginning of a lock, whose words take so many bytes, its value is.
    pub(super) const fn after(words_bytes: usize) -> usize {
        words_bytes.next_multiple_of(align_of::<T>())
    }

    pub(super) fn new(offset: usize) -> Self {
        Self {
            offset,
            _of: PhantomData,
        }
    }

    /// A page that was lost reads as zeros, here and everywhere: the next operation of the lock says so.
    #[inline]
    pub(super) fn get(self, lock: &Lock) -> T {
        let mut value = T::new_zeroed();
        _ = lock.memory().read_at(self.offset, value.as_mut_bytes());
        value
    }

    #[inline]
    pub(super) fn set(self, lock: &Lock, value: &T) {
        _ = lock.memory().write_at(self.offset, value.as_bytes());
    }

    #[inline]
    pub(super) fn read_at(self, lock: &Lock, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let at = self.part(lock, offset, bytes.len())?;
        lock.memory()
            .read_at(at, bytes)
            .map_err(|_| lock.damaged("a value outside of it"))
    }

    #[inline]
    pub(super) fn write_at(self, lock: &Lock, offset: usize, bytes: &[u8]) -> Result<()> {
        let at = self.part(lock, offset, bytes.len())?;
        lock.memory()
            .write_at(at, bytes)
            .map_err(|_| lock.damaged("a value outside of it"))
    }

    pub(super) fn initialise(memory: &Arc<SharedMemory>, offset: usize, value: &T) {
        // The memory was written to a moment ago.
        _ = memory.write_at(offset, value.as_bytes());
    }

    fn part(self, lock: &Lock, offset: usize, len: usize) -> Result<usize> {
        match size_of::<T>().checked_sub(offset) {
            Some(room) if len <= room => Ok(self.offset + offset),
            _ => Err(out_of_range(lock, offset, len, size_of::<T>())),
        }
    }
}

#[cold]
fn out_of_range(lock: &Lock, offset: usize, len: usize, size: usize) -> Error {
    Error::OutOfRange {
        path: lock.attached().image().path().to_owned(),
        offset: offset as u64,
        len: len as u64,
        size_bytes: size as u64,
    }
}
