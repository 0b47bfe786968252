//! Slices of mapped bytes, for those who can promise what nobody can check.
#![expect(
    unsafe_code,
    reason = "the functions here are unsafe to call, which is all that they are"
)]

use crate::{Error, Map, Result, View};

impl Map {
    /// All bytes as a slice, without a copy.
    ///
    /// [`Frozen`](crate::Frozen) gives slices safely, for one copy; [`View`]s and
    /// [`ReadAt`](crate::ReadAt) copy out what is needed, safely as well. This is for those who
    /// control the file and everybody who may write to it.
    ///
    /// # Safety
    ///
    /// For as long as the slice, or a reference made from it, lives:
    ///
    /// 1. Nobody changes the bytes: no process writes to this range of the file, by a mapping,
    ///    by `write(2)` or otherwise, this one included. The compiler takes the bytes behind a `&[u8]`
    ///    for constant, so that a change is undefined behaviour, not a wrong byte.
    /// 2. Nobody cuts the file short within the range; the range was all in the file to begin with
    ///    (see [`MapOptions::past_end`](crate::MapOptions::past_end)); and its device does not fail.
    ///    Touching a lost page raises SIGBUS, which ends the process. With
    ///    [`survive_truncation`](crate::MapOptions::survive_truncation) it reads as zeros
    ///    instead: the process goes on, but for whoever has read bytes of that page before,
    ///    this is a change as in 1. So when [`torn`](Self::torn) is not 0 after the
    ///    slice was read, all that was computed from it is to be thrown away.
    ///
    /// ```
    /// use folio::Map;
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, b"hello, world")?;
    /// let map = Map::open(&file)?;
    /// // SAFETY: the file was made here, and nobody else knows its name.
    /// assert_eq!(unsafe { map.as_slice() }, b"hello, world");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the caller's promise is the same.
        unsafe { self.span().as_slice() }
    }
}

impl View {
    /// The bytes as a slice, without a copy, where they are mapped.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for bytes that are not mapped.
    ///
    /// # Safety
    ///
    /// As for [`Map::as_slice`], for the bytes of this view. For a view of a
    /// [`MapMut`](crate::MapMut) that includes writes through it.
    pub unsafe fn as_slice(&self) -> Result<&[u8]> {
        let span = self.span().ok_or_else(|| Error::Unsupported {
            path: self.path().to_owned(),
            reason: "it is not mapped, so there is no slice of it",
        })?;
        // SAFETY: the caller's promise is the same.
        Ok(unsafe { span.as_slice() })
    }
}
