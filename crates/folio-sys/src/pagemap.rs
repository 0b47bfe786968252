//! The page table of this process, as `/proc/self/pagemap` shows it.
//!
//! Linux's documentation: admin-guide/mm/pagemap.rst; the structures are those of
//! `linux/fs.h`, the same on 32-bit and 64-bit machines.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

use crate::page;

/// The page is not write-protected by userfaultfd, or no longer: it was written to.
pub(crate) const WRITTEN: u64 = 1 << 1;
/// The page is the file's own, or of shared memory.
pub(crate) const FILE: u64 = 1 << 2;
/// The page is in memory, and in the page table.
pub(crate) const PRESENT: u64 = 1 << 3;
/// The page is in swap, or its entry is some other kind of note that the kernel has left.
pub(crate) const SWAPPED: u64 = 1 << 4;
/// The page is the one of zeros that all share.
pub(crate) const ZERO: u64 = 1 << 5;

/// The page table of the process that opened it.
#[derive(Debug)]
pub(crate) struct PageMap {
    file: OwnedFd,
}

/// Which pages are looked for, by the words above.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query {
    /// What a page must not be.
    pub(crate) without: u64,
    /// What it must be.
    pub(crate) with: u64,
    /// Of which it must be one, if there are any.
    pub(crate) with_any: u64,
}

impl PageMap {
    /// Opens this process's.
    ///
    /// # Errors
    ///
    /// The system's, where there is no `/proc`.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open("/proc/self/pagemap", flags, Mode::empty())?;
        Ok(Self { file })
    }

    /// Calls `each` with the runs of pages between two addresses that the query is for, by address,
    /// in order (`PAGEMAP_SCAN`, Linux 6.7).
    ///
    /// # Errors
    ///
    /// The system's: ENOTTY or EINVAL before Linux 6.7.
    pub(crate) fn find(
        &self,
        addresses: Range<usize>,
        query: Query,
        each: &mut dyn FnMut(Range<usize>),
    ) -> io::Result<()> {
        self.scan(addresses, query, 0, each)
    }

    /// Calls `each` with the runs of pages between two addresses, in a private mapping of a file, that are
    /// this process's own, not the file's, whether in memory or swapped out.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn find_private(
        &self,
        addresses: Range<usize>,
        each: &mut dyn FnMut(Range<usize>),
    ) -> io::Result<()> {
        let private = Query {
            without: FILE | ZERO,
            with_any: PRESENT | SWAPPED,
            ..Query::default()
        };
        match self.find(addresses.clone(), private, each) {
            // Before Linux 6.7, or in a sandbox, and so at the very first call.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOTTY | libc::EINVAL | libc::EPERM | libc::ENOSYS)
                ) =>
            {
                self.find_private_by_bits(addresses, each)
            }
            outcome => outcome,
        }
    }

    /// As [`find`](Self::find), and write-protects the pages found, each at the moment when it is found. The
    /// addresses must be registered with a userfaultfd for asynchronous write-protection.
    ///
    /// # Errors
    ///
    /// As for [`find`](Self::find); EPERM when they are not registered.
    pub(crate) fn find_and_protect(
        &self,
        addresses: Range<usize>,
        query: Query,
        each: &mut dyn FnMut(Range<usize>),
    ) -> io::Result<()> {
        self.scan(addresses, query, WP_MATCHING | CHECK_WPASYNC, each)
    }

    fn scan(
        &self,
        addresses: Range<usize>,
        query: Query,
        flags: u64,
        each: &mut dyn FnMut(Range<usize>),
    ) -> io::Result<()> {
        let narrow = |address: u64| usize::try_from(address).unwrap_or(usize::MAX);
        let mut found = [Region::NONE; REGIONS];
        let mut start = addresses.start;
        while start < addresses.end {
            let mut request = Scan {
                size: size_of::<Scan>() as u64,
                flags,
                start: start as u64,
                end: addresses.end as u64,
                walk_end: 0,
                regions: (&raw mut found).addr() as u64,
                region_count: REGIONS as u64,
                max_pages: 0,
                category_inverted: query.without,
                category_mask: query.with | query.without,
                category_anyof_mask: query.with_any,
                // Alone, a query for what was written takes the kernel's short way.
                return_mask: query.with,
            };
            // SAFETY: `request` is the structure that the operation takes, and names room for
            // REGIONS regions, which is ours. What is protected, if anything, can be written to
            // as before: the kernel takes the protection away by itself.
            let count = retry_on_intr(|| unsafe { ioctl(&self.file, ScanCall(&mut request)) })?;
            for region in found.iter().take(count) {
                each(narrow(region.start)..narrow(region.end));
            }
            let walked = narrow(request.walk_end);
            if walked <= start {
                return Err(io::ErrorKind::InvalidData.into());
            }
            start = walked;
        }
        Ok(())
    }

    /// Calls `each` with the runs of pages between two addresses that are this process's own, not a
    /// file's: by the bits of the older interface, eight bytes a page.
    ///
    /// The page of zeros counts as the process's own.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn find_private_by_bits(
        &self,
        addresses: Range<usize>,
        each: &mut dyn FnMut(Range<usize>),
    ) -> io::Result<()> {
        const PRESENT_OR_SWAPPED: u64 = 0b11 << 62;
        const FILE_OR_SHARED: u64 = 1 << 61;

        let mut bytes = [0; 8 * ENTRIES];
        let mut start = addresses.start;
        while start < addresses.end {
            let left = (addresses.end - start).div_ceil(page::size()).min(ENTRIES);
            let wanted = bytes.get_mut(..8 * left).unwrap_or_default();
            let at = (start / page::size()) as u64 * 8;
            let count = retry_on_intr(|| rustix::io::pread(&self.file, &mut *wanted, at))?;
            if count < 8 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            for entry in wanted.get(..count).unwrap_or_default().chunks_exact(8) {
                let entry = word_of(entry);
                if entry & PRESENT_OR_SWAPPED != 0 && entry & FILE_OR_SHARED == 0 {
                    each(start..start + page::size());
                }
                start += page::size();
            }
        }
        Ok(())
    }
}

/// How many runs one call returns at most.
const REGIONS: usize = 256;
/// How many pages' bits one call reads.
const ENTRIES: usize = 512;

/// `PM_SCAN_WP_MATCHING`: write-protect what is found.
const WP_MATCHING: u64 = 1 << 0;
/// `PM_SCAN_CHECK_WPASYNC`: fail where that cannot be.
const CHECK_WPASYNC: u64 = 1 << 1;

/// `struct pm_scan_arg`.
#[derive(Debug)]
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    region_count: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

const _: () = assert!(size_of::<Scan>() == 96);
const _: () = assert!(size_of::<Region>() == 24);

impl Region {
    const NONE: Self = Self {
        start: 0,
        end: 0,
        categories: 0,
    };
}

struct ScanCall<'a>(&'a mut Scan);

// SAFETY: the operation takes a `struct pm_scan_arg`, which it writes to, and returns a count.
unsafe impl Ioctl for ScanCall<'_> {
    type Output = usize;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Scan>(b'f', 16)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.0).cast()
    }

    unsafe fn output_from_ptr(count: IoctlOutput, _: *mut c_void) -> rustix::io::Result<usize> {
        usize::try_from(count).map_err(|_| Errno::RANGE)
    }
}

/// The kernel writes words in the machine's byte order.
fn word_of(entry: &[u8]) -> u64 {
    entry.try_into().map_or(0, u64::from_ne_bytes)
}
