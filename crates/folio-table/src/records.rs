//! The records one after the other, read in large pieces.

use folio::ReadAt;

use crate::format::{HEAD_MAX_LEN, Record};
use crate::{Result, Table};

/// Walks through the records section through a buffer.
pub(crate) struct Records<'a, B> {
    table: &'a Table<B>,
    /// Where the next record begins in the records section.
    next: u64,
    /// How many records were passed.
    passed: u64,
    /// The bytes of the section from `buf_offset` on.
    buf: Vec<u8>,
    buf_offset: u64,
}

/// What is read at once: large enough to make the call cheap, small enough to
/// stay in the second-level cache, and larger than any key.
const CHUNK_LEN: usize = 128 << 10;

impl<'a, B: ReadAt> Records<'a, B> {
    pub(crate) fn new(table: &'a Table<B>) -> Self {
        Self::starting_at(table, 0, 0)
    }

    /// The records from the one of this rank on, which begins at this offset of the section.
    pub(crate) fn starting_at(table: &'a Table<B>, rank: u64, offset: u64) -> Self {
        Self {
            table,
            next: offset,
            passed: rank,
            buf: Vec::new(),
            buf_offset: 0,
        }
    }

    pub(crate) fn table(&self) -> &'a Table<B> {
        self.table
    }

    /// Where the next record begins, in the records section.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// How many records were passed.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// Passes the next record; `None` after the last.
    pub(crate) fn advance(&mut self) -> Result<Option<Record>> {
        let offset = self.next;
        let layout = &self.table.layout;
        let room = layout.records_len.saturating_sub(offset);
        let at = layout.records_offset.saturating_add(offset);
        if room == 0 {
            if self.passed != self.table.count() {
                let (passed, count) = (self.passed, self.table.count());
                let what = format!("the records end after {passed}, but there should be {count}");
                return Err(self.table.damaged(at, what));
            }
            return Ok(None);
        }
        let table = self.table;
        let head = self.bytes(offset, HEAD_MAX_LEN)?;
        let record = Record::parse(offset, head, room).map_err(|what| table.damaged(at, what))?;
        self.next = offset + record.len();
        self.passed += 1;
        Ok(Some(record))
    }

    /// The key of a record that was just passed.
    pub(crate) fn key(&mut self, record: &Record) -> Result<&[u8]> {
        self.bytes(record.offset + record.head_len as u64, record.key_len)
    }

    /// `len` bytes of the section from `offset` on, or fewer where it ends.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let range = match self.buffered(offset, len) {
            Some(range) => range,
            None => self.fill(offset, len)?,
        };
        Ok(self.buf.as_slice().get(range).unwrap_or_default())
    }

    /// Whether this many bytes are read at once with their record, rather than alone.
    pub(crate) fn is_short(len: u64) -> bool {
        len <= CHUNK_LEN as u64 / 4
    }

    #[inline]
    fn buffered(&self, offset: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(offset.checked_sub(self.buf_offset)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.buf.len()).then_some(start..end)
    }

    /// Reads the section on from `offset`.
    #[cold]
    fn fill(&mut self, offset: u64, len: usize) -> Result<std::ops::Range<usize>> {
        let layout = &self.table.layout;
        let room = layout.records_len.saturating_sub(offset);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        self.buf_offset = offset;
        self.buf.resize(room.min(len.max(CHUNK_LEN)), 0);
        let at = layout.records_offset.saturating_add(offset);
        let read = self.table.bytes().read_exact_at(at, &mut self.buf);
        if read.is_err() {
            self.buf.clear();
        }
        read?;
        Ok(0..len.min(room))
    }
}
