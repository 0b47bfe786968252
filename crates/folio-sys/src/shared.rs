//! Memory that a process shares with the children it forks.

use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags};

/// 64-bit counters in anonymous shared memory, all zero at first.
///
/// A child made by [`process::fork`](crate::process::fork) sees the same words,
/// not a copy of them. They live until the last process that has them ends, and
/// outlive every process that dies meanwhile.
///
/// ```
/// use std::sync::atomic::Ordering::Relaxed;
///
/// let words = folio_sys::shared::SharedWords::new(8)?;
/// words[3].fetch_add(1, Relaxed);
/// assert_eq!(words[3].load(Relaxed), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SharedWords {
    words: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the value owns its mapping, which belongs to no thread.
unsafe impl Send for SharedWords {}
// SAFETY: a shared SharedWords gives out atomics only.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Makes `count` words, all zero.
    ///
    /// # Errors
    ///
    /// The system's, when it refuses the mapping; `InvalidInput` for a count of 0
    /// or one whose size in bytes no address space holds.
    pub fn new(count: usize) -> io::Result<Self> {
        let size_bytes = Self::size_bytes(count)
            .filter(|&size| size > 0)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the kernel chooses a free address (null hint, no MAP_FIXED), so
        // no memory that anyone uses is replaced.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                size_bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )
        }?;
        let words = NonNull::new(start.cast::<AtomicU64>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { words, count })
    }

    fn size_bytes(count: usize) -> Option<usize> {
        count
            .checked_mul(size_of::<AtomicU64>())
            .filter(|&size| isize::try_from(size).is_ok())
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `new` mapped `count` words here, page-aligned, readable and
        // writable, and they stay mapped until drop. All-zero bytes, and whatever
        // the processes that share them store, are valid AtomicU64s. Those
        // processes got the mapping by fork, so that they too reach it through
        // this type alone, atomically. It is anonymous: nothing can truncate it.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let size_bytes = self.count * size_of::<AtomicU64>();
        // SAFETY: exactly the mapping that `new` made; borrows of it have ended.
        let unmapped = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), size_bytes) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn refuses_sizes_that_cannot_be() {
        assert!(SharedWords::new(0).is_err());
        assert!(SharedWords::new(usize::MAX).is_err());
        assert!(SharedWords::new(usize::MAX / 8).is_err());
    }

    #[test]
    fn starts_at_zero_and_counts() {
        let words = SharedWords::new(1000).unwrap();
        assert_eq!(words.len(), 1000);
        assert!(words.iter().all(|word| word.load(Relaxed) == 0));
        words[999].store(u64::MAX, Relaxed);
        assert_eq!(words[999].load(Relaxed), u64::MAX);
    }
}
