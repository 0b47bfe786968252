//! A small table, and its format as docs/format.md has it, apart from the library's own code.

use std::sync::LazyLock;

use folio_table::{Builder, IndexKind};
use xxhash_rust::xxh3::xxh3_64;

pub(crate) const PAGE: usize = 4096;
pub(crate) const FOOTER: usize = 64;

/// Where the fields of the header are.
pub(crate) mod field {
    pub(crate) const VERSION: usize = 8;
    pub(crate) const REQUIRED_FEATURES: usize = 12;
    pub(crate) const OPTIONAL_FEATURES: usize = 16;
    pub(crate) const SECTION_COUNT: usize = 20;
    pub(crate) const FILE_LEN: usize = 24;
    pub(crate) const COUNT: usize = 32;
    pub(crate) const KEY_BYTES: usize = 40;
    pub(crate) const VALUE_BYTES: usize = 48;
    pub(crate) const SEED: usize = 56;
    pub(crate) const HOME_LINES: usize = 64;
    pub(crate) const OFFSET_BITS: usize = 72;
    pub(crate) const MAX_REACH: usize = 76;
    pub(crate) const FENCE_PREFIX: usize = 80;
    pub(crate) const FENCE_WORDS: usize = 84;
    pub(crate) const RESERVED: std::ops::Range<usize> = 80..128;
    pub(crate) const SECTIONS: usize = 128;
    pub(crate) const CHECKSUM: usize = 4088;
}

/// The sections, by their numbers in the file less 1, which is also the order in which the builder
/// writes those that a table with a hash index has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Section {
    Records,
    Index,
    Order,
    Sums,
    Groups,
    Fences,
}

/// Where an entry of the section table is in a table with a hash index: its kind, flags (4 bytes
/// each), offset, length.
pub(crate) fn section_entry(section: Section) -> usize {
    field::SECTIONS + section as usize * 32
}

pub(crate) fn records() -> &'static [(Vec<u8>, Vec<u8>)] {
    static RECORDS: LazyLock<Vec<(Vec<u8>, Vec<u8>)>> = LazyLock::new(make_records);
    &RECORDS
}

fn make_records() -> Vec<(Vec<u8>, Vec<u8>)> {
    let record = |number: usize| {
        let key = format!("key-{:03}", number * 37 % 101);
        let value = "value ".repeat(number % 5) + &number.to_string();
        (key.into_bytes(), value.into_bytes())
    };
    let mut records: Vec<_> = (0..100).map(record).collect();
    records.push((vec![b'l'; 300], vec![b'v'; 5000]));
    records
}

/// With a hash index.
pub(crate) fn table() -> Vec<u8> {
    table_with(IndexKind::Hash)
}

/// One with each kind of index.
pub(crate) fn tables() -> [Vec<u8>; 2] {
    [IndexKind::Hash, IndexKind::Perfect].map(table_with)
}

/// With a perfect index of 11 groups, whose fences have two levels.
pub(crate) fn two_levels() -> Vec<u8> {
    let mut builder = Builder::new().index(IndexKind::Perfect);
    for (line, (key, value)) in (1..).zip(records_of_two_levels()) {
        builder.add(line, &key, &value).unwrap();
    }
    builder.to_vec().unwrap()
}

pub(crate) fn records_of_two_levels() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    (0..1200).map(|number| (format!("k{number:04}").into_bytes(), Vec::new()))
}

pub(crate) fn table_with(index: IndexKind) -> Vec<u8> {
    let mut builder = Builder::new().index(index);
    for (line, (key, value)) in (1..).zip(records()) {
        builder.add(line, key, value).unwrap();
    }
    builder.to_vec().unwrap()
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) fn set_u64(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

pub(crate) fn set_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Where the entry of a section is, whatever the index.
pub(crate) fn entry_of(bytes: &[u8], section: Section) -> usize {
    let mut entries = (field::SECTIONS..).step_by(32).take(64);
    let kind = (section as u32 + 1).to_le_bytes();
    entries.find(|at| bytes[*at..*at + 4] == kind).unwrap()
}

/// Whether there is such a section.
pub(crate) fn has(bytes: &[u8], section: Section) -> bool {
    let kind = (section as u32 + 1).to_le_bytes();
    let count = u32_at(bytes, field::SECTION_COUNT) as usize;
    let mut entries = (field::SECTIONS..).step_by(32).take(count);
    entries.any(|at| bytes[at..at + 4] == kind)
}

/// The sections that a table has, in their order.
pub(crate) fn sections(bytes: &[u8]) -> &'static [Section] {
    if has(bytes, Section::Index) {
        &[
            Section::Records,
            Section::Index,
            Section::Order,
            Section::Sums,
        ]
    } else {
        &[
            Section::Records,
            Section::Groups,
            Section::Fences,
            Section::Order,
            Section::Sums,
        ]
    }
}

/// Where a section is.
pub(crate) fn range(bytes: &[u8], section: Section) -> std::ops::Range<usize> {
    let entry = entry_of(bytes, section);
    let at = |at| usize::try_from(u64_at(bytes, at)).unwrap();
    at(entry + 8)..at(entry + 8) + at(entry + 16)
}

/// Makes the checksums right of pages that were changed, so that only what they
/// say is wrong. `sums` is where the checksums section is.
pub(crate) fn mend_pages(bytes: &mut [u8], sums: std::ops::Range<usize>) {
    for (page, at) in (PAGE..sums.start)
        .step_by(PAGE)
        .zip(sums.clone().step_by(8))
    {
        let sum = xxh3_64(&bytes[page..page + PAGE]);
        set_u64(bytes, at, sum);
    }
    let sum = xxh3_64(&bytes[sums]);
    let footer = bytes.len() - FOOTER;
    set_u64(bytes, footer + 32, sum);
    mend_footer(bytes);
}

/// Makes the header's checksum right, and the footer's copies of what the header says.
pub(crate) fn mend_header(bytes: &mut [u8]) {
    let sum = xxh3_64(&bytes[..field::CHECKSUM]);
    set_u64(bytes, field::CHECKSUM, sum);
    let footer = bytes.len() - FOOTER;
    let (file_len, count) = (u64_at(bytes, field::FILE_LEN), u64_at(bytes, field::COUNT));
    set_u64(bytes, footer + 8, file_len);
    set_u64(bytes, footer + 16, count);
    set_u64(bytes, footer + 24, sum);
    mend_footer(bytes);
}

fn mend_footer(bytes: &mut [u8]) {
    let footer = bytes.len() - FOOTER;
    let sum = xxh3_64(&bytes[footer..footer + 56]);
    set_u64(bytes, footer + 56, sum);
}
