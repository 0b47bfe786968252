//! Looks for a key in a cell, record by record.

use std::cmp::Ordering;
use std::ops::Range;

use folio::ReadAt;

use super::super::{Found, HEAD};
use crate::format::{Cell, HEAD_MAX_LEN, Record, fence_word};
use crate::{Result, Table};

/// Walks through the records of a cell, which are read together if they are small.
pub(super) struct CellWalk<'a, B> {
    table: &'a Table<B>,
    buf: [u8; BUF_LEN],
    /// Which bytes of the records section the buffer has.
    buffered: Range<u64>,
}

/// Room for a cell of records of 70 bytes; more would have to be cleared for each lookup.
const BUF_LEN: usize = 1024;

/// How much is read at once of records too large for it to be worth while to read them together.
const ALONE_LEN: usize = 128;

/// How much of a cell is read at once: with as much after the last record as a value is made of.
#[inline]
pub(in super::super) fn read_len(cell: &Cell) -> usize {
    match usize::try_from(cell.likely_len).unwrap_or(usize::MAX) {
        0 => BUF_LEN,
        len if len > 2 * BUF_LEN => ALONE_LEN,
        len => (len + HEAD).min(BUF_LEN),
    }
}

impl<'a, B: ReadAt> CellWalk<'a, B> {
    #[inline]
    pub(super) fn new(table: &'a Table<B>) -> Self {
        Self {
            table,
            buf: [0; BUF_LEN],
            buffered: 0..0,
        }
    }

    /// Looks for a key in a cell; `head` has the first bytes of its record then. All keys have the first `prefix_len` bytes in common.
    #[inline]
    pub(super) fn find(
        &mut self,
        cell: Cell,
        prefix_len: usize,
        key: &[u8],
        head: &mut [u8; HEAD],
    ) -> Result<Option<Found>> {
        let word = fence_word(key, prefix_len, 0);
        let need = HEAD_MAX_LEN + key.len();
        let at_once = read_len(&cell) as u64;
        let mut offset = cell.start;
        for _ in 0..cell.count {
            let record = self.record(offset, need, at_once)?;
            let start = offset + record.head_len as u64;
            match self.bytes(start, record.key_len) {
                // The first word after what all keys share tells most keys apart.
                Some(found) => match fence_word(found, prefix_len, 0).cmp(&word) {
                    Ordering::Equal if found == key => return self.found(&record, key, head),
                    Ordering::Less | Ordering::Equal => {}
                    Ordering::Greater => return Ok(None),
                },
                None if record.key_len == key.len() => {
                    let found = self.table.compare(offset, key, head)?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                None => {}
            }
            offset += record.len();
        }
        Ok(None)
    }

    /// What is found with a record that has the key.
    #[inline]
    fn found(&self, record: &Record, key: &[u8], head: &mut [u8; HEAD]) -> Result<Option<Found>> {
        match self.bytes(record.offset, HEAD) {
            Some(begun) => {
                head.copy_from_slice(begun);
                Ok(Some(Found {
                    range: self.table.value_of(record),
                    start: record.value_start(),
                }))
            }
            None => self.table.compare(record.offset, key, head),
        }
    }

    /// The record at an offset of the records section, of which `need` bytes are to be there if
    /// there are so many, and `at_once` are read if any are.
    #[inline]
    fn record(&mut self, offset: u64, need: usize, at_once: u64) -> Result<Record> {
        let layout = &self.table.layout;
        let Some(room) = layout
            .records_len
            .checked_sub(offset)
            .filter(|room| *room > 0)
        else {
            return Err(self.table.past_the_end(layout.records_offset, offset));
        };
        let need = room.min(need as u64).min(BUF_LEN as u64);
        if offset < self.buffered.start || offset + need > self.buffered.end {
            self.read(offset, room.min(at_once.max(need)))?;
        }
        let left = usize::try_from(self.buffered.end - offset).unwrap_or(0);
        let bytes = self.bytes(offset, left).unwrap_or_default();
        self.table.record(offset, bytes)
    }

    #[inline]
    fn read(&mut self, offset: u64, len: u64) -> Result<()> {
        let len = len.min(BUF_LEN as u64);
        let part = self.buf.get_mut(..usize::try_from(len).unwrap_or(0));
        let at = self.table.layout.records_offset.saturating_add(offset);
        self.buffered = 0..0;
        self.table
            .bytes()
            .read_exact_at(at, part.unwrap_or_default())?;
        self.buffered = offset..offset + len;
        Ok(())
    }

    /// Bytes of the records section, if all of them are in the buffer.
    #[inline]
    fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = offset.checked_sub(self.buffered.start)?;
        let end = start.checked_add(len as u64)?;
        if end > self.buffered.end - self.buffered.start {
            return None;
        }
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        self.buf.get(range)
    }
}
