//! A range of a file, mapped whole.

use std::io;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use folio_sys::advice::Advice;
use folio_sys::mapping::{CopyError, Mapping, ReadError, Span};
use zerocopy::{FromBytes, IntoBytes};

use crate::map_options::{HugePages, MapOptions};
use crate::range::ByteRange;
use crate::read_at::make_room;
use crate::residency::FileId;
use crate::view::View;
use crate::{Error, ReadAt, Result};

/// A read-only mapping of a file, or of any byte range of it.
///
/// All processes that map a file share its pages: the data is held once in physical
/// memory. Bytes are copied out through [`ReadAt`]; a page that the file has lost
/// since is [`Error::Fault`], not a signal.
///
/// Most users want [`Source`](crate::Source), which also opens what cannot be mapped.
///
/// ```
/// use folio::{Map, ReadAt};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, b"hello, world")?;
/// let map = Map::options().offset(7).len(5).open(&file)?;
/// assert_eq!(map.get::<[u8; 5]>(0)?, *b"world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Map {
    span: Span,
    /// Where in the file the mapping begins.
    offset: u64,
    path: PathBuf,
    huge_pages: HugePages,
}

impl Map {
    /// Options: the whole file, lost pages found out by the signal handler.
    #[must_use]
    pub fn options() -> MapOptions {
        MapOptions::default()
    }

    /// Maps all of the file at `path`.
    ///
    /// # Errors
    ///
    /// As for [`MapOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    pub(crate) fn new(
        mapping: Arc<Mapping>,
        offset: u64,
        path: PathBuf,
        huge_pages: HugePages,
    ) -> Self {
        Self {
            span: Span::of(mapping),
            offset,
            path,
            huge_pages,
        }
    }

    /// A view of a range, which keeps the map alive.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of these bytes.
    pub fn view(self: &Arc<Self>, offset_bytes: u64, len: u64) -> Result<View> {
        View::of_map(self, offset_bytes, len).ok_or_else(|| self.out_of_range(offset_bytes, len))
    }

    /// Copies out one plain-data value, in the machine's byte order.
    ///
    /// # Errors
    ///
    /// As for [`ReadAt::read_exact_at`].
    #[inline]
    pub fn get<T: FromBytes + IntoBytes>(&self, offset_bytes: u64) -> Result<T> {
        self.get_at(offset_bytes)
    }

    /// The path that the map was made with, or a name such as `<stdin>`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the whole range into memory and into this process's page table, and
    /// waits for it, so that the first reads take no page faults. [`prefetch_all`](Self::prefetch_all) does so
    /// for a range, and tells of its progress.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] when a page is lost: the file was truncated, or its device failed;
    /// [`Error::Io`] when one cannot be had for another reason, such as that memory ran out.
    pub fn populate(&self) -> Result<()> {
        self.prefetch_all(.., |_| {})
    }

    /// How many lost pages were replaced by zeros under the eyes of those who hold
    /// [slices](Self::as_slice), for a map that
    /// [survives truncation](MapOptions::survive_truncation); 0 for others.
    ///
    /// Look after reading the slice, and before believing what was read.
    #[must_use]
    pub fn torn(&self) -> usize {
        self.span.mapping().torn_pages()
    }

    /// Tells the kernel how a range will be used: a hint, by which no byte changes.
    /// [`advise_unsafe`](Self::advise_unsafe) has the advice by which some do.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of the range; [`Error::Io`]
    /// when the system refuses, or does not know the advice.
    ///
    /// ```
    /// use folio::{Advice, Map};
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, vec![7; 100_000])?;
    /// let map = Map::open(&file)?;
    /// map.advise(..50_000, Advice::Sequential)?;
    /// map.advise(50_000.., Advice::Random)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advise(&self, range: impl RangeBounds<u64>, advice: Advice) -> Result<()> {
        self.in_range("advise the kernel about", &range, |offset, len| {
            self.span.mapping().advise(offset, len, advice)
        })
    }

    /// Reads a range in and keeps it in memory until it is unlocked, or the map dropped.
    ///
    /// Whole pages are locked, once: locks do not add up.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of the range; [`Error::Io`]
    /// above the limit of locked memory (`ulimit -l`), or when a page is lost.
    pub fn lock(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.in_range("lock the mapping", &range, |offset, len| {
            self.span.mapping().lock(offset, len)
        })
    }

    /// Lets a range leave memory again.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of the range.
    pub fn unlock(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.in_range("unlock the mapping", &range, |offset, len| {
            self.span.mapping().unlock(offset, len)
        })
    }

    /// Which pages the map is made of, or, with [`HugePages::Transparent`], was promised
    /// where the kernel finds some.
    #[must_use]
    pub fn huge_pages(&self) -> HugePages {
        self.huge_pages
    }

    /// Which file this is a mapping of, in the kernel's own terms, to look its
    /// mappings up in other processes; `None` where the system does not tell.
    #[must_use]
    pub fn file_id(&self) -> Option<FileId> {
        FileId::of_mapping(&self.span)
    }

    /// All bytes, to be read without the detour over this map.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Where in the file the mapping begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Does something with a range of the mapping, as long as it is now.
    pub(crate) fn in_range(
        &self,
        action: &'static str,
        range: &impl RangeBounds<u64>,
        run: impl FnOnce(usize, usize) -> io::Result<()>,
    ) -> Result<()> {
        let (offset, len) = self.range_of(range)?.in_memory();
        run(offset, len).map_err(|error| Error::io(action, &self.path, error))
    }

    /// A range of the mapping, as long as it is now.
    pub(crate) fn range_of(&self, range: &impl RangeBounds<u64>) -> Result<ByteRange> {
        let size = self.span.mapping().len() as u64;
        ByteRange::of_bounds(size, range).map_err(|(offset, len)| Error::OutOfRange {
            path: self.path.clone(),
            offset,
            len,
            size,
        })
    }

    /// Reads any number of bytes, and says what went wrong.
    #[inline(never)]
    fn read_exact_slow(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        self.span
            .read_exact_at(address_offset(offset_bytes), buf)
            .map_err(|error| self.failed(&self.span, offset_bytes, buf.len(), error))
    }

    /// Appends any number of bytes, and says what went wrong.
    #[inline(never)]
    fn append_slow(&self, offset_bytes: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        self.append_span(&self.span, offset_bytes, len, out)
    }

    /// Appends `len` bytes from `offset` on of `span`, which is part of this map.
    pub(crate) fn append_span(
        &self,
        span: &Span,
        offset: u64,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let at = address_offset(offset);
        if len <= span.len().saturating_sub(at) {
            make_room(out, len, &self.path)?;
        }
        span.append_exact_at(at, len, out)
            .map_err(|error| self.failed(span, offset, len, error))
    }

    /// The error for a read of `len` bytes at `offset` of `span`, which is part of this map.
    #[cold]
    pub(crate) fn failed(&self, span: &Span, offset: u64, len: usize, error: ReadError) -> Error {
        match error {
            ReadError::OutOfRange => Error::OutOfRange {
                path: self.path.clone(),
                offset,
                len: len as u64,
                size: span.len() as u64,
            },
            ReadError::Copy(error) => {
                let before = span.as_ptr().addr().wrapping_sub(self.span.as_ptr().addr());
                self.copy_failed(before as u64 + offset, error)
            }
        }
    }

    /// The error for bytes that could not be copied, from `offset` of this map on.
    #[cold]
    pub(crate) fn copy_failed(&self, offset: u64, error: CopyError) -> Error {
        match error {
            CopyError::Fault { copied } => Error::Fault {
                path: self.path.clone(),
                offset: self.offset + offset + copied as u64,
            },
            CopyError::System(error) => Error::io("copy mapped bytes", &self.path, error),
        }
    }
}

impl ReadAt for Map {
    fn len(&self) -> u64 {
        self.span.len() as u64
    }

    #[inline]
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        self.span
            .read_at(address_offset(offset_bytes), buf)
            .map_err(|error| self.failed(&self.span, offset_bytes, buf.len(), error))
    }

    #[inline]
    fn read_exact_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        if self.span.read_small_at(address_offset(offset_bytes), buf) {
            return Ok(());
        }
        self.read_exact_slow(offset_bytes, buf)
    }

    #[inline]
    fn append_at(&self, offset_bytes: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        if self
            .span
            .append_small_at(address_offset(offset_bytes), len, out)
        {
            return Ok(());
        }
        self.append_slow(offset_bytes, len, out)
    }

    #[inline]
    fn read_small_at(&self, offset_bytes: u64, buf: &mut [u8]) -> bool {
        self.span.read_small_at(address_offset(offset_bytes), buf)
    }

    #[inline]
    fn equals_small_at(&self, offset_bytes: u64, bytes: &[u8]) -> Option<bool> {
        self.span
            .equals_small_at(address_offset(offset_bytes), bytes)
    }

    #[inline]
    fn prefetch(&self, offset_bytes: u64, len: usize) {
        self.span.prefetch(address_offset(offset_bytes), len);
    }

    fn source_path(&self) -> &Path {
        &self.path
    }
}

/// An offset within a mapping. One that no address space has is beyond every mapping,
/// and stays so.
#[inline]
pub(crate) fn address_offset(offset_bytes: u64) -> usize {
    usize::try_from(offset_bytes).unwrap_or(usize::MAX)
}
