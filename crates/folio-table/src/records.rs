//! The records one after the other, read in pieces.

use folio::ReadAt;

use crate::chunk::Chunk;
use crate::format::{HEAD_MAX_LEN, Record};
use crate::lookup::ValueRange;
use crate::order::Position;
use crate::{Error, Result, Table};

/// Walks through the records section through a buffer.
pub(crate) struct Records<'a, B> {
    table: &'a Table<B>,
    next: Position,
    chunk: Chunk,
}

impl<'a, B: ReadAt> Records<'a, B> {
    /// The records from a position on.
    pub(crate) fn at(table: &'a Table<B>, next: Position) -> Self {
        Self {
            table,
            next,
            chunk: Chunk::reading_ahead(),
        }
    }

    pub(crate) fn table(&self) -> &'a Table<B> {
        self.table
    }

    /// Where the next record begins, in the records section.
    pub(crate) fn position(&self) -> u64 {
        self.next.offset
    }

    /// How many records were passed, those before the position it began at included.
    pub(crate) fn passed(&self) -> u64 {
        self.next.rank
    }

    /// Both of these.
    pub(crate) fn next(&self) -> Position {
        self.next
    }

    /// Goes on from another position.
    pub(crate) fn go_to(&mut self, position: Position) {
        self.next = position;
    }

    /// Passes the next record; `None` after the last.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<Option<Record>> {
        let offset = self.next.offset;
        if offset >= self.table.layout.records_len {
            return self.ended();
        }
        let mut head = self.chunk.rest(offset);
        if head.len() < HEAD_MAX_LEN {
            head = self.chunk.run(self.table, offset, HEAD_MAX_LEN)?;
        }
        let record = self.table.record(offset, head)?;
        self.next.offset += record.len();
        self.next.rank += 1;
        Ok(Some(record))
    }

    #[cold]
    fn ended(&self) -> Result<Option<Record>> {
        let (passed, count) = (self.passed(), self.table.count());
        if passed == count {
            return Ok(None);
        }
        let at = self.table.layout.records_offset + self.table.layout.records_len;
        let what = format!("the records end after {passed}, but there should be {count}");
        Err(self.table.damaged(at, what))
    }

    /// The key of the next record, which is not passed; `None` after the last.
    pub(crate) fn peek(&mut self) -> Result<Option<&[u8]>> {
        let next = self.next;
        let record = self.advance();
        self.next = next;
        match record? {
            Some(record) => self.key(&record).map(Some),
            None => Ok(None),
        }
    }

    /// The key of a record that was just passed.
    #[inline]
    pub(crate) fn key(&mut self, record: &Record) -> Result<&[u8]> {
        let offset = record.offset + record.head_len as u64;
        self.chunk.run(self.table, offset, record.key_len)
    }

    /// Key and value of a record that was just passed.
    #[inline]
    pub(crate) fn content(&mut self, record: &Record) -> Result<(&[u8], &[u8])> {
        let len = usize::try_from(record.len()).map_err(|_| too_long(record))?;
        Ok(record.split(self.chunk.run(self.table, record.offset, len)?))
    }
}

impl<B: ReadAt> Table<B> {
    /// The record that begins at `offset` of the records section, as do `bytes`.
    #[inline]
    pub(crate) fn record(&self, offset: u64, bytes: &[u8]) -> Result<Record> {
        let room = self.layout.records_len.saturating_sub(offset);
        match Record::parse(offset, bytes, room) {
            Ok(record) => Ok(record),
            Err(what) => Err(self.bad_record(offset, what)),
        }
    }

    #[cold]
    fn bad_record(&self, offset: u64, what: &str) -> Error {
        self.damaged(self.layout.records_offset.saturating_add(offset), what)
    }

    /// Where the value of a record stands in the file.
    pub(crate) fn value_of(&self, record: &Record) -> ValueRange {
        ValueRange {
            offset_bytes: self.layout.records_offset + record.offset + record.value_start() as u64,
            len: record.value_len,
        }
    }
}

/// A record that the address space has no room for.
#[cold]
pub(crate) fn too_long(record: &Record) -> Error {
    Error::OutOfMemory { len: record.len() }
}
