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
use crate::{Error, ReadAt, Result, Windows};

/// How much is copied at a time by the helpers that go through a buffer. Copying a chunk waits for
/// memory, and looking at it does not: the shorter both are, the more of them a processor does
/// at once. On an AMD Zen 4, newlines of 64 MiB are counted in 1.3 times the time that
/// it takes in place, against 1.4 in chunks of 4 KiB, 2.3 of 16 KiB, and, by the
/// cost of each chunk, 1.6 of 1 KiB.
pub(crate) const CHUNK_BYTES: usize = 2 << 10;
/// How much of the next chunk is fetched while the caller looks at this one: as many
/// lines as a processor has under way. More of them make it wait.
const AHEAD_BYTES: usize = 1 << 10;
/// How much is written at a time: each write is a system call, as a rule.
const WRITE_BYTES: usize = 64 << 10;

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
    /// The bytes, where they are mapped; no bytes where they are not, so that a
    /// read of mapped bytes need not ask.
    span: Span,
    origin: Origin,
}

/// Where a view's bytes come from.
#[derive(Clone)]
enum Origin {
    /// For what is rarely asked: the path, the file.
    Mapped(Arc<Map>),
    Windowed {
        windows: Arc<Windows>,
        range: ByteRange,
    },
    Positioned {
        file: Arc<Positioned>,
        range: ByteRange,
    },
}

impl View {
    /// A view of a range of a map, if the map has all of it.
    pub(crate) fn of_map(map: &Arc<Map>, offset: u64, len: u64) -> Option<Self> {
        Some(Self {
            span: part_of(map.span(), offset, len)?,
            origin: Origin::Mapped(Arc::clone(map)),
        })
    }

    /// A view of a range of a file that is seen through windows, which it pins none of.
    pub(crate) fn of_windows(windows: &Arc<Windows>, range: ByteRange) -> Self {
        let windows = Arc::clone(windows);
        Self {
            span: Span::nothing(),
            origin: Origin::Windowed { windows, range },
        }
    }

    /// A view of a range of a file that is not mapped.
    pub(crate) fn of_positioned(file: &Arc<Positioned>, range: ByteRange) -> Self {
        let file = Arc::clone(file);
        Self {
            span: Span::nothing(),
            origin: Origin::Positioned { file, range },
        }
    }

    /// A view of part of this one; `offset_bytes` counts from this one's start.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when this view does not have all of these bytes.
    pub fn part(&self, offset_bytes: u64, len: u64) -> Result<Self> {
        let part = match &self.origin {
            Origin::Mapped(map) => part_of(&self.span, offset_bytes, len).map(|span| Self {
                span,
                origin: Origin::Mapped(Arc::clone(map)),
            }),
            Origin::Windowed { windows, range } => range
                .part(offset_bytes, len)
                .map(|range| Self::of_windows(windows, range)),
            Origin::Positioned { file, range } => range
                .part(offset_bytes, len)
                .map(|range| Self::of_positioned(file, range)),
        };
        part.ok_or_else(|| self.out_of_range(offset_bytes, len))
    }

    /// Copies out one plain-data value, in the machine's byte order.
    ///
    /// # Errors
    ///
    /// As for [`ReadAt::read_exact_at`].
    #[inline]
    pub fn get<T: FromBytes + IntoBytes>(&self, offset_bytes: u64) -> Result<T> {
        let mut value = T::new_zeroed();
        if self
            .span
            .read_small_at(address_offset(offset_bytes), value.as_mut_bytes())
        {
            return Ok(value);
        }
        self.read_exact_slow(offset_bytes, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Reads any number of bytes, and says what went wrong.
    #[inline(never)]
    fn read_exact_slow(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        if let Origin::Mapped(map) = &self.origin {
            return self
                .span
                .read_exact_at(address_offset(offset_bytes), buf)
                .map_err(|error| map.failed(&self.span, offset_bytes, buf.len(), error));
        }
        if self.read_at(offset_bytes, buf)? == buf.len() {
            Ok(())
        } else {
            Err(self.out_of_range(offset_bytes, buf.len() as u64))
        }
    }

    /// Appends any number of bytes, and says what went wrong.
    #[inline(never)]
    fn append_slow(&self, offset_bytes: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.origin {
            Origin::Mapped(map) => map.append_span(&self.span, offset_bytes, len, out),
            Origin::Windowed { .. } | Origin::Positioned { .. } => {
                self.append_by_reading(offset_bytes, len, out)
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
        self.try_each_chunk(&mut [0; CHUNK_BYTES], |chunk| each(chunk).map(|()| true))
    }

    /// As [`for_each_chunk`](Self::for_each_chunk), as much as `chunk` holds at a time,
    /// until `each` answers false.
    pub(crate) fn try_each_chunk<E: From<Error>>(
        &self,
        chunk: &mut [u8],
        mut each: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut offset = 0;
        while offset < self.len() {
            let count = self.read_at(offset, chunk)?;
            self.prefetch(offset + count as u64, AHEAD_BYTES);
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
        let len = usize::try_from(self.len()).unwrap_or(usize::MAX);
        self.try_each_chunk(&mut vec![0; len.min(WRITE_BYTES)], |chunk| {
            let written = writer.write_all(chunk);
            written
                .map_err(|error| Error::io("write what was read from it", self.path(), error))?;
            Ok(true)
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
        match &self.origin {
            Origin::Mapped(map) => map.path(),
            Origin::Windowed { windows, .. } => windows.path(),
            Origin::Positioned { file, .. } => file.path(),
        }
    }

    /// Brings the whole mapping behind the view into memory: see [`Map::populate`].
    /// Does nothing where nothing is mapped, or only now and then, through windows.
    ///
    /// # Errors
    ///
    /// As for [`Map::populate`].
    pub fn populate(&self) -> Result<()> {
        match &self.origin {
            Origin::Mapped(map) => map.populate(),
            Origin::Windowed { .. } | Origin::Positioned { .. } => Ok(()),
        }
    }

    /// Which file this is a view of, to look its mappings up in other processes.
    /// `None` where nothing is mapped for good or the system does not tell.
    #[must_use]
    pub fn file_id(&self) -> Option<FileId> {
        match &self.origin {
            Origin::Mapped(map) => map.file_id(),
            Origin::Windowed { .. } | Origin::Positioned { .. } => None,
        }
    }
}

impl ReadAt for View {
    #[inline]
    fn len(&self) -> u64 {
        match &self.origin {
            Origin::Mapped(_) => self.span.len() as u64,
            Origin::Windowed { range, .. } | Origin::Positioned { range, .. } => range.len(),
        }
    }

    #[inline]
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        match &self.origin {
            Origin::Mapped(map) => self
                .span
                .read_at(address_offset(offset_bytes), buf)
                .map_err(|error| map.failed(&self.span, offset_bytes, buf.len(), error)),
            Origin::Windowed { windows, range } => {
                let (offset, count) = range.clip(offset_bytes, buf.len());
                windows.read_at(offset, buf.get_mut(..count).unwrap_or_default())
            }
            Origin::Positioned { file, range } => {
                let (offset, count) = range.clip(offset_bytes, buf.len());
                file.read_at(offset, buf.get_mut(..count).unwrap_or_default())
            }
        }
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
