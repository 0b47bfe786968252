//! Ranges, ranks, walks from either end and cursors, against `BTreeMap`s.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use folio_table::{Builder, Cursor, Error, MAX_KEY_LEN, Scan, Table};

use crate::random::Random;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);
type Record = (Vec<u8>, Vec<u8>);

fn build(map: &Map) -> Table<Vec<u8>> {
    let mut builder = Builder::new();
    for (line, (key, value)) in (1..).zip(map) {
        builder.add(line, key, value).unwrap();
    }
    Table::from_bytes(builder.to_vec().unwrap(), "test").unwrap()
}

/// A key that may be there, or be near one that is.
fn some_key(map: &Map, random: &mut Random) -> Vec<u8> {
    let len = random.below(6);
    let mut key = match map.keys().nth(random.below(map.len().max(1))) {
        Some(key) if random.below(8) != 0 => key.clone(),
        _ => random.bytes(len),
    };
    match random.below(6) {
        0 => key.push(0),
        1 => key.truncate(random.below(key.len() + 1)),
        2 => key.extend([0xff; 3]),
        3 if !key.is_empty() => {
            let at = random.below(key.len());
            key[at] ^= 1 << random.below(8);
        }
        _ => {}
    }
    key
}

fn some_bound(map: &Map, random: &mut Random) -> Bound<Vec<u8>> {
    match random.below(5) {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Excluded(some_key(map, random)),
        _ => Bound::Included(some_key(map, random)),
    }
}

/// What the map has in a range; where the map would panic, nothing.
fn model(map: &Map, bounds: &Bounds) -> VecDeque<Record> {
    let above = |key: &Vec<u8>| match &bounds.0 {
        Bound::Unbounded => true,
        Bound::Included(start) => key >= start,
        Bound::Excluded(start) => key > start,
    };
    let below = |key: &Vec<u8>| match &bounds.1 {
        Bound::Unbounded => true,
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
    };
    map.iter()
        .filter(|(key, _)| above(key) && below(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn owned(record: Option<(&[u8], &[u8])>) -> Option<Record> {
    record.map(|(key, value)| (key.to_vec(), value.to_vec()))
}

/// Takes records from either end in turn, by each of the ways to do so, until none is left.
fn walk<'t>(
    table: &'t Table<Vec<u8>>,
    mut scan: Scan<'t, Vec<u8>>,
    mut expected: VecDeque<Record>,
    random: &mut Random,
) {
    let turn = random.below(4);
    let mut value = Vec::new();
    loop {
        assert_eq!(scan.remaining(), expected.len() as u64);
        let forwards = match turn {
            0 => true,
            1 => false,
            _ => random.below(2) == 0,
        };
        let wanted = if forwards {
            expected.pop_front()
        } else {
            expected.pop_back()
        };
        let found = if random.below(3) > 0 {
            owned(if forwards {
                scan.next_record().unwrap()
            } else {
                scan.next_record_back().unwrap()
            })
        } else {
            let key = if forwards {
                scan.next_key().unwrap()
            } else {
                scan.next_key_back().unwrap()
            };
            key.map(|(key, range)| {
                value.clear();
                table.read_value(range, &mut value).unwrap();
                (key.to_vec(), value.clone())
            })
        };
        assert!(found == wanted, "{forwards}");
        if found.is_none() {
            break;
        }
        if random.below(20) == 0 {
            scan = resumed(table, &mut scan, forwards, &expected, random);
        }
    }
}

/// Another scan that goes on where this one is, by a cursor.
fn resumed<'t>(
    table: &'t Table<Vec<u8>>,
    scan: &mut Scan<'_, Vec<u8>>,
    forwards: bool,
    expected: &VecDeque<Record>,
    random: &mut Random,
) -> Scan<'t, Vec<u8>> {
    let mut other = table.scan(..).unwrap();
    let (front, back) = (scan.cursor().unwrap(), scan.cursor_back().unwrap());
    assert_eq!(back.rank() - front.rank(), expected.len() as u64);
    let front = Cursor::from_bytes(&front.to_bytes()).unwrap();
    if random.below(2) == 0 {
        other.resume(&front).unwrap();
    } else {
        assert!(other.resume_number(front.number()).unwrap());
    }
    other.resume_back(&back).unwrap();
    if !forwards {
        // Neither brings back what was left out already.
        other.resume(&front).unwrap();
    }
    other
}

fn check(map: &Map, random: &mut Random, rounds: usize) {
    let table = build(map);
    let records: Vec<_> = map.iter().collect();
    assert_eq!(table.first().unwrap(), map.first_key_value().map(cloned));
    assert_eq!(table.last().unwrap(), map.last_key_value().map(cloned));
    for _ in 0..rounds {
        let rank = random.below(records.len() + 2);
        let nth = table.nth(rank as u64).unwrap();
        assert!(nth == records.get(rank).map(|(key, value)| cloned((key, value))));

        let key = some_key(map, random);
        let below = records.partition_point(|(other, _)| **other < key) as u64;
        assert_eq!(table.rank(&key).unwrap(), below);

        let bounds = (some_bound(map, random), some_bound(map, random));
        let expected = model(map, &bounds);
        let count = table.count_range(bounds.clone()).unwrap();
        assert_eq!(count, expected.len() as u64);
        if expected.len() < 300 || random.below(20) == 0 {
            let scan = table.scan(bounds.clone()).unwrap();
            walk(&table, scan, expected.clone(), random);
            // By two ranges that have it in common.
            let mut scan = table.scan((bounds.0, Bound::Unbounded)).unwrap();
            scan.narrow((Bound::Unbounded, bounds.1)).unwrap();
            walk(&table, scan, expected, random);
        }

        let prefix = some_key(map, random);
        let prefix = &prefix[..prefix.len().min(1 + random.below(4))];
        let expected: VecDeque<_> = records
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| cloned((key, value)))
            .collect();
        if expected.len() < 300 || random.below(20) == 0 {
            let found: VecDeque<_> = table.prefix(prefix).unwrap().map(Result::unwrap).collect();
            assert!(found == expected, "{prefix:?}");
            walk(&table, table.scan_prefix(prefix).unwrap(), expected, random);
        }
    }
    let backwards: Vec<_> = table.iter().rev().map(Result::unwrap).collect();
    assert!(
        backwards
            .into_iter()
            .rev()
            .eq(records.into_iter().map(cloned))
    );
}

fn cloned((key, value): (&Vec<u8>, &Vec<u8>)) -> Record {
    (key.clone(), value.clone())
}

fn random_map(
    random: &mut Random,
    count: usize,
    key_len: impl Fn(&mut Random) -> usize,
    value_len: impl Fn(&mut Random) -> usize,
) -> Map {
    let mut map = Map::new();
    for _ in 0..count {
        let (key_len, value_len) = (key_len(random), value_len(random));
        map.insert(random.bytes(key_len), random.bytes(value_len));
    }
    map
}

#[test]
fn no_record_and_few() {
    let mut random = Random::new(20);
    check(&Map::new(), &mut random, 50);
    for count in 1..20 {
        let map = random_map(&mut random, count, |r| 1 + r.below(2), |r| r.below(3));
        check(&map, &mut random, 200);
    }
}

#[test]
fn short_records_over_many_pages() {
    let mut random = Random::new(21);
    let map = random_map(&mut random, 5000, |r| 1 + r.below(20), |r| r.below(60));
    check(&map, &mut random, 600);
}

#[test]
fn empty_values_and_the_densest_pages() {
    let mut random = Random::new(22);
    let map = random_map(&mut random, 20_000, |r| 1 + r.below(3), |_| 0);
    check(&map, &mut random, 150);
}

#[test]
fn records_longer_than_pages() {
    let mut random = Random::new(23);
    let key_len = |random: &mut Random| match random.below(10) {
        0 => 4000 + random.below(200),
        1 => 1 + random.below(MAX_KEY_LEN),
        2 => 60 + random.below(10),
        _ => 1 + random.below(30),
    };
    let value_len = |random: &mut Random| match random.below(10) {
        0 => random.below(200_000),
        1..4 => random.below(9000),
        _ => random.below(40),
    };
    let map = random_map(&mut random, 400, key_len, value_len);
    check(&map, &mut random, 400);
}

#[test]
fn records_that_fill_pages_exactly() {
    let mut random = Random::new(24);
    for len in [4094_usize, 4093, 4092, 2046, 1022, 16_382] {
        let mut map = Map::new();
        for number in 0..60_u32 {
            let key = number.to_be_bytes().to_vec();
            map.insert(key, vec![7; len - 4 - usize::from(len > 131)]);
        }
        check(&map, &mut random, 100);
    }
}

#[test]
fn keys_at_the_end_of_the_key_space() {
    let mut random = Random::new(25);
    let mut map = Map::new();
    for len in 1..60 {
        map.insert(vec![0xff; len], vec![1; len]);
        let mut key = vec![0xff; len];
        key.push(0xfe);
        map.insert(key, Vec::new());
        map.insert(vec![0; len], vec![2; 100]);
    }
    check(&map, &mut random, 500);
    let table = build(&map);
    assert_eq!(table.prefix([0xff]).unwrap().count(), 59 * 2);
    assert_eq!(table.prefix([0xff; 58]).unwrap().count(), 4);
    assert_eq!(table.prefix([0xff; 61]).unwrap().count(), 0);
    assert_eq!(table.prefix([]).unwrap().count(), map.len());
}

#[test]
fn long_common_prefixes() {
    let mut random = Random::new(26);
    let mut map = Map::new();
    for number in 0..2000 {
        let path = "a/path/".repeat(number % 40 * 3);
        map.insert(format!("{path}{number}").into_bytes(), random.bytes(9));
    }
    check(&map, &mut random, 500);
}

#[test]
fn reversed_bounds_are_empty() {
    let map = (0..10).map(|byte| (vec![byte], Vec::new())).collect();
    let table = build(&map);
    for bounds in [
        (Bound::Included([7]), Bound::Excluded([3])),
        (Bound::Included([7]), Bound::Excluded([7])),
        (Bound::Excluded([7]), Bound::Excluded([7])),
        (Bound::Excluded([7]), Bound::Included([7])),
    ] {
        assert_eq!(table.count_range(bounds).unwrap(), 0);
        let mut scan = table.scan(bounds).unwrap();
        assert_eq!(scan.next_record().unwrap(), None);
        assert_eq!(scan.next_record_back().unwrap(), None);
        assert!(table.range(bounds).unwrap().next().is_none());
    }
}

/// Scans in steps while the table is replaced between them: each key that is in all of
/// the tables is seen, and none twice.
#[test]
fn a_cursor_survives_other_tables() {
    let mut random = Random::new(27);
    for round in 0..100 {
        let constant = random_map(&mut random, 200, |r| 1 + r.below(3), |r| r.below(100));
        let mut seen = Vec::new();
        let mut saved: Option<Vec<u8>> = None;
        loop {
            let mut map = random_map(&mut random, 150, |r| 1 + r.below(3), |r| r.below(100));
            map.extend(constant.clone());
            let table = build(&map);
            let mut scan = table.scan(..).unwrap();
            let backwards = round % 2 == 1;
            if let Some(bytes) = &saved {
                let cursor = Cursor::from_bytes(bytes).unwrap();
                let is_start = cursor.number() == 0;
                assert_eq!(scan.resume_number(cursor.number()).unwrap(), is_start);
                if backwards {
                    scan.resume_back(&cursor).unwrap();
                } else {
                    scan.resume(&cursor).unwrap();
                }
            }
            for _ in 0..random.below(60) {
                let next = if backwards {
                    scan.next_record_back()
                } else {
                    scan.next_record()
                };
                match next.unwrap() {
                    Some((key, _)) => seen.push(key.to_vec()),
                    None => break,
                }
            }
            if scan.remaining() == 0 {
                break;
            }
            let cursor = if backwards {
                scan.cursor_back()
            } else {
                scan.cursor()
            };
            saved = Some(cursor.unwrap().to_bytes());
        }
        if round % 2 == 1 {
            seen.reverse();
        }
        assert!(seen.is_sorted_by(|a, b| a < b));
        assert!(constant.keys().all(|key| seen.binary_search(key).is_ok()));
    }
}

#[test]
fn cursors_at_both_ends() {
    let (map, empty) = (Map::from([(vec![1], vec![2])]), Map::new());
    let (table, none) = (build(&map), build(&empty));
    let mut scan = table.scan(..).unwrap();
    let start = scan.cursor().unwrap();
    assert_eq!(
        (start.rank(), start.number(), start.is_end()),
        (0, 0, false)
    );
    scan.next_record().unwrap();
    let end = scan.cursor().unwrap();
    assert!(end.is_end() && end.number() != 0 && end.number() >> 63 == 0);
    assert_eq!(scan.cursor_back().unwrap(), end);
    for (cursor, expected) in [(&start, 1), (&end, 0)] {
        let mut scan = table.scan(..).unwrap();
        scan.resume(cursor).unwrap();
        assert_eq!(scan.remaining(), expected);
        let mut scan = none.scan(..).unwrap();
        scan.resume(cursor).unwrap();
        assert_eq!(scan.next_record().unwrap(), None);
    }
    // The end of one table is the end of another, whatever that has.
    let other = build(&(0..9).map(|byte| (vec![byte], vec![])).collect());
    let mut scan = other.scan(..).unwrap();
    scan.resume(&end).unwrap();
    assert_eq!(scan.remaining(), 0);
}

#[test]
fn bytes_that_are_no_cursor() {
    let table = build(&(0..9).map(|byte| (vec![byte], vec![])).collect());
    let mut scan = table.scan(..).unwrap();
    scan.next_record().unwrap();
    let good = scan.cursor().unwrap().to_bytes();
    assert_eq!(good.len(), 26);
    for len in 0..25 {
        assert!(matches!(
            Cursor::from_bytes(&good[..len]),
            Err(Error::Cursor)
        ));
    }
    let mut random = Random::new(28);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = random.bytes(1)[0];
        }
        let Ok(cursor) = Cursor::from_bytes(&bytes) else {
            continue;
        };
        let mut scan = table.scan(..).unwrap();
        scan.resume(&cursor).unwrap();
        assert!(scan.remaining() <= 9);
        let mut scan = table.scan(..).unwrap();
        scan.resume_back(&cursor).unwrap();
        assert!(scan.remaining() <= 9);
    }
    for _ in 0..20_000 {
        let number = random.next() >> random.below(64);
        let mut scan = table.scan(..).unwrap();
        let resumed = scan.resume_number(number).unwrap();
        assert_eq!(resumed, number == 0, "{number}");
    }
}
