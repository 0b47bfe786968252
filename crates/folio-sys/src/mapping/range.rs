//! What is asked of the kernel for a range of a mapping: any bytes, whole pages inside.

use std::io;

use super::Mapping;
use crate::advice::{Advice, UnsafeAdvice};

/// A run of whole pages of a mapping: checked once, trusted after.
#[derive(Debug, Clone, Copy)]
struct PageRange {
    offset: usize,
    size_bytes: usize,
}

impl Mapping {
    /// Tells the kernel how a range will be used.
    ///
    /// What is said holds for the whole pages that hold the range, never for a neighbouring mapping's.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the mapping does not have all of the range; `Unsupported` when
    /// the kernel does not know the advice; otherwise the system's.
    pub fn advise(&self, offset: usize, len: usize, advice: Advice) -> io::Result<()> {
        let Some(range) = self.page_range(offset, len)? else {
            return Ok(());
        };
        let Some(advice) = advice.of_kernel() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        // SAFETY: pages of this mapping alone. It is a shared one, of which no advice
        // in the list loses or changes a byte: what is dropped is read anew.
        unsafe { self.madvise(range, advice) }
    }

    /// As [`advise`](Self::advise), of what does change bytes, or what becomes of them.
    ///
    /// # Errors
    ///
    /// As for [`advise`](Self::advise).
    ///
    /// # Safety
    ///
    /// That of the advice, which each says at its place; and nobody holds a slice of these bytes.
    pub unsafe fn advise_unsafe(
        &self,
        offset: usize,
        len: usize,
        advice: UnsafeAdvice,
    ) -> io::Result<()> {
        let Some(range) = self.page_range(offset, len)? else {
            return Ok(());
        };
        let Some(advice) = advice.of_kernel() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        // SAFETY: pages of this mapping alone; what becomes of them is the caller's word.
        unsafe { self.madvise(range, advice) }
    }

    /// Tells, page by page, which of a range are in the page cache (`mincore(2)`): appends 1 or 0 for each of
    /// the pages that hold the range.
    ///
    /// Linux answers 1 for all to those who neither own the file nor may write it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the mapping does not have all of the range; otherwise the system's.
    pub fn cached_pages(&self, offset: usize, len: usize, pages: &mut Vec<u8>) -> io::Result<()> {
        let Some(range) = self.page_range(offset, len)? else {
            return Ok(());
        };
        let before = pages.len();
        pages.resize(before + range.size_bytes.div_ceil(crate::page::size()), 0);
        let answers = pages.get_mut(before..).unwrap_or_default();
        // SAFETY: the kernel writes a byte for each page of the range, and there are as many bytes; the pages
        // themselves it only looks up.
        let outcome = unsafe {
            libc::mincore(
                self.area.address(range.offset),
                range.size_bytes,
                answers.as_mut_ptr().cast(),
            )
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        // The other bits are reserved.
        for answer in answers {
            *answer &= 1;
        }
        Ok(())
    }

    /// Keeps a range in memory until it is unlocked or unmapped. Locks do not add up.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the mapping does not have all of the range; the system's: ENOMEM
    /// or EPERM above the limit of locked memory (`RLIMIT_MEMLOCK`), and when a page is lost.
    pub fn lock(&self, offset: usize, len: usize) -> io::Result<()> {
        let Some(range) = self.page_range(offset, len)? else {
            return Ok(());
        };
        // SAFETY: pages of this mapping alone, which are kept where they are.
        unsafe { rustix::mm::mlock(self.area.address(range.offset), range.size_bytes) }
            .map_err(io::Error::from)
    }

    /// Lets the pages of a range leave memory again.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the mapping does not have all of the range; otherwise the system's.
    pub fn unlock(&self, offset: usize, len: usize) -> io::Result<()> {
        let Some(range) = self.page_range(offset, len)? else {
            return Ok(());
        };
        // SAFETY: pages of this mapping alone.
        unsafe { rustix::mm::munlock(self.area.address(range.offset), range.size_bytes) }
            .map_err(io::Error::from)
    }

    /// Writes the changed pages of a range to the file, and waits for it or not.
    pub(super) fn sync(
        &self,
        offset: usize,
        len: usize,
        flags: rustix::mm::MsyncFlags,
    ) -> io::Result<()> {
        let Some(range) = self.page_range(offset, len)? else {
            return Ok(());
        };
        // SAFETY: pages of this mapping alone; msync changes none of them.
        unsafe { rustix::mm::msync(self.area.address(range.offset), range.size_bytes, flags) }
            .map_err(io::Error::from)
    }

    /// # Safety
    ///
    /// What the advice does to the pages of the range is allowed.
    unsafe fn madvise(&self, range: PageRange, advice: libc::c_int) -> io::Result<()> {
        // SAFETY: pages of this mapping alone; the rest is the caller's word.
        let outcome =
            unsafe { libc::madvise(self.area.address(range.offset), range.size_bytes, advice) };
        if outcome == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // The range is right, so it is the advice that is not.
            Some(libc::EINVAL) => Err(io::ErrorKind::Unsupported.into()),
            _ => Err(error),
        }
    }

    /// The pages of a range; `None` when there are none.
    fn page_range(&self, offset: usize, len: usize) -> io::Result<Option<PageRange>> {
        let mapped = self.len();
        if offset > mapped || len > mapped - offset {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if len == 0 {
            return Ok(None);
        }
        let (offset, size_bytes) = self.pages.of_range(offset, len);
        Ok(Some(PageRange { offset, size_bytes }))
    }
}
