//! Tables with a perfect index: how it divides the records, and what becomes of one that is wrong.

use folio_table::{Builder, IndexKind, SectionKind, Table};

use crate::hostile::{refused, stands};
use crate::random::Random;
use crate::small::{self, PAGE, Section, field, two_levels};

const GROUP: usize = 64;

/// Where the fields of a group's line are.
mod line {
    use std::ops::Range;

    pub(crate) const PLANES: Range<usize> = 0..42;
    pub(crate) const STARTS: Range<usize> = 42..56;
    pub(crate) const FIRST: Range<usize> = 56..62;
    pub(crate) const COUNT: usize = 62;
    pub(crate) const ATTEMPT: usize = 63;
}

fn build(records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let mut builder = Builder::new().index(IndexKind::Perfect);
    for (line, (key, value)) in (1..).zip(records) {
        builder.add(line, &key, &value).unwrap();
    }
    builder.to_vec().unwrap()
}

fn mended(mut bytes: Vec<u8>) -> Vec<u8> {
    let sums = small::range(&bytes, Section::Sums);
    small::mend_pages(&mut bytes, sums);
    bytes
}

#[test]
fn overhead_is_at_most_three_bytes_a_key() {
    let mut random = Random::new(1);
    let record = |_| {
        (
            format!("{:016x}", random.next()).into_bytes(),
            random.bytes(32),
        )
    };
    let records: Vec<_> = (0..100_000).map(record).collect();
    let table = Table::from_bytes(build(records), "t").unwrap();
    let info = table.info();
    // A file of this size has some pages that are not full; in one of ten million they do not count.
    let pages = 5 * PAGE as u64;
    let content = info.key_bytes + info.value_bytes;
    let overhead = info.file_len - content - pages;
    assert!(overhead <= info.count * 297 / 100, "{overhead}");
    assert!(info.index_bytes() <= 0.67, "{}", info.index_bytes());
    assert_eq!(info.section_len(SectionKind::Groups), 910 * 64);
    assert_eq!(
        info.section_len(SectionKind::Fences),
        (114 + 15 + 2 + 1) * 64
    );
    assert_eq!((info.fence_prefix_len, info.fence_words), (0, 1));
    assert_eq!((info.home_lines, info.longest_probe), (0, 1));
    assert!(info.load() <= 0.0);
}

#[test]
fn long_keys_get_long_fences() {
    let mut random = Random::new(2);
    let fence = |keys: Vec<Vec<u8>>| {
        let records = keys.into_iter().map(|key| (key, vec![1]));
        let table = Table::from_bytes(build(records), "t").unwrap();
        table.verify(|_| ()).unwrap();
        (table.info().fence_prefix_len, table.info().fence_words)
    };
    let numbered = |start: &str| {
        let keys = (0..20_000).map(|number| format!("{start}{number:06}").into_bytes());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(fence(numbered("")), (1, 1));
    assert_eq!(fence(numbered("https://example.org/")), (21, 1));
    // With one key apart from the others, the fences of these have what they share in them.
    let with_other = |start: &str| {
        let mut keys = numbered(start);
        keys.push(b"a".to_vec());
        fence(keys)
    };
    assert_eq!(with_other("https://a/"), (0, 2));
    assert_eq!(with_other("https://example.org/"), (0, 3));
    assert_eq!(with_other(&"https://example.org/".repeat(3)), (0, 4));
    let random_keys = (0..20_000).map(|_| random.bytes(20)).collect();
    assert_eq!(fence(random_keys), (0, 1));
}

#[test]
fn any_memory_gives_the_same_table() {
    let build = |memory| {
        let mut builder = Builder::new()
            .index(IndexKind::Perfect)
            .memory_bytes(memory);
        for number in 0..20_000_u64 {
            let key = (number * 7919 % 20_000).to_be_bytes();
            builder.add(number, &key, b"value").unwrap();
        }
        builder.to_vec().unwrap()
    };
    let expected = build(1 << 30);
    for memory in [1, 10_000, 1_000_000] {
        assert!(build(memory) == expected, "{memory}");
    }
    let table = Table::from_bytes(expected, "t").unwrap();
    table.verify(|_| ()).unwrap();
}

#[test]
fn groups_of_long_records_are_small() {
    let mut random = Random::new(3);
    for (value_len, groups) in [(0, 3..4), (500, 3..4), (1000, 4..6), (10_000, 42..45)] {
        let record = |number: u32| (number.to_be_bytes().to_vec(), random.bytes(value_len));
        let records: Vec<_> = (0..300).map(record).collect();
        let table = Table::from_bytes(build(records.clone()), "t").unwrap();
        let len = table.info().section_len(SectionKind::Groups);
        assert!(groups.contains(&(len / GROUP as u64)), "{value_len}: {len}");
        for (key, value) in records {
            assert_eq!(table.get(&key).unwrap(), Some(value));
        }
        table.verify(|_| ()).unwrap();
    }
}

#[test]
fn no_number_of_the_header_can_be_another() {
    let bytes = two_levels();
    assert!(stands(&bytes));
    let mut tried = 0;
    let mut try_all = |at: usize, is: u64, len: usize| {
        let powers = (0..8 * len).map(|bits| 1_u64 << bits);
        let near = [1, 8, 64, 4096].map(|step| [is.wrapping_add(step), is.wrapping_sub(step)]);
        let others = powers
            .chain(near.into_iter().flatten())
            .chain([0, u64::MAX]);
        for other in others {
            let mut bytes = bytes.clone();
            bytes[at..at + len].copy_from_slice(&other.to_le_bytes()[..len]);
            if bytes[at..at + len] != is.to_le_bytes()[..len] {
                small::mend_header(&mut bytes);
                assert!(!stands(&bytes), "{other:#x} at {at}");
                tried += 1;
            }
        }
    };
    for at in [
        field::FENCE_PREFIX,
        field::FENCE_WORDS,
        field::OFFSET_BITS,
        field::MAX_REACH,
    ] {
        try_all(at, u64::from(small::u32_at(&bytes, at)), 4);
    }
    for at in [field::SEED, field::HOME_LINES, field::COUNT] {
        try_all(at, small::u64_at(&bytes, at), 8);
    }
    for section in [
        Section::Records,
        Section::Groups,
        Section::Fences,
        Section::Order,
    ] {
        let entry = small::entry_of(&bytes, section);
        try_all(entry, u64::from(small::u32_at(&bytes, entry)), 4);
        for at in [entry + 8, entry + 16] {
            try_all(at, small::u64_at(&bytes, at), 8);
        }
    }
    assert!(tried > 900, "{tried}");
}

#[test]
fn what_does_not_fit_is_named() {
    let bytes = two_levels();
    let refused_with = |at: usize, number: u32, why: &str| {
        let mut bytes = bytes.clone();
        small::set_u32(&mut bytes, at, number);
        small::mend_header(&mut bytes);
        refused(&bytes, why);
    };
    let groups = small::entry_of(&bytes, Section::Groups);
    refused_with(field::REQUIRED_FEATURES, 0, "a section is missing");
    refused_with(
        field::REQUIRED_FEATURES,
        3,
        "the table needs the features 0x2",
    );
    refused_with(field::HOME_LINES, 1, "lines of a hash index");
    refused_with(field::MAX_REACH, 1, "lines of a hash index");
    refused_with(field::FENCE_WORDS, 0, "fences that cannot be");
    refused_with(field::FENCE_WORDS, 5, "fences that cannot be");
    refused_with(
        field::FENCE_WORDS,
        2,
        "the fences section's length does not fit",
    );
    refused_with(field::FENCE_PREFIX, 65_537, "fences that cannot be");
    refused_with(field::OFFSET_BITS, 13, "the offset bits do not fit");
    refused_with(groups, 2, "a section is missing");
    refused_with(groups + 16, 63, "a part of a group");
    refused_with(groups + 16, 64 * 10, "the number of groups does not fit");
    refused_with(
        groups + 16,
        64 * 20,
        "the fences section's length does not fit",
    );

    // A table with a hash index does not become one with a perfect index.
    let mut bytes = small::table();
    small::set_u32(&mut bytes, field::REQUIRED_FEATURES, 1);
    small::mend_header(&mut bytes);
    refused(&bytes, "a section is missing");
}

/// Of one with fences of two levels; `hostile.rs` does the same to one with fewer.
#[test]
fn any_flipped_bit_of_the_index_with_right_checksums() {
    let whole = two_levels();
    for section in [Section::Groups, Section::Fences] {
        for at in small::range(&whole, section) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(!stands(&mended(bytes)), "byte {at}");
        }
    }
}

#[test]
fn lines_of_groups_that_say_something_else() {
    let whole = two_levels();
    let groups = small::range(&whole, Section::Groups);
    let said = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = whole.clone();
        // The fourth group.
        change(&mut bytes[groups.start + 3 * GROUP..][..GROUP]);
        let bytes = mended(bytes);
        assert!(!stands(&bytes));
        let table = Table::from_bytes(bytes.as_slice(), "hostile").unwrap();
        let lost =
            (330..440).filter_map(
                |number| match table.get(format!("k{number:04}").as_bytes()) {
                    Ok(value) => value.is_none().then(String::new),
                    Err(error) => Some(error.to_string()),
                },
            );
        (
            lost.collect::<Vec<_>>(),
            table.verify(|_| ()).unwrap_err().to_string(),
        )
    };
    for count in [0, 113, 255] {
        let (lost, verified) = said(&|line| line[line::COUNT] = count);
        let expected = format!("a group of {count} records");
        assert!(lost.len() == 110 && lost.iter().all(|error| error.ends_with(&expected)));
        assert!(verified.ends_with(&expected), "{verified}");
    }
    for count in [1, 109, 111, 112] {
        let (_, verified) = said(&|line| line[line::COUNT] = count);
        assert!(verified.contains("group"), "{verified}");
    }
    let (lost, verified) = said(&|line| line[line::FIRST].fill(0xff));
    assert!(
        lost.iter().all(|error| error.contains("past its end")),
        "{lost:?}"
    );
    assert!(verified.contains("does not begin at"), "{verified}");
    // Whatever the other group has, it has none of these keys.
    let (lost, _) = said(&|line| line[line::FIRST].fill(0));
    assert_eq!(lost, vec![String::new(); 110]);
    let (lost, verified) = said(&|line| line[line::STARTS].fill(0xff));
    assert!(lost.len() > 80, "{}", lost.len());
    assert!(verified.contains("cell 1 does not begin at"), "{verified}");
    let (lost, verified) = said(&|line| line[line::PLANES].fill(0));
    assert!(lost.len() > 80 && lost.iter().all(String::is_empty));
    assert!(
        verified.contains("does not lead to record byte"),
        "{verified}"
    );
    let (lost, verified) = said(&|line| line[line::ATTEMPT] ^= 0x80);
    assert!(lost.len() > 60 && lost.iter().all(String::is_empty));
    assert!(
        verified.contains("does not lead to record byte"),
        "{verified}"
    );
}

/// Each line of a group is that of one and the same, whose cells are all one cell.
#[test]
fn an_index_that_leads_all_to_one_cell() {
    for whole in [two_levels(), small::table_with(IndexKind::Perfect)] {
        let groups = small::range(&whole, Section::Groups);
        let first = whole[groups.start..groups.start + GROUP].to_vec();
        for planes in [0, 0xff] {
            let mut bytes = whole.clone();
            for line in groups.clone().step_by(GROUP) {
                bytes[line..line + GROUP].copy_from_slice(&first);
                bytes[line..][line::PLANES].fill(planes);
                bytes[line..][line::STARTS].fill(0);
            }
            let bytes = mended(bytes);
            assert!(!stands(&bytes));
            // What is found is what was there, and some is not found.
            let table = Table::from_bytes(bytes.as_slice(), "hostile").unwrap();
            let intact = Table::from_bytes(whole.as_slice(), "intact").unwrap();
            let mut lost = 0;
            for (key, value) in intact.iter().map(Result::unwrap) {
                match table.get(&key) {
                    Ok(Some(found)) => assert_eq!(found, value),
                    Ok(None) | Err(_) => lost += 1,
                }
            }
            assert!(lost > 50, "{lost} of {}", table.count());
        }
    }
}

#[test]
fn an_index_of_garbage() {
    let whole = two_levels();
    let mut random = Random::new(4);
    for round in 0..200 {
        let mut bytes = whole.clone();
        if round % 2 == 0 {
            let groups = small::range(&whole, Section::Groups);
            bytes[groups.clone()].copy_from_slice(&random.bytes(groups.len()));
            for line in groups.step_by(GROUP) {
                // Lines that are used.
                bytes[line + line::COUNT] = 112;
                bytes[line + line::FIRST.start + 2..line + line::FIRST.end].fill(0);
            }
        }
        if round % 3 < 2 {
            let fences = small::range(&whole, Section::Fences);
            bytes[fences.clone()].copy_from_slice(&random.bytes(fences.len()));
        }
        assert!(!stands(&mended(bytes)) || round % 6 == 5, "round {round}");
    }
}

#[test]
fn random_changes_with_right_checksums() {
    let whole = two_levels();
    let mut random = Random::new(5);
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(8) {
            let sections = [
                Section::Records,
                Section::Groups,
                Section::Fences,
                Section::Order,
            ];
            let range = small::range(&whole, sections[random.below(4)]);
            let at = range.start + random.below(range.len());
            bytes[at] = match random.below(3) {
                0 => 0,
                1 => 0xff,
                _ => u8::try_from(random.below(256)).unwrap(),
            };
        }
        stands(&mended(bytes));
    }
}
