//! Many keys at once, against one at a time and against `BTreeMap`s.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::small;
use crate::uses::agree_on as check;
use folio_table::{Builder, Error, IndexKind, Table};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// One with each kind of index.
fn tables(map: &Map) -> [Table<Vec<u8>>; 2] {
    [IndexKind::Hash, IndexKind::Perfect].map(|index| {
        let mut builder = Builder::new().index(index);
        for (line, (key, value)) in (1..).zip(map) {
            builder.add(line, key, value).unwrap();
        }
        Table::from_bytes(builder.to_vec().unwrap(), "test").unwrap()
    })
}

/// Keys of the map and others, some of them more than once.
fn some_keys(map: &Map, count: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let all: Vec<_> = map.keys().collect();
    let mut keys = Vec::<Vec<u8>>::new();
    for _ in 0..count {
        let key = match (random.below(6), all.len()) {
            (0, _) | (_, 0) => {
                let len = random.below(80);
                random.bytes(len)
            }
            (1, _) if !keys.is_empty() => keys[random.below(keys.len())].clone(),
            (2, some) => {
                let mut key = all[random.below(some)].clone();
                let at = random.below(key.len());
                key[at] ^= 1 << random.below(8);
                key
            }
            (_, some) => all[random.below(some)].clone(),
        };
        keys.push(key);
    }
    keys
}

#[test]
fn batches_of_all_sizes_have_the_answers_of_single_keys() {
    let mut random = Random::new(11);
    for records in [0, 1, 5, 40, 3000] {
        let mut map = Map::new();
        for _ in 0..records {
            let (key_len, value_len) = (1 + random.below(70), random.below(120));
            map.insert(random.bytes(key_len), random.bytes(value_len));
        }
        let tables = tables(&map);
        for count in (0..70).chain([95, 96, 97, 1000]) {
            let keys = some_keys(&map, count, &mut random);
            let expected: Vec<_> = keys.iter().map(|key| map.get(key).cloned()).collect();
            for table in &tables {
                let (answers, error) = check(table, &keys);
                assert_eq!(error, None);
                assert!(answers == expected, "{count} keys of {records}");
            }
        }
    }
}

#[test]
fn every_key_is_found_however_far_it_strayed() {
    let mut random = Random::new(12);
    let mut map = Map::new();
    for number in 0..50_000_u32 {
        map.insert(number.to_be_bytes().to_vec(), random.bytes(5));
    }
    let tables = tables(&map);
    assert!(tables[0].info().longest_probe > 2);
    let mut keys: Vec<_> = map.keys().cloned().collect();
    random.shuffle(&mut keys);
    for table in tables {
        let (answers, error) = check(&table, &keys);
        assert_eq!(error, None);
        for (key, value) in keys.iter().zip(answers) {
            assert_eq!(value.as_ref(), map.get(key));
        }
    }
}

#[test]
fn long_keys_and_long_values_come_whole() {
    let mut random = Random::new(13);
    let mut map = Map::new();
    for len in [1, 40, 61, 62, 63, 64, 65, 1023, 1086, 1087, 5000, 65_536] {
        for value_len in [0, 1, 64, 1000, 70_000] {
            map.insert(random.bytes(len), random.bytes(value_len));
        }
    }
    let mut keys: Vec<_> = map.keys().cloned().collect();
    // Keys that differ in their last byte alone.
    keys.extend(map.keys().map(|key| {
        let mut key = key.clone();
        *key.last_mut().unwrap() ^= 1;
        key
    }));
    random.shuffle(&mut keys);
    let expected: Vec<_> = keys.iter().map(|key| map.get(key).cloned()).collect();
    for table in tables(&map) {
        let (answers, error) = check(&table, &keys);
        assert_eq!(error, None);
        assert!(answers == expected);
    }
}

#[test]
fn damage_is_reported_for_the_key_that_meets_it() {
    let bytes = small::table();
    let index = small::range(&bytes, small::Section::Index);
    let failed = count_reported(&bytes, index);
    assert!(failed > 40, "{failed}");

    let bytes = small::table_with(IndexKind::Perfect);
    let groups = small::range(&bytes, small::Section::Groups);
    let failed = count_reported(&bytes, groups);
    assert!(failed > 10, "{failed}");
}

/// Of the flipped bits of an index and of some of the records, how many give errors.
fn count_reported(bytes: &[u8], index: std::ops::Range<usize>) -> usize {
    let keys: Vec<_> = small::records()
        .iter()
        .map(|(key, _)| key.clone())
        .collect();
    let records = small::range(bytes, small::Section::Records);
    let mut failed = 0;
    for at in index.chain(records.step_by(7)) {
        for bit in [0, 5, 7] {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1 << bit;
            let table = Table::from_bytes(bytes.as_slice(), "small").unwrap();
            let (answers, error) = check(&table, &keys);
            assert_eq!(answers.len() < keys.len(), error.is_some());
            if let Some(message) = error {
                assert!(message.starts_with("small: damaged at byte "), "{message}");
                failed += 1;
            }
        }
    }
    failed
}

#[test]
fn the_caller_can_stop() {
    let table = Table::from_bytes(small::table(), "small").unwrap();
    let keys: Vec<_> = small::records().iter().map(|(key, _)| key).collect();
    let mut seen = 0;
    let stopped = table.find_many(&keys, |index, value| {
        seen += 1;
        assert_eq!(value.unwrap().len(), small::records()[index].1.len() as u64);
        if index == 40 {
            return Err(Error::OutOfMemory { len: 7 });
        }
        Ok(())
    });
    assert!(matches!(stopped, Err(Error::OutOfMemory { len: 7 })));
    assert_eq!(seen, 41);
}
