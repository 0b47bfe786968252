//! The quick lookup has the answers of the thorough one.

use folio::ReadAt;
use folio_table::{Builder, Error, OnDuplicate, Table};

use crate::random::Random;
use crate::small;

/// Bytes that only the thorough lookup can read.
struct Plain<'a>(&'a [u8]);

impl ReadAt for Plain<'_> {
    fn len(&self) -> u64 {
        ReadAt::len(self.0)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> folio::Result<usize> {
        self.0.read_at(offset_bytes, buf)
    }
}

/// Looks keys up in all ways, over bytes of three kinds.
fn check(bytes: &[u8], keys: &[Vec<u8>]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, bytes).unwrap();
    let mapped = Table::open(file.path()).unwrap();
    let in_memory = Table::from_bytes(bytes, "in memory").unwrap();
    let plain = Table::from_bytes(Plain(bytes), "plain").unwrap();
    let expected: Vec<_> = keys.iter().map(|key| plain.get(key).unwrap()).collect();
    compare(&mapped, keys, &expected);
    compare(&in_memory, keys, &expected);
    compare(&plain, keys, &expected);
}

fn compare<B: ReadAt>(table: &Table<B>, keys: &[Vec<u8>], expected: &[Option<Vec<u8>>]) {
    let mut out = Vec::new();
    for (key, expected) in keys.iter().zip(expected) {
        assert_eq!(&table.get(key).unwrap(), expected);
        // With room and without.
        let before = out.len();
        assert_eq!(table.get_into(key, &mut out).unwrap(), expected.is_some());
        assert_eq!(&out[before..], expected.as_deref().unwrap_or_default());
        let found = table.find(key).unwrap();
        let found = found.map(|value| {
            let mut out = vec![1];
            value.append_to(&mut out).unwrap();
            assert_eq!(value.len(), out.len() as u64 - 1);
            out.split_off(1)
        });
        assert_eq!(&found, expected);
        assert_eq!(table.contains(key).unwrap(), expected.is_some());
    }
    let mut answers = Vec::new();
    table
        .get_many(keys, |_, value| answers.push(value.map(<[u8]>::to_vec)))
        .unwrap();
    assert_eq!(answers, expected);
}

#[test]
fn keys_and_values_of_all_lengths() {
    let mut random = Random::new(5);
    let mut builder = Builder::new().on_duplicate(OnDuplicate::Last);
    let mut keys = Vec::new();
    let key_lens = (1..140).chain([16_383, 16_384, 65_536]);
    let value_lens = [(0..140).collect(), vec![16_383, 16_384, 70_000]].concat();
    for (number, key_len) in key_lens.enumerate() {
        for step in 0..20 {
            let key = random.bytes(key_len);
            let value = random.bytes(value_lens[(number * 20 + step) % value_lens.len()]);
            builder.add(1, &key, &value).unwrap();
            for at in [0, key_len / 2, key_len - 1] {
                let mut other = key.clone();
                other[at] ^= 1 << random.below(8);
                keys.push(other);
            }
            keys.extend([key[..key_len - 1].to_vec(), [&*key, &[0]].concat(), key]);
        }
    }
    check(&builder.to_vec().unwrap(), &keys);
}

#[test]
fn strays_and_keys_that_are_not_there() {
    let mut random = Random::new(6);
    let mut builder = Builder::new();
    let mut keys = Vec::new();
    for _ in 0..20_000 {
        let key = random.bytes(16);
        builder.add(1, &key, &key[..5]).unwrap();
        keys.extend([key, random.bytes(16)]);
    }
    check(&builder.to_vec().unwrap(), &keys);
}

/// The last record may end where the footer begins, so that little follows it.
#[test]
fn records_at_the_end() {
    for len in 0..70 {
        let mut builder = Builder::new();
        builder.add(1, b"a", &vec![3; len]).unwrap();
        check(
            &builder.to_vec().unwrap(),
            &[b"a".to_vec(), b"b".to_vec(), Vec::new()],
        );
    }
}

/// What the quick lookup leaves to the other one is told by that one.
#[test]
fn a_truncated_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let whole = small::table();
    std::fs::write(&path, whole).unwrap();
    let table = Table::open(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    for (key, _) in small::records() {
        let mut out = b"as before".to_vec();
        for outcome in [
            table.get_into(key, &mut out).err(),
            table.locate(key).err(),
            table.get_many(&[key, key], |_, _| ()).err(),
        ] {
            assert!(matches!(
                outcome,
                Some(Error::Bytes(folio::Error::Fault { .. }))
            ));
        }
        assert_eq!(out, b"as before");
    }
}
