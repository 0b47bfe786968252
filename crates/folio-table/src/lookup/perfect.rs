//! Point lookup by the perfect index: the fences lead to a group, the group to one of its cells,
//! and there the records are compared one after the other.

use std::cmp::Ordering;
use std::ops::Range;

use folio::ReadAt;
use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::IntoBytes;
use zerocopy::little_endian::U64;

use super::{ValueRange, reserve};
use crate::format::{
    COLUMN_LEN, Cell, GROUP_LEN, Group, HEAD_MAX_LEN, NODE_FENCES, PerfectLayout, Record,
    fence_word,
};
use crate::{Error, Result, Table};

impl<B: ReadAt> Table<B> {
    /// [`get_into`](Self::get_into) for a table without lines of a hash index.
    pub(super) fn get_by_groups(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let mut walk = CellWalk::new(self);
        let Some(found) = self.find_by_groups(key, &mut walk)? else {
            return Ok(false);
        };
        // What was read to compare keys often has the value as well.
        match walk.value(&found) {
            Some(value) => {
                reserve(out, found.value_len)?;
                out.extend_from_slice(value);
            }
            None => self.read_value(self.value_of(&found), out)?,
        }
        Ok(true)
    }

    /// [`locate`](Self::locate) for a table without lines of a hash index.
    pub(super) fn locate_by_groups(&self, key: &[u8]) -> Result<Option<ValueRange>> {
        let found = self.find_by_groups(key, &mut CellWalk::new(self))?;
        Ok(found.map(|record| self.value_of(&record)))
    }

    fn find_by_groups(&self, key: &[u8], walk: &mut CellWalk<'_, B>) -> Result<Option<Record>> {
        let Some(perfect) = &self.layout.perfect else {
            return Ok(None);
        };
        let hash = xxh3_64_with_seed(key, self.layout.seed);
        let Some(number) = self.group_of(perfect, key)? else {
            return Ok(None);
        };
        let group = self.group(perfect, number)?;
        let cell_number = group.cell_number(hash);
        let Some(cell) = group.cell(cell_number) else {
            return Ok(None);
        };
        walk.find(
            cell,
            likely_len(&group, cell_number, cell),
            perfect.prefix_len,
            key,
        )
    }

    /// The group that has this key, if any has; `None` if the key is below all keys.
    #[inline]
    fn group_of(&self, perfect: &PerfectLayout, key: &[u8]) -> Result<Option<u64>> {
        let word = fence_word(key, perfect.prefix_len, 0);
        let mut found = Reached::default();
        for level in perfect.fences.levels().iter().rev() {
            let node = found.end.saturating_sub(1);
            let in_node = self.search_node(perfect, level.start.saturating_add(node), word, key)?;
            if in_node.end == 0 {
                // Below the first key of all, or of a node to which another key led.
                return Ok(None);
            }
            found.end = (node * NODE_FENCES + in_node.end).min(level.count);
            found.is_equal = in_node.is_equal;
        }
        if found.is_equal {
            return self.group_among_equals(perfect, key, found.end);
        }
        Ok(found.end.checked_sub(1))
    }

    /// How far a node's fences are at most this key's, whose first word is `word`.
    #[inline]
    fn search_node(
        &self,
        perfect: &PerfectLayout,
        node: u64,
        word: u64,
        key: &[u8],
    ) -> Result<Reached> {
        let at = perfect.fences_offset + node * perfect.node_len();
        let column = self.column(at)?;
        let at_most = |fence: &U64| usize::from(fence.get() <= word);
        let end = column.iter().map(at_most).sum::<usize>();
        let last = end.checked_sub(1).and_then(|last| column.get(last));
        let is_equal = last.is_some_and(|last| last.get() == word);
        if is_equal && perfect.words > 1 {
            return self.search_columns(perfect, at, key);
        }
        Ok(Reached {
            end: end as u64,
            is_equal,
        })
    }

    /// [`search_node`](Self::search_node) for the node at `at` of the file, by all words.
    fn search_columns(&self, perfect: &PerfectLayout, at: u64, key: &[u8]) -> Result<Reached> {
        // Those whose words up to here are equal to the key's.
        let mut equal = 0..NODE_FENCES as usize;
        for number in 0..perfect.words {
            let word = fence_word(key, perfect.prefix_len, number);
            let column = self.column(at + u64::from(number) * COLUMN_LEN)?;
            let among = column.get(equal.clone()).unwrap_or_default();
            let below = among.iter().filter(|fence| fence.get() < word).count();
            let same = among.iter().filter(|fence| fence.get() == word).count();
            equal = equal.start + below..equal.start + below + same;
        }
        Ok(Reached {
            end: equal.end as u64,
            is_equal: !equal.is_empty(),
        })
    }

    /// One word of each fence of a node, from this offset of the file.
    #[inline]
    fn column(&self, at: u64) -> Result<Column> {
        // Not as a value that `get_at` returns, which would be moved about.
        let mut column = Column::default();
        self.bytes().read_exact_at(at, column.as_mut_bytes())?;
        Ok(column)
    }

    /// The group that has a key, where the key's fence is also the fence of groups, of which
    /// number `end` - 1 is the last.
    #[cold]
    fn group_among_equals(
        &self,
        perfect: &PerfectLayout,
        key: &[u8],
        end: u64,
    ) -> Result<Option<u64>> {
        // The last group whose first key is at most this key: all before `low` are such, none
        // from `high` on is.
        let (mut low, mut high) = (0, end);
        // Doubling steps back, since most often the last group or the one before it is right.
        let mut step = 1;
        while high > low {
            let probe = high.saturating_sub(step).max(low);
            if self.compare_first(perfect, probe, key)?.is_le() {
                low = probe + 1;
                break;
            }
            high = probe;
            step *= 2;
        }
        while low < high {
            let probe = low + (high - low) / 2;
            if self.compare_first(perfect, probe, key)?.is_le() {
                low = probe + 1;
            } else {
                high = probe;
            }
        }
        Ok(low.checked_sub(1))
    }

    /// Compares a group's first key with this one.
    fn compare_first(&self, perfect: &PerfectLayout, number: u64, key: &[u8]) -> Result<Ordering> {
        let first = self.group(perfect, number)?.first();
        if first >= self.layout.records_len {
            return Err(self.past_the_end(group_offset(perfect, number), first));
        }
        self.compare_at(first, key)
    }

    /// Reads the line of a group, and checks what every use of it relies on.
    #[inline]
    pub(crate) fn group(&self, perfect: &PerfectLayout, number: u64) -> Result<Group> {
        if number >= perfect.groups {
            return Err(self.no_such_group(perfect, number));
        }
        let mut group = Group::default();
        let at = group_offset(perfect, number);
        self.bytes().read_exact_at(at, group.as_mut_bytes())?;
        if !group.has_a_possible_count() {
            return Err(self.impossible_group(perfect, number, group.count));
        }
        Ok(group)
    }

    #[cold]
    fn no_such_group(&self, perfect: &PerfectLayout, number: u64) -> Error {
        let what = format!("group {number} asked for, but there are {}", perfect.groups);
        self.damaged(perfect.groups_offset, what)
    }

    /// What at `at` of the file leads to `offset` of the records section.
    #[cold]
    fn past_the_end(&self, at: u64, offset: u64) -> Error {
        let what = format!("the index leads to byte {offset} of the records section, past its end");
        self.damaged(at, what)
    }

    #[cold]
    fn impossible_group(&self, perfect: &PerfectLayout, number: u64, count: u8) -> Error {
        let what = format!("a group of {count} records");
        self.damaged(group_offset(perfect, number), what)
    }
}

/// Where the line of a group is in the file.
pub(crate) fn group_offset(perfect: &PerfectLayout, number: u64) -> u64 {
    perfect
        .groups_offset
        .saturating_add(number.saturating_mul(GROUP_LEN))
}

/// One word of each fence of a node.
type Column = [U64; NODE_FENCES as usize];

/// How far the fences of a level, or of a node, are at most a key's.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    /// How many are.
    end: u64,
    /// Whether the last one of these is the key's own.
    is_equal: bool,
}

/// How many bytes a cell probably has: exactly as many up to the next cell, and for the last one
/// as many as the mean of the others.
#[inline]
fn likely_len(group: &Group, number: usize, cell: Cell) -> u64 {
    match group.cell(number + 1) {
        Some(next) => next.start.saturating_sub(cell.start),
        None => (cell.start - group.first()) / (number.max(1) as u64),
    }
}

/// Walks through the records of a cell, which are read together if they are small.
struct CellWalk<'a, B> {
    table: &'a Table<B>,
    buf: [u8; BUF_LEN],
    /// Which bytes of the records section the buffer has.
    buffered: Range<u64>,
}

/// Room for a cell of records of 70 bytes; more would have to be cleared for each lookup.
const BUF_LEN: usize = 1024;

/// How much is read at once of records too large for it to be worth while to read them together.
const ALONE_LEN: u64 = 128;

impl<'a, B: ReadAt> CellWalk<'a, B> {
    #[inline]
    fn new(table: &'a Table<B>) -> Self {
        Self {
            table,
            buf: [0; BUF_LEN],
            buffered: 0..0,
        }
    }

    /// Looks for a key in a cell of about `likely_len` bytes.
    #[inline]
    fn find(
        &mut self,
        cell: Cell,
        likely_len: u64,
        prefix_len: usize,
        key: &[u8],
    ) -> Result<Option<Record>> {
        let word = fence_word(key, prefix_len, 0);
        let need = HEAD_MAX_LEN + key.len();
        let at_once = match likely_len {
            0 => BUF_LEN as u64,
            len if len > 2 * BUF_LEN as u64 => ALONE_LEN,
            len => len,
        };
        let mut offset = cell.start;
        for _ in 0..cell.count {
            let record = self.record(offset, need, at_once)?;
            let start = offset + record.head_len as u64;
            match self.bytes(start, record.key_len) {
                // The first word after what all keys share tells most keys apart.
                Some(found) => match fence_word(found, prefix_len, 0).cmp(&word) {
                    Ordering::Less => {}
                    Ordering::Equal if found == key => return Ok(Some(record)),
                    Ordering::Equal => {}
                    Ordering::Greater => return Ok(None),
                },
                None => {
                    if record.key_len == key.len() && self.table.compare_long(&record, key)? {
                        return Ok(Some(record));
                    }
                }
            }
            offset += record.len();
        }
        Ok(None)
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

    /// The value of a record, if it is in the buffer.
    #[inline]
    fn value(&self, record: &Record) -> Option<&[u8]> {
        let start = record.offset + record.value_start() as u64;
        self.bytes(start, usize::try_from(record.value_len).ok()?)
    }
}
