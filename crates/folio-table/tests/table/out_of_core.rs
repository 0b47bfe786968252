//! Tables built with less memory than their records take.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use folio_table::{Builder, Error, OnDuplicate, Table};

use crate::random::Random;

/// From less than any record takes to enough for all.
const MEMORIES: [u64; 7] = [0, 100, 3000, 20_000, 150_000, 1 << 20, 1 << 30];

type Record = (Vec<u8>, Vec<u8>);

fn build(records: &[Record], on_duplicate: OnDuplicate, memory: u64) -> Result<Vec<u8>, Error> {
    let mut builder = Builder::new()
        .on_duplicate(on_duplicate)
        .memory_bytes(memory);
    for (line, (key, value)) in (1..).zip(records) {
        builder.add(line, key, value).unwrap();
    }
    assert_eq!(builder.added(), records.len() as u64);
    builder.to_vec()
}

/// Whatever the memory and the order of adding, the table is the same, and what it should be.
fn check(mut records: Vec<Record>, random: &mut Random) {
    let expected = build(&records, OnDuplicate::Error, 1 << 30).unwrap();
    let map: BTreeMap<_, _> = records.iter().cloned().collect();
    let table = Table::from_bytes(expected.as_slice(), "test").unwrap();
    table.verify(|_| ()).unwrap();
    assert!(table.iter().map(Result::unwrap).eq(map));
    for memory in MEMORIES {
        random.shuffle(&mut records);
        let found = build(&records, OnDuplicate::Error, memory).unwrap();
        assert!(found == expected, "{memory} bytes of memory show");
    }
}

#[test]
fn short_records() {
    let mut random = Random::new(1);
    let records = (0..5000_u64).map(|number| {
        let key = format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (key.into_bytes(), number.to_string().into_bytes())
    });
    check(records.collect(), &mut random);
}

#[test]
fn keys_that_differ_late() {
    let mut random = Random::new(2);
    let (long, short) = ("x".repeat(300), "x".repeat(100));
    let records = (0..1500_u64).flat_map(|number| {
        let keys = [format!("{long}{number}"), format!("{short}{number}\0")];
        keys.map(|key| (key.into_bytes(), vec![b'v'; 10]))
    });
    check(records.collect(), &mut random);
}

#[test]
fn every_length_of_key_and_value() {
    let mut random = Random::new(3);
    let mut lengths = vec![0, 1, 7, 8, 9, 31, 32, 33, 127, 128, 129, 4095, 4096, 4097];
    lengths.extend([16_383, 16_384, 65_535, 65_536, 131_072, 300_000, 1_000_000]);
    let mut records = Vec::new();
    for &value_len in &lengths {
        for &key_len in lengths.iter().filter(|len| (4..=65_536).contains(*len)) {
            if key_len.min(value_len) < 4096 {
                let number = u32::try_from(records.len()).unwrap();
                let mut key = number.to_be_bytes().to_vec();
                key.resize(key_len, b'k');
                records.push((key, random.bytes(value_len)));
            }
        }
    }
    check(records, &mut random);
}

#[test]
fn the_last_or_the_first_of_a_key() {
    let mut random = Random::new(4);
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    let mut records = Vec::new();
    for number in 0..6000_u64 {
        let key = format!("key {}", random.below(2000)).into_bytes();
        let mut value = number.to_string().into_bytes();
        if number % 50 == 0 {
            value.resize(5000, b'.');
        }
        first.entry(key.clone()).or_insert(value.clone());
        last.insert(key.clone(), value.clone());
        records.push((key, value));
    }
    for memory in MEMORIES {
        for (choice, map) in [(OnDuplicate::First, &first), (OnDuplicate::Last, &last)] {
            let table = build(&records, choice, memory).unwrap();
            let once: Vec<_> = map.clone().into_iter().collect();
            assert!(table == build(&once, OnDuplicate::Error, 1 << 30).unwrap());
            let table = Table::from_bytes(table, "test").unwrap();
            assert!(table.iter().map(Result::unwrap).eq(once));
        }
    }
}

#[test]
fn the_earliest_repetition_is_named_across_runs() {
    let mut random = Random::new(5);
    for round in 0..5 {
        let mut records: Vec<Record> = (0..3000_u64)
            .map(|number| (format!("key {number}").into_bytes(), b"value".to_vec()))
            .collect();
        random.shuffle(&mut records);
        for _ in 0..=round * 3 {
            let (from, to) = (random.below(records.len()), random.below(records.len() + 1));
            records.insert(to, records[from].clone());
        }
        let mut seen = BTreeMap::new();
        let expected = (1..).zip(&records).find_map(|(line, (key, _))| {
            let first = seen.insert(key, line)?;
            let key = String::from_utf8_lossy(key);
            Some(format!(
                "line {line}: duplicate key \"{key}\", first given on line {first}"
            ))
        });
        for memory in MEMORIES {
            let error = build(&records, OnDuplicate::Error, memory).unwrap_err();
            assert_eq!(Some(error.to_string()), expected, "{memory}");
        }
    }
}

#[test]
fn lines_may_be_any_numbers() {
    let mut builder = Builder::new().memory_bytes(0);
    for (line, key) in [(u64::MAX, "a"), (7, "b"), (0, "c"), (3, "b"), (1, "a")] {
        builder.add(line, key.as_bytes(), b"").unwrap();
    }
    assert_eq!(
        builder.to_vec().unwrap_err().to_string(),
        "line 3: duplicate key \"b\", first given on line 7"
    );
}

#[test]
fn temporary_files_are_where_they_are_asked_for_and_are_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let spill = folder.path().join("spill");
    fs::create_dir(&spill).unwrap();
    let path = folder.path().join("t.folio");
    let mut builder = Builder::new()
        .memory_bytes(1000)
        .temporary_folder(spill.clone());
    for line in 0..2000_u64 {
        let value = [0; 100];
        builder.add(line, &line.to_be_bytes(), &value).unwrap();
    }
    assert!(names(&spill).is_empty());
    let mut reports = Vec::new();
    let info = builder.write_with_progress(&path, |done| reports.push(done));
    assert_eq!(info.unwrap().count, 2000);
    assert_eq!(reports.last(), Some(&2000));
    assert!(names(&spill).is_empty());
    assert_eq!(names(folder.path()), ["spill", "t.folio"]);
    Table::open(&path).unwrap().verify(|_| ()).unwrap();
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let mut builder = Builder::new()
        .memory_bytes(0)
        .temporary_folder(none.clone());
    let added = (0..100_u64).try_for_each(|line| builder.add(line, &line.to_be_bytes(), &[1; 100]));
    let error = added.unwrap_err();
    let expected = format!("{}: cannot keep temporary files", none.display());
    assert_eq!(error.to_string(), expected);

    // Without need, it is not looked for.
    let mut builder = Builder::new().temporary_folder(none);
    builder.add(1, b"key", b"value").unwrap();
    builder.write_to(&folder.path().join("t")).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const FOLDER: &str = "FOLIO_TEST_FOLDER";
const LONG_VALUE_LEN: usize = 100 << 20;

/// Does what the test below says, in a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn child_with_a_long_value() {
    const MEMORY: u64 = 4 << 20;
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let value = vec![7; LONG_VALUE_LEN];
    let mut builder = Builder::new().memory_bytes(MEMORY).temporary_folder(folder);
    for number in 0..50_000_u32 {
        let key = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        builder.add(u64::from(number), &key, &[1; 1000]).unwrap();
    }
    builder.add(0, b"long value", &value).unwrap();
    // Keys as long as can be.
    for number in 0..300_u16 {
        let mut key = vec![b'k'; 1 << 16];
        key[65_000..65_002].copy_from_slice(&number.to_be_bytes());
        builder.add(0, &key, b"").unwrap();
    }
    builder.write_to(&folder.join("t.folio")).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().strip_suffix(" kB").unwrap();
    let peak = peak.parse::<u64>().unwrap() << 10;
    let allowed = LONG_VALUE_LEN as u64 + MEMORY + (32 << 20);
    assert!(peak <= allowed, "{peak} bytes taken");
    // Else the figure would say nothing.
    assert!(peak > LONG_VALUE_LEN as u64);
}

/// A value longer than the memory is not held a second time, and neither are many long keys.
#[cfg(target_os = "linux")]
#[test]
fn a_value_longer_than_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "out_of_core::child_with_a_long_value", "--quiet"]);
    let output = child.env(FOLDER, folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");

    assert_eq!(names(folder.path()), ["t.folio"]);
    let table = Table::open(folder.path().join("t.folio")).unwrap();
    table.verify(|_| ()).unwrap();
    assert_eq!(table.count(), 50_301);
    let value = table.get(b"long value").unwrap().unwrap();
    assert_eq!(value.len(), LONG_VALUE_LEN);
    assert!(value.iter().all(|byte| *byte == 7));
}
