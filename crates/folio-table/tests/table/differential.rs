//! Tables against `BTreeMap`s with the same records.

use std::collections::BTreeMap;

use crate::random::Random;
use folio_table::{Builder, IndexKind, MAX_KEY_LEN, Table};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn build(map: &Map, index: IndexKind, random: &mut Random) -> Vec<u8> {
    let mut records: Vec<_> = map.iter().collect();
    random.shuffle(&mut records);
    let mut builder = Builder::new().index(index);
    for (line, (key, value)) in (1..).zip(records) {
        builder.add(line, key, value).unwrap();
    }
    builder.to_vec().unwrap()
}

/// Everything that a table can be asked has the map's answer, whatever its index.
fn check(map: &Map, random: &mut Random) {
    for index in [IndexKind::Hash, IndexKind::Perfect] {
        check_with(map, index, random);
    }
}

fn check_with(map: &Map, index: IndexKind, random: &mut Random) {
    let bytes = build(map, index, random);
    assert_eq!(
        bytes,
        build(map, index, random),
        "the order of adding shows"
    );
    let table = Table::from_bytes(bytes, "test").unwrap();
    assert_eq!(table.info().index, index);
    assert_eq!(table.count(), map.len() as u64);
    let key_bytes: usize = map.keys().map(Vec::len).sum();
    let value_bytes: usize = map.values().map(Vec::len).sum();
    assert_eq!(table.info().key_bytes, key_bytes as u64);
    assert_eq!(table.info().value_bytes, value_bytes as u64);

    let mut out = b"before".to_vec();
    for (key, value) in map {
        out.truncate(6);
        assert!(table.get_into(key, &mut out).unwrap());
        assert_eq!(&out[..6], b"before");
        assert_eq!(&out[6..], value);
        let range = table.locate(key).unwrap().unwrap();
        assert_eq!(range.len, value.len() as u64);
        out.truncate(6);
        table.read_value(range, &mut out).unwrap();
        assert_eq!(&out[6..], value);
        assert!(table.contains(key).unwrap());
        assert_eq!(table.value_slice(range).unwrap(), value);
        assert_eq!(table.get_slice(key).unwrap(), Some(value.as_slice()));
        // Neighbours of a key are hardly ever keys.
        let mut other = key.clone();
        other.push(0);
        check_any(&table, map, &other);
        other.truncate(key.len() - 1);
        check_any(&table, map, &other);
        let mut other = key.clone();
        let at = random.below(key.len());
        other[at] ^= 1 << random.below(8);
        check_any(&table, map, &other);
    }
    for _ in 0..1000 {
        let len = random.below(20);
        check_any(&table, map, &random.bytes(len));
    }
    check_any(&table, map, b"");
    check_any(&table, map, &vec![7; MAX_KEY_LEN + 1]);

    let records: Vec<_> = table.iter().map(Result::unwrap).collect();
    let expected: Vec<_> = map.clone().into_iter().collect();
    assert!(records == expected, "iteration differs");

    let mut done = 0;
    let verified = table.verify(|bytes| {
        assert!(bytes >= done);
        done = bytes;
    });
    verified.unwrap();
    assert_eq!(done, table.info().file_len);
}

fn check_any(table: &Table<Vec<u8>>, map: &Map, key: &[u8]) {
    assert_eq!(table.get(key).unwrap().as_ref(), map.get(key));
    assert_eq!(table.contains(key).unwrap(), map.contains_key(key));
}

#[test]
fn no_record() {
    check(&Map::new(), &mut Random::new(1));
}

#[test]
fn one_record() {
    check(
        &Map::from([(b"key".to_vec(), b"value".to_vec())]),
        &mut Random::new(2),
    );
    check(&Map::from([(vec![0], Vec::new())]), &mut Random::new(3));
}

#[test]
fn every_key_of_one_byte() {
    let map = (0..=255)
        .map(|byte| (vec![byte], vec![!byte; usize::from(byte)]))
        .collect();
    check(&map, &mut Random::new(4));
}

#[test]
fn many_counts_of_short_records() {
    let mut random = Random::new(5);
    for count in (0..200).chain([1000, 10_000]) {
        let mut map = Map::new();
        for _ in 0..count {
            let (key_len, value_len) = (1 + random.below(24), random.below(100));
            map.insert(random.bytes(key_len), random.bytes(value_len));
        }
        check(&map, &mut random);
    }
}

#[test]
fn keys_around_the_sizes_of_reads() {
    let mut random = Random::new(6);
    let mut map = Map::new();
    for len in (1..=300).chain([
        1000,
        1023,
        1024,
        1025,
        4095,
        4096,
        4097,
        65_535,
        MAX_KEY_LEN,
    ]) {
        for _ in 0..3 {
            let value_len = random.below(300);
            map.insert(random.bytes(len), random.bytes(value_len));
        }
    }
    check(&map, &mut random);
}

#[test]
fn values_of_all_sizes() {
    let mut random = Random::new(7);
    let mut map = Map::new();
    let powers = (0..21).map(|bits| 1_usize << bits);
    for len in powers.flat_map(|power| [power - 1, power, power + 1]) {
        map.insert(random.bytes(9), random.bytes(len));
    }
    map.insert(b"long".to_vec(), random.bytes(3 << 20));
    check(&map, &mut random);
}

#[test]
fn long_common_prefixes() {
    let mut random = Random::new(8);
    let mut map = Map::new();
    for number in 0..3000 {
        let key = format!("a/rather/long/common/prefix/of/paths/{:08}", number * 7919);
        map.insert(key.into_bytes(), random.bytes(32));
    }
    check(&map, &mut random);
}

/// Keys in families that differ only after more bytes than any fence has, so that many
/// groups have the same fence.
#[test]
fn fences_that_are_the_same() {
    let mut random = Random::new(10);
    let mut map = Map::new();
    for family in [b'a', b'b', b'c'] {
        for number in 0..1500 {
            let mut key = vec![family; 20 + 30 * random.below(3)];
            key.extend_from_slice(format!("{number:05}").as_bytes());
            map.insert(key, random.bytes(10));
        }
    }
    check(&map, &mut random);
    // All of them with one family.
    map.retain(|key, _| key[0] == b'b');
    check(&map, &mut random);
    // And with zeros, which look like the end of a key.
    let map = (1..2000).map(|len| (vec![0; len], random.bytes(3)));
    check(&map.collect(), &mut Random::new(11));
}

#[test]
fn numbers_with_zeros_at_the_end() {
    // The sort compares eight bytes filled up with zeros first.
    let mut map = Map::new();
    for len in 1..40 {
        map.insert(vec![0; len], vec![1; len]);
        let mut key = vec![0; len];
        key.insert(0, b'a');
        map.insert(key, vec![2; len]);
    }
    check(&map, &mut Random::new(9));
}
