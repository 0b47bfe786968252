//! What is asked of the kernel for a range of a mapping: any bytes, whole pages inside.

use std::io;

use rustix::io::Errno;

use super::Mapping;
use crate::advice::Advice;

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
        let address = self.area.address(range.offset);
        // SAFETY: pages of this mapping alone. It is a shared one, of which no advice
        // in the list loses or changes a byte: what is dropped is read anew.
        match unsafe { rustix::mm::madvise(address, range.size_bytes, advice) } {
            Ok(()) => Ok(()),
            // The range is right, so it is the advice that is not.
            Err(Errno::INVAL) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
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
