//! What one thread is reading, for those to see who would free it.

use super::atomic::{AtomicPtr, Ordering};
use super::barrier::Barrier;

/// A thread's hazard pointer: the one thing that it may be reading right now.
///
/// Aligned to two cache lines, which processors fetch in pairs: no thread's reads slow
/// another's.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Record {
    hazard: AtomicPtr<()>,
}

/// A pointer that is not freed while this lives.
pub(crate) struct Protected<'a, T> {
    record: &'a Record,
    pointer: *const T,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self {
            hazard: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Protects what `source` points to. `None` when it points nowhere, when it was
    /// moved meanwhile, and when this thread protects something else already.
    ///
    /// To be called by the thread alone that the record belongs to.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a handful of instructions on the hot path"
    )]
    pub(crate) fn protect<T>(
        &self,
        source: &AtomicPtr<T>,
        barrier: Barrier,
    ) -> Option<Protected<'_, T>> {
        if !self.is_idle() {
            return None;
        }
        let pointer = source.load(Ordering::Relaxed);
        if pointer.is_null() {
            return None;
        }
        // Release: whoever sees this pointer also sees that the reads under the one
        // before it are done.
        self.hazard.store(pointer.cast(), Ordering::Release);
        // Either the one who frees sees the hazard, or this thread sees that the source
        // was moved before: the fences on both sides forbid that neither does.
        barrier.light();
        let protected = Protected {
            record: self,
            pointer,
        };
        // Acquire: what it points to was written before the source pointed to it. An
        // object that was freed, and another made in its place, is protected as well.
        (source.load(Ordering::Acquire) == pointer).then_some(protected)
    }

    /// Whether nothing is protected. For the thread alone that the record belongs to.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as for protect")]
    pub(crate) fn is_idle(&self) -> bool {
        self.hazard.load(Ordering::Relaxed).is_null()
    }

    /// Whether the thread may be reading through `pointer`. A heavy barrier must stand
    /// between the source's move away from it and this question.
    pub(crate) fn protects<T>(&self, pointer: *const T) -> bool {
        self.hazard.load(Ordering::Acquire).cast_const() == pointer.cast()
    }
}

impl<T> Protected<'_, T> {
    #[inline]
    pub(crate) fn as_ptr(&self) -> *const T {
        self.pointer
    }
}

impl<T> Drop for Protected<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: the reads are done before anyone sees that nothing is protected.
        self.record
            .hazard
            .store(std::ptr::null_mut(), Ordering::Release);
    }
}
