//! The seam between those who have bytes and those who read them.

use std::io;
use std::path::Path;
use std::sync::Arc;

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

    /// Appends the `len` bytes from `offset_bytes` on to `out`.
    ///
    /// Where the bytes are in memory they are copied once, into room that was not filled before.
    ///
    /// ```
    /// use folio::ReadAt;
    ///
    /// let bytes = b"hello, world".to_vec();
    /// let mut out = b"small ".to_vec();
    /// bytes.append_at(7, 5, &mut out)?;
    /// assert_eq!(out, b"small world");
    /// # Ok::<(), folio::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`read_exact_at`](Self::read_exact_at), and [`Error::Io`] with `OutOfMemory`; `out` is
    /// then as it was. No memory is taken for bytes that are not there.
    fn append_at(&self, offset_bytes: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        self.append_by_reading(offset_bytes, len, out)
    }

    /// Fills `buf` with the bytes from `offset_bytes` on if that takes a few instructions: where they
    /// are in memory, all there, and few.
    ///
    /// False for any other reason, and then `buf` is as it was:
    /// [`read_exact_at`](Self::read_exact_at) fills it, or tells why not. For the way that is
    /// taken most often, so that it need not be prepared for errors.
    #[inline]
    fn read_small_at(&self, offset_bytes: u64, buf: &mut [u8]) -> bool {
        let _ = (offset_bytes, buf);
        false
    }

    /// Whether the bytes from `offset_bytes` on are these, if that takes a few instructions.
    ///
    /// `None` for any other reason, as for [`read_small_at`](Self::read_small_at). Mapped bytes are compared
    /// in the processor's registers, so that no copy of them is written anywhere.
    ///
    /// ```
    /// use folio::ReadAt;
    ///
    /// let bytes = b"hello, world".to_vec();
    /// assert_eq!(bytes.equals_small_at(7, b"world"), Some(true));
    /// assert_eq!(bytes.equals_small_at(0, b"world"), Some(false));
    /// assert_eq!(bytes.equals_small_at(8, b"world"), None);
    /// ```
    #[inline]
    fn equals_small_at(&self, offset_bytes: u64, bytes: &[u8]) -> Option<bool> {
        let _ = (offset_bytes, bytes);
        None
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

    /// [`append_at`](Self::append_at) by [`read_exact_at`](Self::read_exact_at).
    #[doc(hidden)]
    fn append_by_reading(&self, offset_bytes: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        let rest = self.len().checked_sub(offset_bytes);
        if rest.is_none_or(|rest| rest < len as u64) {
            return Err(self.out_of_range(offset_bytes, len as u64));
        }
        make_room(out, len, self.source_path())?;
        let start = out.len();
        out.resize(start + len, 0);
        let read = self.read_exact_at(offset_bytes, out.get_mut(start..).unwrap_or_default());
        if read.is_err() {
            out.truncate(start);
        }
        read
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

/// The reads of bytes that are a slice.
macro_rules! reads_of_slice {
    () => {
        #[inline]
        fn len(&self) -> u64 {
            AsRef::<[u8]>::as_ref(self).len() as u64
        }

        #[inline]
        fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> $crate::Result<usize> {
            let rest = $crate::read_at::rest(self.as_ref(), offset_bytes).unwrap_or_default();
            let count = rest.len().min(buf.len());
            if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
                to.copy_from_slice(from);
            }
            Ok(count)
        }

        #[inline]
        fn append_at(
            &self,
            offset_bytes: u64,
            len: usize,
            out: &mut Vec<u8>,
        ) -> $crate::Result<()> {
            match $crate::read_at::part(self.as_ref(), offset_bytes, len) {
                Some(bytes) if len <= out.capacity() - out.len() => {
                    out.extend_from_slice(bytes);
                    Ok(())
                }
                _ => self.append_by_reading(offset_bytes, len, out),
            }
        }

        #[inline]
        fn read_small_at(&self, offset_bytes: u64, buf: &mut [u8]) -> bool {
            let bytes = $crate::read_at::part(self.as_ref(), offset_bytes, buf.len());
            if let Some(bytes) = bytes {
                buf.copy_from_slice(bytes);
            }
            bytes.is_some()
        }

        #[inline]
        fn equals_small_at(&self, offset_bytes: u64, bytes: &[u8]) -> Option<bool> {
            let ours = $crate::read_at::part(self.as_ref(), offset_bytes, bytes.len());
            ours.map(|ours| ours == bytes)
        }

        #[inline]
        fn prefetch(&self, offset_bytes: u64, len: usize) {
            let rest = $crate::read_at::rest(self.as_ref(), offset_bytes).unwrap_or_default();
            folio_sys::prefetch::prefetch(rest.get(..len).unwrap_or(rest));
        }
    };
}
pub(crate) use reads_of_slice;

/// The bytes from `offset` on, if it is not past the end.
#[inline]
pub(crate) fn rest(bytes: &[u8], offset: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..)
}

/// The `len` bytes from `offset` on, if all of them are there.
#[inline]
pub(crate) fn part(bytes: &[u8], offset: u64, len: usize) -> Option<&[u8]> {
    rest(bytes, offset)?.get(..len)
}

/// Makes room for `len` bytes more of a source.
pub(crate) fn make_room(out: &mut Vec<u8>, len: usize, path: &Path) -> Result<()> {
    out.try_reserve(len).map_err(|_| {
        let error = io::ErrorKind::OutOfMemory.into();
        Error::io("copy a part of it into memory", path, error)
    })
}

impl ReadAt for [u8] {
    reads_of_slice!();
}

impl ReadAt for Vec<u8> {
    reads_of_slice!();
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

            fn append_at(&self, offset_bytes: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
                T::append_at(self, offset_bytes, len, out)
            }

            #[inline]
            fn read_small_at(&self, offset_bytes: u64, buf: &mut [u8]) -> bool {
                T::read_small_at(self, offset_bytes, buf)
            }

            #[inline]
            fn equals_small_at(&self, offset_bytes: u64, bytes: &[u8]) -> Option<bool> {
                T::equals_small_at(self, offset_bytes, bytes)
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
