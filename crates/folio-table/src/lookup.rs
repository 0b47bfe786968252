//! Point lookup: one line of the index, then the record. With a perfect index, see [`perfect`].
//!
//! There are two lookups with the same answers. The one of [`quick`] is what most keys need, and no more. The
//! thorough one, which is here, reads what it is about to use into buffers of its own, whatever kind of bytes it
//! comes from, and says what is wrong with it.

mod batch;
mod compare;
mod hash_index;
pub(crate) mod perfect;
mod quick;
mod value;

use folio::ReadAt;

pub use value::{Value, ValueRange};

use crate::format::Line;
use crate::{Error, Result, Table};
use hash_index::Probe;
use quick::{Quick, Want};
use value::Found;

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
        match self.search_quickly(key, Want::Value) {
            Quick::Found(value) => self.append(value, out).map(|()| true),
            Quick::Absent => Ok(false),
            Quick::Unknown => self.get_thoroughly(key, out),
        }
    }

    /// The value of a key, its length known and its bytes still to be taken;
    /// `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`] and [`Error::Damaged`], as for [`get`](Self::get).
    #[inline]
    pub fn find(&self, key: &[u8]) -> Result<Option<Value<'_, B>>> {
        let range = self.range_of(key, Want::Value)?;
        Ok(range.map(|range| Value { table: self, range }))
    }

    /// Where the value of a key stands; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    #[inline]
    pub fn locate(&self, key: &[u8]) -> Result<Option<ValueRange>> {
        self.range_of(key, Want::Place)
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
        self.append(value, out)
    }

    #[inline]
    fn range_of(&self, key: &[u8], want: Want) -> Result<Option<ValueRange>> {
        match self.search_quickly(key, want) {
            Quick::Found(value) => Ok(Some(value)),
            Quick::Absent => Ok(None),
            Quick::Unknown => self.locate_thoroughly(key),
        }
    }

    #[inline(never)]
    fn locate_thoroughly(&self, key: &[u8]) -> Result<Option<ValueRange>> {
        let found = self.search(key, &mut [0; HEAD])?;
        Ok(found.map(|found| found.range))
    }

    #[inline(never)]
    fn get_thoroughly(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let mut head = [0; HEAD];
        match self.search(key, &mut head)? {
            Some(found) => self.append_found(&found, &head, out).map(|()| true),
            None => Ok(false),
        }
    }

    /// Looks a key up, thoroughly. `head` has the first bytes of its record then.
    fn search(&self, key: &[u8], head: &mut [u8; HEAD]) -> Result<Option<Found>> {
        if self.layout.home_lines == 0 {
            return self.search_groups(key, head);
        }
        let probe = self.probe(key);
        let mut line = Line::default();
        self.read_line(probe.home, &mut line)?;
        for offset in line.matches(probe.tag) {
            if let Some(found) = self.compare(offset, key, head)? {
                return Ok(Some(found));
            }
        }
        if line.sends_on(probe.tag) {
            let reach = self.reach(probe.home, &line)?;
            return self.search_strays(key, probe, reach, head);
        }
        Ok(None)
    }

    /// Looks for a key that found no room in its home line.
    fn search_strays(
        &self,
        key: &[u8],
        probe: Probe,
        reach: u64,
        head: &mut [u8; HEAD],
    ) -> Result<Option<Found>> {
        let mut line = Line::default();
        for step in 1..=reach {
            self.read_line(probe.home + step, &mut line)?;
            for offset in line.matches(probe.tag) {
                if let Some(found) = self.compare(offset, key, head)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}

/// How much of a record is read at once: the size of a cache line, which has both lengths, a
/// key of up to 61 bytes, and with that a short value.
const HEAD: usize = 64;

/// Makes room for `len` more bytes, or says that there is none.
#[inline]
pub(crate) fn reserve(out: &mut Vec<u8>, len: u64) -> Result<()> {
    let no_room = || Error::OutOfMemory { len };
    let more = usize::try_from(len).map_err(|_| no_room())?;
    out.try_reserve(more).map_err(|_| no_room())
}
