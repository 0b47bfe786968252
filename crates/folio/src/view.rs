//! The window onto bytes that others may change.

mod mapped;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use folio_sys::mapping::Span;
use zerocopy::{FromBytes, IntoBytes};

use crate::map::{Map, address_offset};
use crate::positioned::Positioned;
use crate::range::ByteRange;
use crate::residency::FileId;
use crate::{Error, ReadAt, Result};

/// How much is copied at a time by the helpers that go through a buffer. It stays in the
/// first-level cache, with much room for what the caller does with it: a scan in pieces of
/// 4 KiB takes three quarters of the time that it takes in pieces of 16 KiB
/// (`folio-bench files.scan_vs_memmap2`).
pub(crate) const CHUNK_BYTES: usize = 4 << 10;

/// A range of a file's bytes, pinned for as long as the view lives.
///
/// The bytes stay the file's: other processes may write to them, or truncate them
/// away, at any time. That is why a view has no `Deref` to `[u8]` and copies bytes
/// out instead, through [`ReadAt`] and the helpers below. A page that the file no
/// longer has is [`Error::Fault`], never a signal.
///
/// Views are cheap to clone, and may be sent to and shared between threads.
///
/// ```
/// use folio::{ReadAt, Source};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, b"hello, world")?;
/// let view = Source::open(&file)?.view(7, 5)?;
/// assert_eq!(view.len(), 5);
/// assert_eq!(view.to_vec()?, b"world");
/// assert_eq!(view.part(1, 3)?.to_vec()?, b"orl");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct View {
    bytes: Bytes,
}

/// Where a view's bytes come from.
#[derive(Clone)]
enum Bytes {
    Mapped {
        span: Span,
        /// For what is rarely asked: the path, the file.
        map: Arc<Map>,
    },
    Positioned {
        file: Arc<Positioned>,
        range: ByteRange,
    },
}

impl View {
    /// A view of a range of a map, if the map has all of it.
    pub(crate) fn of_map(map: &Arc<Map>, offset: u64, len: u64) -> Option<Self> {
        let span = part_of(map.span(), offset, len)?;
        let map = Arc::clone(map);
        Some(Self {
            bytes: Bytes::Mapped { span, map },
        })
    }

    /// A view of a range of a file that is not mapped.
    pub(crate) fn of_positioned(file: &Arc<Positioned>, range: ByteRange) -> Self {
        let file = Arc::clone(file);
        Self {
            bytes: Bytes::Positioned { file, range },
        }
    }

    /// A view of part of this one; `offset_bytes` counts from this one's start.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when this view does not have all of these bytes.
    pub fn part(&self, offset_bytes: u64, len: u64) -> Result<Self> {
        let part = match &self.bytes {
            Bytes::Mapped { span, map } => part_of(span, offset_bytes, len).map(|span| {
                let map = Arc::clone(map);
                Bytes::Mapped { span, map }
            }),
            Bytes::Positioned { file, range } => range.part(offset_bytes, len).map(|range| {
                let file = Arc::clone(file);
                Bytes::Positioned { file, range }
            }),
        };
        match part {
            Some(bytes) => Ok(Self { bytes }),
            None => Err(self.out_of_range(offset_bytes, len)),
        }
    }

    /// Copies out one plain-data value, in the machine's byte order.
    ///
    /// # Errors
    ///
    /// As for [`ReadAt::read_exact_at`].
    #[inline]
    pub fn get<T: FromBytes + IntoBytes>(&self, offset_bytes: u64) -> Result<T> {
        let mut value = T::new_zeroed();
        if self.read_small(offset_bytes, value.as_mut_bytes()) {
            return Ok(value);
        }
        self.read_exact_slow(offset_bytes, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Reads what takes a few loads and stores; false for all else.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as for Span::read_small_at")]
    fn read_small(&self, offset_bytes: u64, buf: &mut [u8]) -> bool {
        match &self.bytes {
            Bytes::Mapped { span, .. } => span.read_small_at(address_offset(offset_bytes), buf),
            Bytes::Positioned { .. } => false,
        }
    }

    /// Reads any number of bytes, and says what went wrong.
    #[inline(never)]
    fn read_exact_slow(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        match &self.bytes {
            Bytes::Mapped { span, map } => span
                .read_exact_at(address_offset(offset_bytes), buf)
                .map_err(|error| map.failed(span, offset_bytes, buf.len(), error)),
            Bytes::Positioned { .. } => {
                if self.read_at(offset_bytes, buf)? == buf.len() {
                    Ok(())
                } else {
                    Err(self.out_of_range(offset_bytes, buf.len() as u64))
                }
            }
        }
    }

    /// Calls `each` with all bytes in order, some KiB at a time.
    ///
    /// The chunks are copies, so that `each` may look at them as often as it likes.
    ///
    /// # Errors
    ///
    /// Those of [`ReadAt::read_at`], and whatever `each` returns, which ends the walk.
    pub fn for_each_chunk<E: From<Error>>(
        &self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.try_each_chunk(|chunk| each(chunk).map(|()| true))
    }

    /// As [`for_each_chunk`](Self::for_each_chunk), until `each` answers false.
    pub(crate) fn try_each_chunk<E: From<Error>>(
        &self,
        mut each: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut chunk = [0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < self.len() {
            let count = self.read_at(offset, &mut chunk)?;
            match chunk.get(..count) {
                // A file that is not mapped has become shorter.
                None | Some([]) => {
                    return Err(self.out_of_range(offset, self.len() - offset).into());
                }
                Some(bytes) => {
                    if !each(bytes)? {
                        break;
                    }
                }
            }
            offset += count as u64;
        }
        Ok(())
    }

    /// Copies all bytes to `writer`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the writer fails; otherwise those of [`ReadAt::read_at`].
    pub fn copy_to(&self, mut writer: impl Write) -> Result<()> {
        self.for_each_chunk(|chunk| {
            writer
                .write_all(chunk)
                .map_err(|error| Error::io("write what was read from it", self.path(), error))
        })
    }

    /// All bytes, copied.
    ///
    /// # Errors
    ///
    /// Those of [`ReadAt::read_exact_at`]; [`Error::Io`] with `OutOfMemory` when memory does not
    /// suffice for the copy.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let len = usize::try_from(self.len()).unwrap_or(usize::MAX);
        if bytes.try_reserve_exact(len).is_err() {
            let error = io::ErrorKind::OutOfMemory.into();
            return Err(Error::io("copy all of it into memory", self.path(), error));
        }
        bytes.resize(len, 0);
        self.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The path of the source, or a name such as `<stdin>`.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.bytes {
            Bytes::Mapped { map, .. } => map.path(),
            Bytes::Positioned { file, .. } => file.path(),
        }
    }

    /// Brings the whole mapping behind the view into memory: see [`Map::populate`].
    /// Does nothing where nothing is mapped.
    ///
    /// # Errors
    ///
    /// As for [`Map::populate`].
    pub fn populate(&self) -> Result<()> {
        match &self.bytes {
            Bytes::Mapped { map, .. } => map.populate(),
            Bytes::Positioned { .. } => Ok(()),
        }
    }

    /// Which file this is a view of, to look its mappings up in other processes.
    /// `None` where nothing is mapped or the system does not tell.
    #[must_use]
    pub fn file_id(&self) -> Option<FileId> {
        match &self.bytes {
            Bytes::Mapped { map, .. } => map.file_id(),
            Bytes::Positioned { .. } => None,
        }
    }
}

impl ReadAt for View {
    #[inline]
    fn len(&self) -> u64 {
        match &self.bytes {
            Bytes::Mapped { span, .. } => span.len() as u64,
            Bytes::Positioned { range, .. } => range.len(),
        }
    }

    #[inline]
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        match &self.bytes {
            Bytes::Mapped { span, map } => span
                .read_at(address_offset(offset_bytes), buf)
                .map_err(|error| map.failed(span, offset_bytes, buf.len(), error)),
            Bytes::Positioned { file, range } => {
                let (offset, count) = range.clip(offset_bytes, buf.len());
                file.read_at(offset, buf.get_mut(..count).unwrap_or_default())
            }
        }
    }

    #[inline]
    fn read_exact_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        if self.read_small(offset_bytes, buf) {
            return Ok(());
        }
        self.read_exact_slow(offset_bytes, buf)
    }

    #[inline]
    fn prefetch(&self, offset_bytes: u64, len: usize) {
        if let Bytes::Mapped { span, .. } = &self.bytes {
            span.prefetch(address_offset(offset_bytes), len);
        }
    }

    fn source_path(&self) -> &Path {
        self.path()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("path", &self.path())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A part of a span by offsets of a file, which may be beyond the address space.
fn part_of(span: &Span, offset: u64, len: u64) -> Option<Span> {
    span.part(usize::try_from(offset).ok()?, usize::try_from(len).ok()?)
}
