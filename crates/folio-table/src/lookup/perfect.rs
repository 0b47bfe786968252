//! Point lookup by the perfect index: the fences lead to a group, the group to one of its cells,
//! and there the records are compared one after the other.

mod cell;
mod fences;

use folio::ReadAt;
use zerocopy::IntoBytes;

use super::HEAD;
use super::value::Found;
use crate::format::{Cell, GROUP_LEN, Group, PerfectLayout};
use crate::{Error, Result, Table};
use cell::CellWalk;
pub(super) use cell::read_len;
pub(super) use fences::Descent;

impl<B: ReadAt> Table<B> {
    /// [`search`](Self::search) in a table without lines of a hash index.
    #[inline(never)]
    pub(super) fn search_groups(&self, key: &[u8], head: &mut [u8; HEAD]) -> Result<Option<Found>> {
        let Some(perfect) = &self.layout.perfect else {
            return Ok(None);
        };
        let hash = self.hash(key);
        let Some(number) = self.group_of(perfect, key)? else {
            return Ok(None);
        };
        let mut group = Group::default();
        self.read_group(perfect, number, &mut group)?;
        match group.cell_of(hash) {
            Some(cell) => self.search_cell(perfect, cell, key, head),
            None => Ok(None),
        }
    }

    /// What looking for the key in the cell where it would be comes to.
    #[inline]
    pub(super) fn search_cell(
        &self,
        perfect: &PerfectLayout,
        cell: Cell,
        key: &[u8],
        head: &mut [u8; HEAD],
    ) -> Result<Option<Found>> {
        CellWalk::new(self).find(cell, perfect.prefix_len, key, head)
    }

    /// Reads the line of a group, and checks what every use of it relies on.
    pub(crate) fn group(&self, perfect: &PerfectLayout, number: u64) -> Result<Group> {
        let mut group = Group::default();
        self.read_group(perfect, number, &mut group)?;
        Ok(group)
    }

    /// The same where it counts that the line is not moved about.
    #[inline]
    pub(super) fn read_group(
        &self,
        perfect: &PerfectLayout,
        number: u64,
        group: &mut Group,
    ) -> Result<()> {
        if number >= perfect.groups {
            return Err(self.no_such_group(perfect, number));
        }
        let at = group_offset(perfect, number);
        self.bytes().read_exact_at(at, group.as_mut_bytes())?;
        if !group.has_a_possible_count() {
            return Err(self.impossible_group(perfect, number, group.count));
        }
        Ok(())
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
