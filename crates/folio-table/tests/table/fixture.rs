//! Tables of version 1 that must be readable for ever, and the example in docs/format.md.

use std::fmt::Write;
use std::path::Path;

use folio_table::{Builder, IndexKind, Table};

use crate::small;

const TINY: &[u8] = include_bytes!("../fixtures/v1-tiny.folio");
const SMALL: &[u8] = include_bytes!("../fixtures/v1-small.folio");
const PERFECT: &[u8] = include_bytes!("../fixtures/v1-perfect.folio");
const TINY_RECORDS: [(&[u8], &[u8]); 3] = [(b"ape", b"climbs"), (b"bee", b"flies"), (b"cat", b"")];

#[test]
fn the_builder_makes_the_tiny_table() {
    let mut builder = Builder::new();
    for (key, value) in TINY_RECORDS {
        builder.add(0, key, value).unwrap();
    }
    assert!(builder.to_vec().unwrap() == TINY);
}

#[test]
fn the_builder_makes_the_small_table() {
    assert!(small::table() == SMALL);
}

#[test]
fn the_builder_makes_the_table_with_a_perfect_index() {
    assert!(small::two_levels() == PERFECT);
}

#[test]
fn the_table_with_a_perfect_index_reads_back() {
    let table = Table::from_bytes(PERFECT, "v1-perfect").unwrap();
    assert_eq!(table.info().version, 1);
    assert_eq!(table.info().index, IndexKind::Perfect);
    table.verify(|_| ()).unwrap();
    let records: Vec<_> = small::records_of_two_levels().collect();
    assert_eq!(table.count(), records.len() as u64);
    for (key, value) in records {
        assert_eq!(table.get(&key).unwrap(), Some(value));
    }
}

#[test]
fn the_tables_read_back() {
    let table = Table::from_bytes(TINY, "v1-tiny").unwrap();
    table.verify(|_| ()).unwrap();
    assert_eq!(table.info().version, 1);
    let records: Vec<_> = table.iter().map(Result::unwrap).collect();
    assert_eq!(
        records,
        TINY_RECORDS.map(|(key, value)| (key.to_vec(), value.to_vec()))
    );

    let table = Table::from_bytes(SMALL, "v1-small").unwrap();
    table.verify(|_| ()).unwrap();
    assert_eq!(table.count(), small::records().len() as u64);
    for (key, value) in small::records() {
        assert_eq!(table.get(key).unwrap().as_ref(), Some(value));
    }
}

#[test]
fn the_dump_in_the_specification_is_that_of_the_tiny_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/format.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let dump = dump(TINY);
    assert!(
        text.contains(&dump),
        "{} should have this:\n{dump}",
        path.display()
    );
}

/// As `hexdump -C` does it: repeated lines are shown once, with a star.
fn dump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    let mut last = &[][..];
    let mut starred = false;
    for (number, line) in bytes.chunks(16).enumerate() {
        if line == last {
            if !starred {
                dump.push_str("*\n");
            }
            starred = true;
            continue;
        }
        (last, starred) = (line, false);
        write!(dump, "{:08x} ", number * 16).unwrap();
        for (column, byte) in line.iter().enumerate() {
            let gap = if column % 8 == 0 { " " } else { "" };
            write!(dump, "{gap}{byte:02x} ").unwrap();
        }
        let missing = 16 - line.len();
        let gaps = missing * 3 + usize::from(missing >= 8);
        let text = line.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        writeln!(dump, "{:gaps$} |{}|", "", text.collect::<String>()).unwrap();
    }
    writeln!(dump, "{:08x}", bytes.len()).unwrap();
    dump
}
