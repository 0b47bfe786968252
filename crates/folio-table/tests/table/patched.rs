//! Tables that somebody has changed here and there, with or without making the checksums right again:
//! any bytes say what is changed.
//!
//! Used by the tests with random bytes and by the fuzzer with those that it makes up.

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use folio::ReadAt;
use folio_table::{Builder, Error, IndexKind, Table, Verify};

use crate::small::{self, PAGE, Section, field};
use crate::uses::{use_all, use_batches, use_order, use_slices};

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Tables of several shapes, with either index, and what is in them.
static WHOLE: LazyLock<Vec<(Records, Vec<u8>)>> = LazyLock::new(|| {
    let long = |n: u8| (vec![n; 200 + usize::from(n)], vec![n; 1 << (n % 14)]);
    let shapes = [
        Vec::new(),
        vec![
            (b"ape".to_vec(), b"climbs".to_vec()),
            (b"bee".to_vec(), Vec::new()),
        ],
        small::records().to_vec(),
        (1..30).map(long).collect(),
    ];
    let build = |records: &Records, index: IndexKind| {
        let mut builder = Builder::new().index(index);
        for (key, value) in records {
            builder.add(1, key, value).unwrap();
        }
        (records.clone(), builder.to_vec().unwrap())
    };
    let hash = shapes.iter().map(|records| build(records, IndexKind::Hash));
    let perfect = shapes
        .iter()
        .map(|records| build(records, IndexKind::Perfect));
    let two_levels = (
        small::records_of_two_levels().collect(),
        small::two_levels(),
    );
    hash.chain(perfect).chain([two_levels]).collect()
});

/// Which checksums are made right after the changes.
#[derive(Clone, Copy, PartialEq)]
enum Mended {
    Nothing,
    Pages,
    All,
}

/// Makes the table that `input` spells, and does with it all that can be done.
///
/// The first byte chooses when it is checked, what is done with it and what is mended, the second a whole table; each 8 bytes after them are a
/// change. Or the bytes after them are all that there is.
///
/// # Panics
///
/// When an answer contradicts another, or the table that was there before the changes.
pub(crate) fn run(input: &[u8]) {
    let [first, second, rest @ ..] = input else {
        return;
    };
    let verify = match first % 4 {
        0 => Verify::Never,
        1 => Verify::Open,
        2 => Verify::Touch,
        _ => Verify::Always,
    };
    // All that can be done at once is slow.
    let parts = match first >> 2 & 7 {
        0 => Parts::ALL,
        parts => Parts(parts),
    };
    let shape = usize::from(*second) % (WHOLE.len() + 1);
    let Some((records, whole)) = WHOLE.get(shape) else {
        // Nothing that anybody built.
        exercise(rest, verify, parts);
        return;
    };
    let mut bytes = whole.clone();
    for change in rest.chunks_exact(8) {
        apply(&mut bytes, whole, change.try_into().unwrap());
    }
    let mended = match first >> 5 {
        0 | 1 => Mended::Nothing,
        2 | 3 => Mended::Pages,
        _ => Mended::All,
    };
    let sums = small::range(whole, Section::Sums);
    if mended != Mended::Nothing {
        small::mend_pages(&mut bytes, sums);
    }
    if mended == Mended::All {
        small::mend_header(&mut bytes);
    }
    exercise(&bytes, verify, parts);
    if mended == Mended::Nothing && matches!(verify, Verify::Touch | Verify::Always) {
        never_wrong(&bytes, verify, records);
    }
}

/// Changes a number somewhere: `[place, offset (2), what, number (4)]`.
fn apply(bytes: &mut [u8], whole: &[u8], change: [u8; 8]) {
    let [place, low, high, what, number @ ..] = change;
    let sections = small::sections(whole);
    let range = match place % 8 {
        0..=3 => small::range(whole, sections[usize::from(place / 8) % sections.len()]),
        4 => 0..field::RESERVED.start,
        5 => field::SECTIONS..field::SECTIONS + 5 * 32,
        6 => whole.len() - small::FOOTER..whole.len(),
        _ => PAGE..whole.len(),
    };
    if range.is_empty() {
        return;
    }
    let at = range.start + usize::from(u16::from_le_bytes([low, high])) % range.len();
    let number = u32::from_le_bytes(number);
    let wide = match what / 8 % 4 {
        0 => u64::from(number),
        1 => 1 << (number % 64),
        2 => u64::MAX - u64::from(number),
        _ => whole.len() as u64 ^ u64::from(number),
    };
    let len = [1, 1, 2, 4, 8][usize::from(what % 5)];
    for (byte, new) in bytes[at..].iter_mut().zip(&wide.to_le_bytes()[..len]) {
        if what & 0x80 == 0 {
            *byte = *new;
        } else {
            *byte ^= *new;
        }
    }
}

/// What is done with a table, beside verifying it.
#[derive(Clone, Copy)]
struct Parts(u8);

impl Parts {
    const LOOKUPS: Self = Self(1);
    const BATCHES: Self = Self(2);
    const ORDER: Self = Self(4);
    const ALL: Self = Self(7);

    fn has(self, part: Self) -> bool {
        self.0 & part.0 != 0
    }
}

/// Does what can be done: whatever the answers, they come, and agree.
fn exercise(bytes: &[u8], verify: Verify, parts: Parts) {
    match Table::options().verify(verify).from_bytes(bytes, "patched") {
        Ok(table) => {
            if parts.has(Parts::LOOKUPS) {
                use_all(&table);
            }
            if parts.has(Parts::BATCHES) {
                use_batches(&table);
            }
            if parts.has(Parts::ORDER) {
                use_order(&table);
            }
        }
        Err(error) => assert!(!matches!(error, Error::Bytes(_)), "{error}"),
    }
    let Ok(table) = Table::from_bytes(bytes, "patched") else {
        return;
    };
    if parts.has(Parts::LOOKUPS) {
        use_slices(&table);
    }
    let stands = table.verify(|_| ()).is_ok();
    let found = table.verify_all(NonZeroUsize::MIN, |_| ());
    assert_eq!(found.is_whole(), stands, "{found:?}");
    assert!(stands || !found.damages.is_empty());
    if stands {
        agrees(&table);
    }
}

/// A table that has stood all checks answers each question in one way.
fn agrees<B: ReadAt>(table: &Table<B>) {
    let mut last = Vec::new();
    let mut count = 0;
    for record in table {
        let (key, value) = record.unwrap();
        assert!(key > last);
        assert_eq!(table.get(&key).unwrap().as_ref(), Some(&value));
        assert_eq!(table.rank(&key).unwrap(), count);
        let nth = table.nth(count).unwrap().unwrap();
        assert!(nth.0 == key && nth.1 == value);
        last = key;
        count += 1;
    }
    assert_eq!(count, table.count());
    let backwards = table.iter().rev().map(|record| record.unwrap().0);
    let backwards: Vec<_> = backwards.collect();
    assert_eq!(backwards.len() as u64, count);
    assert!(backwards.is_sorted_by(|a, b| a > b));
}

/// Where pages are checked, what is there is found as it was, or an error says that it cannot be.
fn never_wrong(bytes: &[u8], verify: Verify, records: &Records) {
    let Ok(table) = Table::options().verify(verify).from_bytes(bytes, "patched") else {
        return;
    };
    for (key, value) in records {
        match table.get(key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value)),
            Err(Error::Checksum { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let mut expected: Vec<_> = records.iter().collect();
    expected.sort();
    for (found, expected) in table.iter().zip(expected) {
        match found {
            Ok((key, value)) => assert_eq!((&key, &value), (&expected.0, &expected.1)),
            Err(error) => assert!(matches!(error, Error::Checksum { .. }), "{error}"),
        }
    }
    assert!(!matches!(table.get(b"not there"), Ok(Some(_))));
}

#[test]
fn random_changes() {
    let mut random = crate::random::Random::new(4);
    for _ in 0..2000 {
        let changes = 1 + random.below(4);
        run(&random.bytes(2 + 8 * changes));
    }
}
