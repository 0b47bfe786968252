//! Reading what is current without a lock, although others replace and free it.
//!
//! A thread that reads through a [`Cursor`] says so in a word of its own, its hazard
//! pointer (Michael, "Hazard Pointers", 2004), and takes part in no count. Whoever
//! frees looks at the words of all threads before. The fence that this needs between
//! a reader's store and its next load is run by the kernel, on all processors, when something is freed;
//! reading takes plain loads and stores.

mod barrier;
mod record;

/// The atomics; the tests of the algorithm under loom put loom's in their place.
mod atomic {
    pub(crate) use std::sync::atomic::{AtomicPtr, Ordering, compiler_fence, fence};
}

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atomic::{AtomicPtr, Ordering};
use barrier::Barrier;
use record::{Protected, Record};

/// A set of values, one of which is current and read without a lock and without
/// touching its count.
///
/// ```
/// use std::sync::Arc;
/// use folio_sys::hazard::Cursor;
///
/// let cursor = Cursor::new();
/// let key = cursor.insert(Arc::new(41));
/// assert!(cursor.current().is_none()); // nothing is, yet
/// cursor.point_to(key);
/// assert_eq!(cursor.current().map(|n| *n + 1), Some(42));
/// assert_eq!(cursor.remove(key).as_deref(), Some(&41));
/// assert!(cursor.current().is_none());
/// ```
pub struct Cursor<T> {
    /// Null, or the address of a value in `kept`.
    current: AtomicPtr<T>,
    barrier: Barrier,
    kept: Mutex<Kept<T>>,
}

/// Names a value in a [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(usize);

/// The current value of a [`Cursor`], held.
///
/// It stays with its thread: what it sets is that thread's word.
pub struct Current<'a, T> {
    protected: Protected<'static, T>,
    cursor: PhantomData<(&'a Cursor<T>, *const T)>,
}

impl<T> Deref for Current<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `current` pointed to a value in `kept` after the hazard was published, so `remove`
        // does not take the value from there before `protected` is dropped; and nothing but `remove`
        // and dropping the cursor, which is borrowed, takes values.
        unsafe { &*self.protected.as_ptr() }
    }
}

struct Kept<T> {
    values: Vec<Option<Arc<T>>>,
    /// The places in `values` that are free.
    free: Vec<usize>,
}

impl<T> Cursor<T> {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            current: AtomicPtr::new(ptr::null_mut()),
            barrier: Barrier::best(),
            kept: Mutex::new(Kept {
                values: Vec::new(),
                free: Vec::new(),
            }),
        }
    }

    /// The current value, which is not freed while it is held. `None` when none is, when it is being
    /// replaced at this moment, or when this thread holds one already, of whichever cursor.
    ///
    /// To be held for a few instructions. Never dropping it keeps this thread from ever holding
    /// another one, and what is at its address from being removed.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a handful of instructions on the hot path"
    )]
    pub fn current(&self) -> Option<Current<'_, T>> {
        let record = this_thread()?;
        let protected = record.protect(&self.current, self.barrier)?;
        Some(Current {
            protected,
            cursor: PhantomData,
        })
    }

    /// Adds a value. It does not become current by that.
    pub fn insert(&self, value: Arc<T>) -> Key {
        let kept = &mut *self.kept();
        let place = kept.free.pop().unwrap_or(kept.values.len());
        match kept.values.get_mut(place) {
            Some(free) => *free = Some(value),
            None => kept.values.push(Some(value)),
        }
        Key(place)
    }

    /// Makes a value current. Does nothing if it was removed.
    pub fn point_to(&self, key: Key) {
        let kept = self.kept();
        if let Some(Some(value)) = kept.values.get(key.0) {
            // Release: who sees the pointer sees the value.
            self.current
                .store(Arc::as_ptr(value).cast_mut(), Ordering::Release);
        }
    }

    /// Takes a value out; if it is current, then none is afterwards.
    ///
    /// `None` if it was removed before, or if a thread holds it, or may: then it stays in the set.
    pub fn remove(&self, key: Key) -> Option<Arc<T>> {
        let kept = &mut *self.kept();
        let place = kept.values.get_mut(key.0)?;
        let value = Arc::as_ptr(place.as_ref()?);
        // Only holders of the lock store to it.
        if self.current.load(Ordering::Relaxed).cast_const() == value {
            self.current.store(ptr::null_mut(), Ordering::Relaxed);
        }
        // Needed even if it was not current: it may have been a moment ago.
        if !self.barrier.heavy() || is_read(value) {
            return None;
        }
        let value = place.take();
        kept.free.push(key.0);
        value
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        // Nobody panics while holding it but for lack of memory, and then the set is whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Cursor<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Current<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&**self).finish()
    }
}

impl<T> fmt::Debug for Cursor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").finish_non_exhaustive()
    }
}

/// The records of all threads that ever were, but for those in [`UNUSED`] each a
/// live thread's. They are never freed; a new thread takes one that a thread which ended has left.
static RECORDS: Mutex<Vec<&'static Record>> = Mutex::new(Vec::new());
static UNUSED: Mutex<Vec<&'static Record>> = Mutex::new(Vec::new());

fn is_read<T>(value: *const T) -> bool {
    let records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    records.iter().any(|record| record.protects(value))
}

thread_local! {
    /// This thread's record, for the hot path: it has no destructor to look out for.
    static RECORD: Cell<Option<&'static Record>> = const { Cell::new(None) };
    /// The same, to be given back when the thread ends.
    static LEASE: Cell<Option<Lease>> = const { Cell::new(None) };
}

/// This thread's record; `None` when the thread is about to end.
#[inline]
fn this_thread() -> Option<&'static Record> {
    RECORD.with(Cell::get).or_else(enlist)
}

#[cold]
fn enlist() -> Option<&'static Record> {
    let lock = |list: &'static Mutex<Vec<_>>| list.lock().unwrap_or_else(PoisonError::into_inner);
    LEASE
        .try_with(|lease| {
            let unused = lock(&UNUSED).pop();
            let record = unused.unwrap_or_else(|| {
                let record: &'static Record = Box::leak(Box::new(Record::new()));
                lock(&RECORDS).push(record);
                record
            });
            lease.set(Some(Lease(record)));
            RECORD.set(Some(record));
            record
        })
        .ok()
}

struct Lease(&'static Record);

impl Drop for Lease {
    fn drop(&mut self) {
        // A destructor that reads later finds no record, and cannot enlist.
        RECORD.set(None);
        // What was never dropped stays protected: nobody else gets the record.
        if self.0.is_idle() {
            UNUSED
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn what_is_read_is_not_removed() {
        let cursor = Cursor::new();
        let keys = [1, 2].map(|n| cursor.insert(Arc::new(n)));
        cursor.point_to(keys[0]);
        let held = cursor.current().unwrap();
        // Another is removed meanwhile, this one is not, and no more becomes current.
        assert_eq!(cursor.remove(keys[1]).as_deref(), Some(&2));
        assert_eq!(cursor.remove(keys[0]), None);
        assert!(cursor.current().is_none(), "a thread holds one");
        assert_eq!(*held, 1);
        drop(held);
        assert!(cursor.current().is_none(), "it was on its way out");
        cursor.point_to(keys[0]);
        assert_eq!(*cursor.current().unwrap(), 1);
        assert_eq!(cursor.remove(keys[0]).as_deref(), Some(&1));
        assert_eq!(cursor.remove(keys[0]), None);
        cursor.point_to(keys[0]);
        assert!(cursor.current().is_none());
    }

    #[test]
    fn what_is_held_for_ever_is_never_removed() {
        // Nor is anything else at its address, which therefore no other test shall get.
        static CURSOR: OnceLock<Cursor<i32>> = OnceLock::new();
        std::thread::spawn(|| {
            let cursor = CURSOR.get_or_init(Cursor::new);
            let key = cursor.insert(Arc::new(7));
            cursor.point_to(key);
            std::mem::forget(cursor.current().unwrap());
            assert!(cursor.current().is_none());
            assert!(cursor.remove(key).is_none());
        })
        .join()
        .unwrap();
    }

    /// A value that is gone says so.
    struct Canary(AtomicBool);

    impl Drop for Canary {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }

    #[test]
    fn readers_never_see_what_was_freed() {
        for barrier in [Barrier::best(), Barrier::Symmetric] {
            let mut cursor = Cursor::new();
            cursor.barrier = barrier;
            let stop = AtomicBool::new(false);
            let (mut freed, mut kept) = (0, Vec::new());
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while !stop.load(Ordering::Relaxed) {
                            let current: Option<Current<'_, Canary>> = cursor.current();
                            if let Some(canary) = current {
                                for _ in 0..20 {
                                    assert!(canary.0.load(Ordering::SeqCst));
                                }
                            }
                        }
                    });
                }
                for _ in 0..20_000 {
                    let key = cursor.insert(Arc::new(Canary(AtomicBool::new(true))));
                    cursor.point_to(key);
                    kept.push(key);
                    kept.retain(|&key| match cursor.remove(key) {
                        Some(_) => {
                            freed += 1;
                            false
                        }
                        None => true,
                    });
                }
                stop.store(true, Ordering::Relaxed);
            });
            kept.retain(|&key| cursor.remove(key).is_none());
            assert!(kept.is_empty());
            assert!(freed > 0);
        }
    }
}
