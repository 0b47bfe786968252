//! folio's own table: read by the guarded path over a mapped file, as any user does.

use std::path::Path;

use folio::View;
use folio_table::{Builder, IndexKind, Table};

use super::data::{Key, Records, fold};
use crate::groups::pages::touch_view;
use crate::row::Skipped;

/// An open table.
pub(super) struct Ours {
    table: Table<View>,
}

impl Ours {
    /// Builds a table of these records, and brings it to the disk.
    pub(super) fn make(records: &impl Records, path: &Path) -> Result<(), Skipped> {
        Self::make_with(IndexKind::default(), records, path)
    }

    /// The same, with that index.
    pub(super) fn make_with(
        index: IndexKind,
        records: &impl Records,
        path: &Path,
    ) -> Result<(), Skipped> {
        let mut builder = Builder::new().index(index);
        let mut line = 0;
        records.each(|key, value| {
            line += 1;
            Ok(builder.add(line, key, value)?)
        })?;
        builder.write_to(path)?;
        Ok(())
    }

    pub(super) fn open(path: &Path) -> Result<Self, Skipped> {
        Ok(Self {
            table: Table::open(path)?,
        })
    }

    /// Reads the value of a key to its last byte, in a buffer that is used again.
    #[inline]
    pub(super) fn get(&self, key: &Key, buf: &mut Vec<u8>) -> Result<Option<u64>, Skipped> {
        buf.clear();
        Ok(self.table.get_into(key, buf)?.then(|| fold(buf)))
    }

    /// The same for many keys at once: the sum of what their values fold to.
    #[inline]
    pub(super) fn get_many(&self, keys: &[Key]) -> Result<u64, Skipped> {
        let mut sum = 0_u64;
        self.table.get_many(keys, |_, value| {
            sum = sum.wrapping_add(value.map(fold).unwrap_or_default());
        })?;
        Ok(sum)
    }

    /// Reads all of it in order, and returns the sum of the folds of keys and values.
    pub(super) fn scan(&self) -> Result<u64, Skipped> {
        let mut sum = 0_u64;
        let mut scan = self.table.scan(..)?;
        while let Some((key, value)) = scan.next_record()? {
            sum = sum.wrapping_add(fold(key)).wrapping_add(fold(value));
        }
        Ok(sum)
    }

    pub(super) fn touch(&self) -> Result<(), Skipped> {
        touch_view(self.table.bytes())
    }
}
