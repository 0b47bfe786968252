//! The records from the last to the first: a page's records are walked through once, forwards,
//! and their places kept.

use folio::ReadAt;

use super::Position;
use crate::chunk::{CHUNK_LEN, Chunk};
use crate::format::{HEAD_MAX_LEN, PAGE_LEN, Record};
use crate::records::too_long;
use crate::{Result, Table};

/// What is kept of one page while its records are gone through backwards.
#[derive(Default)]
pub(super) struct Backward {
    /// Its records, as far as they are still to come.
    records: Vec<Record>,
    /// Where the last of them ends.
    end: Option<Position>,
    chunk: Chunk,
    /// A record that is not within the chunk.
    long: Chunk,
}

impl Backward {
    /// The record that ends at a position.
    #[inline]
    pub(super) fn before<B: ReadAt>(&mut self, table: &Table<B>, at: Position) -> Result<Record> {
        if self.end != Some(at) || self.records.is_empty() {
            self.load(table, at)?;
        }
        let record = self.records.pop();
        let record = record.ok_or_else(|| table.disordered(at.offset / PAGE_LEN))?;
        let offset = record.offset;
        self.end = at.rank.checked_sub(1).map(|rank| Position { offset, rank });
        Ok(record)
    }

    /// Goes through the page whose records end at a position, or run on to it.
    #[cold]
    fn load<B: ReadAt>(&mut self, table: &Table<B>, at: Position) -> Result<()> {
        self.records.clear();
        self.end = None;
        let last_page = at.offset.saturating_sub(1) / PAGE_LEN;
        let mut page = last_page;
        let mut first = table.order_entry(page)?;
        if first.offset >= at.offset {
            // A long record: it begins some pages before.
            let found = table.page_before(at.offset)?;
            (page, first) = found.ok_or_else(|| table.disordered(last_page))?;
        }
        // All heads of a page, which is shorter than a chunk, and the records up to the last one.
        let len = (at.offset - first.offset).min(CHUNK_LEN as u64);
        let len = usize::try_from(len).unwrap_or(CHUNK_LEN) + HEAD_MAX_LEN;
        self.chunk.run(table, first.offset, len)?;
        let mut offset = first.offset;
        while offset < at.offset {
            let head = self.chunk.run(table, offset, HEAD_MAX_LEN)?;
            let record = table.record(offset, head)?;
            if offset / PAGE_LEN != page {
                return Err(table.disordered(page));
            }
            self.records.push(record);
            offset += record.len();
        }
        let rank = first.rank + self.records.len() as u64;
        if (Position { offset, rank }) != at {
            self.records.clear();
            return Err(table.disordered(page));
        }
        self.end = Some(at);
        Ok(())
    }

    /// The key of the record that `before` gave.
    #[inline]
    pub(super) fn key<B: ReadAt>(&mut self, table: &Table<B>, record: &Record) -> Result<&[u8]> {
        let offset = record.offset + record.head_len as u64;
        self.run(table, offset, record.key_len)
    }

    /// Key and value of the record that `before` gave.
    #[inline]
    pub(super) fn content<B: ReadAt>(
        &mut self,
        table: &Table<B>,
        record: &Record,
    ) -> Result<(&[u8], &[u8])> {
        let len = usize::try_from(record.len()).map_err(|_| too_long(record))?;
        Ok(record.split(self.run(table, record.offset, len)?))
    }

    /// What is in the chunk from there; anything else leaves the chunk as it is.
    #[inline]
    fn run<B: ReadAt>(&mut self, table: &Table<B>, offset: u64, len: usize) -> Result<&[u8]> {
        match self.chunk.rest(offset).len() {
            held if held < len => self.long.run(table, offset, len),
            _ => self.chunk.run(table, offset, len),
        }
    }
}
