//! Values that are not copied: as views, and as slices of bytes that nobody can change.

use folio::{ReadAt, View};

use crate::{Result, Table, ValueRange};

impl Table<View> {
    /// A value, or a part of one, as a view, which lives as long as it is needed, whatever
    /// becomes of the table.
    ///
    /// Nothing is read for it. It is the way to a value that is large, or of which little is needed.
    ///
    /// ```
    /// use folio_table::{Builder, Table};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("example.folio");
    /// let mut builder = Builder::new();
    /// builder.add(1, b"key", b"a long value")?;
    /// builder.write_to(&path)?;
    ///
    /// let table = Table::open(&path)?;
    /// let range = table.locate(b"key")?.ok_or("no such key")?;
    /// let value = table.value_view(range)?;
    /// drop(table);
    /// assert_eq!(value.part(2, 4)?.to_vec()?, b"long");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`](crate::Error::Bytes) when the file does not have all of the range.
    pub fn value_view(&self, value: ValueRange) -> Result<View> {
        Ok(self.bytes().part(value.offset_bytes, value.len)?)
    }
}

impl<B: ReadAt + AsRef<[u8]>> Table<B> {
    /// The value of a key where it stands; `None` if there is no such key.
    ///
    /// For bytes that nobody can change, such as [`Frozen`](folio::Frozen), `Vec<u8>` and `&[u8]`.
    ///
    /// ```
    /// use folio::Frozen;
    /// use folio_table::{Builder, Table};
    ///
    /// let mut builder = Builder::new();
    /// builder.add(1, b"key", b"value")?;
    /// let frozen = Frozen::from(builder.to_vec()?);
    /// let table = Table::from_bytes(frozen, "example")?;
    /// let value: Option<&[u8]> = table.get_slice(b"key")?;
    /// assert_eq!(value, Some(b"value".as_slice()));
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`locate`](Self::locate).
    #[inline]
    pub fn get_slice(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        match self.locate(key)? {
            Some(value) => self.value_slice(value).map(Some),
            None => Ok(None),
        }
    }

    /// A value, or a part of one, where it stands.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`](crate::Error::Bytes) when the bytes do not have all of the range.
    #[inline]
    pub fn value_slice(&self, value: ValueRange) -> Result<&[u8]> {
        let bytes = self.bytes().as_ref();
        let start = usize::try_from(value.offset_bytes).ok();
        let len = usize::try_from(value.len).ok();
        let rest = start.and_then(|start| bytes.get(start..));
        let value_bytes = len.and_then(|len| rest?.get(..len));
        value_bytes.ok_or_else(|| {
            let ValueRange { offset_bytes, len } = value;
            self.bytes().out_of_range(offset_bytes, len).into()
        })
    }
}
