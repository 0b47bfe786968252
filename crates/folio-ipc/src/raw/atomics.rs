//! The atomics that the algorithms are written with: the processor's, or loom's.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64};
pub(crate) use std::sync::atomic::Ordering;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64};

/// Stands between a sequentially consistent store and a sequentially consistent load of another
/// word, where two threads do that crosswise and one of them must see the other's store.
///
/// The orderings of the two accesses are enough by themselves, and nothing stands here. Loom takes
/// `SeqCst` for `AcqRel` where it is an access's ordering, but not where it is a fence's.
#[inline]
pub(crate) fn store_before_load() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
