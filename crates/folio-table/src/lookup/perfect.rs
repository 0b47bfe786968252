//! Point lookup by the perfect index: the fences lead to a group, the group to one of its cells,
//! and there the records are compared one after the other.

mod cell;
mod fences;

use folio::ReadAt;
use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::IntoBytes;

use super::{ValueRange, reserve};
use crate::format::{GROUP_LEN, Group, PerfectLayout, Record};
use crate::{Error, Result, Table};
use cell::CellWalk;

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
        match group.cell(group.cell_number(hash)) {
            Some(cell) => walk.find(cell, perfect.prefix_len, key),
            None => Ok(None),
        }
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
