//! Which bytes a mapping is asked to hold, and which pages those need.

use std::io;

use crate::page;

/// A range of a file to be mapped: any offset, any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    offset_bytes: u64,
    len: usize,
    reserve: usize,
    page_bytes: usize,
}

impl Extent {
    /// `len` bytes from `offset_bytes` on.
    #[must_use]
    pub fn new(offset_bytes: u64, len: usize) -> Self {
        Self {
            offset_bytes,
            len,
            reserve: 0,
            page_bytes: page::size(),
        }
    }

    /// Sets address space aside, so that the mapping can grow in place to `reserve` bytes.
    #[must_use]
    pub fn reserve(mut self, reserve: usize) -> Self {
        self.reserve = reserve;
        self
    }

    /// The size of the pages that the file is made of, a power of two: files on
    /// `hugetlbfs` have larger ones than the system's, and are mapped by whole ones only.
    ///
    /// Less than the system's page size counts as that.
    #[must_use]
    pub fn page_bytes(mut self, page_bytes: usize) -> Self {
        self.page_bytes = page_bytes.next_power_of_two().max(page::size());
        self
    }

    /// The pages to map.
    pub(super) fn pages(self) -> io::Result<Pages> {
        let unit = self.page_bytes as u64;
        let within = self.offset_bytes & (unit - 1);
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        // Below a page's size, which is a usize.
        let skew = usize::try_from(within).map_err(|_| invalid())?;
        let pages = Pages {
            file_offset: self.offset_bytes - within,
            skew,
            page_bytes: self.page_bytes,
        };
        // The kernel takes signed offsets, so that a range may not end beyond i64::MAX.
        pages
            .size_for(self.len.max(self.reserve))
            .filter(|&size| {
                let end = pages.file_offset.checked_add(size as u64);
                // No bytes are no bytes, wherever they begin.
                size == 0 || end.is_some_and(|end| i64::try_from(end).is_ok())
            })
            .ok_or_else(invalid)?;
        Ok(pages)
    }

    pub(crate) fn len(self) -> usize {
        self.len
    }

    pub(crate) fn can_grow(self) -> bool {
        self.reserve > self.len
    }

    pub(super) fn reserved(self) -> usize {
        self.reserve
    }
}

/// Where an extent's bytes lie in whole pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    /// Where in the file the first page begins.
    pub(super) file_offset: u64,
    /// How far into the first page the first byte is.
    pub(super) skew: usize,
    /// The size of a page.
    pub(super) page_bytes: usize,
}

impl Pages {
    /// No pages, of no file.
    pub(super) const NONE: Self = Self {
        file_offset: 0,
        skew: 0,
        page_bytes: 1,
    };

    /// The bytes of the whole pages that hold the first `len` bytes; `None` when no
    /// address space has that many.
    pub(super) fn size_for(self, len: usize) -> Option<usize> {
        if len == 0 {
            return Some(0);
        }
        len.checked_add(self.skew)?
            .checked_next_multiple_of(self.page_bytes)
            .filter(|&size| isize::try_from(size).is_ok())
    }

    /// The whole pages that hold `len` bytes from `offset` on, which the mapping has:
    /// their first byte, counted from the first page's start, and their size.
    pub(super) fn of_range(self, offset: usize, len: usize) -> (usize, usize) {
        if len == 0 {
            return (0, 0);
        }
        let first = self.skew + offset;
        let start = first & !(self.page_bytes - 1);
        let end = (first + len).next_multiple_of(self.page_bytes);
        (start, end - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_lies_in_whole_pages() {
        let page = page::size();
        for offset in [0, 1, page - 1, page, 5 * page + 17] {
            let pages = Extent::new(offset as u64, 3 * page).pages().unwrap();
            assert_eq!(pages.file_offset % page as u64, 0);
            assert_eq!(pages.file_offset + pages.skew as u64, offset as u64);
            for (at, len) in [
                (0, 1),
                (0, page),
                (page - 1, 2),
                (17, 2 * page),
                (3 * page, 0),
            ] {
                let (start, size) = pages.of_range(at, len);
                assert_eq!((start % page, size % page), (0, 0));
                if len > 0 {
                    assert!(start <= pages.skew + at);
                    assert!(start + size >= pages.skew + at + len);
                    assert!(start + size <= pages.size_for(at + len).unwrap());
                    assert!(size < len + 2 * page, "no page more than needed");
                }
            }
        }
    }

    #[test]
    fn refuses_what_no_address_space_holds() {
        for (offset, len) in [
            (0, usize::MAX),
            (1, isize::MAX.unsigned_abs()),
            (u64::MAX, 1),
            (u64::MAX - 5000, 10_000),
            (i64::MAX as u64, 1),
        ] {
            let error = Extent::new(offset, len).pages().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let error = Extent::new(offset, 0).reserve(len).pages().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
