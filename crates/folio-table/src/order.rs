//! What the order of the keys gives: ranges, ranks, and walks from either end.

mod backward;
mod bounds;
mod cursor;
mod position;
mod scan;
mod seek;

use std::ops::Bound;

use folio::ReadAt;

pub use bounds::KeyRange;
pub use cursor::Cursor;
pub(crate) use position::Position;
pub use scan::Scan;

use crate::{Iter, Result, Table, ValueRange};

impl<B: ReadAt> Table<B> {
    /// All records in the order of their keys (bytewise), from either end.
    ///
    /// The bytes are read in large pieces, and the order section only for the way back.
    ///
    /// ```
    /// use folio_table::{Builder, Table};
    ///
    /// let mut builder = Builder::new();
    /// for (line, key) in (1..).zip(["pear", "apple", "fig"]) {
    ///     builder.add(line, key.as_bytes(), b"")?;
    /// }
    /// let table = Table::from_bytes(builder.to_vec()?, "fruit")?;
    /// let keys = table.iter().map(|record| Ok(record?.0));
    /// let keys: Vec<_> = keys.collect::<folio_table::Result<_>>()?;
    /// assert_eq!(keys, [b"apple".as_slice(), b"fig", b"pear"]);
    /// let last = table.iter().next_back().transpose()?;
    /// assert_eq!(last.map(|(key, _)| key), Some(b"pear".to_vec()));
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    #[must_use]
    pub fn iter(&self) -> Iter<'_, B> {
        Iter::new(self.scan_all())
    }

    /// The records whose keys are in a range, from either end.
    ///
    /// A range with its ends in the wrong order is empty.
    ///
    /// ```
    /// # use folio_table::{Builder, Table};
    /// # let mut builder = Builder::new();
    /// # for (line, key) in (1..).zip(["ant", "bat", "cat", "dog"]) {
    /// #     builder.add(line, key.as_bytes(), b"")?;
    /// # }
    /// # let table = Table::from_bytes(builder.to_vec()?, "animals")?;
    /// let keys = table.range("b".."d")?.map(|record| Ok(record?.0));
    /// let keys: Vec<_> = keys.collect::<folio_table::Result<_>>()?;
    /// assert_eq!(keys, [b"bat", b"cat"]);
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`scan`](Self::scan).
    pub fn range(&self, range: impl KeyRange) -> Result<Iter<'_, B>> {
        self.scan(range).map(Iter::new)
    }

    /// The records whose keys begin with `prefix`, from either end.
    ///
    /// ```
    /// # use folio_table::{Builder, Table};
    /// # let mut builder = Builder::new();
    /// # for (line, key) in (1..).zip(["a/1", "a/2", "b/1"]) {
    /// #     builder.add(line, key.as_bytes(), b"")?;
    /// # }
    /// # let table = Table::from_bytes(builder.to_vec()?, "paths")?;
    /// assert_eq!(table.prefix("a/")?.count(), 2);
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`scan`](Self::scan).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Iter<'_, B>> {
        self.scan_prefix(prefix).map(Iter::new)
    }

    /// The records whose keys are in a range, without a copy of each.
    ///
    /// ```
    /// # use folio_table::{Builder, Table};
    /// # let mut builder = Builder::new();
    /// # builder.add(1, b"ant", b"6 legs")?;
    /// # builder.add(2, b"bat", b"2 legs")?;
    /// # let table = Table::from_bytes(builder.to_vec()?, "animals")?;
    /// let mut bytes = 0;
    /// let mut scan = table.scan(..)?;
    /// while let Some((key, value)) = scan.next_record()? {
    ///     bytes += key.len() + value.len();
    /// }
    /// assert_eq!(bytes, 18);
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`](crate::Error::Bytes) when the bytes cannot be read,
    /// [`Error::Damaged`](crate::Error::Damaged) when the table contradicts itself where the
    /// ends of the range should be.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "ranges are written where they are used, as for the maps of the standard library"
    )]
    pub fn scan(&self, range: impl KeyRange) -> Result<Scan<'_, B>> {
        let (start, end) = self.ends(range.start(), range.end())?;
        Ok(Scan::new(self, start, end))
    }

    /// The records whose keys begin with `prefix`, without a copy of each.
    ///
    /// # Errors
    ///
    /// As for [`scan`](Self::scan).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Scan<'_, B>> {
        let prefix = prefix.as_ref();
        match bounds::after_prefix(prefix) {
            Some(end) => self.scan(prefix..end.as_slice()),
            None => self.scan(prefix..),
        }
    }

    /// How many records have keys in a range, in logarithmic time.
    ///
    /// ```
    /// # use folio_table::{Builder, Table};
    /// # let mut builder = Builder::new();
    /// # for (line, key) in (1..).zip(["ant", "bat", "cat", "dog"]) {
    /// #     builder.add(line, key.as_bytes(), b"")?;
    /// # }
    /// # let table = Table::from_bytes(builder.to_vec()?, "animals")?;
    /// assert_eq!(table.count_range("bat"..)?, 3);
    /// assert_eq!(table.count_range("b"..="cat")?, 2);
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`scan`](Self::scan).
    #[expect(
        clippy::needless_pass_by_value,
        reason = "ranges are written where they are used, as for the maps of the standard library"
    )]
    pub fn count_range(&self, range: impl KeyRange) -> Result<u64> {
        let (start, end) = self.ends(range.start(), range.end())?;
        Ok(end.rank - start.rank)
    }

    /// How many keys come before this one, whether or not it is there itself.
    ///
    /// The record of a key that is there is [`nth`](Self::nth) with this number.
    ///
    /// # Errors
    ///
    /// As for [`scan`](Self::scan).
    pub fn rank(&self, key: impl AsRef<[u8]>) -> Result<u64> {
        Ok(self.seek(key.as_ref(), seek::Side::Before)?.rank)
    }

    /// The record that has this many before it; `None` if there are not so many.
    ///
    /// ```
    /// # use folio_table::{Builder, Table};
    /// # let mut builder = Builder::new();
    /// # for (line, key) in (1..).zip(["ant", "bat", "cat", "dog"]) {
    /// #     builder.add(line, key.as_bytes(), b"")?;
    /// # }
    /// # let table = Table::from_bytes(builder.to_vec()?, "animals")?;
    /// let (key, _) = table.nth(2)?.unwrap_or_default();
    /// assert_eq!(key, b"cat");
    /// assert_eq!(table.rank("cat")?, 2);
    /// assert_eq!(table.nth(4)?, None);
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`scan`](Self::scan), and for reading the record.
    pub fn nth(&self, rank: u64) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        if rank >= self.count() {
            return Ok(None);
        }
        let start = self.seek_rank(rank)?;
        Iter::new(Scan::new(self, start, self.end()))
            .next()
            .transpose()
    }

    /// The key that has this many before it, and where its value stands, which is not read; `None` if
    /// there are not so many.
    ///
    /// # Errors
    ///
    /// As for [`nth`](Self::nth).
    pub fn nth_key(&self, rank: u64) -> Result<Option<(Vec<u8>, ValueRange)>> {
        if rank >= self.count() {
            return Ok(None);
        }
        let mut scan = Scan::new(self, self.seek_rank(rank)?, self.end());
        let found = scan.next_key()?;
        Ok(found.map(|(key, value)| (key.to_vec(), value)))
    }

    /// The record with the least key; `None` if there are no records.
    ///
    /// # Errors
    ///
    /// Those of reading the record.
    pub fn first(&self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        self.iter().next().transpose()
    }

    /// The record with the greatest key; `None` if there are no records.
    ///
    /// # Errors
    ///
    /// As for [`scan`](Self::scan), and for reading the record.
    pub fn last(&self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        self.iter().next_back().transpose()
    }

    /// All records, for which nothing needs to be looked up.
    pub(crate) fn scan_all(&self) -> Scan<'_, B> {
        Scan::new(self, Position::START, self.end())
    }

    /// Past the last record.
    fn end(&self) -> Position {
        Position {
            offset: self.layout.records_len,
            rank: self.count(),
        }
    }

    /// Where the records of a range begin, and where they end; never before.
    fn ends(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<(Position, Position)> {
        let start = match start {
            Bound::Unbounded => Position::START,
            Bound::Included(key) => self.seek(key, seek::Side::Before)?,
            Bound::Excluded(key) => self.seek(key, seek::Side::After)?,
        };
        let end = match end {
            Bound::Unbounded => self.end(),
            Bound::Excluded(key) => self.seek(key, seek::Side::Before)?,
            Bound::Included(key) => self.seek(key, seek::Side::After)?,
        };
        let end = if end.rank < start.rank { start } else { end };
        Ok((start, end))
    }
}
