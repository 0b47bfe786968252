//! The seam between those who have bytes and those who read them.

use std::path::Path;
use std::sync::Arc;

use folio_sys::prefetch::prefetch;
use zerocopy::{FromBytes, IntoBytes};

use crate::{Error, Result};

/// Random access to a run of bytes of known length, wherever they are.
///
/// Readers such as `folio-table` are generic over it, so that they neither know
/// nor care whether the bytes are mapped, read by system calls, or in a `Vec`.
/// Bytes are copied out: the trait hands out no reference into memory that
/// another process may change.
///
/// ```
/// use folio::ReadAt;
///
/// let bytes = b"hello, world".to_vec();
/// let mut word = [0; 5];
/// bytes.read_exact_at(7, &mut word)?;
/// assert_eq!(&word, b"world");
/// assert_eq!(bytes.get_at::<[u8; 2]>(0)?, *b"he");
/// # Ok::<(), folio::Error>(())
/// ```
pub trait ReadAt {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the bytes from `offset_bytes` on into `buf` and says how many.
    ///
    /// The count is below `buf.len()` only where the bytes end; at or past the
    /// end it is 0.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] when a page behind the bytes is lost, [`Error::Io`] when
    /// the system refuses the read. What `buf` holds then is unspecified.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize>;

    /// Fills `buf` with the bytes from `offset_bytes` on.
    ///
    /// # Errors
    ///
    /// Those of [`read_at`](Self::read_at), and [`Error::OutOfRange`] when the
    /// bytes end before `buf` is full.
    fn read_exact_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        if self.read_at(offset_bytes, buf)? == buf.len() {
            Ok(())
        } else {
            Err(self.out_of_range(offset_bytes, buf.len() as u64))
        }
    }

    /// Copies out one plain-data value, in the machine's byte order.
    ///
    /// Use `zerocopy`'s `U64<LittleEndian>` and its kin for file formats. It is called `get_at`,
    /// and not `get` as with [`View`](crate::View), lest it hide [`slice::get`] of a `Vec<u8>`.
    ///
    /// # Errors
    ///
    /// As for [`read_exact_at`](Self::read_exact_at).
    fn get_at<T: FromBytes + IntoBytes>(&self, offset_bytes: u64) -> Result<T>
    where
        Self: Sized,
    {
        let mut value = T::new_zeroed();
        self.read_exact_at(offset_bytes, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Says that the bytes from `offset_bytes` on, `len` of them, will be read soon, so that
    /// they are brought into the processor's cache meanwhile.
    ///
    /// A hint that changes nothing else: it never faults and never waits, leaves alone what
    /// lies outside, and does nothing where the bytes are not in memory. It
    /// pays off between the moment when many places are known and the
    /// moment when the first of them is needed.
    ///
    /// ```
    /// use folio::ReadAt;
    ///
    /// let bytes = vec![7_u8; 1 << 20];
    /// for offset in [5, 300_000, 700_000] {
    ///     bytes.prefetch(offset, 8);
    /// }
    /// assert_eq!(bytes.get_at::<u8>(300_000)?, 7);
    /// # Ok::<(), folio::Error>(())
    /// ```
    #[inline]
    fn prefetch(&self, offset_bytes: u64, len: usize) {
        let _ = (offset_bytes, len);
    }

    /// Where the bytes come from, for errors.
    #[doc(hidden)]
    fn source_path(&self) -> &Path {
        Path::new("<memory>")
    }

    /// The error for a range that is not all there.
    #[doc(hidden)]
    #[cold]
    fn out_of_range(&self, offset_bytes: u64, len: u64) -> Error {
        Error::OutOfRange {
            path: self.source_path().to_owned(),
            offset: offset_bytes,
            len,
            size: self.len(),
        }
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        let rest = usize::try_from(offset_bytes)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    #[inline]
    fn prefetch(&self, offset_bytes: u64, len: usize) {
        let start = usize::try_from(offset_bytes).ok();
        if let Some(rest) = start.and_then(|start| self.get(start..)) {
            prefetch(rest.get(..len).unwrap_or(rest));
        }
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        self.as_slice().read_at(offset_bytes, buf)
    }

    #[inline]
    fn prefetch(&self, offset_bytes: u64, len: usize) {
        self.as_slice().prefetch(offset_bytes, len);
    }
}

macro_rules! through_pointer {
    ($($pointer:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            fn len(&self) -> u64 {
                T::len(self)
            }

            fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
                T::read_at(self, offset_bytes, buf)
            }

            fn read_exact_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
                T::read_exact_at(self, offset_bytes, buf)
            }

            fn prefetch(&self, offset_bytes: u64, len: usize) {
                T::prefetch(self, offset_bytes, len);
            }

            fn source_path(&self) -> &Path {
                T::source_path(self)
            }
        }
    )*};
}

through_pointer!(&T, Arc<T>, Box<T>);
