//! Atomics that keep the memory they are in mapped.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, PoisonError};

use super::{Access, SharedMemory};
use crate::robust::RobustWord;

/// What can be [pinned](SharedMemory::pin): atomics of which any bytes are a value.
pub trait Word: sealed::Sealed + 'static {}

impl Word for AtomicU32 {}
impl Word for AtomicU64 {}
impl Word for RobustWord {}

mod sealed {
    use super::{AtomicU32, AtomicU64, RobustWord};

    /// # Safety
    ///
    /// Whoever implements it vouches that any bytes are a value of the type, that all of it but padding is
    /// inside atomics, and that it has no destructor.
    pub unsafe trait Sealed: Send + Sync {
        /// Whether a thread of this process owns it, so that the kernel and the libc may come to it.
        fn is_owned_here(&self) -> bool {
            false
        }
    }

    // SAFETY: an atomic integer.
    unsafe impl Sealed for AtomicU32 {}
    // SAFETY: an atomic integer.
    unsafe impl Sealed for AtomicU64 {}
    // SAFETY: a structure of atomic integers.
    unsafe impl Sealed for RobustWord {
        fn is_owned_here(&self) -> bool {
            RobustWord::is_owned_here(self)
        }
    }
}

/// An atomic in a [`SharedMemory`], which it keeps mapped. See [`SharedMemory::pin`].
pub struct Pinned<W: Word> {
    word: NonNull<W>,
    memory: Arc<SharedMemory>,
}

// SAFETY: a shared reference to an atomic, and an Arc, both of which any thread may have.
unsafe impl<W: Word> Send for Pinned<W> {}
// SAFETY: as above.
unsafe impl<W: Word> Sync for Pinned<W> {}

impl<W: Word> Pinned<W> {
    pub(super) fn new(memory: &Arc<SharedMemory>, offset: usize) -> Option<Self> {
        Some(Self {
            word: place_of(memory, offset)?,
            memory: Arc::clone(memory),
        })
    }

    /// The memory that it is in.
    #[must_use]
    pub fn memory(&self) -> &Arc<SharedMemory> {
        &self.memory
    }

    /// Where in the memory it is, in bytes from its start.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.word.as_ptr().addr() - self.memory.start.as_ptr().addr()
    }
}

/// Where the word at an offset is: all of it mapped to be written to, and aligned.
fn place_of<W: Word>(memory: &SharedMemory, offset: usize) -> Option<NonNull<W>> {
    let room = memory.len().checked_sub(offset)?;
    if memory.access != Access::ReadWrite || room < size_of::<W>() || offset % align_of::<W>() != 0
    {
        return None;
    }
    // SAFETY: so many bytes from the start on are mapped.
    Some(unsafe { memory.start.add(offset) }.cast::<W>())
}

impl<W: Word> Deref for Pinned<W> {
    type Target = W;

    #[inline]
    fn deref(&self) -> &W {
        // SAFETY: `place_of` found all of it mapped, to be read and written, and aligned; memory never shrinks, and stays
        // mapped as long as `self` has its share. Any bytes are a W, all of which is atomics.
        unsafe { self.word.as_ref() }
    }
}

impl<W: Word> Clone for Pinned<W> {
    fn clone(&self) -> Self {
        Self {
            word: self.word,
            memory: Arc::clone(&self.memory),
        }
    }
}

impl<W: Word> Drop for Pinned<W> {
    #[inline]
    fn drop(&mut self) {
        if self.is_owned_here() {
            self.remember();
        }
    }
}

impl<W: Word> Pinned<W> {
    /// Has the memory ask again before it is unmapped.
    #[cold]
    fn remember(&self) {
        let offset = self.offset();
        let left_owned = &self.memory.left_owned;
        let mut left_owned = left_owned.lock().unwrap_or_else(PoisonError::into_inner);
        if !left_owned.contains(&offset) {
            left_owned.push(offset);
        }
    }
}

/// Whether there is a word at this offset that a thread of this process still owns.
pub(super) fn is_owned_at(memory: &SharedMemory, offset: usize) -> bool {
    place_of::<RobustWord>(memory, offset).is_some_and(|word| {
        // SAFETY: as in `deref`, for as long as `memory` is borrowed.
        unsafe { word.as_ref() }.is_owned_here()
    })
}

impl<W: Word> fmt::Debug for Pinned<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned")
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}
