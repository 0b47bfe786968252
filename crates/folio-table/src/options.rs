//! How a table is opened.

use std::path::{Path, PathBuf};

use folio::{ReadAt, View};

use crate::{Checked, Result, Table, Verify};

/// How a table is opened. Made by [`Table::options`].
///
/// ```
/// use folio_table::{Builder, Table, Verify};
///
/// let mut builder = Builder::new();
/// builder.add(1, b"key", b"value")?;
/// let mut bytes = builder.to_vec()?;
/// let options = Table::options().verify(Verify::Touch);
/// let table = options.from_bytes(bytes.clone(), "whole")?;
/// assert_eq!(table.get(b"key")?.as_deref(), Some(b"value".as_slice()));
///
/// bytes[4096 + 6] ^= 1; // a bit of the value
/// let table = options.from_bytes(bytes, "damaged")?;
/// let error = table.get(b"key").unwrap_err();
/// assert!(error.to_string().starts_with("damaged: page at byte 4096 is damaged"));
/// # Ok::<(), folio_table::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    verify: Verify,
}

impl TableOptions {
    /// When the checksums of pages are checked. Default: [`Verify::Never`].
    #[must_use]
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Opens the table in a file, as [`Table::open`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Table::open`]; with [`Verify::Open`], those of [`Table::verify`]; with
    /// [`Verify::Touch`], [`Error::Io`](crate::Error::Io) when there is no memory to be shared.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Table<Checked<View>>> {
        Table::open(path)?.checked(self.verify)
    }

    /// Opens the table in `bytes`; `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// Those of [`Table::from_bytes`], and as for [`open`](Self::open).
    pub fn from_bytes<B: ReadAt>(
        &self,
        bytes: B,
        name: impl Into<PathBuf>,
    ) -> Result<Table<Checked<B>>> {
        Table::from_bytes(bytes, name)?.checked(self.verify)
    }
}
