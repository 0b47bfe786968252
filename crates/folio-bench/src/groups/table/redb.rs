//! The peer redb, with a cache that holds all there is.

use std::path::Path;

use redb::{Database, ReadOnlyTable, TableDefinition};

use super::data::{Key, Records};
use crate::row::Skipped;

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");

/// A database, and the transaction that reads it.
pub(super) struct Redb {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    _database: Database,
}

impl Redb {
    /// Records that come in order make the smallest file.
    pub(super) fn make(records: &impl Records, path: &Path) -> Result<Self, Skipped> {
        let room = 4 * records.data().payload_bytes() + (64 << 20);
        let database = Database::builder()
            .set_cache_size(usize::try_from(room)?)
            .create(path)?;
        let writer = database.begin_write()?;
        {
            let mut table = writer.open_table(TABLE)?;
            records.each(|key, value| {
                table.insert(key.as_slice(), value)?;
                Ok(())
            })?;
        }
        writer.commit()?;
        Ok(Self {
            table: database.begin_read()?.open_table(TABLE)?,
            _database: database,
        })
    }

    #[inline]
    pub(super) fn get(
        &self,
        key: &Key,
        fold: impl Fn(&[u8]) -> u64,
    ) -> Result<Option<u64>, Skipped> {
        let value = self.table.get(key.as_slice())?;
        Ok(value.map(|value| fold(value.value())))
    }
}
