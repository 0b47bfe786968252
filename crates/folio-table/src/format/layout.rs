//! What a lookup needs to know of a table, and what of it must fit together.

use super::{
    HEAD_MAX_LEN, LINE_LEN, MAX_KEY_LEN, MAX_REACH, MAX_RECORDS_LEN, MAX_VALUE_LEN,
    ORDER_ENTRY_LEN, PAGE_LEN, PerfectLayout, SLOTS, SlotShape,
};
use crate::info::{IndexKind, Info, Section, SectionKind};

/// Where things are, for a lookup. Once made, it fits together.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) seed: u64,
    /// The lines that a hash can choose. More may follow, for strays.
    pub(crate) home_lines: u64,
    /// All lines.
    pub(crate) lines: u64,
    /// How many lines past its home line a key may stand.
    pub(crate) max_reach: u64,
    pub(crate) slots: SlotShape,
    pub(crate) records_offset: u64,
    pub(crate) records_len: u64,
    /// The mean length of a record, in bytes; 0 if there is none.
    pub(crate) mean_record_len: u64,
    /// Zero if the index is a perfect one.
    pub(crate) index_offset: u64,
    /// Apart from the rest, since most tables have none.
    pub(crate) perfect: Option<Box<PerfectLayout>>,
    pub(crate) order_offset: u64,
    pub(crate) sums_offset: u64,
    pub(crate) sums_len: u64,
}

/// How many bits an offset into a records section of this length takes.
pub(crate) fn offset_bits_for(records_len: u64) -> u32 {
    u64::BITS - records_len.saturating_sub(1).leading_zeros()
}

impl Layout {
    /// The sections are known to lie one after the other in the file; this checks
    /// that their lengths fit each other and the counts. The error is the broken rule.
    pub(crate) fn new(info: &Info, offset_bits: u32) -> Result<Self, &'static str> {
        let records = only(info, SectionKind::Records)?;
        let order = only(info, SectionKind::Order)?;
        let sums = only(info, SectionKind::Checksums)?;
        let max_reach = u64::from(info.longest_probe.saturating_sub(1));
        check_records(info, records)?;
        let (index, perfect) = match info.index {
            IndexKind::Hash => (Some(check_index(info, max_reach)?), None),
            IndexKind::Perfect => (None, Some(Box::new(PerfectLayout::new(info)?))),
        };
        let expected_offset_bits = index.map_or(0, |_| offset_bits_for(records.len));
        let order_len = records.len.div_ceil(PAGE_LEN) * ORDER_ENTRY_LEN;
        let sums_len = (sums.offset_bytes - PAGE_LEN) / PAGE_LEN * size_of::<u64>() as u64;
        first_broken([
            (
                offset_bits == expected_offset_bits,
                "the offset bits do not fit the records section",
            ),
            (
                order.len == order_len,
                "the order section's length does not fit the records section",
            ),
            (
                sums.len == sums_len,
                "the checksums section's length does not fit the file",
            ),
        ])?;
        Ok(Self {
            seed: info.seed,
            home_lines: info.home_lines,
            lines: index.map_or(0, |index| index.len / LINE_LEN),
            max_reach,
            slots: SlotShape::new(offset_bits),
            records_offset: records.offset_bytes,
            records_len: records.len,
            mean_record_len: records.len.checked_div(info.count).unwrap_or(0),
            index_offset: index.map_or(0, |index| index.offset_bytes),
            perfect,
            order_offset: order.offset_bytes,
            sums_offset: sums.offset_bytes,
            sums_len: sums.len,
        })
    }
}

fn check_records(info: &Info, records: &Section) -> Result<(), &'static str> {
    let count = u128::from(info.count);
    let content = u128::from(info.key_bytes) + u128::from(info.value_bytes);
    let lengths = u128::from(records.len).checked_sub(content);
    let key_lengths = count..=count * MAX_KEY_LEN as u128;
    first_broken([
        (
            records.len <= MAX_RECORDS_LEN,
            "the records section is too long",
        ),
        (
            lengths.is_some_and(|len| (count * 2..=count * HEAD_MAX_LEN as u128).contains(&len)),
            "the records section's length does not fit the counts",
        ),
        (
            key_lengths.contains(&u128::from(info.key_bytes)),
            "the length of all keys does not fit their number",
        ),
        (
            u128::from(info.value_bytes) <= count * u128::from(MAX_VALUE_LEN),
            "the length of all values does not fit their number",
        ),
    ])
}

fn check_index(info: &Info, max_reach: u64) -> Result<&Section, &'static str> {
    let index = only(info, SectionKind::HashIndex)?;
    for kind in [SectionKind::Groups, SectionKind::Fences] {
        absent(info, kind)?;
    }
    let lines = index.len / LINE_LEN;
    let strays_only = lines.checked_sub(info.home_lines);
    first_broken([
        (
            index.len % LINE_LEN == 0,
            "the hash index has a part of a line",
        ),
        (max_reach <= MAX_REACH, "the longest probe is too long"),
        (
            strays_only.is_some_and(|lines| lines <= max_reach),
            "the number of home lines does not fit the hash index",
        ),
        (
            u128::from(info.count) <= u128::from(lines) * SLOTS as u128,
            "the hash index is too short for the number of records",
        ),
        (
            (info.count == 0) == (info.home_lines == 0),
            "the number of home lines does not fit the number of records",
        ),
    ])?;
    Ok(index)
}

pub(super) fn first_broken<const N: usize>(
    rules: [(bool, &'static str); N],
) -> Result<(), &'static str> {
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(rule),
        None => Ok(()),
    }
}

/// A kind of section that this table must not have.
pub(super) fn absent(info: &Info, kind: SectionKind) -> Result<(), &'static str> {
    if info.sections.iter().any(|section| section.kind == kind) {
        return Err("a section of another kind of index");
    }
    Ok(())
}

/// The one section of a kind.
pub(super) fn only(info: &Info, kind: SectionKind) -> Result<&Section, &'static str> {
    let mut found = info.sections.iter().filter(|section| section.kind == kind);
    match (found.next(), found.next()) {
        (Some(section), None) => Ok(section),
        (None, _) => Err("a section is missing"),
        (Some(_), Some(_)) => Err("a section is there twice"),
    }
}
