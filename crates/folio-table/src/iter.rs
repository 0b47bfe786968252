//! All records in the order of their keys.

use std::fmt;
use std::iter::FusedIterator;

use folio::ReadAt;

use crate::lookup::{ValueRange, reserve};
use crate::records::Records;
use crate::{Result, Table};

/// The records of a table in the order of their keys: see [`Table::iter`].
pub struct Iter<'a, B> {
    records: Records<'a, B>,
    ended: bool,
}

impl<'a, B: ReadAt> Iter<'a, B> {
    pub(crate) fn new(table: &'a Table<B>) -> Self {
        Self {
            records: Records::new(table),
            ended: false,
        }
    }

    fn read_next(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Some(record) = self.records.advance()? else {
            return Ok(None);
        };
        let key = self.records.key(&record)?.to_vec();
        let mut value = Vec::new();
        let value_offset = record.offset + record.value_start() as u64;
        if Records::<B>::is_short(record.value_len) {
            reserve(&mut value, record.value_len)?;
            let len = usize::try_from(record.value_len).unwrap_or(0);
            value.extend_from_slice(self.records.bytes(value_offset, len)?);
        } else {
            let table = self.records.table();
            let range = ValueRange {
                offset_bytes: table.layout.records_offset + value_offset,
                len: record.value_len,
            };
            table.read_value(range, &mut value)?;
        }
        Ok(Some((key, value)))
    }
}

impl<B: ReadAt> Iterator for Iter<'_, B> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read_next().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

impl<B: ReadAt> FusedIterator for Iter<'_, B> {}

impl<B> fmt::Debug for Iter<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
