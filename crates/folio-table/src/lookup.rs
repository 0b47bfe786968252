//! Point lookup: one line of the index, then the record.

pub(crate) mod perfect;

use folio::ReadAt;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::format::{LINE_LEN, Line, Record, SLOTS, Tag, home_line};
use crate::{Error, Result, Table};

/// Where a value stands in the file of its table.
///
/// Small, and free of the key, so that a server can write a value's length
/// before it reads the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRange {
    /// Where it begins in the file.
    pub offset_bytes: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

impl<B: ReadAt> Table<B> {
    /// The value of a key, in a buffer of its own; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`] when the bytes cannot be read, [`Error::Damaged`] when
    /// the table contradicts itself where the key should be,
    /// [`Error::OutOfMemory`] when the value does not fit into memory.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = Vec::new();
        Ok(self.get_into(key, &mut value)?.then_some(value))
    }

    /// Appends the value of a key to `out` and says whether there is such a key.
    ///
    /// Where there is none, and on an error, `out` is as before.
    ///
    /// ```
    /// # let mut builder = folio_table::Builder::new();
    /// # builder.add(1, b"name", b"folio")?;
    /// # let table = folio_table::Table::from_bytes(builder.to_vec()?, "example")?;
    /// let mut out = b"hello, ".to_vec();
    /// assert!(table.get_into(b"name", &mut out)?);
    /// assert_eq!(out, b"hello, folio");
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    #[inline]
    pub fn get_into(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        if self.layout.home_lines == 0 {
            return self.get_by_groups(key, out);
        }
        if key.len() <= SHORT_KEY {
            self.get_with::<SHORT_HEAD>(key, out)
        } else {
            self.get_with::<LONG_HEAD>(key, out)
        }
    }

    /// Where the value of a key stands; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`] and [`Error::Damaged`], as for [`get`](Self::get).
    #[inline]
    pub fn locate(&self, key: &[u8]) -> Result<Option<ValueRange>> {
        if self.layout.home_lines == 0 {
            return self.locate_by_groups(key);
        }
        if key.len() <= SHORT_KEY {
            Ok(self.find::<SHORT_HEAD>(key)?.map(|found| found.value))
        } else {
            Ok(self.find::<LONG_HEAD>(key)?.map(|found| found.value))
        }
    }

    /// Whether there is such a key.
    ///
    /// # Errors
    ///
    /// Those of [`locate`](Self::locate).
    #[inline]
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.locate(key)?.is_some())
    }

    /// Appends a value, or a part of one, to `out`. On an error, `out` is as before.
    ///
    /// A part of a value is a [`ValueRange`] within the one that
    /// [`locate`](Self::locate) gave.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`] when the bytes cannot be read or are not all there,
    /// [`Error::OutOfMemory`] when they do not fit into memory.
    #[inline]
    pub fn read_value(&self, value: ValueRange, out: &mut Vec<u8>) -> Result<()> {
        // Before memory is taken for it, a length must be that of bytes that exist.
        let room = self.bytes().len().checked_sub(value.offset_bytes);
        if room.is_none_or(|room| room < value.len) {
            let ValueRange { offset_bytes, len } = value;
            return Err(self.bytes().out_of_range(offset_bytes, len).into());
        }
        let start = out.len();
        reserve(out, value.len)?;
        out.resize(start + usize::try_from(value.len).unwrap_or(0), 0);
        let to = out.get_mut(start..).unwrap_or_default();
        if let Err(error) = self.bytes().read_exact_at(value.offset_bytes, to) {
            out.truncate(start);
            return Err(error.into());
        }
        Ok(())
    }

    #[inline]
    fn get_with<const HEAD: usize>(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(found) = self.find::<HEAD>(key)? else {
            return Ok(false);
        };
        // The bytes read to compare the key often hold the value as well.
        let len = usize::try_from(found.value.len).unwrap_or(usize::MAX);
        let rest = found.head.get(found.value_start..).unwrap_or_default();
        match rest.get(..len) {
            Some(value) => {
                reserve(out, found.value.len)?;
                out.extend_from_slice(value);
            }
            None => self.read_value(found.value, out)?,
        }
        Ok(true)
    }

    #[inline]
    fn find<const HEAD: usize>(&self, key: &[u8]) -> Result<Option<Found<HEAD>>> {
        let layout = &self.layout;
        let hash = xxh3_64_with_seed(key, layout.seed);
        let tag = Tag::new(hash, layout.offset_bits);
        let home = home_line(hash, layout.home_lines);
        let line = self.line(home)?;
        for offset in line.matches(tag) {
            if let Some(found) = self.compare(offset, key)? {
                return Ok(Some(found));
            }
        }
        if line.sends_on(tag) {
            return self.find_stray(key, tag, home, line.reach);
        }
        Ok(None)
    }

    /// Looks for a key that found no room in its home line.
    #[cold]
    fn find_stray<const HEAD: usize>(
        &self,
        key: &[u8],
        tag: Tag,
        home: u64,
        reach: u8,
    ) -> Result<Option<Found<HEAD>>> {
        if u64::from(reach) > self.layout.max_reach {
            let what = format!("a line of the hash index sends on by {reach} lines");
            return Err(self.damaged(self.line_offset(home), what));
        }
        for step in 1..=u64::from(reach) {
            let line = self.line(home + step)?;
            for offset in line.matches(tag) {
                if let Some(found) = self.compare(offset, key)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// Whether the index leads from this key to the record at this offset, by
    /// the index alone.
    pub(crate) fn index_has(&self, key: &[u8], record_offset: u64) -> Result<bool> {
        let hash = xxh3_64_with_seed(key, self.layout.seed);
        let tag = Tag::new(hash, self.layout.offset_bits);
        let home = home_line(hash, self.layout.home_lines);
        let mut line = self.line(home)?;
        let mut reach = 0;
        if line.sends_on(tag) {
            reach = u64::from(line.reach).min(self.layout.max_reach);
        }
        for step in 0..=reach {
            if step > 0 {
                line = self.line(home + step)?;
            }
            if line.matches(tag).any(|offset| offset == record_offset) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a line of the hash index, and checks what every use of it relies on.
    #[inline]
    pub(crate) fn line(&self, number: u64) -> Result<Line> {
        if number >= self.layout.lines {
            return Err(self.no_such_line(number));
        }
        let line = self.bytes().get_at::<Line>(self.line_offset(number))?;
        if usize::from(line.used) > SLOTS {
            return Err(self.overfull_line(number, line.used));
        }
        Ok(line)
    }

    pub(crate) fn line_offset(&self, number: u64) -> u64 {
        self.layout
            .index_offset
            .saturating_add(number.saturating_mul(LINE_LEN))
    }

    #[cold]
    fn no_such_line(&self, number: u64) -> Error {
        let what = format!(
            "line {number} of the hash index asked for, but it has {}",
            self.layout.lines
        );
        self.damaged(self.layout.index_offset, what)
    }

    #[cold]
    fn overfull_line(&self, number: u64, used: u8) -> Error {
        let what = format!("a line of the hash index with {used} of {SLOTS} slots in use");
        self.damaged(self.line_offset(number), what)
    }

    /// Reads the beginning of the record at `offset` of the records section, and
    /// says whether its key is this one.
    #[inline]
    fn compare<const HEAD: usize>(&self, offset: u64, key: &[u8]) -> Result<Option<Found<HEAD>>> {
        let layout = &self.layout;
        if offset >= layout.records_len {
            return Err(self.no_such_record(offset));
        }
        let start = layout.records_offset + offset;
        let room = layout.records_len - offset;
        // At least a footer follows the records, so that this many bytes are there.
        let mut head = [0; HEAD];
        if HEAD as u64 <= room || HEAD <= SHORT_HEAD {
            self.bytes().read_exact_at(start, &mut head)?;
        } else {
            let len = usize::try_from(room).unwrap_or(0).min(HEAD);
            let head = head.get_mut(..len).unwrap_or_default();
            self.bytes().read_exact_at(start, head)?;
        }
        let record = match Record::parse(offset, &head, room) {
            Ok(record) => record,
            Err(what) => return Err(self.damaged(start, what)),
        };
        if record.key_len != key.len() {
            return Ok(None);
        }
        let value_start = record.value_start();
        let same = match head.get(record.head_len..value_start) {
            Some(found) => found == key,
            None => self.compare_long(&record, key)?,
        };
        Ok(same.then_some(Found {
            value: ValueRange {
                offset_bytes: start + value_start as u64,
                len: record.value_len,
            },
            head,
            value_start,
        }))
    }

    #[cold]
    fn no_such_record(&self, offset: u64) -> Error {
        let what =
            format!("the hash index leads to byte {offset} of the records section, past its end");
        self.damaged(self.layout.index_offset, what)
    }

    /// Compares a key that is longer than what is read of a record at once.
    #[cold]
    fn compare_long(&self, record: &Record, key: &[u8]) -> Result<bool> {
        let mut buf = [0; 1024];
        let mut at = self.layout.records_offset + record.offset + record.head_len as u64;
        for part in key.chunks(buf.len()) {
            let found = buf.get_mut(..part.len()).unwrap_or_default();
            self.bytes().read_exact_at(at, found)?;
            if found != part {
                return Ok(false);
            }
            at += part.len() as u64;
        }
        Ok(true)
    }
}

/// Up to this length, a key is compared after one read of one cache line's size.
const SHORT_KEY: usize = 48;
const SHORT_HEAD: usize = 64;
const LONG_HEAD: usize = 256;

/// A key's record, and the first bytes of it.
struct Found<const HEAD: usize> {
    value: ValueRange,
    head: [u8; HEAD],
    /// Where in `head` the value begins; past it, if it is not in there.
    value_start: usize,
}

/// Makes room for `len` more bytes, or says that there is none.
#[inline]
pub(crate) fn reserve(out: &mut Vec<u8>, len: u64) -> Result<()> {
    let no_room = || Error::OutOfMemory { len };
    let more = usize::try_from(len).map_err(|_| no_room())?;
    out.try_reserve(more).map_err(|_| no_room())
}
