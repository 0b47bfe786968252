//! Walks over a range of records that copy none of them out of the buffer.

use std::fmt;

use folio::ReadAt;

use super::backward::Backward;
use super::{Cursor, KeyRange, Position};
use crate::format::Record;
use crate::records::Records;
use crate::{Result, Table, ValueRange};

/// Records of a table in the order of their keys, each lent out of a buffer: see [`Table::scan`].
///
/// It is what an iterator would be if its items could borrow from it. From the front it gives
/// [`next_record`](Self::next_record) and, for those who may not need the value,
/// [`next_key`](Self::next_key); from the back, [`next_record_back`](Self::next_record_back) and
/// [`next_key_back`](Self::next_key_back); all four may be mixed, and none gives a
/// record that another one gave.
///
/// It keeps some KiB of the file, and more only for a record that is longer. Nothing
/// is remembered after an error: the next call tries to go on.
pub struct Scan<'a, B> {
    /// From the front.
    records: Records<'a, B>,
    /// Where the records end that are left.
    back: Position,
    backward: Backward,
}

impl<'a, B: ReadAt> Scan<'a, B> {
    pub(super) fn new(table: &'a Table<B>, front: Position, back: Position) -> Self {
        Self {
            records: Records::at(table, front),
            back,
            backward: Backward::default(),
        }
    }

    /// The next record from the front: its key and its value.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`](crate::Error::Bytes) when the bytes cannot be read,
    /// [`Error::Damaged`](crate::Error::Damaged) when the records contradict the table's
    /// header or its order section, [`Error::OutOfMemory`](crate::Error::OutOfMemory)
    /// when the record does not fit into memory.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        match self.step()? {
            Some(record) => self.content(&record).map(Some),
            None => Ok(None),
        }
    }

    /// The next record from the back.
    ///
    /// # Errors
    ///
    /// As for [`next_record`](Self::next_record).
    #[inline]
    pub fn next_record_back(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        match self.step_back()? {
            Some(record) => self.content_back(&record).map(Some),
            None => Ok(None),
        }
    }

    /// The next key from the front, and where its value stands, which is not read.
    ///
    /// # Errors
    ///
    /// As for [`next_record`](Self::next_record).
    #[inline]
    pub fn next_key(&mut self) -> Result<Option<(&[u8], ValueRange)>> {
        let Some(record) = self.step()? else {
            return Ok(None);
        };
        let value = self.table().value_of(&record);
        Ok(Some((self.key(&record)?, value)))
    }

    /// The next key from the back, and where its value stands, which is not read.
    ///
    /// # Errors
    ///
    /// As for [`next_record`](Self::next_record).
    #[inline]
    pub fn next_key_back(&mut self) -> Result<Option<(&[u8], ValueRange)>> {
        let Some(record) = self.step_back()? else {
            return Ok(None);
        };
        let value = self.table().value_of(&record);
        Ok(Some((self.key_back(&record)?, value)))
    }

    /// Calls `each` with the key and the value of all records that are left, in order.
    ///
    /// ```
    /// # use folio_table::{Builder, Error, Table};
    /// # let mut builder = Builder::new();
    /// # builder.add(1, b"ant", b"6")?;
    /// # builder.add(2, b"bat", b"2")?;
    /// # let table = Table::from_bytes(builder.to_vec()?, "animals")?;
    /// let mut text = Vec::new();
    /// table.scan(..)?.for_each(|key, value| {
    ///     text.extend([key, value].concat());
    ///     Ok::<(), Error>(())
    /// })?;
    /// assert_eq!(text, b"ant6bat2");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`next_record`](Self::next_record), and whatever `each` returns, which ends the walk.
    pub fn for_each<E: From<crate::Error>>(
        &mut self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((key, value)) = self.next_record()? {
            each(key, value)?;
        }
        Ok(())
    }

    /// How many records are left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.back.rank.saturating_sub(self.records.passed())
    }

    /// The place that the front has come to, to go on from there later, perhaps in another
    /// process, perhaps in a newer table: see [`Cursor`].
    ///
    /// # Errors
    ///
    /// As for [`next_record`](Self::next_record).
    pub fn cursor(&mut self) -> Result<Cursor> {
        Cursor::before(&mut self.records)
    }

    /// The place that the back has come to.
    ///
    /// # Errors
    ///
    /// As for [`next_record`](Self::next_record).
    pub fn cursor_back(&self) -> Result<Cursor> {
        Cursor::before(&mut Records::at(self.table(), self.back))
    }

    /// Leaves out the records before a place.
    ///
    /// A place before the front changes nothing, and one past the back leaves no records.
    ///
    /// # Errors
    ///
    /// As for [`Table::scan`].
    pub fn resume(&mut self, cursor: &Cursor) -> Result<()> {
        let place = cursor.place_in(self.table())?;
        self.skip_to(place);
        Ok(())
    }

    /// Leaves out the records after a place.
    ///
    /// A place past the back changes nothing, and one before the front leaves no records.
    ///
    /// # Errors
    ///
    /// As for [`Table::scan`].
    pub fn resume_back(&mut self, cursor: &Cursor) -> Result<()> {
        let place = cursor.place_in(self.table())?;
        if place.rank < self.back.rank {
            let front = self.records.next();
            self.back = if place.rank < front.rank {
                front
            } else {
                place
            };
        }
        Ok(())
    }

    /// Leaves out the records before the place that a number of [`Cursor::number`] stands for,
    /// and says whether it did: a number of another table says nothing about this one.
    ///
    /// # Errors
    ///
    /// As for [`Table::scan`].
    pub fn resume_number(&mut self, number: u64) -> Result<bool> {
        let Some(rank) = self.table().rank_of_number(number) else {
            return Ok(false);
        };
        let place = self.table().seek_rank(rank)?;
        self.skip_to(place);
        Ok(true)
    }

    /// Leaves out the records whose keys are not in a range as well.
    ///
    /// ```
    /// # use folio_table::{Builder, Table};
    /// # let mut builder = Builder::new();
    /// # for (line, key) in (1..).zip(["a/1", "a/2", "a/3", "b/1"]) {
    /// #     builder.add(line, key.as_bytes(), b"")?;
    /// # }
    /// # let table = Table::from_bytes(builder.to_vec()?, "paths")?;
    /// let mut scan = table.scan_prefix("a/")?;
    /// scan.narrow("a/2"..)?;
    /// assert_eq!(scan.remaining(), 2);
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Table::scan`].
    pub fn narrow(&mut self, range: impl KeyRange) -> Result<()> {
        let other = self.table().scan(range)?;
        self.skip_to(other.records.next());
        self.skip_back_to(other.back);
        Ok(())
    }

    fn skip_to(&mut self, place: Position) {
        if place.rank > self.records.passed() {
            let past = place.rank > self.back.rank;
            self.records.go_to(if past { self.back } else { place });
        }
    }

    fn skip_back_to(&mut self, place: Position) {
        if place.rank < self.back.rank {
            let front = self.records.next();
            self.back = if place.rank < front.rank {
                front
            } else {
                place
            };
        }
    }

    pub(crate) fn table(&self) -> &'a Table<B> {
        self.records.table()
    }

    #[inline]
    pub(crate) fn step(&mut self) -> Result<Option<Record>> {
        if self.records.passed() < self.back.rank {
            return self.records.advance();
        }
        self.check_met()?;
        Ok(None)
    }

    #[inline]
    pub(crate) fn step_back(&mut self) -> Result<Option<Record>> {
        if self.records.passed() < self.back.rank {
            let record = self.backward.before(self.records.table(), self.back)?;
            self.back.offset = record.offset;
            self.back.rank -= 1;
            return Ok(Some(record));
        }
        self.check_met()?;
        Ok(None)
    }

    #[inline]
    pub(crate) fn content(&mut self, record: &Record) -> Result<(&[u8], &[u8])> {
        self.records.content(record)
    }

    #[inline]
    pub(crate) fn content_back(&mut self, record: &Record) -> Result<(&[u8], &[u8])> {
        self.backward.content(self.records.table(), record)
    }

    #[inline]
    pub(crate) fn key(&mut self, record: &Record) -> Result<&[u8]> {
        self.records.key(record)
    }

    #[inline]
    pub(crate) fn key_back(&mut self, record: &Record) -> Result<&[u8]> {
        self.backward.key(self.records.table(), record)
    }

    /// Checks that front and back, when no record is left between them, are at the same place.
    #[cold]
    fn check_met(&self) -> Result<()> {
        let front = self.records.next();
        if front.offset == self.back.offset {
            return Ok(());
        }
        let table = self.table();
        let what = format!(
            "{} records end at byte {} of their section, and not at {}",
            front.rank, front.offset, self.back.offset
        );
        Err(table.damaged(table.layout.records_offset, what))
    }
}

impl<B> fmt::Debug for Scan<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("back", &self.back)
            .finish_non_exhaustive()
    }
}
