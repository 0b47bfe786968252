//! Every way to read a table, whatever is in it.
//!
//! Used by the tests of damaged and hostile tables, and by the fuzzer.

use folio::ReadAt;
use folio_table::{Cursor, Error, Table, ValueRange};

use crate::small;

/// Does everything that can be done; whatever the answers, they come.
pub(crate) fn use_all<B: ReadAt>(table: &Table<B>) {
    let mut out = b"before".to_vec();
    for (key, _) in small::records() {
        for key in [key.as_slice(), &key[1..]] {
            let found = table.get_into(key, &mut out);
            if !matches!(found, Ok(true)) {
                assert_eq!(out, b"before");
            }
            out.truncate(6);
            match (&found, table.locate(key)) {
                (Ok(is_there), located) => assert_eq!(located.unwrap().is_some(), *is_there),
                // Only what is checked may turn out to be damaged after it was located.
                (Err(Error::Checksum { .. }), _) => {}
                (Err(_), located) => assert!(located.is_err()),
            }
        }
    }
    let records = table.iter().count() as u64;
    assert!(records <= table.count() + 1, "{records} records");
}

/// Values as slices, of bytes that nobody changes.
pub(crate) fn use_slices<B: ReadAt + AsRef<[u8]>>(table: &Table<B>) {
    for (key, _) in small::records() {
        match (table.get_slice(key), table.get(key)) {
            (Ok(slice), Ok(value)) => assert_eq!(slice, value.as_deref()),
            (Err(slice), Err(value)) => assert_eq!(slice.to_string(), value.to_string()),
            (slice, value) => panic!("{slice:?}, but {value:?}"),
        }
    }
}

/// Batches of these keys, and of as many that are not there.
pub(crate) fn use_batches<B: ReadAt>(table: &Table<B>) {
    let there = small::records().iter().map(|(key, _)| key.clone());
    let not_there = small::records().iter().map(|(key, _)| key[1..].to_vec());
    let keys: Vec<_> = not_there.chain(there).collect();
    for keys in keys.chunks(101) {
        agree_on(table, keys);
    }
}

/// Everything that goes by the order section; the same is said of it.
pub(crate) fn use_order<B: ReadAt>(table: &Table<B>) {
    let records = table.iter().rev().count() as u64;
    assert!(records <= table.count() + 1, "{records} records");
    for key in [&b"key-05"[..], b"z"] {
        let rank = table.rank(key);
        assert!(!rank.is_ok_and(|rank| rank > table.count()));
        let counted = table.count_range(key..);
        assert!(!counted.is_ok_and(|counted| counted > table.count()));
        let found = table.prefix(key).map_or(0, |found| found.count() as u64);
        assert!(found <= table.count() + 1, "{found} found");
    }
    for rank in [1, 100, u64::MAX] {
        let nth = table.nth(rank);
        assert!(rank < table.count() || matches!(nth, Ok(None)));
        assert!(rank < table.count() || matches!(table.nth_key(rank), Ok(None)));
    }
    for end in [table.first(), table.last()].into_iter().flatten() {
        assert!(end.is_none() == (table.count() == 0));
    }
    use_ranges(table);
    // From both ends in turn, with errors passed over as long as something is left.
    if let Ok(mut scan) = table.scan(..) {
        for turn in 0..120 {
            let before = scan.remaining();
            let next = match turn % 4 {
                0 => scan.next_record().map(drop),
                1 => scan.next_record_back().map(drop),
                2 => scan.next_key().map(drop),
                _ => scan.next_key_back().map(drop),
            };
            let step = before - scan.remaining();
            assert!(step <= 1 && (step == 1 || next.is_err() || before == 0));
            if turn % 16 == 0 {
                for cursor in [scan.cursor(), scan.cursor_back()].into_iter().flatten() {
                    resume(table, &cursor);
                }
            }
        }
    }
}

/// Parts of the order, and parts of these.
fn use_ranges<B: ReadAt>(table: &Table<B>) {
    if let Ok(found) = table.range("key-02".."key-04") {
        let found = found.count() as u64;
        assert!(found <= table.count() + 1, "{found} found");
    }
    if let Ok(mut scan) = table.scan_prefix("key-0") {
        let before = scan.remaining();
        if scan.narrow("key-03"..="key-07").is_ok() {
            assert!(scan.remaining() <= before);
        }
        let mut passed = 0;
        let _ = scan.for_each(|_, _| {
            passed += 1;
            Ok::<(), Error>(())
        });
        assert!(passed <= before, "{passed} of {before}");
    }
}

/// Goes on from a cursor, saved and read back, and from its number.
fn resume<B: ReadAt>(table: &Table<B>, cursor: &Cursor) {
    let saved = Cursor::from_bytes(&cursor.to_bytes()).unwrap();
    assert_eq!(&saved, cursor);
    let Ok(mut scan) = table.scan(..) else { return };
    if scan.resume(&saved).is_ok() {
        assert!(scan.remaining() <= table.count());
        let _ = scan.next_record();
    }
    let Ok(mut scan) = table.scan(..) else { return };
    if scan.resume_back(&saved).is_ok() {
        let _ = scan.next_record_back();
    }
    let Ok(mut scan) = table.scan(..) else { return };
    if scan.resume_number(saved.number()).is_ok() {
        let _ = scan.next_key();
    }
}

/// What came of a batch: an answer for each key up to the first error, and that.
pub(crate) type Answers<T> = (Vec<T>, Option<String>);

fn get_many<B: ReadAt>(table: &Table<B>, keys: &[Vec<u8>]) -> Answers<Option<Vec<u8>>> {
    let mut answers = Vec::new();
    let result = table.get_many(keys, |index, value| {
        assert_eq!(index, answers.len());
        answers.push(value.map(<[u8]>::to_vec));
    });
    (answers, result.err().map(|error| error.to_string()))
}

/// The lengths and the bytes of values, read one after the other as they are found.
fn find_many<B: ReadAt>(table: &Table<B>, keys: &[Vec<u8>]) -> Answers<Option<Vec<u8>>> {
    let mut answers = Vec::new();
    let result = table.find_many(keys, |index, value| {
        assert_eq!(index, answers.len());
        let mut out = Vec::new();
        if let Some(value) = &value {
            value.append_to(&mut out)?;
            assert_eq!(value.len(), out.len() as u64);
            assert_eq!(value.range().len, value.len());
        }
        answers.push(value.is_some().then_some(out));
        Ok::<(), Error>(())
    });
    (answers, result.err().map(|error| error.to_string()))
}

fn locate_many<B: ReadAt>(table: &Table<B>, keys: &[Vec<u8>]) -> Answers<Option<ValueRange>> {
    let mut answers = Vec::new();
    let result = table.locate_many(keys, |index, range| {
        assert_eq!(index, answers.len());
        answers.push(range);
    });
    (answers, result.err().map(|error| error.to_string()))
}

fn contains_many<B: ReadAt>(table: &Table<B>, keys: &[Vec<u8>]) -> Answers<bool> {
    let mut answers = Vec::new();
    let result = table.contains_many(keys, |index, found| {
        assert_eq!(index, answers.len());
        answers.push(found);
    });
    (answers, result.err().map(|error| error.to_string()))
}

/// The same, one key after the other.
fn one_by_one<T>(
    keys: &[Vec<u8>],
    mut look_up: impl FnMut(&[u8]) -> folio_table::Result<T>,
) -> Answers<T> {
    let mut answers = Vec::new();
    for key in keys {
        match look_up(key) {
            Ok(answer) => answers.push(answer),
            Err(error) => return (answers, Some(error.to_string())),
        }
    }
    (answers, None)
}

/// Whether all kinds of batches have the answers of single lookups; and the first of these.
pub(crate) fn agree_on<B: ReadAt>(table: &Table<B>, keys: &[Vec<u8>]) -> Answers<Option<Vec<u8>>> {
    let single = one_by_one(keys, |key| table.get(key));
    assert_eq!(get_many(table, keys), single);
    assert_eq!(find_many(table, keys), single);
    let located = one_by_one(keys, |key| table.locate(key));
    assert_eq!(locate_many(table, keys), located);
    let contained = one_by_one(keys, |key| table.contains(key));
    assert_eq!(contains_many(table, keys), contained);
    single
}
