//! Checks a perfect index against the records, as they are passed in their order.

use folio::ReadAt;
use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::little_endian::U64;

use crate::format::{
    COLUMN_LEN, Group, NO_FENCE, NODE_FENCES, PerfectLayout, cell_count_for, fence_word,
};
use crate::lookup::perfect::group_offset;
use crate::order::Position;
use crate::records::Records;
use crate::{Result, Table};

/// How many fences a node has.
const FENCES: u64 = NODE_FENCES as u64;

/// Follows the groups along the records, from any record on.
#[derive(Debug, Default)]
pub(super) struct GroupWalk {
    /// The group of the last record, and its number; none before the first record.
    group: Option<(u64, Group)>,
    /// How many records of the group were passed.
    passed: usize,
}

impl GroupWalk {
    /// Checks that the next record is where the index has it: that its group is the one that it
    /// should be, and that its hash leads to the cell that it is in.
    pub(super) fn check<B: ReadAt>(
        &mut self,
        table: &Table<B>,
        perfect: &PerfectLayout,
        key: &[u8],
        offset: u64,
    ) -> Result<()> {
        let (number, group) = match self.group {
            Some((number, group)) if self.passed < usize::from(group.count) => (number, group),
            Some((number, _)) => self.begin(table, perfect, number + 1)?,
            None => self.enter(table, perfect, offset)?,
        };
        let at = group_offset(perfect, number);
        let in_cell = cell_count_for(usize::from(group.count));
        let cell = self.passed / in_cell;
        let start = group.cell(cell).map(|cell| cell.start);
        if self.passed % in_cell == 0 && start != Some(offset) {
            let what = format!("a group whose cell {cell} does not begin at record byte {offset}");
            return Err(table.damaged(at, what));
        }
        if self.passed == 0 {
            check_fence(table, perfect, number, key)?;
        }
        if group.cell_number(xxh3_64_with_seed(key, table.layout.seed)) != cell {
            let what = format!("a group that does not lead to record byte {offset}");
            return Err(table.damaged(at, what));
        }
        self.passed += 1;
        Ok(())
    }

    fn begin<B: ReadAt>(
        &mut self,
        table: &Table<B>,
        perfect: &PerfectLayout,
        number: u64,
    ) -> Result<(u64, Group)> {
        let group = table.group(perfect, number)?;
        self.group = Some((number, group));
        self.passed = 0;
        Ok((number, group))
    }

    /// Goes to the group that has the record at this offset, and past those before it.
    fn enter<B: ReadAt>(
        &mut self,
        table: &Table<B>,
        perfect: &PerfectLayout,
        offset: u64,
    ) -> Result<(u64, Group)> {
        // How many groups begin at or before the record.
        let (mut low, mut high) = (0, perfect.groups);
        while low < high {
            let middle = low + (high - low) / 2;
            if table.group(perfect, middle)?.first() <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let (number, group) = self.begin(table, perfect, low.saturating_sub(1))?;
        let mut before = Records::at(
            table,
            Position {
                rank: 0,
                offset: group.first(),
            },
        );
        while before.position() < offset && self.passed < usize::from(group.count) {
            before.advance()?;
            self.passed += 1;
        }
        if before.position() != offset || self.passed == usize::from(group.count) {
            let what = format!("a group that does not have record byte {offset}");
            return Err(table.damaged(group_offset(perfect, number), what));
        }
        Ok((number, group))
    }
}

/// Checks the fence of the group that begins with this key.
fn check_fence<B: ReadAt>(
    table: &Table<B>,
    perfect: &PerfectLayout,
    number: u64,
    key: &[u8],
) -> Result<()> {
    let (node, index) = (number / FENCES, number % FENCES);
    for word in 0..perfect.words {
        let expected = fence_word(key, perfect.prefix_len, word);
        expect_fence(table, fence_offset(perfect, node, word, index), expected)?;
    }
    Ok(())
}

/// Checks what no record tells: that the groups ascend, and have as many records as there are; and all
/// fences but those of the lowest level.
pub(super) fn verify_totals<B: ReadAt>(table: &Table<B>, perfect: &PerfectLayout) -> Result<()> {
    let (mut count, mut last_first) = (0, None);
    for number in 0..perfect.groups {
        let group = table.group(perfect, number)?;
        let at = group_offset(perfect, number);
        if !group.is_tidy() {
            return Err(table.damaged(at, "a group with something in an unused cell"));
        }
        if last_first >= Some(group.first()) {
            return Err(table.damaged(at, "a group that does not begin after the one before it"));
        }
        last_first = Some(group.first());
        count += u64::from(group.count);
    }
    if count != table.count() {
        let what = format!(
            "the groups have {count} records, but there are {}",
            table.count()
        );
        return Err(table.damaged(perfect.groups_offset, what));
    }
    if let Some(offset) = last_first {
        verify_prefix(table, perfect, offset)?;
    }
    verify_levels(table, perfect)
}

/// Checks that fences leave out only what the first and the last key have in common, and with them, as
/// keys ascend, all. The last group begins at `offset`.
fn verify_prefix<B: ReadAt>(table: &Table<B>, perfect: &PerfectLayout, offset: u64) -> Result<()> {
    let mut first = Records::at(table, Position::START);
    let first_key = first.peek()?.unwrap_or_default();
    // The records before this one are those of all groups but the last.
    let mut last = Records::at(table, Position { rank: 0, offset });
    let mut last_record = None;
    while last.position() < table.layout.records_len {
        last_record = last.advance()?;
    }
    let last_key = match &last_record {
        Some(record) => last.key(record)?,
        None => &[],
    };
    let prefix = first_key.get(..perfect.prefix_len);
    if prefix.is_none() || prefix != last_key.get(..perfect.prefix_len) {
        let what = "fences leave out what not all keys have in common";
        return Err(table.damaged(perfect.fences_offset, what));
    }
    Ok(())
}

/// Checks that each fence above the lowest level is the first of its node below, and that
/// there is nothing behind the last one of a level.
fn verify_levels<B: ReadAt>(table: &Table<B>, perfect: &PerfectLayout) -> Result<()> {
    let mut below = None;
    for level in perfect.fences.levels() {
        for number in 0..level.count.next_multiple_of(FENCES) {
            let node = level.start + number / FENCES;
            for word in 0..perfect.words {
                let expected = match below {
                    _ if number >= level.count => NO_FENCE,
                    Some(below) => {
                        let at = fence_offset(perfect, below + number, word, 0);
                        table.bytes().get_at::<U64>(at)?.get()
                    }
                    // These were compared with the keys.
                    None => continue,
                };
                let at = fence_offset(perfect, node, word, number % FENCES);
                expect_fence(table, at, expected)?;
            }
        }
        below = Some(level.start);
    }
    Ok(())
}

fn expect_fence<B: ReadAt>(table: &Table<B>, at: u64, expected: u64) -> Result<()> {
    let found = table.bytes().get_at::<U64>(at)?.get();
    if found != expected {
        let what = format!("a fence of {found:016x}, which should be {expected:016x}");
        return Err(table.damaged(at, what));
    }
    Ok(())
}

/// Where a word of a fence is in the file.
fn fence_offset(perfect: &PerfectLayout, node: u64, word: u32, index: u64) -> u64 {
    let node = perfect.fences_offset + node * perfect.node_len();
    node + u64::from(word) * COLUMN_LEN as u64 + index * size_of::<U64>() as u64
}
