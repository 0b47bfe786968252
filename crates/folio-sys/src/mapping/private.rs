//! Mappings whose changes stay with the process until somebody writes them back.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::mm::{MapFlags, ProtFlags};

use super::{Area, Extent, Mapping, ReadError, WriteError};
use crate::copy::copy_in;
use crate::fault::FaultPolicy;
use crate::process_mark::ProcessMark;

/// A private mapping of a file's beginning: what is written to it changes a copy of the page (copy on write).
///
/// A page that was not written to is the file's own, and shows what others write to the file.
///
/// ```
/// use std::io::Write;
/// use std::os::fd::AsFd;
/// use folio_sys::{fault::FaultPolicy, mapping::PrivateMapping};
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(&[7; 100_000])?;
/// let mapping = PrivateMapping::of_file(file.as_fd(), 100_000, FaultPolicy::Handler)?;
/// mapping.write_all_at(50_000, b"hello").unwrap();
/// # if cfg!(target_os = "linux") {
/// let mut touched = Vec::new();
/// mapping.touched(&mut |pages| touched.push(pages))?;
/// let page = 50_000 / folio_sys::page::size();
/// assert_eq!(touched, [page..page + 1]);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct PrivateMapping {
    mapping: Mapping,
    mark: ProcessMark,
}

impl PrivateMapping {
    /// Maps the first `len` bytes of `file`, which must be open for reading.
    ///
    /// # Errors
    ///
    /// As for [`Mapping::of_file`].
    pub fn of_file(file: BorrowedFd<'_>, len: usize, policy: FaultPolicy) -> io::Result<Self> {
        let pages = Extent::new(0, len).pages()?;
        let area = match pages.size_for(len) {
            None | Some(0) => Area::empty(),
            Some(size_bytes) => {
                // Copies are made of few pages, so that none need memory set aside for it.
                #[cfg(target_os = "linux")]
                let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
                #[cfg(not(target_os = "linux"))]
                let flags = MapFlags::PRIVATE;
                Area::of_file(
                    file,
                    0,
                    size_bytes,
                    ProtFlags::READ | ProtFlags::WRITE,
                    flags,
                )?
            }
        };
        Ok(Self {
            mapping: Mapping::in_area(area, pages, len, policy)?,
            mark: ProcessMark::new()?,
        })
    }

    /// How many bytes are mapped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mapping.is_empty()
    }

    /// Whether this process made it. A forked child has copies of the pages that were
    /// written to, which have nothing to do with its parent's any more.
    #[must_use]
    pub fn is_of_this_process(&self) -> bool {
        self.mark.is_of_this_process()
    }

    /// Copies bytes from `offset` on into `buf`, as many as both have, and says how many.
    ///
    /// # Errors
    ///
    /// As for [`Mapping::read_at`].
    pub fn read_at(&self, offset: usize, buf: &mut [u8]) -> Result<usize, ReadError> {
        self.mapping.read_at(offset, buf)
    }

    /// Writes all of `bytes` at `offset`, to copies of the pages that are there.
    ///
    /// # Errors
    ///
    /// [`WriteError::OutOfRange`] when nothing was written; [`CopyError::Fault`](super::CopyError::Fault) when a
    /// page is lost, and then the bytes before it were.
    pub fn write_all_at(&self, offset: usize, bytes: &[u8]) -> Result<(), WriteError> {
        let len = self.mapping.len();
        if offset > len || bytes.len() > len - offset {
            return Err(WriteError::OutOfRange);
        }
        let to = self.mapping.start.as_ptr().wrapping_add(offset);
        // SAFETY: `bytes` is a reference, so nobody changes them, and none into a mapping is
        // given out without a promise of that. The target was just seen to be within the
        // mapping, which is writable. The policy came from `prepare`.
        unsafe { copy_in(to, bytes.as_ptr(), bytes.len(), self.mapping.policy) }
            .map_err(WriteError::Copy)
    }

    /// Calls `each` with the runs of pages that were written to, in order, those that are swapped out included.
    /// The page table tells, so that no page is touched.
    ///
    /// `PAGEMAP_SCAN` passes over what was never touched; before Linux 6.7, eight bytes are read for each page.
    ///
    /// # Errors
    ///
    /// The system's, where there is no `/proc`; `Unsupported` on other systems.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(clippy::unused_self, reason = "other systems tell nothing")
    )]
    pub fn touched(&self, each: &mut dyn FnMut(Range<usize>)) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use crate::pagemap::PageMap;

            let addresses = self.addresses();
            let (first, page_bytes) = (addresses.start, self.mapping.page_bytes());
            PageMap::open()?.find_private(addresses, &mut |found: Range<usize>| {
                each((found.start - first) / page_bytes..(found.end - first) / page_bytes);
            })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = each;
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Gives up the copies of pages: they are the file's again. It takes an exclusive reference, since
    /// bytes change by it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the mapping does not have all of the pages; otherwise the system's.
    pub fn forget(&mut self, pages: Range<usize>) -> io::Result<()> {
        let has = self.mapping.page_count(self.mapping.len());
        if pages.start > pages.end || pages.end > has {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let page_bytes = self.mapping.page_bytes();
        let address = self.mapping.area.address(pages.start * page_bytes);
        #[cfg(target_os = "linux")]
        let advice = rustix::mm::Advice::LinuxDontNeed;
        #[cfg(not(target_os = "linux"))]
        let advice = rustix::mm::Advice::DontNeed;
        // SAFETY: pages of this mapping alone, of whose bytes nobody holds a reference.
        Ok(unsafe { rustix::mm::madvise(address, pages.len() * page_bytes, advice) }?)
    }

    #[cfg(target_os = "linux")]
    fn addresses(&self) -> Range<usize> {
        let count = self.mapping.page_count(self.mapping.len());
        self.mapping.addresses_of_pages(0..count)
    }
}

// The tests for aarch64 run on an emulator, whose page table is not the program's.
#[cfg(all(test, target_os = "linux", not(target_arch = "aarch64")))]
mod tests {
    use super::*;
    use crate::page;
    use crate::pagemap::PageMap;
    use std::os::fd::AsFd;

    #[test]
    fn both_interfaces_find_what_was_written_and_not_what_was_read() {
        let file = tempfile::tempfile().unwrap();
        let pages = 3000;
        file.set_len((pages * page::size()) as u64).unwrap();
        let mut mapping =
            PrivateMapping::of_file(file.as_fd(), pages * page::size(), FaultPolicy::Handler)
                .unwrap();
        let found = |mapping: &PrivateMapping| {
            let (mut by_scan, mut by_bits) = (Vec::new(), Vec::new());
            mapping.touched(&mut |run| by_scan.extend(run)).unwrap();
            let first = mapping.mapping.first_address();
            let map = PageMap::open().unwrap();
            map.find_private_by_bits(mapping.addresses(), &mut |run| {
                by_bits.push((run.start - first) / page::size());
            })
            .unwrap();
            assert_eq!(by_scan, by_bits);
            by_scan
        };
        assert_eq!(found(&mapping), []);
        for page in [1, 2, 700] {
            mapping.read_at(page * page::size(), &mut [0; 9]).unwrap();
        }
        assert_eq!(found(&mapping), []);
        let written = [0, 2, 3, 511, 512, 1500, 2999];
        for page in written {
            mapping.write_all_at(page * page::size() + 9, b"x").unwrap();
        }
        assert_eq!(found(&mapping), written);
        mapping.forget(2..600).unwrap();
        assert_eq!(found(&mapping), [0, 1500, 2999]);
        mapping.forget(0..3001).unwrap_err();
    }
}
