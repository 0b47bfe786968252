//! Stores to test with, whose values say which publishing they are of.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use folio::ReadAt;
use folio_table::{Builder, Error, Generation, Store, Table};
use tempfile::TempDir;

/// How many records each table has.
pub(crate) const RECORDS: u64 = 50;

/// A folder that every user may look into, with a store in it.
pub(crate) struct Sample {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
}

impl Sample {
    /// A store with so many generations, each of them stamped with its number.
    pub(crate) fn new(generations: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let store = Store::create(folder.path().join("store")).unwrap();
        for number in 1..=generations {
            assert_eq!(publish(&store, number).unwrap(), number);
        }
        Self { folder, store }
    }

    pub(crate) fn path(&self) -> &Path {
        self.store.path()
    }

    pub(crate) fn generation(&self, number: u64) -> PathBuf {
        self.path().join(generation_name(number))
    }

    /// The names of all that is in the store's folder.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        entries.map(|entry| name(entry.unwrap())).collect()
    }

    /// Asserts that nothing is in the folder but these generations and what each store has.
    #[track_caller]
    pub(crate) fn assert_tidy(&self, generations: impl IntoIterator<Item = u64>) {
        let expected: BTreeSet<_> = ["CURRENT", "LOCK", "SEQUENCE"]
            .map(str::to_owned)
            .into_iter()
            .chain(generations.into_iter().map(generation_name))
            .collect();
        assert_eq!(self.names(), expected);
    }
}

pub(crate) fn generation_name(number: u64) -> String {
    format!("{number:020}.folio")
}

/// A table all of whose values are this stamp.
pub(crate) fn stamped(stamp: u64) -> Builder {
    let mut builder = Builder::new();
    for i in 0..RECORDS {
        let key = format!("key{i}");
        let value = stamp.to_string();
        builder.add(i, key.as_bytes(), value.as_bytes()).unwrap();
    }
    builder
}

pub(crate) fn publish(store: &Store, stamp: u64) -> Result<u64, Error> {
    store.publish_with(|path| stamped(stamp).write_to(path))
}

/// The stamp of a table, all of which is looked at.
#[track_caller]
pub(crate) fn stamp_of<B: ReadAt>(table: &Table<B>) -> u64 {
    let mut stamps = BTreeSet::new();
    for i in 0..RECORDS {
        let value = table.get(format!("key{i}").as_bytes()).unwrap();
        stamps.insert(value.expect("every key is there"));
    }
    let walked = table.iter().map(|record| record.unwrap().1);
    stamps.extend(walked);
    assert_eq!(stamps.len(), 1, "values of two publishings in one table");
    assert_eq!(table.count(), RECORDS);
    let stamp = stamps.pop_first().unwrap();
    String::from_utf8(stamp).unwrap().parse().unwrap()
}

/// The number and the stamp of what a reader holds, which nobody has pruned.
#[track_caller]
pub(crate) fn held<B: ReadAt>(generation: &Generation<B>) -> (u64, u64) {
    let table = generation.table();
    assert!(table.name().exists(), "{}: pruned", table.name().display());
    (generation.number(), stamp_of(table))
}
