//! Builders against a `BTreeMap`, and builders with next to no memory against such with enough: any bytes are
//! records, or text to import.
//!
//! Used by the tests with random bytes and by the fuzzer with those that it makes up.

use std::collections::BTreeMap;
use std::path::Path;

use folio_table::import::{self, Format, Options};
use folio_table::{Builder, Error, IndexKind, OnDuplicate, Result, Table};

/// Builds what `input` spells.
///
/// # Panics
///
/// When a table is not what it should be.
pub(crate) fn run(input: &[u8]) {
    let [first, second, rest @ ..] = input else {
        return;
    };
    let on_duplicate = match first % 3 {
        0 => OnDuplicate::Error,
        1 => OnDuplicate::First,
        _ => OnDuplicate::Last,
    };
    let memory = [0, 100, 1000, 4000, 20_000, 100_000][usize::from(second % 6)];
    let index = if second & 0x80 == 0 {
        IndexKind::Hash
    } else {
        IndexKind::Perfect
    };
    let builder = || Builder::new().on_duplicate(on_duplicate).index(index);
    let builders = [builder(), builder().memory_bytes(memory)];
    match first / 3 % 4 {
        0 => import(rest, &Options::new(Format::Tsv), builders),
        1 => import(rest, &with_columns(Format::Csv, *second), builders),
        2 => import(rest, &with_columns(Format::JsonLines, *second), builders),
        _ => compare(&records(rest), on_duplicate, builders),
    }
}

/// The same text gives the same table, or the same error, whatever the memory.
fn import(text: &[u8], options: &Options, builders: [Builder; 2]) {
    let [expected, found] = builders.map(|mut builder| -> Result<Vec<u8>> {
        let name = Path::new("input");
        let count = import::read_into(text, name, options, &mut builder, |_| ())?;
        assert_eq!(count, builder.added());
        builder.to_vec()
    });
    match (expected, found) {
        (Ok(expected), Ok(found)) => {
            assert!(expected == found, "the memory shows");
            let table = Table::from_bytes(found, "table").unwrap();
            table.verify(|_| ()).unwrap();
        }
        (Err(expected), Err(found)) => assert_eq!(expected.to_string(), found.to_string()),
        (expected, found) => panic!("{:?}, but {:?}", expected.err(), found.err()),
    }
}

/// Columns that fuzzers find.
fn with_columns(format: Format, choice: u8) -> Options {
    let mut options = Options::new(format);
    let name = |choice: u8| match choice % 4 {
        0 => None,
        1 => Some("a".to_owned()),
        2 => Some("2".to_owned()),
        _ => Some("key".to_owned()),
    };
    options.key = name(choice / 6);
    options.value = name(choice / 24);
    options
}

type Record = (Vec<u8>, Vec<u8>);

/// A byte for the lengths, the key, and a byte for what the value is full of.
fn records(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let [lengths, rest @ ..] = bytes {
        let key_len = usize::from(lengths & 7) + 1;
        let (key, rest) = rest.split_at(key_len.min(rest.len()));
        let mut key = key.to_vec();
        if lengths & 8 != 0 {
            // Long beginnings in common.
            key.splice(0..0, [b'x'; 40]);
        }
        key.resize(key.len().max(1), 0);
        let value_len = match lengths >> 4 {
            len @ 0..8 => usize::from(len),
            len => usize::from(len).pow(3),
        };
        let value = vec![rest.first().copied().unwrap_or(0); value_len];
        records.push((key, value));
        bytes = rest.get(1..).unwrap_or_default();
    }
    records
}

/// A table has what a map of the same records has, or names the earliest repetition.
fn compare(records: &[Record], on_duplicate: OnDuplicate, builders: [Builder; 2]) {
    let mut map = BTreeMap::new();
    let mut repeated = None;
    for (line, (key, value)) in (1_u64..).zip(records) {
        if let Some((first_line, kept)) = map.get_mut(key) {
            repeated = repeated.or(Some((*first_line, line)));
            if on_duplicate == OnDuplicate::Last {
                *kept = value;
            }
        } else {
            map.insert(key, (line, value));
        }
    }
    for mut builder in builders {
        for (line, (key, value)) in (1..).zip(records) {
            builder.add(line, key, value).unwrap();
        }
        match (builder.to_vec(), repeated) {
            (
                Err(Error::DuplicateKey {
                    first_line, line, ..
                }),
                Some(expected),
            ) => {
                assert_eq!(on_duplicate, OnDuplicate::Error);
                assert_eq!((first_line, line), expected);
            }
            (Err(error), _) => panic!("{error}"),
            (Ok(_), Some(lines)) if on_duplicate == OnDuplicate::Error => panic!("{lines:?}"),
            (Ok(bytes), _) => {
                let table = Table::from_bytes(bytes, "table").unwrap();
                table.verify(|_| ()).unwrap();
                let expected = map.iter().map(|(key, (_, value))| (*key, *value));
                let found: Vec<_> = table.iter().map(Result::unwrap).collect();
                assert!(found.iter().map(|(key, value)| (key, value)).eq(expected));
                for (key, value) in &found {
                    assert_eq!(table.get(key).unwrap().as_ref(), Some(value));
                }
                let keys: Vec<_> = found.iter().map(|(key, _)| key).collect();
                let mut values = found.iter().map(|(_, value)| value.as_slice());
                table
                    .get_many(&keys, |_, value| assert_eq!(value, values.next()))
                    .unwrap();
                assert!(values.next().is_none());
            }
        }
    }
}
