//! A table that is open.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use folio::{ReadAt, Source, View};

use crate::format::{FOOTER_LEN, Footer, Layout, PAGE_LEN, RawHeader};
use crate::{Error, Info, Result, TableOptions};

/// A table over bytes that are mapped, in memory, or wherever else [`ReadAt`] reaches.
///
/// Opening reads the header and the footer, whatever the size of the table. A
/// table holds no state but that, so that lookups from many threads at once
/// need no lock, and `&Table` is all that any method takes.
///
/// ```
/// use folio_table::{Builder, Table};
///
/// let mut builder = Builder::new();
/// builder.add(1, b"key", b"value")?;
/// let bytes = builder.to_vec()?;
///
/// let table = Table::from_bytes(bytes.as_slice(), "example.folio")?;
/// assert!(table.contains(b"key")?);
/// # Ok::<(), folio_table::Error>(())
/// ```
pub struct Table<B> {
    bytes: B,
    name: PathBuf,
    info: Info,
    pub(crate) layout: Layout,
    pub(crate) sums_checksum: u64,
}

impl Table<View> {
    /// Opens the table in a file, mapped where the file can be mapped.
    ///
    /// ```
    /// use folio_table::{Builder, Table};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("example.folio");
    /// let mut builder = Builder::new();
    /// builder.add(1, b"key", b"value")?;
    /// builder.write_to(&path)?;
    ///
    /// let table = Table::open(&path)?;
    /// assert_eq!(table.get(b"key")?.as_deref(), Some(b"value".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotATable`] for what has no random access, such as a pipe, which is not
    /// opened; otherwise [`Error::Bytes`] when the file cannot be opened, and the
    /// errors of [`from_bytes`](Self::from_bytes).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let not_a_table = |reason| Error::NotATable {
            path: path.to_owned(),
            reason,
        };
        // To open a FIFO would wait for its writer.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
            return Err(not_a_table("not a regular file"));
        }
        let source = Source::open(path)?;
        if source.len().is_none() {
            // Such as an entry of /proc, which is made up as it is read.
            return Err(not_a_table("a file of unknown length"));
        }
        Self::from_bytes(source.whole()?, path)
    }

    /// Options: no checksums are checked but those of the header and the footer.
    #[must_use]
    pub fn options() -> TableOptions {
        TableOptions::default()
    }
}

impl<B: ReadAt> Table<B> {
    /// Opens the table in `bytes`; `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// [`Error::NotATable`], [`Error::Length`] (cut short, or added to),
    /// [`Error::Version`], [`Error::Unsupported`], [`Error::Checksum`] and
    /// [`Error::Damaged`] say what is wrong with the header or the footer;
    /// [`Error::Bytes`], that they could not be read.
    pub fn from_bytes(bytes: B, name: impl Into<PathBuf>) -> Result<Self> {
        let name = name.into();
        let len = bytes.len();
        if len < PAGE_LEN {
            return Err(too_short(&bytes, &name, len));
        }
        let header = bytes.get_at::<RawHeader>(0)?.check(&name, len)?;
        let footer_offset = len.saturating_sub(FOOTER_LEN);
        let footer = bytes.get_at::<Footer>(footer_offset)?;
        footer.check(&name, footer_offset)?;
        let stated = [&footer.file_len, &footer.count, &footer.header_checksum].map(|n| n.get());
        if stated != [len, header.info.count, header.checksum] {
            let what = "the footer belongs to another header";
            return Err(Error::damaged(&name, footer_offset, what));
        }
        Ok(Self {
            bytes,
            name,
            info: header.info,
            layout: header.layout,
            sums_checksum: footer.sums_checksum.get(),
        })
    }

    /// The name it was opened under: its path, for a file.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The bytes behind it.
    #[must_use]
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.info.count
    }

    /// What its header says.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The same table over other bytes, which are known to be the same.
    pub(crate) fn map<C>(self, other: impl FnOnce(B) -> C) -> Table<C> {
        Table {
            bytes: other(self.bytes),
            name: self.name,
            info: self.info,
            layout: self.layout,
            sums_checksum: self.sums_checksum,
        }
    }

    /// A fault of the table at `offset` of the file.
    #[cold]
    pub(crate) fn damaged(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::damaged(&self.name, offset, what)
    }
}

impl<B> fmt::Debug for Table<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// What to say of a file that has not even a header: is it a table's beginning?
#[cold]
fn too_short(bytes: &impl ReadAt, name: &Path, len: u64) -> Error {
    let mut start = [0; crate::format::MAGIC.len()];
    let is_table = match bytes.read_at(0, &mut start) {
        Ok(count) => count == start.len() && start == crate::format::MAGIC,
        Err(error) => return error.into(),
    };
    if is_table {
        return Error::Length {
            path: name.to_owned(),
            expected: PAGE_LEN,
            found: len,
        };
    }
    Error::NotATable {
        path: name.to_owned(),
        reason: match len {
            0 => "empty file",
            _ => "shorter than a header",
        },
    }
}
