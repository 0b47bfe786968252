//! Atomics that keep the memory they are in mapped.

use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};
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

/// Atomics in a row in a [`SharedMemory`], which they keep mapped. See [`SharedMemory::pin_all`].
pub struct PinnedSlice<W: Word> {
    first: NonNull<W>,
    len: usize,
    memory: Arc<SharedMemory>,
}

// SAFETY: shared references to atomics, and an Arc, all of which any thread may have.
unsafe impl<W: Word> Send for PinnedSlice<W> {}
// SAFETY: as above.
unsafe impl<W: Word> Sync for PinnedSlice<W> {}

impl<W: Word> PinnedSlice<W> {
    pub(super) fn new(memory: &Arc<SharedMemory>, offset: usize, len: usize) -> Option<Self> {
        let size_bytes = len.checked_mul(size_of::<W>())?;
        if memory.len().checked_sub(offset)? < size_bytes {
            return None;
        }
        Some(Self {
            first: place_of(memory, offset)?,
            len,
            memory: Arc::clone(memory),
        })
    }

    /// One of them; `None` if there are not so many.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<&W> {
        if index >= self.len {
            return None;
        }
        // SAFETY: `new` found as many words mapped as are counted, so the one at the index is within the memory.
        let word = unsafe { self.first.add(index) };
        // SAFETY: as in the `deref` of `Pinned`. It is as aligned as the first is.
        Some(unsafe { word.as_ref() })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &W> {
        (0..self.len).map_while(|index| self.get(index))
    }
}

impl<W: Word> Drop for PinnedSlice<W> {
    #[inline]
    fn drop(&mut self) {
        for word in self.iter().filter(|word| word.is_owned_here()) {
            remember(&self.memory, ptr::from_ref(word).addr());
        }
    }
}

impl<W: Word> fmt::Debug for PinnedSlice<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedSlice")
            .field("len", &self.len)
            .finish_non_exhaustive()
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
            remember(&self.memory, self.word.as_ptr().addr());
        }
    }
}

/// Has the memory ask again, before it is unmapped, whether the word at this address is owned.
#[cold]
fn remember(memory: &SharedMemory, address: usize) {
    let offset = address - memory.start.as_ptr().addr();
    let mut left_owned = memory
        .left_owned
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if !left_owned.contains(&offset) {
        left_owned.push(offset);
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
