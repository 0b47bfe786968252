//! Address space that is set aside.

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags};

use crate::page;

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
    /// No memory is set aside for them, as nothing can be written there.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0 bytes; ENOMEM when no hole is that large, or the process may have no more
    /// address space or mappings.
    pub fn new(len: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses free addresses (null hint, no MAP_FIXED), so no
        // memory that anyone uses is replaced.
        let start = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), MapFlags::PRIVATE)
        }?;
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { start, len })
    }

    /// Two of one: the first `at` bytes, a whole number of pages, and the rest.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when `at` is no whole number of pages, or leaves nothing on one side.
    pub fn split(self, at: usize) -> io::Result<(Self, Self)> {
        let rest = NonNull::new(self.start.as_ptr().wrapping_add(at))
            .filter(|_| at > 0 && at < self.len && at % page::size() == 0)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // Its addresses are the two's now.
        let whole = ManuallyDrop::new(self);
        let part = |start, len| Self { start, len };
        Ok((part(whole.start, at), part(rest, whole.len - at)))
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

/// Address space of which only some holes of one size are left: as a 32-bit program
/// comes to be that ran for long, or that maps much. For tests and demonstrations.
#[derive(Debug)]
pub struct Fragmented {
    _kept: Vec<Reservation>,
}

impl Fragmented {
    /// Reserves all of the process's address space but holes of `hole_bytes`, so many of them. There may also be
    /// smaller ones; none is larger.
    ///
    /// Do this in a thread other than the first: the first one's stack can hardly grow after it.
    ///
    /// # Errors
    ///
    /// ENOMEM when there is no room for that many holes; `InvalidInput` for holes of no whole pages.
    pub fn new(holes: usize, hole_bytes: usize) -> io::Result<Self> {
        let page = page::size();
        // Memory for the list, while there is some: more than the halvings of any address space.
        let mut kept = Vec::with_capacity(2 * holes + 4096);
        let blocks = (0..holes)
            .map(|_| Reservation::new(hole_bytes.saturating_add(2 * page)))
            .collect::<io::Result<Vec<_>>>()?;
        let mut size = usize::MAX / 2 + 1;
        while size > hole_bytes {
            match Reservation::new(size) {
                Ok(reservation) => kept.push(reservation),
                Err(_) if size / 2 > hole_bytes => size /= 2,
                // The last: a page more than the holes shall have.
                Err(_) if size > hole_bytes + page => size = hole_bytes + page,
                Err(_) => break,
            }
        }
        for block in blocks {
            // The pages at its ends keep the hole apart from others.
            let (first, rest) = block.split(page)?;
            let (hole, last) = rest.split(hole_bytes)?;
            kept.extend([first, last]);
            drop(hole);
        }
        Ok(Self { _kept: kept })
    }
}

/// The most bytes that can be mapped in one piece now. Found by trying.
#[must_use]
pub fn largest_hole() -> usize {
    let page = page::size();
    let (mut fits, mut too_large) = (0, usize::MAX / page);
    while too_large - fits > 1 {
        let pages = fits + (too_large - fits) / 2;
        match Reservation::new(pages * page) {
            Ok(_) => fits = pages,
            Err(_) => too_large = pages,
        }
    }
    fits * page
}

/// How many bytes of address space the process uses, as `RLIMIT_AS` counts it. `None` where nobody says.
#[must_use]
pub fn address_space_in_use() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').next()?.parse().ok()?;
    pages.checked_mul(page::size() as u64)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped, or the part of it that `split` left to this value, which nobody can
        // have used.
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
        assert!(Reservation::new(usize::MAX - page::size()).is_err());
    }

    #[test]
    fn splits_at_pages_only() {
        let page = page::size();
        for wrong in [0, 1, page + 1, 4 * page, 5 * page, usize::MAX - page + 1] {
            assert!(Reservation::new(4 * page).unwrap().split(wrong).is_err());
        }
        let whole = Reservation::new(4 * page).unwrap();
        let start = whole.addr();
        let (first, rest) = whole.split(page).unwrap();
        assert_eq!((first.addr(), first.len()), (start, page));
        assert_eq!((rest.addr(), rest.len()), (start + page, 3 * page));
    }

    #[test]
    fn two_do_not_overlap() {
        let [one, two] = [(), ()].map(|()| Reservation::new(1 << 20).unwrap());
        assert!(one.addr().abs_diff(two.addr()) >= 1 << 20);
    }
}
