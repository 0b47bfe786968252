//! Bytes that nobody can change any more.

use std::fmt;
use std::ops::{Deref, RangeBounds};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use folio_sys::frozen::{FreezeError, FrozenBytes};

use crate::range::ByteRange;
use crate::read_at::reads_of_slice;
use crate::{Error, ReadAt, Result};

/// Proven immutable bytes: a `&[u8]`, safely, and at no cost of guards.
///
/// They are in memory, and the proof is the kernel's: a file in memory that is sealed
/// against writing, shrinking and growing, which any number of processes then share by
/// passing the descriptor on; or a file under fs-verity; or they belong
/// to this value alone (`Frozen::from(vec)`).
///
/// Clones share the bytes, across threads too.
///
/// ```
/// use folio::Frozen;
///
/// let frozen = Frozen::copy_of(b"hello, world".as_slice())?;
/// assert_eq!(&frozen[7..], b"world"); // a slice: compare, search, parse
/// let word = frozen.part(7..)?; // an owner of part of it
/// drop(frozen);
/// assert!(word.starts_with(b"wor"));
/// # Ok::<(), folio::Error>(())
/// ```
#[derive(Clone)]
pub struct Frozen {
    bytes: FrozenBytes,
    path: Arc<Path>,
}

impl Frozen {
    pub(crate) fn new(bytes: FrozenBytes, path: impl Into<Arc<Path>>) -> Self {
        Self {
            bytes,
            path: path.into(),
        }
    }

    /// Copies bytes of any kind into memory that any process can share: a slice, a
    /// [`View`](crate::View), a [`Map`](crate::Map).
    ///
    /// On Linux that is a sealed file in memory; elsewhere memory of this process alone.
    ///
    /// # Errors
    ///
    /// Those of reading the bytes; [`Error::Io`] when the system refuses.
    pub fn copy_of(bytes: &(impl ReadAt + ?Sized)) -> Result<Self> {
        #[cfg(target_os = "linux")]
        return Self::options().copy_of(bytes);
        #[cfg(not(target_os = "linux"))]
        {
            let len =
                usize::try_from(bytes.len()).map_err(|_| bytes.out_of_range(0, bytes.len()))?;
            let mut copy = vec![0; len];
            bytes.read_exact_at(0, &mut copy)?;
            Ok(Self::from(copy))
        }
    }

    /// How many bytes there are. (As of the slice: [`ReadAt::len`] is a `u64`.)
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Part of these bytes, which it shares and keeps.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the range is not all there.
    pub fn part(&self, range: impl RangeBounds<u64>) -> Result<Self> {
        let size = self.bytes.len() as u64;
        let (offset, len) = ByteRange::of_bounds(size, &range)
            .map_err(|(offset, len)| self.out_of_range(offset, len))?
            .in_memory();
        self.bytes
            .part(offset..offset + len)
            .map(|bytes| Self::new(bytes, Arc::clone(&self.path)))
            .ok_or_else(|| self.out_of_range(offset as u64, len as u64))
    }

    /// The descriptor of the file that the bytes are in, to be passed on; `None` for memory of
    /// this process alone. For a [part](Self::part) it is the whole file.
    #[must_use]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.bytes.file()
    }

    /// The path that they came from, or a name in angle brackets.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &FrozenBytes {
        &self.bytes
    }
}

impl Deref for Frozen {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Frozen {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Frozen {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes.into(), Path::new("<memory>"))
    }
}

impl From<Box<[u8]>> for Frozen {
    fn from(bytes: Box<[u8]>) -> Self {
        Self::new(bytes.into(), Path::new("<memory>"))
    }
}

impl ReadAt for Frozen {
    reads_of_slice!();

    fn source_path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen")
            .field("path", &self.path)
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// What went wrong when bytes were to be frozen, and which.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nothing can be sealed there")
)]
pub(crate) fn not_frozen(path: impl Into<PathBuf>, error: FreezeError) -> Error {
    let path = path.into();
    match error {
        FreezeError::NotFrozen(missing) => Error::NotFrozen { path, missing },
        FreezeError::System(error) => Error::io("freeze", &path, error),
    }
}
