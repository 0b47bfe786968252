//! Many keys at once: what one lookup waits for is fetched while others go on.
//!
//! A lookup waits for memory twice, for its line of the index and for its record. A group of
//! keys is therefore looked up in steps: all lines are asked for, then all records that the
//! lines name, and then the records are compared. What the first steps find out is
//! only where to look first: whatever is out of the ordinary there, and every error,
//! is left to the last step, which is the lookup of a single key and goes key by key. So the answers
//! are those of [`Table::find`], in the same order.

use folio::ReadAt;

use super::hash_index::Probe;
use super::perfect::{Descent, group_offset, read_len};
use super::{Found, HEAD, Value, ValueRange, reserve};
use crate::format::{COLUMN_LEN, Cell, Group, Line, PerfectLayout};
use crate::{Error, Result, Table};

/// How many keys are looked up together. Each has some cache lines on their way at a
/// time; more would not overlap better, and would begin to drive each other out of the cache.
const GROUP: usize = 32;

/// How much of a record is fetched ahead at most, in bytes; the processor goes on by itself.
const AHEAD_MAX: u64 = 1024;

/// Where a key is to be looked for first.
#[derive(Clone, Copy, Debug)]
enum Lead {
    /// At the first record that the index names, by its offset.
    Record(u64),
    /// Nowhere: there is no such key.
    None,
    /// In so many lines after the home line.
    Strays(u64),
    /// In a cell of the perfect index. Its records are on their way.
    Cell(Cell),
    /// As if nothing were known.
    Unknown,
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
        let mut long = Vec::new();
        self.in_groups(keys, self.ahead(), |index, found, head| {
            match &found {
                None => each(index, None),
                Some(found) => match found.value_in(head) {
                    Some(bytes) => each(index, Some(bytes)),
                    None => each(index, Some(self.read_into(found.range, &mut long)?)),
                },
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
        self.in_groups(keys, self.ahead(), |index, found, head| {
            let value = found.map(|found| Value {
                table: self,
                found,
                head: *head,
            });
            each(index, value)
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
        self.in_groups(keys, HEAD, |index, found, _| {
            each(index, found.map(|found| found.range));
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
        let ahead = self.layout.mean_record_len.clamp(HEAD as u64, AHEAD_MAX);
        usize::try_from(ahead).unwrap_or(HEAD)
    }

    /// Looks up keys group by group; of each record, `ahead` bytes are fetched.
    #[inline]
    fn in_groups<K: AsRef<[u8]>, E: From<Error>>(
        &self,
        keys: &[K],
        ahead: usize,
        mut each: impl FnMut(usize, Option<Found>, &[u8; HEAD]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut head = [0; HEAD];
        let mut index = 0;
        for group in keys.chunks(GROUP) {
            let leads = self.leads(group, ahead);
            for (key, lead) in group.iter().zip(leads) {
                let found = self.follow(lead, key.as_ref(), &mut head)?;
                each(index, found, &head)?;
                index += 1;
            }
        }
        Ok(())
    }

    /// Where to look for each of at most [`GROUP`] keys.
    ///
    /// What is fetched is fetched in loops that do nothing else: a processor that has to walk the
    /// page tables for one address goes on only so many instructions, in which there should be as
    /// many other addresses as possible.
    fn leads<K: AsRef<[u8]>>(&self, keys: &[K], ahead: usize) -> [Lead; GROUP] {
        let mut leads = [Lead::Unknown; GROUP];
        if let [_] = keys {
            // Nothing to overlap with.
            return leads;
        }
        if self.layout.home_lines == 0 {
            return self.leads_by_groups(keys);
        }
        let mut probes = [Probe::default(); GROUP];
        let probes = probes.get_mut(..keys.len()).unwrap_or_default();
        for (probe, key) in probes.iter_mut().zip(keys) {
            *probe = self.probe(key.as_ref());
        }
        for probe in &*probes {
            self.prefetch_line(probe.home);
        }
        let mut any_strays = false;
        for (lead, probe) in leads.iter_mut().zip(&*probes) {
            *lead = self.lead(*probe);
            any_strays |= matches!(lead, Lead::Strays(_));
        }
        for lead in &leads {
            self.prefetch_record(*lead, ahead);
        }
        if any_strays {
            for (lead, probe) in leads.iter_mut().zip(&*probes) {
                if let Lead::Strays(reach) = *lead {
                    *lead = self.lead_of_stray(*probe, reach);
                    self.prefetch_record(*lead, ahead);
                }
            }
        }
        leads
    }

    /// The same, for a table without lines of a hash index.
    #[inline(never)]
    fn leads_by_groups<K: AsRef<[u8]>>(&self, keys: &[K]) -> [Lead; GROUP] {
        let mut leads = [Lead::Unknown; GROUP];
        let Some(perfect) = &self.layout.perfect else {
            return leads;
        };
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
                None => Lead::None,
                Some(cell) => {
                    let at = self.layout.records_offset.saturating_add(cell.start);
                    self.bytes().prefetch(at, read_len(&cell));
                    Lead::Cell(cell)
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

    #[inline]
    fn prefetch_line(&self, number: u64) {
        let at = self.line_offset(number);
        self.bytes().prefetch(at, size_of::<Line>());
    }

    #[inline]
    fn prefetch_record(&self, lead: Lead, ahead: usize) {
        if let Lead::Record(offset) = lead {
            self.prefetch_at(offset, ahead);
        }
    }

    /// Has the record at `offset` of the records section fetched, or so much of it.
    #[inline]
    pub(super) fn prefetch_at(&self, offset: u64, ahead: usize) {
        let at = self.layout.records_offset.saturating_add(offset);
        self.bytes().prefetch(at, ahead);
    }

    /// What the home line says.
    #[inline]
    fn lead(&self, probe: Probe) -> Lead {
        let mut line = Line::default();
        if self.read_line(probe.home, &mut line).is_err() {
            return Lead::Unknown;
        }
        if let Some(offset) = line.matches(probe.tag).next() {
            return Lead::Record(offset);
        }
        if !line.sends_on(probe.tag) {
            return Lead::None;
        }
        match self.reach(probe.home, &line) {
            Ok(reach) => {
                // Few stand further on than in the second line from home.
                self.prefetch_line(probe.home + 1);
                self.prefetch_line(probe.home + 2);
                Lead::Strays(reach)
            }
            Err(_) => Lead::Unknown,
        }
    }

    /// What the lines after the home line say.
    fn lead_of_stray(&self, probe: Probe, reach: u64) -> Lead {
        let mut line = Line::default();
        for step in 1..=reach {
            if self.read_line(probe.home + step, &mut line).is_err() {
                return Lead::Unknown;
            }
            if let Some(offset) = line.matches(probe.tag).next() {
                return Lead::Record(offset);
            }
        }
        Lead::None
    }

    /// Looks a key up, beginning where the lead says.
    #[inline]
    fn follow(&self, lead: Lead, key: &[u8], head: &mut [u8; HEAD]) -> Result<Option<Found>> {
        match lead {
            Lead::Record(offset) => {
                if let Some(found) = self.compare(offset, key, head)? {
                    return Ok(Some(found));
                }
            }
            Lead::None => return Ok(None),
            Lead::Cell(cell) => {
                if let Some(perfect) = &self.layout.perfect {
                    return self.search_cell(perfect, cell, key, head);
                }
            }
            Lead::Strays(_) | Lead::Unknown => {}
        }
        self.search_anew(key, head)
    }

    /// A record of another key with the same fingerprint was in the way, or something is wrong.
    #[inline(never)]
    fn search_anew(&self, key: &[u8], head: &mut [u8; HEAD]) -> Result<Option<Found>> {
        self.search(key, HEAD, head)
    }

    /// A value, read into the beginning of `buf`.
    fn read_into<'b>(&self, value: ValueRange, buf: &'b mut Vec<u8>) -> Result<&'b [u8]> {
        let len = usize::try_from(value.len).unwrap_or(usize::MAX);
        if buf.len() < len {
            // Within the file: the record was seen to lie within the records section.
            reserve(buf, value.len - buf.len() as u64)?;
            buf.resize(len, 0);
        }
        let to = buf.get_mut(..len).unwrap_or_default();
        self.bytes().read_exact_at(value.offset_bytes, to)?;
        Ok(to)
    }
}
