//! Tables whose checksums are right and whose contents are not: made by somebody who
//! wants the reader to panic, to loop, or to run out of memory.

use std::num::NonZeroUsize;
use std::ops::Range;

use folio_table::{Error, Table};

use crate::random::Random;
use crate::small::{self, PAGE, Section, field, section_entry};
use crate::uses::{use_all, use_order};

/// Uses a table as far as it opens, and says whether it stood all checks.
pub(crate) fn stands(bytes: &[u8]) -> bool {
    let Ok(table) = Table::from_bytes(bytes, "hostile") else {
        return false;
    };
    use_all(&table);
    use_order(&table);
    let stands = table.verify(|_| ()).is_ok();
    for threads in [1, 3] {
        let found = table.verify_all(NonZeroUsize::new(threads).unwrap(), |_| ());
        assert_eq!(found.is_whole(), stands, "{found:?}");
        assert_eq!(found.damages.is_empty(), stands);
    }
    stands
}

#[track_caller]
pub(crate) fn refused(bytes: &[u8], why: &str) {
    let error = Table::from_bytes(bytes, "hostile").unwrap_err();
    assert!(error.to_string().contains(why), "{error}, not {why}");
}

fn sums(bytes: &[u8]) -> Range<usize> {
    small::range(bytes, Section::Sums)
}

#[test]
fn the_small_table_stands_and_mending_changes_nothing() {
    let bytes = small::table();
    assert!(stands(&bytes));
    let mut mended = bytes.clone();
    small::mend_pages(&mut mended, sums(&bytes));
    small::mend_header(&mut mended);
    assert!(mended == bytes);
}

#[test]
fn no_number_of_the_header_can_be_another() {
    let bytes = small::table();
    let mut fields_64 = vec![
        field::FILE_LEN,
        field::COUNT,
        field::KEY_BYTES,
        field::VALUE_BYTES,
        field::SEED,
        field::HOME_LINES,
    ];
    let mut fields_32 = vec![
        field::VERSION,
        field::REQUIRED_FEATURES,
        field::SECTION_COUNT,
        field::OFFSET_BITS,
        field::MAX_REACH,
    ];
    for section in [
        Section::Records,
        Section::Index,
        Section::Order,
        Section::Sums,
    ] {
        let entry = section_entry(section);
        fields_32.extend([entry]);
        fields_64.extend([entry + 8, entry + 16]);
    }
    let mut tried = 0;
    for at in fields_64 {
        let is = small::u64_at(&bytes, at);
        let near = [1, 16, 64, 4096].map(|step| [is.wrapping_add(step), is.wrapping_sub(step)]);
        let powers = (0..64).map(|bits| 1 << bits);
        let others = near
            .into_iter()
            .flatten()
            .chain(powers)
            .chain([0, u64::MAX, u64::MAX - 4095]);
        for number in others.filter(|number| *number != is) {
            let mut bytes = bytes.clone();
            small::set_u64(&mut bytes, at, number);
            small::mend_header(&mut bytes);
            assert!(!stands(&bytes), "{number:#x} at {at}");
            tried += 1;
        }
    }
    for at in fields_32 {
        let is = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let others = (0..300)
            .chain((0..32).map(|bits| 1 << bits))
            .chain([u32::MAX]);
        for number in others.filter(|number| *number != is) {
            let mut bytes = bytes.clone();
            small::set_u32(&mut bytes, at, number);
            small::mend_header(&mut bytes);
            assert!(!stands(&bytes), "{number:#x} at {at}");
            tried += 1;
        }
    }
    assert!(tried > 3000);
}

#[test]
fn what_readers_ignore_may_be_anything() {
    let mut bytes = small::table();
    small::set_u32(&mut bytes, field::OPTIONAL_FEATURES, u32::MAX);
    bytes[field::RESERVED].fill(0xff);
    small::set_u64(&mut bytes, section_entry(Section::Order) + 24, u64::MAX);
    small::mend_header(&mut bytes);
    assert!(stands(&bytes));
}

#[test]
fn unknown_needs_are_refused_and_unknown_extras_skipped() {
    let plain = small::table();
    let mut bytes = plain.clone();
    small::set_u32(&mut bytes, field::REQUIRED_FEATURES, 4);
    small::mend_header(&mut bytes);
    refused(
        &bytes,
        "the table needs the features 0x4, which this build does not know",
    );

    // A section of kind 77 between the order section and the checksums.
    let extra = sums(&plain).start;
    let mut bytes = plain[..extra].to_vec();
    bytes.resize(extra + small::PAGE, 0xee);
    bytes.extend_from_slice(&plain[sums(&plain)]);
    bytes.resize(bytes.len() + 8, 0);
    bytes.extend_from_slice(&plain[plain.len() - small::FOOTER..]);
    let last = section_entry(Section::Sums);
    bytes.copy_within(last..last + 32, last + 32);
    let sums = extra + small::PAGE..bytes.len() - small::FOOTER;
    small::set_u32(&mut bytes, last, 77);
    small::set_u32(&mut bytes, last + 4, 1);
    small::set_u64(&mut bytes, last + 8, extra as u64);
    small::set_u64(&mut bytes, last + 16, 1000);
    small::set_u64(&mut bytes, last + 40, sums.start as u64);
    small::set_u64(&mut bytes, last + 48, sums.len() as u64);
    small::set_u32(&mut bytes, field::SECTION_COUNT, 5);
    let len = bytes.len() as u64;
    small::set_u64(&mut bytes, field::FILE_LEN, len);
    small::mend_pages(&mut bytes, sums);
    small::mend_header(&mut bytes);
    assert!(stands(&bytes));
    let table = Table::from_bytes(bytes.as_slice(), "later").unwrap();
    assert_eq!(table.info().sections[3].kind.to_string(), "unknown kind 77");

    small::set_u32(&mut bytes, last + 4, 0);
    small::mend_header(&mut bytes);
    refused(&bytes, "a section of unknown kind 77");
}

#[test]
fn sections_cannot_overlap_or_lie_outside() {
    for bytes in small::tables() {
        overlap_sections_of(&bytes);
    }
    // No lines at all, the pages of the index given to the records.
    let mut bytes = small::table();
    let order = small::range(&bytes, Section::Order).start as u64;
    for (section, at, number) in [
        (Section::Index, 16, 0),
        (Section::Index, 8, order),
        (Section::Records, 16, order - 4096),
    ] {
        small::set_u64(&mut bytes, section_entry(section) + at, number);
    }
    small::mend_header(&mut bytes);
    refused(&bytes, "does not fit");
}

fn overlap_sections_of(bytes: &[u8]) {
    let refused_with = |section: Section, at: usize, number: u64, why: &str| {
        let mut bytes = bytes.to_vec();
        let entry = small::entry_of(&bytes, section);
        small::set_u64(&mut bytes, entry + at, number);
        small::mend_header(&mut bytes);
        refused(&bytes, why);
    };
    let sections = small::sections(bytes);
    let mut tried = 0;
    // Each at the place of each other, and as long as to reach into the next one.
    for &one in sections {
        let range = small::range(bytes, one);
        for &other in sections {
            let place = small::range(bytes, other).start;
            if place != range.start {
                refused_with(one, 8, place as u64, "a section at byte");
                tried += 1;
            }
            if place > range.start {
                let len = place - range.start + 64;
                refused_with(one, 16, len as u64, "a section at byte");
                tried += 1;
            }
        }
        let sums = matches!(one, Section::Sums);
        for (len, why) in [
            (1 << 63, "a section "),
            (u64::MAX, "a section of 18446744073709551615 bytes"),
            (bytes.len() as u64, "a section "),
        ] {
            refused_with(one, 16, len, if sums { "section" } else { why });
        }
        for offset in [u64::MAX - 4095, 1 << 63, bytes.len() as u64] {
            refused_with(one, 8, offset, "section");
        }
    }
    assert_eq!(tried, sections.len() * (sections.len() - 1) * 3 / 2);
    refused_with(Section::Sums, 16, 1 << 40, "not at the footer");
}

#[test]
fn an_index_without_lines_for_its_records() {
    let mut bytes = small::table();
    let lines = small::range(&bytes, Section::Index).len() as u64 / 64;
    for (home_lines, why) in [
        (0, "the number of home lines does not fit"),
        (lines + 1, "the number of home lines does not fit"),
        (1 << 63, "the number of home lines does not fit"),
    ] {
        small::set_u64(&mut bytes, field::HOME_LINES, home_lines);
        small::mend_header(&mut bytes);
        refused(&bytes, why);
    }
}

#[test]
fn an_index_of_garbage() {
    let bytes = small::table();
    let index = small::range(&bytes, Section::Index);
    let mut random = Random::new(1);
    for round in 0..300 {
        let mut bytes = bytes.clone();
        bytes[index.clone()].copy_from_slice(&random.bytes(index.len()));
        if round % 2 == 0 {
            // Lines that are read to the end.
            for line in index.clone().step_by(64) {
                bytes[line + 60] = 10;
                bytes[line + 61] = u8::try_from(round % 20).unwrap();
                bytes[line + 62..line + 64].fill(0xff);
            }
        }
        let sums = sums(&bytes);
        small::mend_pages(&mut bytes, sums);
        assert!(!stands(&bytes));
    }
}

#[test]
fn an_index_that_leads_all_to_one_record() {
    let mut bytes = small::table();
    let index = small::range(&bytes, Section::Index);
    let first: [u8; 64] = bytes[index.start..index.start + 64].try_into().unwrap();
    for line in index.step_by(64) {
        bytes[line..line + 64].copy_from_slice(&first);
        bytes[line + 60] = 10;
    }
    let sums = sums(&bytes);
    small::mend_pages(&mut bytes, sums);
    assert!(!stands(&bytes));
}

#[test]
fn a_record_that_claims_more_than_there_is() {
    for bytes in small::tables() {
        claim_more_in(bytes);
    }
}

fn claim_more_in(mut bytes: Vec<u8>) {
    let records = small::range(&bytes, Section::Records);
    // The first record, in place of its lengths (one byte each): a value of 4 GiB.
    bytes[records.start + 1..records.start + 6].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    let sums = sums(&bytes);
    small::mend_pages(&mut bytes, sums);
    let table = Table::from_bytes(bytes.as_slice(), "hostile").unwrap();
    let first = table.iter().next().unwrap().unwrap_err();
    let expected =
        "hostile: damaged at byte 4096: a record that runs over the end of the records section";
    assert_eq!(first.to_string(), expected);
    assert_eq!(table.get(b"key-000").unwrap_err().to_string(), expected);
    assert!(matches!(
        table.verify(|_| ()),
        Err(Error::Damaged { offset: 4096, .. })
    ));
    use_all(&table);
}

#[test]
fn ranges_of_values_outside_the_file() {
    let bytes = small::table();
    let table = Table::from_bytes(bytes.as_slice(), "small").unwrap();
    let mut range = table.locate(b"key-000").unwrap().unwrap();
    let mut out = b"before".to_vec();
    for (offset, len) in [
        (0, u64::MAX),
        (u64::MAX, 1),
        (bytes.len() as u64, 1),
        (1 << 63, 1 << 63),
    ] {
        range.offset_bytes = offset;
        range.len = len;
        assert!(matches!(
            table.read_value(range, &mut out),
            Err(Error::Bytes(_))
        ));
        assert_eq!(out, b"before");
        assert!(matches!(table.value_slice(range), Err(Error::Bytes(_))));
    }
}

/// Whatever stands all checks answers without contradiction.
#[test]
fn any_flipped_byte_with_right_checksums() {
    for whole in small::tables() {
        flip_any_byte_and_mend(&whole);
    }
}

fn flip_any_byte_and_mend(whole: &[u8]) {
    let sums = sums(whole);
    let mut stood = 0;
    for section in small::sections(whole) {
        if matches!(section, Section::Sums) {
            continue;
        }
        for at in small::range(whole, *section) {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << (at % 8);
            small::mend_pages(&mut bytes, sums.clone());
            let Ok(table) = Table::from_bytes(bytes.as_slice(), "hostile") else {
                continue;
            };
            use_all(&table);
            if at % 5 == 2 || matches!(section, Section::Order) {
                use_order(&table);
            }
            if table.verify(|_| ()).is_err() {
                continue;
            }
            stood += 1;
            if matches!(section, Section::Order | Section::Groups | Section::Fences) {
                panic!("byte {at} of the section can be another");
            }
            for (key, value) in table.iter().map(Result::unwrap) {
                assert_eq!(table.get(&key).unwrap(), Some(value), "byte {at}");
            }
        }
    }
    // The bytes of values, and few others: filters of a hash index that let more pass, and keys that stay
    // in order and in the same cell of a perfect index. These are tables as good as the one before.
    let value_bytes = usize::try_from(small::u64_at(whole, field::VALUE_BYTES)).unwrap();
    assert!(
        (value_bytes..value_bytes + 100).contains(&stood),
        "{stood} stood"
    );
}

#[test]
fn random_changes_with_right_checksums() {
    for whole in small::tables() {
        change_at_random_and_mend(&whole);
    }
}

fn change_at_random_and_mend(whole: &[u8]) {
    let sums = sums(whole);
    let sections = small::sections(whole);
    let mut random = Random::new(3);
    for _ in 0..2000 {
        let mut bytes = whole.to_vec();
        for _ in 0..=random.below(8) {
            // But for the checksums, which are the last.
            let section = sections[random.below(sections.len() - 1)];
            let range = small::range(whole, section);
            let at = range.start + random.below(range.len());
            bytes[at] = match random.below(3) {
                0 => 0,
                1 => 0xff,
                _ => u8::try_from(random.below(256)).unwrap(),
            };
        }
        small::mend_pages(&mut bytes, sums.clone());
        stands(&bytes);
    }
}

/// Two records of the same length that follow each other change places, and a hash index is told.
#[test]
fn records_out_of_order() {
    for whole in small::tables() {
        swap_records_of(&whole);
    }
}

fn swap_records_of(whole: &[u8]) {
    let records = small::range(whole, Section::Records);
    let mut sorted = small::records().to_vec();
    sorted.sort();
    let len = |n: usize| 2 + sorted[n].0.len() + sorted[n].1.len();
    // Neither is the first of its page, for the sake of the order section.
    let first = (1..60).find(|&n| len(n) == len(n + 1)).unwrap();
    let at: usize = (0..first).map(len).sum();
    let len = len(first);
    assert!(at + 2 * len < PAGE);

    let mut bytes = whole.to_vec();
    bytes[records.start + at..][..2 * len].rotate_left(len);
    let is_told = small::has(whole, Section::Index);
    if is_told {
        tell_index(&mut bytes, at, len);
    }
    let sums = sums(&bytes);
    small::mend_pages(&mut bytes, sums);
    assert!(!stands(&bytes));
    let table = Table::from_bytes(bytes.as_slice(), "hostile").unwrap();
    let error = table.verify(|_| ()).unwrap_err();
    let expected = format!(
        "hostile: damaged at byte {}: a key that is not above the one before it",
        records.start + at + len
    );
    assert_eq!(error.to_string(), expected);
    // Whoever has no need of the order is none the worse for it; nobody gets another's value.
    for (key, value) in small::records() {
        let found = table.get(key).unwrap();
        assert!(found.as_ref() == Some(value) || (found.is_none() && !is_told));
    }
}

/// Has a hash index lead to two records of a length that changed places.
fn tell_index(bytes: &mut [u8], at: usize, len: usize) {
    let offset_bits = u32::from_le_bytes(bytes[field::OFFSET_BITS..][..4].try_into().unwrap());
    for line in small::range(bytes, Section::Index).step_by(64) {
        for slot in (0..usize::from(bytes[line + 60])).map(|slot| line + 20 + 4 * slot) {
            // Offsets of a table as small as this are in the lower part of a slot.
            let lower = u32::from_le_bytes(bytes[slot..slot + 4].try_into().unwrap());
            let offset = usize::try_from(lower & ((1 << offset_bits) - 1)).unwrap();
            let moved = match offset {
                offset if offset == at => at + len,
                offset if offset == at + len => at,
                offset => offset,
            };
            let lower = lower - u32::try_from(offset).unwrap() + u32::try_from(moved).unwrap();
            small::set_u32(bytes, slot, lower);
        }
    }
}

#[test]
fn an_order_section_of_impossible_numbers() {
    for whole in small::tables() {
        impossible_order_in(&whole);
    }
}

fn impossible_order_in(whole: &[u8]) {
    let order = small::range(whole, Section::Order);
    let numbers = [0, 1, 77, 4095, 4096, 1 << 32, 1 << 48, 1 << 63, u64::MAX];
    for at in order.step_by(8) {
        for number in numbers {
            if small::u64_at(whole, at) == number {
                continue;
            }
            let mut bytes = whole.to_vec();
            small::set_u64(&mut bytes, at, number);
            let sums = sums(&bytes);
            small::mend_pages(&mut bytes, sums);
            assert!(!stands(&bytes), "{number:#x} at {at}");
        }
    }
}
