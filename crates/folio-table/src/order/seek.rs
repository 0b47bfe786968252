//! Finding a place in the order: by key, and by rank.

use std::cmp::Ordering;

use folio::ReadAt;

use super::Position;
use crate::format::{ORDER_ENTRY_LEN, OrderEntry, PAGE_LEN};
use crate::records::Records;
use crate::{Error, Result, Table};

/// Which side of a key that may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

impl Side {
    /// Whether a record is before the place, given how its key compares to the wanted one.
    fn passes(self, key: Ordering) -> bool {
        match self {
            Self::Before => key.is_lt(),
            Self::After => key.is_le(),
        }
    }
}

impl<B: ReadAt> Table<B> {
    /// The place just before or just after a key.
    pub(super) fn seek(&self, key: &[u8], side: Side) -> Result<Position> {
        let passes = |position: Position| {
            let is_record = position.offset < self.layout.records_len;
            Ok(is_record && side.passes(self.compare_at(position.offset, key)?))
        };
        let Some((page, start, end)) = self.page_where(passes)? else {
            return Ok(Position::START);
        };
        let mut records = Records::at(self, start);
        while records.next() != end {
            let before = records.next();
            self.check_within(page, before, end)?;
            let Some(record) = records.advance()? else {
                break;
            };
            if !side.passes(records.key(&record)?.cmp(key)) {
                return Ok(before);
            }
        }
        Ok(end)
    }

    /// The place before the record of a rank, which is at most the count.
    pub(super) fn seek_rank(&self, rank: u64) -> Result<Position> {
        if rank >= self.count() {
            return Ok(self.end());
        }
        let Some((page, start, end)) = self.page_where(|position| Ok(position.rank <= rank))?
        else {
            return Ok(Position::START);
        };
        let mut records = Records::at(self, start);
        while records.passed() < rank {
            self.check_within(page, records.next(), end)?;
            if records.advance()?.is_none() {
                break;
            }
        }
        Ok(records.next())
    }

    /// The last page whose first record passes, that record's place, and where
    /// the records that start in the page end; `None` if not even the first one's does.
    fn page_where(
        &self,
        passes: impl Fn(Position) -> Result<bool>,
    ) -> Result<Option<(u64, Position, Position)>> {
        let pages = self.pages();
        let (mut low, mut high) = (0, pages);
        let (mut start, mut end) = (Position::START, self.end());
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.order_entry(middle)?;
            if passes(entry)? {
                low = middle + 1;
                start = entry;
            } else {
                high = middle;
                end = entry;
            }
        }
        Ok(low.checked_sub(1).map(|page| (page, start, end)))
    }

    /// The last page in which a record starts before `offset`, and the place of its first.
    #[cold]
    pub(super) fn page_before(&self, offset: u64) -> Result<Option<(u64, Position)>> {
        let found = self.page_where(|position| Ok(position.offset < offset))?;
        Ok(found.map(|(page, start, _)| (page, start)))
    }

    /// How many pages the records section has.
    pub(super) fn pages(&self) -> u64 {
        self.layout.records_len.div_ceil(PAGE_LEN)
    }

    /// The place of the first record that starts in a page or after it.
    pub(super) fn order_entry(&self, page: u64) -> Result<Position> {
        let at = self.order_offset(page);
        let entry = self.bytes().get_at::<OrderEntry>(at)?;
        let (offset, rank) = (entry.offset.get(), entry.rank.get());
        let len = self.layout.records_len;
        if offset < page.saturating_mul(PAGE_LEN) || offset > len || rank > self.count() {
            let what = format!("the order section says record {rank} at {offset} for page {page}");
            return Err(self.damaged(at, what));
        }
        Ok(Position { offset, rank })
    }

    pub(super) fn order_offset(&self, page: u64) -> u64 {
        let before = page.saturating_mul(ORDER_ENTRY_LEN);
        self.layout.order_offset.saturating_add(before)
    }

    /// Checks that a record starts in its page, and before the next page's first.
    #[inline]
    fn check_within(&self, page: u64, position: Position, end: Position) -> Result<()> {
        let is_before_end = position.offset < end.offset && position.rank < end.rank;
        if is_before_end && position.offset / PAGE_LEN == page {
            return Ok(());
        }
        Err(self.disordered(page))
    }

    #[cold]
    pub(super) fn disordered(&self, page: u64) -> Error {
        let what = format!("the order section does not fit the records of page {page}");
        self.damaged(self.order_offset(page), what)
    }

    /// How the key of the record at `offset`, which is within the section, compares to another.
    pub(crate) fn compare_at(&self, offset: u64, key: &[u8]) -> Result<Ordering> {
        let mut buf = [0; 64];
        let len = (self.layout.records_len - offset).min(buf.len() as u64);
        let start = self.layout.records_offset + offset;
        let head = buf.get_mut(..usize::try_from(len).unwrap_or(0));
        let head = head.unwrap_or_default();
        self.bytes().read_exact_at(start, head)?;
        let record = self.record(offset, head)?;
        if let Some(found) = head.get(record.head_len..record.value_start()) {
            return Ok(found.cmp(key));
        }
        // A long key, in pieces.
        let mut buf = [0; 1024];
        let mut at = start + record.head_len as u64;
        let mut left = record.key_len;
        let mut rest = key;
        while left > 0 {
            let found = buf.get_mut(..left.min(1024)).unwrap_or_default();
            self.bytes().read_exact_at(at, found)?;
            let (part, after) = rest.split_at_checked(found.len()).unwrap_or((rest, &[]));
            match (*found).cmp(part) {
                Ordering::Equal => {}
                other => return Ok(other),
            }
            at += found.len() as u64;
            left -= found.len();
            rest = after;
        }
        Ok(if rest.is_empty() {
            Ordering::Equal
        } else {
            Ordering::Less
        })
    }
}
