//! A range of a file, mapped whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{CopyError, Mapping, ReadError, Span};
use zerocopy::{FromBytes, IntoBytes};

use crate::range::ByteRange;
use crate::residency::FileId;
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
}

/// What to map, and how. Made by [`Map::options`].
#[derive(Debug, Clone, Default)]
pub struct MapOptions {
    offset: u64,
    len: Option<u64>,
    fault_policy: FaultPolicy,
}

impl Map {
    /// Options: the whole file, lost pages reported by the SIGBUS handler.
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
    /// waits for it, so that the first reads take no page faults. Does nothing before
    /// Linux 5.14 (`MADV_POPULATE_READ`) and on other systems.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when a page cannot be had: the file was truncated, its device
    /// failed, or memory ran out.
    pub fn populate(&self) -> Result<()> {
        self.span
            .mapping()
            .populate()
            .map_err(|error| Error::io("populate the mapping", &self.path, error))
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

    /// The error for a read of `len` bytes at `offset` of `span`, which is part of this map.
    #[cold]
    pub(crate) fn failed(&self, span: &Span, offset: u64, len: usize, error: ReadError) -> Error {
        let span_offset = span.as_ptr().addr().wrapping_sub(self.span.as_ptr().addr());
        match error {
            ReadError::OutOfRange => Error::OutOfRange {
                path: self.path.clone(),
                offset,
                len: len as u64,
                size: span.len() as u64,
            },
            ReadError::Copy(CopyError::Fault { copied }) => Error::Fault {
                path: self.path.clone(),
                offset: self.offset + span_offset as u64 + offset + copied as u64,
            },
            ReadError::Copy(CopyError::System(error)) => {
                Error::io("copy mapped bytes", &self.path, error)
            }
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
        self.span
            .read_exact_at(address_offset(offset_bytes), buf)
            .map_err(|error| self.failed(&self.span, offset_bytes, buf.len(), error))
    }

    fn out_of_range(&self, offset: u64, len: u64) -> Error {
        Error::OutOfRange {
            path: self.path.clone(),
            offset,
            len,
            size: self.len(),
        }
    }
}

/// An offset within a mapping. One that no address space has is beyond every mapping,
/// and stays so.
#[inline]
pub(crate) fn address_offset(offset_bytes: u64) -> usize {
    usize::try_from(offset_bytes).unwrap_or(usize::MAX)
}

impl MapOptions {
    /// Begins the map at this byte of the file. Any offset will do, although
    /// mappings start on a page. Default: 0.
    #[must_use]
    pub fn offset(mut self, offset_bytes: u64) -> Self {
        self.offset = offset_bytes;
        self
    }

    /// Maps this many bytes. Default: from the offset to the end of the file.
    #[must_use]
    pub fn len(mut self, len_bytes: u64) -> Self {
        self.len = Some(len_bytes);
        self
    }

    /// How reads find lost pages out. Default: [`FaultPolicy::Handler`].
    #[must_use]
    pub fn fault_policy(mut self, policy: FaultPolicy) -> Self {
        self.fault_policy = policy;
        self
    }

    /// Opens the file at `path` and maps it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be opened or refuses to be mapped;
    /// [`Error::OutOfRange`] when the range is not all in the file.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Map> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        self.map(&file, path)
    }

    /// Maps an open file; `path` is its name in messages.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn map(&self, file: &File, path: impl Into<PathBuf>) -> Result<Map> {
        let path = path.into();
        let size = file
            .metadata()
            .map_err(|error| Error::io("stat", &path, error))?
            .len();
        self.map_sized(file, path, size)
    }

    /// Maps an open file of `size` bytes, which for a block device `stat` does not tell.
    pub(crate) fn map_sized(
        &self,
        file: &File,
        path: impl Into<PathBuf>,
        size: u64,
    ) -> Result<Map> {
        let path = path.into();
        let len = self.len.unwrap_or(size.saturating_sub(self.offset));
        if ByteRange::within(size, self.offset, len).is_none() {
            return Err(Error::OutOfRange {
                path,
                offset: self.offset,
                len,
                size,
            });
        }
        let mapped = usize::try_from(len)
            .map_err(|_| std::io::ErrorKind::OutOfMemory.into())
            .and_then(|len| Mapping::of_file(file, self.offset, len, self.fault_policy));
        match mapped {
            Ok(mapping) => Ok(Map {
                span: Span::of(Arc::new(mapping)),
                offset: self.offset,
                path,
            }),
            Err(error) => Err(Error::io("map", &path, error)),
        }
    }
}
