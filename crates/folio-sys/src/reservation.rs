//! Address space that is set aside.

use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags};

/// A run of addresses that nothing can be read from or written to, and that nobody else gets
/// while this lives. It takes no memory.
///
/// ```
/// let reserved = folio_sys::reservation::Reservation::new(64 << 20)?;
/// assert_eq!(reserved.len(), 64 << 20);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Reservation {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the value owns its addresses, which belong to no thread.
unsafe impl Send for Reservation {}
// SAFETY: nothing can be done with a shared one but ask for its place.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `len` bytes, rounded up to whole pages, wherever there is a hole.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0 bytes; ENOMEM when no hole is that large, or the process may have no more
    /// address space or mappings.
    pub fn new(len: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses free addresses (null hint, no MAP_FIXED), so no
        // memory that anyone uses is replaced.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { start, len })
    }

    /// How many bytes were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first address.
    #[must_use]
    pub fn addr(&self) -> usize {
        self.start.as_ptr().addr()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made, which nobody can have used.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be() {
        assert!(Reservation::new(0).is_err());
        assert!(Reservation::new(usize::MAX).is_err());
        assert!(Reservation::new(usize::MAX / 2).is_err());
    }

    #[test]
    fn two_do_not_overlap() {
        let [one, two] = [(), ()].map(|()| Reservation::new(1 << 20).unwrap());
        assert!(one.addr().abs_diff(two.addr()) >= 1 << 20);
    }
}
