//! Tables seen through windows.

use std::collections::BTreeMap;
use std::fs::File;

use folio::{Kind, Source, View, Windows};
use folio_table::{Builder, Error, Table};
use tempfile::NamedTempFile;

use crate::random::Random;

const WINDOW_BYTES: u64 = 64 << 10;
const BUDGET_BYTES: u64 = 256 << 10;

/// A table of some MiB, with values shorter than a page and longer than a window.
fn build(file: &NamedTempFile) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut random = Random::new(77);
    let mut map = BTreeMap::new();
    let mut builder = Builder::new();
    for number in 0..20_000_u64 {
        let key = format!("key {number:06}").into_bytes();
        let len = match number % 1000 {
            0 => 150_000 + random.below(1000),
            1..10 => 5000,
            _ => random.below(100),
        };
        let value = random.bytes(len);
        builder.add(number + 1, &key, &value).unwrap();
        map.insert(key, value);
    }
    builder.write_to(file.path()).unwrap();
    map
}

fn open(file: &NamedTempFile) -> (Source, Table<View>) {
    let windows = Windows::options()
        .window_bytes(WINDOW_BYTES)
        .budget_bytes(BUDGET_BYTES);
    let source = Source::options()
        .kind(Kind::Windowed)
        .windows(windows)
        .open(file.path())
        .unwrap();
    let table = Table::from_bytes(source.whole().unwrap(), file.path()).unwrap();
    (source, table)
}

#[test]
fn all_answers_come_within_the_budget() {
    let file = NamedTempFile::new().unwrap();
    let map = build(&file);
    let (source, table) = open(&file);
    assert!(source.len().unwrap() > 10 * BUDGET_BYTES);
    let mut random = Random::new(3);
    let keys: Vec<_> = map.keys().collect();
    let mut most_mapped = 0;
    for _ in 0..30_000 {
        let key = keys[random.below(keys.len())];
        assert_eq!(table.get(key).unwrap().as_ref(), map.get(key));
        assert!(!table.contains(&[key, b"!".as_slice()].concat()).unwrap());
        most_mapped = most_mapped.max(source.windows().unwrap().stats().mapped_bytes);
    }
    let records = table.iter().map(Result::unwrap);
    assert!(records.eq(map.clone()));
    let backwards = table.iter().rev().map(Result::unwrap);
    assert!(backwards.eq(map.clone().into_iter().rev()));
    for (rank, (key, value)) in map.iter().enumerate().step_by(997) {
        assert_eq!(table.rank(key).unwrap(), rank as u64);
        let nth = table.nth(rank as u64).unwrap();
        assert_eq!(nth, Some((key.clone(), value.clone())));
        let count = table.count_range(key..).unwrap();
        assert_eq!(count, (map.len() - rank) as u64);
    }
    let mapped = source.windows().unwrap().stats().mapped_bytes;
    most_mapped = most_mapped.max(mapped);
    table.verify(|_| ()).unwrap();
    assert!(most_mapped > 0);
    assert!(most_mapped <= BUDGET_BYTES, "{most_mapped} bytes mapped");
}

#[test]
fn what_is_cut_off_is_an_error() {
    let file = NamedTempFile::new().unwrap();
    let map = build(&file);
    let (_source, table) = open(&file);
    let len = file.as_file().metadata().unwrap().len();
    File::options()
        .write(true)
        .open(file.path())
        .unwrap()
        .set_len(len / 3)
        .unwrap();
    let (mut right, mut lost) = (0, 0);
    for (key, value) in &map {
        match table.get(key) {
            Ok(found) => {
                // In the page of the new end a mapping has zeros, as `mmap(2)` says.
                if found.as_ref() == Some(value) {
                    right += 1;
                }
            }
            Err(Error::Bytes(error)) => {
                assert!(error.is_fault(), "{error}");
                lost += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    // The index stands behind the records: without it nothing is found.
    assert_eq!((right, lost), (0, map.len()));
}

/// On 32-bit machines a file of this size is windowed by default.
#[test]
fn a_large_table_opens_on_any_machine() {
    let file = NamedTempFile::new().unwrap();
    let mut builder = Builder::new();
    for number in 0..40_u8 {
        builder
            .add(1, &[number], &vec![number; (1 << 20) + usize::from(number)])
            .unwrap();
    }
    builder.write_to(file.path()).unwrap();
    let kind = Source::open(file.path()).unwrap().kind();
    let expected = match usize::BITS {
        32 => Kind::Windowed,
        _ => Kind::Mapped,
    };
    assert_eq!(kind, expected);
    let table = Table::open(file.path()).unwrap();
    for number in 0..40_u8 {
        let value = table.get(&[number]).unwrap().unwrap();
        assert_eq!(value.len(), (1 << 20) + usize::from(number));
        assert!(value.iter().all(|&byte| byte == number));
    }
    assert_eq!(table.get(&[40]).unwrap(), None);
}
