//! Files that are written as memory.

use std::ops::RangeBounds;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use folio_sys::advice::Advice;
use folio_sys::mapping::{Mapping, MappingMut, ReadError, Span, WriteError};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::dirty_tracker::Arm;
use crate::map::address_offset;
use crate::map_options::{HugePages, MapOptions};
use crate::range::ByteRange;
use crate::residency::FileId;
use crate::{Error, Map, ReadAt, Result, View};

/// A shared mapping that is written to: what one process writes, all that map the file see
/// at once, and the file gets.
///
/// Many processes and threads may write, so writing takes a shared reference. Bytes are copied in
/// as they are copied out: a page that the file has lost, or a hole that a full disk
/// cannot fill, is [`Error::Fault`]. Where two write to the same bytes at one time, the bytes
/// of both may mix; locks that processes share keep them apart.
///
/// When the file is cut short in the middle of a page, what is written to the rest of that page
/// is lost without an error (`mmap(2)`, NOTES).
///
/// ```
/// use folio::{Map, ReadAt};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, b"hello, world")?;
/// let map = Map::options().reserve(1 << 20).open_mut(&file)?;
/// map.write_all_at(7, b"folio")?;
/// map.put(0, b"HELLO")?;
/// let view = map.view(0, 12)?;
/// map.grow(100_000)?; // in place: views stay
/// map.put(99_996, &7_u32)?;
/// map.flush(..)?;
/// assert_eq!(view.to_vec()?, b"HELLO, folio");
/// assert_eq!(std::fs::read(&file)?.len(), 100_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MapMut {
    mapping: MappingMut,
    /// The same mapping, as long as it was at first: for views and messages.
    map: Arc<Map>,
    on_growth: OnGrowth,
    /// What finds the pages that are written to, while somebody wants to know.
    arm: Arc<Arm>,
}

/// Whether a [`MapMut`] may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protection {
    /// It is read only, until protection is changed again.
    ReadOnly,
    /// It is read and written.
    ReadWrite,
}

/// What is done to the bytes by which a map grows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnGrowth {
    pub(crate) lock: bool,
    pub(crate) advice: Option<Advice>,
    pub(crate) huge_pages: HugePages,
}

impl MapMut {
    pub(crate) fn new(mapping: MappingMut, map: Map, on_growth: OnGrowth) -> Self {
        Self {
            mapping,
            map: Arc::new(map),
            on_growth,
            arm: Arc::default(),
        }
    }

    /// Options, as for [`Map::options`].
    #[must_use]
    pub fn options() -> MapOptions {
        MapOptions::default()
    }

    /// Maps all of the file at `path`, to be read and written.
    ///
    /// # Errors
    ///
    /// As for [`MapOptions::open_mut`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open_mut(path)
    }

    /// Writes all of `bytes` at `offset_bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of these bytes, and [`Error::Unsupported`] when
    /// it is protected: then nothing was written. [`Error::Fault`] when a page is
    /// lost or the disk is full: then the bytes before that one were written.
    #[inline]
    pub fn write_all_at(&self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.mapping
            .write_all_at(address_offset(offset_bytes), bytes)
            .map_err(|error| self.write_failed(offset_bytes, bytes.len(), error))
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

    /// Writes one plain-data value, in the machine's byte order.
    ///
    /// Use `zerocopy`'s `U64<LittleEndian>` and its kin for file formats.
    ///
    /// # Errors
    ///
    /// As for [`write_all_at`](Self::write_all_at).
    #[inline]
    pub fn put<T: IntoBytes + Immutable>(&self, offset_bytes: u64, value: &T) -> Result<()> {
        self.write_all_at(offset_bytes, value.as_bytes())
    }

    /// A view of a range, which keeps the bytes mapped. It stays valid when the map grows.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of these bytes.
    pub fn view(&self, offset_bytes: u64, len: u64) -> Result<View> {
        let all = Span::of(Arc::clone(self.mapping.mapping()));
        ByteRange::within(all.len() as u64, offset_bytes, len)
            .map(ByteRange::in_memory)
            .and_then(|(offset, len)| all.part(offset, len))
            .map(|span| View::of_span(span, &self.map))
            .ok_or_else(|| self.out_of_range(offset_bytes, len))
    }

    /// Writes the changed pages of a range to the file, any byte range, and waits until the
    /// device has them (`msync(2)`, `MS_SYNC`).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of the range; [`Error::Io`]
    /// when the device fails.
    pub fn flush(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.map.in_range("flush", &range, |offset, len| {
            self.mapping.flush(offset, len)
        })
    }

    /// Asks for the changed pages of a range to be written to the file, and does not wait.
    ///
    /// Linux writes them sooner or later anyway, and takes this for a check of the range
    /// (`msync(2)`, NOTES).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of the range.
    pub fn flush_async(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.map.in_range("flush", &range, |offset, len| {
            self.mapping.flush_async(offset, len)
        })
    }

    /// Grows to at least `new_len` bytes in place, and the file as far as it must.
    ///
    /// Views, readers and writers go on meanwhile, in all threads. What is new reads as zeros. A map
    /// that has this many bytes stays as it is. Other processes' maps of the file stay as long as they are, until they
    /// grow too; several may lengthen the file at one time (see
    /// [`folio_sys::file::extend`] for the one kind of file system where that is not safe).
    ///
    /// # Errors
    ///
    /// [`Error::NoRoom`] past the [capacity](Self::capacity); [`Error::Io`] when the file
    /// cannot be lengthened or the system refuses. The map is then as it was, the file
    /// perhaps longer; when it was [locking](MapOptions::lock) that failed, the map has grown.
    pub fn grow(&self, new_len: u64) -> Result<()> {
        let old_len = self.mapping.mapping().len();
        let len = address_offset(new_len);
        if len <= old_len {
            return Ok(());
        }
        let capacity = self.mapping.capacity();
        if len > capacity || new_len > capacity as u64 {
            return Err(Error::NoRoom {
                path: self.path().to_owned(),
                len: new_len,
                capacity: capacity as u64,
            });
        }
        let failed = |error| Error::io("grow", self.path(), error);
        if let Some(file) = self.mapping.file() {
            // No overflow: the capacity was mapped, or reserved, from this offset on.
            let size = self.map.offset().saturating_add(new_len);
            folio_sys::file::extend(file, size).map_err(failed)?;
        }
        self.mapping.grow(len).map_err(failed)?;
        self.settle(old_len, len).map_err(failed)
    }

    /// How many bytes the map can grow to.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.mapping.capacity() as u64
    }

    /// Allows or forbids writing through this map.
    ///
    /// The kernel enforces it (`mprotect(2)`), so that a stray write of foreign code is a signal
    /// instead of a damaged file. It takes an exclusive reference so that no write is under way. Other
    /// maps of the file are not concerned.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses; then writing is forbidden.
    pub fn protect(&mut self, protection: Protection) -> Result<()> {
        self.mapping
            .set_writable(protection == Protection::ReadWrite)
            .map_err(|error| Error::io("change the protection of", self.map.path(), error))
    }

    /// Whether writing is allowed.
    #[must_use]
    pub fn protection(&self) -> Protection {
        if self.mapping.is_writable() {
            Protection::ReadWrite
        } else {
            Protection::ReadOnly
        }
    }

    /// Tells the kernel how a range will be used: see [`Map::advise`].
    ///
    /// # Errors
    ///
    /// As for [`Map::advise`].
    pub fn advise(&self, range: impl RangeBounds<u64>, advice: Advice) -> Result<()> {
        self.map.advise(range, advice)
    }

    /// Keeps a range in memory: see [`Map::lock`].
    ///
    /// # Errors
    ///
    /// As for [`Map::lock`].
    pub fn lock(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.map.lock(range)
    }

    /// Lets a range leave memory again.
    ///
    /// # Errors
    ///
    /// As for [`Map::unlock`].
    pub fn unlock(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.map.unlock(range)
    }

    /// Brings all pages into memory: see [`Map::populate`].
    ///
    /// # Errors
    ///
    /// As for [`Map::populate`].
    pub fn populate(&self) -> Result<()> {
        self.map.populate()
    }

    /// Which pages the map is made of: see [`Map::huge_pages`].
    #[must_use]
    pub fn huge_pages(&self) -> HugePages {
        self.map.huge_pages()
    }

    /// The path that the map was made with, or a name such as `<anonymous>`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// The descriptor of the file, to pass on or to lock; `None` for memory of no file.
    #[must_use]
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.mapping.file()
    }

    /// Which file this is a mapping of: see [`Map::file_id`].
    #[must_use]
    pub fn file_id(&self) -> Option<FileId> {
        self.map.file_id()
    }

    /// What finds the pages that are written to.
    pub(crate) fn arm(&self) -> &Arc<Arm> {
        &self.arm
    }

    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        self.mapping.mapping()
    }

    /// The same mapping, to be read, as long as it was at first.
    pub(crate) fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Unmaps, but for what views hold, and keeps the file.
    pub(crate) fn into_file(self) -> Option<std::os::fd::OwnedFd> {
        // The other share of the mapping, which must be gone before the file is sealed.
        drop(self.map);
        self.mapping.into_file()
    }

    /// Does to the bytes from `old_len` on what was asked for when the map was made.
    fn settle(&self, old_len: usize, len: usize) -> std::io::Result<()> {
        let (mapping, new) = (self.mapping.mapping(), len - old_len);
        // Hints: a kernel that knew them knows them still, and the bytes are there without.
        if self.on_growth.huge_pages == HugePages::Transparent {
            let _ = mapping.advise(old_len, new, Advice::HugePage);
        }
        if let Some(advice) = self.on_growth.advice {
            let _ = mapping.advise(old_len, new, advice);
        }
        if self.on_growth.lock {
            mapping.lock(old_len, new)?;
        }
        Ok(())
    }

    #[cold]
    fn read_failed(&self, offset: u64, len: usize, error: ReadError) -> Error {
        match error {
            ReadError::OutOfRange => self.out_of_range(offset, len as u64),
            ReadError::Copy(error) => self.map.copy_failed(offset, error),
        }
    }

    #[cold]
    fn write_failed(&self, offset: u64, len: usize, error: WriteError) -> Error {
        match error {
            WriteError::OutOfRange => self.out_of_range(offset, len as u64),
            WriteError::ReadOnly => Error::Unsupported {
                path: self.path().to_owned(),
                reason: "the map is protected against writing",
            },
            WriteError::Copy(error) => self.map.copy_failed(offset, error),
        }
    }
}

impl ReadAt for MapMut {
    #[inline]
    fn len(&self) -> u64 {
        self.mapping.mapping().len() as u64
    }

    #[inline]
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        self.mapping
            .mapping()
            .read_at(address_offset(offset_bytes), buf)
            .map_err(|error| self.read_failed(offset_bytes, buf.len(), error))
    }

    #[inline]
    fn read_exact_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        self.mapping
            .mapping()
            .read_exact_at(address_offset(offset_bytes), buf)
            .map_err(|error| self.read_failed(offset_bytes, buf.len(), error))
    }

    fn source_path(&self) -> &Path {
        self.path()
    }
}
