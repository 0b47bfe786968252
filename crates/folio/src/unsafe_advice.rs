//! Advice by which bytes change or go, for those who can promise that nobody minds.
#![expect(
    unsafe_code,
    reason = "the functions here are unsafe to call, which is all that they are"
)]

use std::ops::RangeBounds;

use folio_sys::advice::UnsafeAdvice;

use crate::{Map, MapMut, Result};

impl Map {
    /// As [`advise`](Self::advise), of what changes bytes, takes pages away, or says what becomes of them in forked children.
    ///
    /// It is done to the whole pages that hold the range.
    ///
    /// # Errors
    ///
    /// As for [`advise`](Self::advise).
    ///
    /// # Safety
    ///
    /// That of the advice, which each [states](UnsafeAdvice); and for as long as it holds, nobody holds a slice
    /// ([`as_slice`](Self::as_slice)) of these pages. Views and folio's own reads and writes are no slices: they find
    /// other bytes, or [`Error::Fault`](crate::Error::Fault).
    ///
    /// ```
    /// use folio::{Map, ReadAt, UnsafeAdvice};
    ///
    /// let map = Map::options().anonymous(1 << 20)?;
    /// map.put(0, &7_u64)?;
    /// // SAFETY: nobody has a slice of this map, and nobody else has its memory.
    /// unsafe { map.advise_unsafe(..1000, UnsafeAdvice::Remove) }?;
    /// assert_eq!(map.get::<u64>(0)?, 0);
    /// # Ok::<(), folio::Error>(())
    /// ```
    pub unsafe fn advise_unsafe(
        &self,
        range: impl RangeBounds<u64>,
        advice: UnsafeAdvice,
    ) -> Result<()> {
        self.in_range("advise the kernel about", &range, |offset, len| {
            // SAFETY: the caller's promise is the same.
            unsafe { self.span().mapping().advise_unsafe(offset, len, advice) }
        })
    }
}

impl MapMut {
    /// Tells the kernel what may become of a range: see [`Map::advise_unsafe`].
    ///
    /// # Errors
    ///
    /// As for [`Map::advise_unsafe`].
    ///
    /// # Safety
    ///
    /// As for [`Map::advise_unsafe`].
    pub unsafe fn advise_unsafe(
        &self,
        range: impl RangeBounds<u64>,
        advice: UnsafeAdvice,
    ) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.map().advise_unsafe(range, advice) }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::{Error, ReadAt};

    #[test]
    fn removed_pages_are_zeros_and_their_neighbours_are_not() {
        let page = rustix::param::page_size() as u64;
        let map = Map::options().anonymous(4 * page).unwrap();
        map.write_all_at(0, &vec![7; 4 * rustix::param::page_size()])
            .unwrap();
        // SAFETY: there are no slices of this map, and its memory is nobody else's.
        unsafe { map.advise_unsafe(page + 5..2 * page, UnsafeAdvice::Remove) }.unwrap();
        for (number, expected) in [(0, 7), (1, 0), (2, 7), (3, 7)] {
            assert_eq!(map.get::<u8>(number * page).unwrap(), expected, "{number}");
            let last = (number + 1) * page - 1;
            assert_eq!(map.get::<u8>(last).unwrap(), expected, "{number}");
        }
        // SAFETY: as above, and nothing of it is in the map.
        let beyond = unsafe { map.advise_unsafe(..=4 * page, UnsafeAdvice::Remove) };
        assert!(matches!(beyond, Err(Error::OutOfRange { .. })));
    }

    #[test]
    fn guarded_pages_are_faults_until_they_are_none() {
        let page = rustix::param::page_size() as u64;
        let map = Map::options().anonymous(3 * page).unwrap();
        map.put(page, &7_u8).unwrap();
        // SAFETY: there are no slices of this map.
        match unsafe { map.advise_unsafe(page..2 * page, UnsafeAdvice::InstallGuard) } {
            Ok(()) => {}
            // Before Linux 6.15, for shared memory.
            Err(Error::Io { source, .. }) => {
                println!("skipped: guard pages: {source}");
                return;
            }
            Err(error) => panic!("{error:?}"),
        }
        let failed = map.read_exact_at(page - 1, &mut [0; 2]);
        assert!(
            matches!(failed, Err(Error::Fault { offset, .. }) if offset == page),
            "{failed:?}"
        );
        // SAFETY: as above.
        unsafe { map.advise_unsafe(page..2 * page, UnsafeAdvice::RemoveGuard) }.unwrap();
        assert_eq!(map.get::<u8>(page).unwrap(), 7);
    }
}
