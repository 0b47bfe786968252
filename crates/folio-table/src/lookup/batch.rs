//! Many keys at once: what one lookup waits for is fetched while others go on.
//!
//! A lookup waits for memory twice, for its line of the index and for its record. A group of
//! keys is therefore looked up in steps: all lines are asked for, then all records that the
//! lines name, and then the records are compared. What the first steps find out is
//! only where to look first: whatever is out of the ordinary there, and every error,
//! is left to the last step, which is the lookup of a single key and goes key by key. So the answers
//! are those of [`Table::find`], in the same order.

use folio::ReadAt;

use super::perfect::{Descent, group_offset, read_len};
use super::quick::{Lead, Quick};
use super::{Found, HEAD, Value, ValueRange};
use crate::format::{COLUMN_LEN, Cell, Group, LINE_LEN, Line, PerfectLayout};
use crate::{Error, Result, Table};

/// How many keys are looked up together. Each has some cache lines on their way at a
/// time; more would not overlap better, and would begin to drive each other out of the cache.
const GROUP: usize = 32;

/// How much of a record is fetched ahead at most, in bytes; the processor goes on by itself.
const AHEAD_MAX: u64 = 1024;

/// How much of a record is fetched where only its key is looked at: its cache line, and the next one
/// if the lengths and a key of 16 bytes are not all in it.
const KEY_AHEAD: usize = 18;

/// Where a key is to be looked for, in a table with a perfect index.
#[derive(Clone, Copy, Debug)]
enum CellLead {
    /// In a cell. Its records are on their way.
    Cell(Cell),
    /// Nowhere: there is no such key.
    Absent,
    /// As if nothing were known.
    Unknown,
}

/// A key that was found, in a batch.
struct Hit<'h> {
    range: ValueRange,
    /// The value, where the lookup has read it.
    value: Option<&'h [u8]>,
}

impl<B: ReadAt> Table<B> {
    /// Looks up many keys, and calls `each` with the position of each key and its value, or
    /// `None` if there is no such key, in the order of the keys.
    ///
    /// It has the same answers as [`get`](Self::get) for one after the other, and
    /// takes a fraction of the time where the table is larger than the processor's
    /// cache. There may be any number of keys, and the same key any number of times. The slice is
    /// good until `each` returns.
    ///
    /// ```
    /// # let mut builder = folio_table::Builder::new();
    /// # builder.add(1, b"ape", b"climbs")?;
    /// # builder.add(2, b"bee", b"flies")?;
    /// # let table = folio_table::Table::from_bytes(builder.to_vec()?, "animals")?;
    /// let mut found = Vec::new();
    /// table.get_many(&["bee", "cow", "ape"], |index, value| {
    ///     found.push((index, value.map(<[u8]>::to_vec)));
    /// })?;
    /// assert_eq!(found, [
    ///     (0, Some(b"flies".to_vec())),
    ///     (1, None),
    ///     (2, Some(b"climbs".to_vec())),
    /// ]);
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get) for the first key that has one; `each` was called for
    /// all keys before it, and is not called again.
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut each: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        let mut read = Vec::new();
        self.in_groups(keys, self.ahead(), |index, hit| {
            match hit {
                None => each(index, None),
                Some(Hit {
                    value: Some(value), ..
                }) => each(index, Some(value)),
                Some(Hit { range, value: None }) => {
                    read.clear();
                    self.append(range, &mut read)?;
                    each(index, Some(&read));
                }
            }
            Ok(())
        })
    }

    /// Looks up many keys, and calls `each` with the position of each key and what
    /// [`find`](Self::find) would give, in the order of the keys.
    ///
    /// For those who must know a value's length before they take it; for others there is
    /// [`get_many`](Self::get_many).
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find) for the first key that has one, or the first of `each`: after
    /// either, `each` is not called again.
    pub fn find_many<K: AsRef<[u8]>, E: From<Error>>(
        &self,
        keys: &[K],
        mut each: impl FnMut(usize, Option<Value<'_, B>>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.in_groups(keys, self.ahead(), |index, hit| {
            let range = hit.map(|hit| hit.range);
            each(index, range.map(|range| Value { table: self, range }))
        })
    }

    /// As [`locate`](Self::locate), for many keys at once, in their order.
    ///
    /// # Errors
    ///
    /// Those of [`locate`](Self::locate) for the first key that has one, after which
    /// `each` is not called again.
    pub fn locate_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut each: impl FnMut(usize, Option<ValueRange>),
    ) -> Result<()> {
        self.in_groups(keys, KEY_AHEAD, |index, hit| {
            each(index, hit.map(|hit| hit.range));
            Ok(())
        })
    }

    /// As [`contains`](Self::contains), for many keys at once, in their order.
    ///
    /// # Errors
    ///
    /// As for [`locate_many`](Self::locate_many).
    pub fn contains_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut each: impl FnMut(usize, bool),
    ) -> Result<()> {
        self.locate_many(keys, |index, value| each(index, value.is_some()))
    }

    /// How much of a record to fetch where its value is wanted.
    #[inline]
    pub(super) fn ahead(&self) -> usize {
        let ahead = self.layout.mean_record_len.min(AHEAD_MAX);
        usize::try_from(ahead).unwrap_or(HEAD)
    }

    /// Looks up keys group by group; of each record, `ahead` bytes are fetched.
    #[inline]
    fn in_groups<K: AsRef<[u8]>, E: From<Error>>(
        &self,
        keys: &[K],
        ahead: usize,
        mut each: impl FnMut(usize, Option<Hit<'_>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut index = 0;
        if self.layout.home_lines == 0 {
            return self.by_cells(keys, each);
        }
        for group in keys.chunks(GROUP) {
            let leads = self.leads(group, ahead);
            for (key, lead) in group.iter().zip(leads) {
                let key = key.as_ref();
                let quick = match lead {
                    Lead::Record(offset) => self.compare_quickly(offset, key),
                    Lead::Absent => Quick::Absent,
                    Lead::Strays(_) | Lead::Unknown => Quick::Unknown,
                };
                match quick {
                    Quick::Found(range) => each(index, Some(Hit { range, value: None }))?,
                    Quick::Absent => each(index, None)?,
                    Quick::Unknown => self.thoroughly(key, |hit| each(index, hit))?,
                }
                index += 1;
            }
        }
        Ok(())
    }

    /// Looks up keys group by group, in a table without lines of a hash index.
    #[inline(never)]
    fn by_cells<K: AsRef<[u8]>, E: From<Error>>(
        &self,
        keys: &[K],
        mut each: impl FnMut(usize, Option<Hit<'_>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut index = 0;
        for group in keys.chunks(GROUP) {
            let cells = self.cells(group);
            for (key, lead) in group.iter().zip(cells) {
                let key = key.as_ref();
                match (lead, &self.layout.perfect) {
                    (CellLead::Absent, _) => each(index, None)?,
                    (CellLead::Cell(cell), Some(perfect)) => {
                        let mut head = [0; HEAD];
                        let found = self.search_cell(perfect, cell, key, &mut head)?;
                        each(index, found.as_ref().map(|found| Hit::of(found, &head)))?;
                    }
                    _ => self.thoroughly(key, |hit| each(index, hit))?,
                }
                index += 1;
            }
        }
        Ok(())
    }

    /// Looks a key up by itself: a record of another key with the same fingerprint was in the way, or something is
    /// wrong, or the bytes are none that are read by a few instructions.
    #[inline(never)]
    fn thoroughly<E: From<Error>>(
        &self,
        key: &[u8],
        mut each: impl FnMut(Option<Hit<'_>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut head = [0; HEAD];
        let found = self.search(key, &mut head)?;
        each(found.as_ref().map(|found| Hit::of(found, &head)))
    }

    /// Where to look for each of at most [`GROUP`] keys.
    ///
    /// What is fetched is fetched in loops that do nothing else: a processor that has to walk the
    /// page tables for one address goes on only so many instructions, in which there should be as
    /// many other addresses as possible.
    #[inline]
    fn leads<K: AsRef<[u8]>>(&self, keys: &[K], ahead: usize) -> [Lead; GROUP] {
        let mut leads = [Lead::Unknown; GROUP];
        let mut hashes = [0; GROUP];
        let hashes = hashes.get_mut(..keys.len()).unwrap_or_default();
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash(key.as_ref());
        }
        for hash in &*hashes {
            self.bytes().prefetch(self.home_offset(*hash), 1);
        }
        let mut any_strays = false;
        for (lead, hash) in leads.iter_mut().zip(&*hashes) {
            *lead = self.lead(*hash);
            any_strays |= matches!(lead, Lead::Strays(_));
        }
        for (lead, hash) in leads.iter().zip(&*hashes) {
            match *lead {
                Lead::Record(offset) => self.prefetch_at(offset, ahead),
                // Few stand further on than in the second line from home.
                Lead::Strays(_) => {
                    let next = self.home_offset(*hash).wrapping_add(LINE_LEN);
                    self.bytes().prefetch(next, 2 * size_of::<Line>());
                }
                Lead::Absent | Lead::Unknown => {}
            }
        }
        if any_strays {
            for (lead, hash) in leads.iter_mut().zip(&*hashes) {
                if let Lead::Strays(reach) = *lead {
                    *lead = self.lead_of_stray(*hash, reach);
                    if let Lead::Record(offset) = *lead {
                        self.prefetch_at(offset, ahead);
                    }
                }
            }
        }
        leads
    }

    /// The cell in which to look for each of at most [`GROUP`] keys. Their records are on their way.
    #[inline(never)]
    fn cells<K: AsRef<[u8]>>(&self, keys: &[K]) -> [CellLead; GROUP] {
        let mut leads = [CellLead::Unknown; GROUP];
        let Some(perfect) = &self.layout.perfect else {
            return leads;
        };
        if let [_] = keys {
            // Nothing to overlap with.
            return leads;
        }
        let descents = self.descend_together(perfect, keys);
        let mut numbers = [None; GROUP];
        for ((number, descent), key) in numbers.iter_mut().zip(&descents).zip(keys) {
            let found = self.group_below(perfect, key.as_ref(), descent);
            if let Ok(Some(found)) = found {
                let at = group_offset(perfect, found);
                self.bytes().prefetch(at, size_of::<Group>());
                *number = Some(found);
            }
        }
        let mut group = Group::default();
        for ((lead, number), key) in leads.iter_mut().zip(numbers).zip(keys) {
            let read = number.map(|number| self.read_group(perfect, number, &mut group));
            let Some(Ok(())) = read else {
                continue;
            };
            *lead = match group.cell_of(self.hash(key.as_ref())) {
                None => CellLead::Absent,
                Some(cell) => {
                    self.prefetch_at(cell.start, read_len(&cell));
                    CellLead::Cell(cell)
                }
            };
        }
        leads
    }

    /// Brings all keys down the fences, level by level. Where a level cannot be read, a key goes
    /// astray, and is looked up alone in the end.
    fn descend_together<K: AsRef<[u8]>>(
        &self,
        perfect: &PerfectLayout,
        keys: &[K],
    ) -> [Descent; GROUP] {
        let mut descents = [Descent::default(); GROUP];
        for (descent, key) in descents.iter_mut().zip(keys) {
            *descent = Descent::new(perfect, key.as_ref());
        }
        let mut levels = perfect.fences.levels().iter().rev().peekable();
        while let Some(level) = levels.next() {
            let next = levels.peek();
            for (descent, key) in descents.iter_mut().zip(keys) {
                if self.descend(perfect, level, key.as_ref(), descent).is_err() {
                    descent.go_astray();
                } else if let Some(next) = next {
                    let at = descent.node_offset(perfect, next);
                    self.bytes().prefetch(at, COLUMN_LEN);
                }
            }
        }
        descents
    }

    /// Has the record at `offset` of the records section fetched, or so much of it.
    #[inline]
    pub(super) fn prefetch_at(&self, offset: u64, ahead: usize) {
        let at = self.layout.records_offset.wrapping_add(offset);
        self.bytes().prefetch(at, ahead);
    }
}

impl<'h> Hit<'h> {
    fn of(found: &Found, head: &'h [u8; HEAD]) -> Self {
        Self {
            range: found.range,
            value: found.value_in(head),
        }
    }
}
