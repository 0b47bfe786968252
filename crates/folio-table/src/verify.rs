//! Checks a table whole: every checksum, and that records, index and order agree.

mod all;
mod perfect;

pub use all::{Damage, Findings};

use folio::ReadAt;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};
use zerocopy::little_endian::U64;

use crate::format::{FOOTER_LEN, Line, ORDER_ENTRY_LEN, OrderEntry, PAGE_LEN, Record};
use crate::info::SectionKind;
use crate::order::Position;
use crate::records::Records;
use crate::{Error, Result, Table};
use perfect::{GroupWalk, verify_totals};

impl<B: ReadAt> Table<B> {
    /// Checks the whole table, and stops at the first fault.
    ///
    /// That is: the checksum of every page; that the keys ascend; that counts and
    /// lengths are as stated; that the index leads to each record, and to nothing
    /// else; that the order section is right. `progress` is told now and then
    /// how many bytes are done; at the end it is the length of the file.
    ///
    /// ```
    /// # let mut builder = folio_table::Builder::new();
    /// # builder.add(1, b"key", b"value")?;
    /// # let table = folio_table::Table::from_bytes(builder.to_vec()?, "example")?;
    /// let mut done = 0;
    /// table.verify(|bytes| done = bytes)?;
    /// assert_eq!(done, table.info().file_len);
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Checksum`] and [`Error::Damaged`] say what is wrong and where;
    /// [`Error::Bytes`], that the bytes could not be read.
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<()> {
        // What the walk over the records relies on comes first.
        let mut buf = vec![0; STRIDE_LEN];
        let mut done = PAGE_LEN + self.verify_sums(&mut buf)? + FOOTER_LEN;
        progress(done);
        for section in &self.info().sections {
            if matches!(section.kind, SectionKind::Records | SectionKind::Checksums) {
                continue;
            }
            let mut at = section.offset_bytes;
            let end = at + section.len.next_multiple_of(PAGE_LEN);
            while at < end {
                let checked = self.verify_pages(&mut buf, at, end, Err)?;
                at += checked;
                done += checked;
                progress(done);
            }
        }
        let records_padded = self.layout.records_len.next_multiple_of(PAGE_LEN);
        let mut walk = Walk::new(self);
        let mut checked = 0;
        while checked < records_padded {
            let start = self.layout.records_offset;
            let more = self.verify_pages(&mut buf, start + checked, start + records_padded, Err)?;
            checked += more;
            // One stride behind, so that a key is checked before it is used.
            walk.advance_to(checked.saturating_sub(STRIDE_LEN as u64))?;
            done += more;
            progress(done);
        }
        walk.advance_to(records_padded)?;
        walk.finish()?;
        self.verify_index_totals()?;
        progress(self.info().file_len);
        Ok(())
    }

    /// Checks the checksums section and returns its length.
    fn verify_sums(&self, buf: &mut [u8]) -> Result<u64> {
        let (offset, len) = (self.layout.sums_offset, self.layout.sums_len);
        let mut sum = Xxh3::new();
        let mut done = 0;
        while done < len {
            let part = part_of(buf, len - done);
            self.bytes().read_exact_at(offset + done, part)?;
            sum.update(part);
            done += part.len() as u64;
        }
        self.compare_sum(
            "checksums section",
            offset,
            self.sums_checksum,
            sum.digest(),
        )?;
        Ok(len)
    }

    /// Checks a stride of pages from `start` on and returns how long it is. Those that are wrong
    /// are given to `refuse`, which says whether to go on.
    fn verify_pages(
        &self,
        buf: &mut [u8],
        start: u64,
        end: u64,
        mut refuse: impl FnMut(Error) -> Result<()>,
    ) -> Result<u64> {
        let pages = part_of(buf, end - start);
        self.bytes().read_exact_at(start, pages)?;
        let mut sums = [U64::new(0); STRIDE_LEN / PAGE];
        let sums = sums.get_mut(..pages.len() / PAGE).unwrap_or_default();
        let first = (start - PAGE_LEN) / PAGE_LEN * size_of::<U64>() as u64;
        let sum_bytes = zerocopy::IntoBytes::as_mut_bytes(sums);
        self.bytes()
            .read_exact_at(self.layout.sums_offset + first, sum_bytes)?;
        for ((page, sum), offset) in pages.chunks(PAGE).zip(sums).zip((start..).step_by(PAGE)) {
            self.compare_sum("page", offset, sum.get(), xxh3_64(page))
                .or_else(&mut refuse)?;
        }
        Ok(pages.len() as u64)
    }

    /// Whether keys and values are as long in all as the header says.
    fn compare_totals(&self, key_bytes: u64, value_bytes: u64) -> Result<()> {
        let info = self.info();
        if (key_bytes, value_bytes) == (info.key_bytes, info.value_bytes) {
            return Ok(());
        }
        let what = format!(
            "the keys have {key_bytes} bytes and the values {value_bytes}, but {} and {} are stated",
            info.key_bytes, info.value_bytes
        );
        Err(self.damaged(0, what))
    }

    fn compare_sum(
        &self,
        what: &'static str,
        offset: u64,
        expected: u64,
        found: u64,
    ) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(Error::Checksum {
            path: self.name().to_owned(),
            what,
            offset,
            expected,
            found,
        })
    }

    /// The walk has found each record in the index; now, is there nothing else in it?
    fn verify_index_totals(&self) -> Result<()> {
        if let Some(perfect) = &self.layout.perfect {
            return verify_totals(self, perfect);
        }
        let (mut used, mut reach) = (0, 0);
        let mut line = Line::default();
        for number in 0..self.layout.lines {
            self.read_line(number, &mut line)?;
            used += u64::from(line.used);
            reach = reach.max(u64::from(line.reach));
            if !line.is_tidy() {
                let what = "a line of the hash index with something in an unused slot";
                return Err(self.damaged(self.line_offset(number), what));
            }
        }
        if reach != self.layout.max_reach {
            let stated = self.layout.max_reach;
            let what = format!("the hash index sends on by up to {reach} lines, not {stated}");
            return Err(self.damaged(self.layout.index_offset, what));
        }
        if used != self.count() {
            let what = format!(
                "the hash index has {used} records, but there are {}",
                self.count()
            );
            return Err(self.damaged(self.layout.index_offset, what));
        }
        Ok(())
    }
}

const PAGE: usize = 4096;

const NOT_ASCENDING: &str = "a key that is not above the one before it";

/// How much is read and checked at once. Longer than any key.
const STRIDE_LEN: usize = 256 << 10;

/// Checks each record against the one before, the index, and the order section.
struct Walk<'a, B> {
    records: Records<'a, B>,
    /// The first key that was passed; keys are never empty.
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    groups: GroupWalk,
    key_bytes: u64,
    value_bytes: u64,
    /// The page of the records section whose order entry comes next.
    next_page: u64,
}

impl<'a, B: ReadAt> Walk<'a, B> {
    fn new(table: &'a Table<B>) -> Self {
        Self::from_page(table, 0, 0, 0)
    }

    /// From a page of the records section on, whose first record has this rank and offset.
    fn from_page(table: &'a Table<B>, page: u64, rank: u64, offset: u64) -> Self {
        Self {
            records: Records::at(table, Position { offset, rank }),
            first_key: Vec::new(),
            last_key: Vec::new(),
            groups: GroupWalk::default(),
            key_bytes: 0,
            value_bytes: 0,
            next_page: page,
        }
    }

    /// The rank of the next record, and where it begins.
    fn position(&self) -> (u64, u64) {
        (self.records.passed(), self.records.position())
    }

    /// Checks all records that start before `end` of the records section.
    fn advance_to(&mut self, end: u64) -> Result<()> {
        let end = end.min(self.records.table().layout.records_len);
        while self.records.position() < end {
            self.check_order()?;
            let Some(record) = self.records.advance()? else {
                break;
            };
            self.check_record(&record)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.check_order()?;
        // At the end of the section this checks the count.
        self.records.advance()?;
        let table = self.records.table();
        table.compare_totals(self.key_bytes, self.value_bytes)
    }

    fn check_record(&mut self, record: &Record) -> Result<()> {
        let table = self.records.table();
        let at = table.layout.records_offset + record.offset;
        let key = self.records.key(record)?;
        if key <= self.last_key.as_slice() {
            return Err(table.damaged(at, NOT_ASCENDING));
        }
        if let Some(perfect) = &table.layout.perfect {
            self.groups.check(table, perfect, key, record.offset)?;
        } else if !table.index_has(key, record.offset)? {
            return Err(table.damaged(at, "a record that the hash index does not lead to"));
        }
        if self.first_key.is_empty() {
            self.first_key.extend_from_slice(key);
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.key_bytes += record.key_len as u64;
        self.value_bytes += record.value_len;
        Ok(())
    }

    /// Checks the order entries of all pages up to the one where the next record
    /// starts: it is the first one that starts in them or after them.
    fn check_order(&mut self) -> Result<()> {
        let table = self.records.table();
        let position = self.records.position();
        let expected = OrderEntry {
            rank: self.records.passed().into(),
            offset: position.into(),
        };
        while self.next_page * PAGE_LEN <= position
            && self.next_page * PAGE_LEN < table.layout.records_len
        {
            let at = table.layout.order_offset + self.next_page * ORDER_ENTRY_LEN;
            let found = table.bytes().get_at::<OrderEntry>(at)?;
            if found != expected {
                let what = format!(
                    "the order section says record {} at {}, but it is record {} at {}",
                    found.rank, found.offset, expected.rank, expected.offset
                );
                return Err(table.damaged(at, what));
            }
            self.next_page += 1;
        }
        Ok(())
    }
}

/// As much of a buffer as `len` bytes fill.
fn part_of(buf: &mut [u8], len: u64) -> &mut [u8] {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
    buf.get_mut(..len).unwrap_or_default()
}
