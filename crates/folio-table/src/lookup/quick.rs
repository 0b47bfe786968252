//! The lookup that most often is all there is to do: in tables with a hash index, of short keys, in bytes
//! that are read by a few instructions.
//!
//! How long a lookup takes is, where the table is larger than the processor's cache, a matter of how soon the processor
//! comes to the next one: it goes on to that while it waits for the memory of this one, but only some
//! hundred instructions and some dozen stores ahead. Hence little is copied here, and nothing is prepared for
//! errors: whatever is out of the ordinary is left to the thorough lookup, which begins anew, and
//! whose answers these are.

use folio::ReadAt;
use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::IntoBytes;

use super::{HEAD, ValueRange};
use crate::Table;
use crate::format::{HEAD_MAX_LEN, LINE_LEN, Line, Record, SLOTS, home_line};

/// The longest key that is looked up like this: longer ones are not compared by a few instructions.
const KEY_MAX_LEN: usize = 64;

/// What a lookup of the quick kind comes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Quick {
    Found(ValueRange),
    Absent,
    /// The thorough lookup tells.
    Unknown,
}

/// What a lookup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// The value, which will be read.
    Value,
    /// The key, or where the value stands.
    Place,
}

/// Where the home line of a key says that it is to be looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lead {
    /// At the first record with its fingerprint, by the record's offset.
    Record(u64),
    /// Nowhere: there is no such key.
    Absent,
    /// In so many lines after the home line.
    Strays(u64),
    /// As if nothing were known.
    Unknown,
}

impl<B: ReadAt> Table<B> {
    /// Looks a key up.
    #[inline]
    pub(super) fn search_quickly(&self, key: &[u8], want: Want) -> Quick {
        if self.layout.home_lines == 0 || key.len() > KEY_MAX_LEN {
            return Quick::Unknown;
        }
        let hash = self.hash(key);
        match self.lead(hash) {
            Lead::Record(offset) => {
                if want == Want::Value && self.layout.mean_record_len > HEAD as u64 {
                    // What comes after the head is on its way while the key is compared.
                    self.prefetch_long(offset);
                }
                self.compare_quickly(offset, key)
            }
            Lead::Absent => Quick::Absent,
            Lead::Strays(reach) => self.search_strays_quickly(hash, reach, key),
            Lead::Unknown => Quick::Unknown,
        }
    }

    /// Has a record fetched that is longer than what is read of it to find it.
    #[inline(never)]
    fn prefetch_long(&self, offset: u64) {
        self.prefetch_at(offset, self.ahead());
    }

    /// What the home line says of a key with this hash.
    #[inline]
    pub(super) fn lead(&self, hash: u64) -> Lead {
        let tag = self.layout.slots.tag(hash);
        let mut line = Line::default();
        if !self.read_line_quickly(self.home_offset(hash), &mut line) {
            return Lead::Unknown;
        }
        match line.likely_match(tag) {
            Some(slot) => Lead::Record(slot.offset(tag)),
            None if !line.sends_on(tag) => Lead::Absent,
            None if u64::from(line.reach) <= self.layout.max_reach => {
                Lead::Strays(u64::from(line.reach))
            }
            None => Lead::Unknown,
        }
    }

    /// Where in the file the home line of a key with this hash is, in a table with a hash index.
    #[inline]
    pub(super) fn home_offset(&self, hash: u64) -> u64 {
        let home = home_line(hash, self.layout.home_lines);
        // The index is within the file, so that nothing wraps.
        let within = home.wrapping_mul(LINE_LEN);
        self.layout.index_offset.wrapping_add(within)
    }

    /// Looks for a key that found no room in its home line.
    #[inline(never)]
    fn search_strays_quickly(&self, hash: u64, reach: u64, key: &[u8]) -> Quick {
        match self.lead_of_stray(hash, reach) {
            Lead::Record(offset) => self.compare_quickly(offset, key),
            Lead::Absent => Quick::Absent,
            Lead::Strays(_) | Lead::Unknown => Quick::Unknown,
        }
    }

    /// What the lines after the home line say.
    #[inline]
    pub(super) fn lead_of_stray(&self, hash: u64, reach: u64) -> Lead {
        let tag = self.layout.slots.tag(hash);
        let home = home_line(hash, self.layout.home_lines);
        let mut line = Line::default();
        for number in (home..=home.wrapping_add(reach)).skip(1) {
            if number >= self.layout.lines
                || !self.read_line_quickly(self.line_offset(number), &mut line)
            {
                return Lead::Unknown;
            }
            if let Some(slot) = line.likely_match(tag) {
                return Lead::Record(slot.offset(tag));
            }
        }
        Lead::Absent
    }

    #[inline]
    fn read_line_quickly(&self, at: u64, line: &mut Line) -> bool {
        self.bytes().read_small_at(at, line.as_mut_bytes()) && usize::from(line.used) <= SLOTS
    }

    /// Whether the record at `offset` of the records section has the key, and where its value is then.
    #[inline]
    pub(super) fn compare_quickly(&self, offset: u64, key: &[u8]) -> Quick {
        let Some(room) = self.layout.records_len.checked_sub(offset) else {
            return Quick::Unknown;
        };
        // Both are within the file, so that nothing wraps. At least a footer follows the
        // records, so that as many bytes are there as are read.
        let at = self.layout.records_offset.wrapping_add(offset);
        self.bytes().prefetch(
            at.wrapping_add(self.layout.mean_record_len).wrapping_sub(1),
            1,
        );
        let mut lengths = [0; HEAD_MAX_LEN];
        if !self.bytes().read_small_at(at, &mut lengths) {
            return Quick::Unknown;
        }
        let Some((head_len, value_len)) = Record::short_lengths(lengths, key.len()) else {
            return Quick::Unknown;
        };
        // The key's length is the one that was looked for, so that the processor need not wait
        // for the record before it knows where the value is.
        let start = head_len + key.len() as u64;
        if start + value_len > room {
            return Quick::Unknown;
        }
        match self.bytes().equals_small_at(at.wrapping_add(head_len), key) {
            Some(true) => Quick::Found(ValueRange {
                offset_bytes: at.wrapping_add(start),
                len: value_len,
            }),
            // Of another key with the same fingerprint: there may be more such records.
            _ => Quick::Unknown,
        }
    }

    /// The hash by which either index has a key.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.layout.seed)
    }
}
