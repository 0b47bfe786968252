//! Values that a lookup has found.

use std::fmt;

use folio::ReadAt;

use super::{HEAD, reserve};
use crate::{Error, Result, Table};

/// Where a value stands in the file of its table.
///
/// Small, and free of the key, so that a server can write a value's length
/// before it reads the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRange {
    /// Where it begins in the file.
    pub offset_bytes: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

/// A value that [`Table::find`] has found, its length known and its bytes still to be taken.
///
/// ```
/// # let mut builder = folio_table::Builder::new();
/// # builder.add(1, b"name", b"folio")?;
/// # let table = folio_table::Table::from_bytes(builder.to_vec()?, "example")?;
/// let value = table.find(b"name")?.expect("was added");
/// let mut out = format!("{} bytes: ", value.len()).into_bytes();
/// value.append_to(&mut out)?;
/// assert_eq!(out, b"5 bytes: folio");
/// # Ok::<(), folio_table::Error>(())
/// ```
pub struct Value<'a, B> {
    pub(super) table: &'a Table<B>,
    pub(super) range: ValueRange,
}

/// What a thorough lookup has found, beside the first bytes of the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) range: ValueRange,
    /// Where in the record the value begins.
    pub(super) start: usize,
}

impl Found {
    /// The value, if it is among the first bytes of the record.
    #[inline]
    pub(super) fn value_in<'h>(&self, head: &'h [u8; HEAD]) -> Option<&'h [u8]> {
        let len = usize::try_from(self.range.len).unwrap_or(usize::MAX);
        head.get(self.start..)?.get(..len)
    }
}

impl<B: ReadAt> Value<'_, B> {
    /// How long it is, in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> u64 {
        self.range.len
    }

    /// Whether it has no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.range.len == 0
    }

    /// Where it stands, for [`Table::read_value`].
    #[must_use]
    #[inline]
    pub fn range(&self) -> ValueRange {
        self.range
    }

    /// Appends the value to `out`. On an error, `out` is as before.
    ///
    /// # Errors
    ///
    /// Those of [`Table::read_value`].
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) -> Result<()> {
        self.table.append(self.range, out)
    }
}

impl<B: ReadAt> Table<B> {
    /// Appends a value to `out`. On an error, `out` is as before.
    #[inline]
    pub(super) fn append(&self, value: ValueRange, out: &mut Vec<u8>) -> Result<()> {
        let len = usize::try_from(value.len).unwrap_or(usize::MAX);
        match self.bytes().append_at(value.offset_bytes, len, out) {
            Ok(()) => Ok(()),
            Err(error) => Err(not_appended(value.len, out, error)),
        }
    }

    /// The same where the lookup may have read the value.
    pub(super) fn append_found(
        &self,
        found: &Found,
        head: &[u8; HEAD],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match found.value_in(head) {
            Some(value) => {
                reserve(out, found.range.len)?;
                out.extend_from_slice(value);
                Ok(())
            }
            None => self.append(found.range, out),
        }
    }
}

/// Whether it was for want of memory.
#[cold]
fn not_appended(len: u64, out: &mut Vec<u8>, error: folio::Error) -> Error {
    match reserve(out, len) {
        Ok(()) => error.into(),
        Err(no_room) => no_room,
    }
}

impl<B> fmt::Debug for Value<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
