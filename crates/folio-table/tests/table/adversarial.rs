//! Keys that somebody chose to make lookups slow.

use std::cell::Cell;

use folio::ReadAt;
use folio_table::{Builder, SectionKind, Table};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What docs/format.md promises, whatever the keys.
const MOST_LINES: u64 = 17;

/// Bytes that count the lines of the hash index that are read.
struct Counting {
    bytes: Vec<u8>,
    index: std::ops::Range<u64>,
    lines: Cell<u64>,
}

impl ReadAt for Counting {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> folio::Result<usize> {
        if self.index.contains(&offset_bytes) {
            self.lines
                .set(self.lines.get() + buf.len().div_ceil(64) as u64);
        }
        self.bytes.read_at(offset_bytes, buf)
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn build(keys: &[Vec<u8>]) -> Vec<u8> {
    let mut builder = Builder::new();
    for (line, key) in (1..).zip(keys) {
        builder.add(line, key, b"value").unwrap();
    }
    builder.to_vec().unwrap()
}

/// The most lines that any lookup reads, of these keys and of as many others.
fn longest_probe(bytes: &[u8], keys: &[Vec<u8>]) -> u64 {
    let table = Table::from_bytes(bytes, "test").unwrap();
    let info = table.info();
    let is_index = |section: &&folio_table::Section| section.kind == SectionKind::HashIndex;
    let section = info.sections.iter().find(is_index).unwrap();
    let counting = Counting {
        index: section.offset_bytes..section.offset_bytes + section.len,
        bytes: bytes.to_vec(),
        lines: Cell::new(0),
    };
    let table = Table::from_bytes(counting, "test").unwrap();
    let mut longest = 0;
    for key in keys {
        let other = [key.as_slice(), b"?"].concat();
        for (key, is_there) in [(key, true), (&other, false)] {
            table.bytes().lines.set(0);
            assert_eq!(table.contains(key).unwrap(), is_there);
            longest = longest.max(table.bytes().lines.get());
        }
    }
    assert!(longest <= u64::from(table.info().longest_probe));
    longest
}

#[test]
fn keys_chosen_for_the_seed_of_one_table_do_no_harm_to_another() {
    let keys: Vec<_> = (0..2000).map(key).collect();
    let bytes = build(&keys);
    let table = Table::from_bytes(bytes.as_slice(), "test").unwrap();
    let (seed, home_lines) = (table.info().seed, table.info().home_lines);
    let ordinary = longest_probe(&bytes, &keys);
    assert!((2..=8).contains(&ordinary), "{ordinary} lines");

    // All of these would stand in one of this table's lines, 40 times as many as fit there.
    let home = |key: &[u8]| {
        let hash = xxh3_64_with_seed(key, seed);
        (u128::from(hash) * u128::from(home_lines)) >> 64
    };
    let chosen: Vec<_> = (2000..)
        .map(key)
        .filter(|key| home(key) == 7)
        .take(400)
        .collect();
    for keys in [&chosen[..], &[keys.as_slice(), &chosen].concat()] {
        let bytes = build(keys);
        let table = Table::from_bytes(bytes.as_slice(), "test").unwrap();
        assert_ne!(table.info().seed, seed);
        let longest = longest_probe(&bytes, keys);
        assert!(longest <= 8, "{longest} lines");
    }
}

#[test]
fn no_damage_makes_a_lookup_read_more_lines_than_promised() {
    let keys: Vec<_> = (0..400).map(key).collect();
    let good = build(&keys);
    let table = Table::from_bytes(good.as_slice(), "test").unwrap();
    let is_index = |section: &&folio_table::Section| section.kind == SectionKind::HashIndex;
    let section = *table.info().sections.iter().find(is_index).unwrap();
    let stated = u64::from(table.info().longest_probe);
    assert!(stated <= MOST_LINES);
    let index = section.offset_bytes..section.offset_bytes + section.len;
    let mut bytes = good.clone();
    // Each line sends every key on, as far as a byte can say.
    for line in index.clone().step_by(64) {
        let about = usize::try_from(line).unwrap() + 61;
        bytes[about..about + 3].fill(0xff);
    }
    let mut answered = 0;
    for reach in 0..=u8::MAX {
        for line in index.clone().step_by(64) {
            bytes[usize::try_from(line).unwrap() + 61] = reach;
        }
        let counting = Counting {
            index: index.clone(),
            bytes: bytes.clone(),
            lines: Cell::new(0),
        };
        let table = Table::from_bytes(counting, "test").unwrap();
        for number in 0..20 {
            table.bytes().lines.set(0);
            let found = table.contains(&key(1000 + number));
            // A key of the last lines is sent past the end, which is an error too.
            assert!(found.is_err() || u64::from(reach) < stated, "{found:?}");
            answered += u32::from(found.is_ok());
            assert!(table.bytes().lines.get() <= stated);
        }
    }
    assert!(answered > 20, "{answered}");
}
