//! Bytes of a file in memory.

mod area;
mod extent;
mod mutable;
mod private;
mod range;
mod span;

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

pub(crate) use area::{Area, SHARED};
pub use extent::Extent;
use extent::Pages;
pub(crate) use mutable::write_all;
pub use mutable::{MappingMut, WriteError};
pub use private::PrivateMapping;
pub(crate) use span::read_exact;
pub use span::{ReadError, Span};

pub use crate::copy::CopyError;
use crate::fault::FaultPolicy;
use crate::survive::{Survivor, Use};
use crate::watch::protection::Protection;

/// A shared mapping of a range of a file, at any offset and of any length.
///
/// The bytes are the file's own pages in the page cache, so that any number of
/// processes that map the file hold them once. Other processes may change or truncate
/// them at any time; therefore they are only copied out, through a [`Span`], and, where
/// the mapping is a [`MappingMut`]'s, copied in.
pub struct Mapping {
    /// Set when lost pages become zeros. It stands before the area, and so is dropped before
    /// the pages are unmapped.
    survivor: Option<Survivor>,
    /// Set when writes are first watched by protection, in a mapping that is written to; `None` in
    /// others. It stands before the area for the same reason.
    protection: Option<OnceLock<Protection>>,
    area: Area,
    pages: Pages,
    /// The first byte of the range: `pages.skew` bytes into its page.
    start: NonNull<u8>,
    /// It only ever grows, and does so after the pages are there.
    len: AtomicUsize,
    policy: FaultPolicy,
}

// SAFETY: the value owns its area, which belongs to no thread; `start` points into it.
unsafe impl Send for Mapping {}
// SAFETY: a shared Mapping is only looked at: its bytes are out of reach but by guarded
// copies, which tolerate that anyone changes them meanwhile.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset_bytes` on, to be read.
    ///
    /// The range may reach past the end of the file: the bytes from the page after
    /// the end on are then lost ones until the file grows. A range of no bytes maps nothing and always
    /// succeeds.
    ///
    /// # Errors
    ///
    /// The system's: ENODEV for what cannot be mapped (pipes, ttys, most of `/proc`
    /// and `/sys`), EACCES for a descriptor not open for reading, ENOMEM when no hole in the
    /// address space is large enough. `InvalidInput` when offset and length overflow.
    pub fn of_file(
        file: impl AsFd,
        offset_bytes: u64,
        len: usize,
        policy: FaultPolicy,
    ) -> io::Result<Self> {
        Self::of_extent(file, Extent::new(offset_bytes, len), policy)
    }

    /// Maps an extent of `file`, to be read. What it reserves is of no use here.
    ///
    /// # Errors
    ///
    /// As for [`of_file`](Self::of_file).
    pub fn of_extent(file: impl AsFd, extent: Extent, policy: FaultPolicy) -> io::Result<Self> {
        let pages = extent.pages()?;
        let area = match pages.size_for(extent.len()) {
            None | Some(0) => Area::empty(),
            Some(size_bytes) => Area::of_file(
                file.as_fd(),
                pages.file_offset,
                size_bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
            )?,
        };
        Self::in_area(area, pages, extent.len(), policy)
    }

    /// A mapping of no bytes, of no file.
    fn nothing() -> Self {
        Self {
            survivor: None,
            protection: None,
            area: Area::empty(),
            pages: Pages::NONE,
            start: NonNull::dangling(),
            len: AtomicUsize::new(0),
            // It is never read, and so needs no handler.
            policy: FaultPolicy::Syscall,
        }
    }

    /// The mapping of `len` bytes that stands in `area`.
    fn in_area(area: Area, pages: Pages, len: usize, policy: FaultPolicy) -> io::Result<Self> {
        let start = NonNull::new(area.base().as_ptr().wrapping_add(pages.skew))
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self {
            survivor: None,
            protection: None,
            area,
            pages,
            start,
            len: AtomicUsize::new(len),
            policy: policy.prepare()?,
        })
    }

    /// How many bytes are mapped: as was asked, and more when it has grown since.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Whether no bytes are mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How lost pages are found out here: what was asked for, or what the
    /// architecture has.
    #[must_use]
    pub fn policy(&self) -> FaultPolicy {
        self.policy
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// As for [`Span::read_exact_at`].
    #[inline]
    pub fn read_exact_at(&self, offset: usize, buf: &mut [u8]) -> Result<(), ReadError> {
        // SAFETY: `len` bytes from `start` on are mapped for as long as `self` is. The
        // policy came from `prepare`.
        unsafe { span::read_exact(self.start, self.len(), self.policy, offset, buf) }
    }

    /// Copies bytes from `offset` on into `buf`, as many as both have, and says how many.
    ///
    /// # Errors
    ///
    /// As for [`Span::read_at`].
    #[inline]
    pub fn read_at(&self, offset: usize, buf: &mut [u8]) -> Result<usize, ReadError> {
        let count = self.len().saturating_sub(offset).min(buf.len());
        match buf.get_mut(..count) {
            None | Some([]) => Ok(0),
            // It never shrinks, so there are still as many.
            Some(buf) => self.read_exact_at(offset, buf).map(|()| count),
        }
    }

    /// Has lost pages replaced by zeros when they are touched by anything but folio's copies: by
    /// those who hold a [slice](Span::as_slice). See [`torn_pages`](Self::torn_pages).
    ///
    /// # Errors
    ///
    /// `Unsupported` without [`FaultPolicy::Handler`], which does the replacing, and for
    /// huge pages.
    pub fn survive_truncation(mut self) -> io::Result<Self> {
        if self.policy != FaultPolicy::Handler || self.pages.page_bytes != crate::page::size() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "lost pages are replaced by folio's signal handler only, and ordinary ones only",
            ));
        }
        let (start, size_bytes) = (self.first_address(), self.area.size_bytes());
        if size_bytes > 0 {
            // SAFETY: the area's pages, which stay mapped until the survivor is dropped: see
            // the order of the fields. This is no MappingMut's, so they are only ever read:
            // by folio's copies, which promise no more than bytes that
            // were there, and by those who hold slices and were told.
            self.survivor = Some(unsafe { Survivor::new(start, size_bytes, Use::Read) });
        }
        Ok(self)
    }

    /// How many lost pages were replaced by zeros, for a mapping that
    /// [survives truncation](Self::survive_truncation); 0 for others.
    #[must_use]
    pub fn torn_pages(&self) -> usize {
        self.survivor.as_ref().map_or(0, Survivor::torn_pages)
    }

    /// The address of the first mapped page.
    pub(crate) fn first_address(&self) -> usize {
        self.area.base().as_ptr().addr()
    }

    /// How many pages hold its first `len` bytes, of which it has that many.
    pub(crate) fn page_count(&self, len: usize) -> usize {
        let size_bytes = self.pages.size_for(len).unwrap_or(0);
        size_bytes / self.pages.page_bytes
    }

    /// Which page a byte is in.
    pub(crate) fn page_at(&self, offset: usize) -> usize {
        (self.pages.skew + offset) / self.pages.page_bytes
    }

    /// The addresses of some of its pages.
    pub(crate) fn addresses_of_pages(&self, pages: Range<usize>) -> Range<usize> {
        let (first, page_bytes) = (self.first_address(), self.pages.page_bytes);
        first + pages.start * page_bytes..first + pages.end * page_bytes
    }

    /// What watches writes by protection, from now on.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` for a mapping that is only read.
    pub(crate) fn protection(&self) -> io::Result<&Protection> {
        let cell = self.protection.as_ref();
        let cell = cell.ok_or_else(|| io::Error::from(io::ErrorKind::PermissionDenied))?;
        Ok(cell.get_or_init(|| {
            let page_bytes = self.pages.page_bytes;
            let count = self.area.size_bytes() / page_bytes;
            // SAFETY: the area's pages, which stay mapped or reserved until the value is dropped: see the
            // order of the fields. Their protection is changed by `MappingMut::set_writable` alone,
            // which tells it.
            unsafe { Protection::new(self.first_address(), page_bytes, count) }
        }))
    }

    /// What watches writes by protection, if anything ever did.
    pub(crate) fn protection_in_use(&self) -> Option<&Protection> {
        self.protection.as_ref().and_then(OnceLock::get)
    }

    /// The size of its pages in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        self.pages.page_bytes
    }

    /// Brings all pages into memory and into this process's page table, and waits for it,
    /// so that the first reads take no page faults.
    ///
    /// By `MADV_POPULATE_READ` (Linux 5.14 and later; `madvise(2)`); where that is
    /// missing, this does nothing.
    ///
    /// # Errors
    ///
    /// The system's: EFAULT when a page is lost, ENOMEM, EIO and the like when one
    /// cannot be had.
    pub fn populate(&self) -> io::Result<()> {
        match self.advise(0, self.len(), crate::advice::Advice::Populate) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            outcome => outcome,
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("start", &self.start)
            .field("len", &self.len())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
