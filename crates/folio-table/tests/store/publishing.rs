//! Making stores, publishing, rolling back, listing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::thread;

use folio_table::{Error, Store, Table};

use crate::Test;
use crate::sample::{RECORDS, Sample, generation_name, held, publish, stamp_of, stamped};

pub(crate) const TESTS: &[Test] = &[
    ("a_new_store_is_empty", a_new_store_is_empty),
    ("folders_that_are_no_stores", folders_that_are_no_stores),
    ("publishes_files_and_builds", publishes_files_and_builds),
    (
        "what_is_no_table_is_not_published",
        what_is_no_table_is_not_published,
    ),
    ("rolls_back", rolls_back),
    ("lists_what_there_is", lists_what_there_is),
    (
        "a_damaged_pointer_is_an_error",
        a_damaged_pointer_is_an_error,
    ),
    ("publishers_take_turns", publishers_take_turns),
];

fn a_new_store_is_empty() {
    let sample = Sample::new(0);
    sample.assert_tidy([]);
    assert!(Store::is_at(sample.path()));
    assert_eq!(sample.store.current().unwrap(), None);
    assert_eq!(sample.store.list().unwrap(), []);
    assert!(matches!(
        sample.store.reader(),
        Err(Error::EmptyStore { .. })
    ));
    assert!(matches!(
        sample.store.rollback(None),
        Err(Error::NoGeneration {
            generation: None,
            ..
        })
    ));
    // To make it again is to open it.
    publish(&sample.store, 1).unwrap();
    let again = Store::create(sample.path()).unwrap();
    assert_eq!(again.current().unwrap(), Some(1));
}

fn folders_that_are_no_stores() {
    let folder = tempfile::tempdir().unwrap();
    let is_no_store = |outcome| matches!(outcome, Err(Error::NotAStore { .. }));
    assert!(is_no_store(Store::open(folder.path())));
    assert!(!Store::is_at(folder.path()));
    let missing = folder.path().join("missing");
    assert!(matches!(Store::open(&missing), Err(Error::Io { .. })));
    assert!(matches!(
        Store::create(missing.join("deeper")),
        Err(Error::Io { .. })
    ));
    let file = folder.path().join("notes.txt");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(Store::open(&file), Err(Error::Io { .. })));
    assert!(Store::create(&file).is_err());
    assert!(is_no_store(Store::create(folder.path())));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    fs::write(folder.path().join("CURRENT"), "is what it is\n").unwrap();
    assert!(is_no_store(Store::open(folder.path())));
    assert!(is_no_store(Store::create(folder.path())));
}

fn publishes_files_and_builds() {
    let sample = Sample::new(2);
    let path = sample.folder.path().join("table.folio");
    stamped(77).write_to(&path).unwrap();
    assert_eq!(sample.store.publish(&path).unwrap(), 3);
    sample.assert_tidy(1..=3);
    let reader = sample.store.reader().unwrap();
    assert_eq!(held(reader.current()), (3, 77));
    // A copy, which nobody changes through the other name.
    let copy = sample.generation(3);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&path).unwrap());
    let inode = |path| fs::metadata(path).unwrap().ino();
    assert_ne!(inode(&copy), inode(&path));
    // As readable as what any program makes.
    let file = fs::metadata(&path).unwrap().mode();
    for name in [generation_name(1), generation_name(3), "CURRENT".to_owned()] {
        let mode = fs::metadata(sample.path().join(&name)).unwrap().mode();
        assert_eq!(mode, file, "{name}");
    }
}

fn what_is_no_table_is_not_published() {
    let sample = Sample::new(1);
    let path = sample.folder.path().join("table.folio");
    fs::write(&path, vec![0; 10_000]).unwrap();
    assert!(sample.store.publish(&path).is_err());
    assert!(sample.store.publish(sample.folder.path()).is_err());
    assert!(sample.store.publish("missing").is_err());

    // One that only a look at all of it tells from a good one.
    stamped(5).write_to(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let records = &Table::open(&path).unwrap().info().sections[0].clone();
    bytes[usize::try_from(records.offset_bytes).unwrap() + 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    Table::open(&path).unwrap();
    assert!(sample.store.publish(&path).is_err());

    let nothing = sample.store.publish_with(|_| Ok::<_, Error>(()));
    assert!(nothing.is_err());
    let garbage = sample.store.publish_with(|path| {
        let mut file = fs::File::create(path).unwrap();
        file.write_all(b"garbage").unwrap();
        Ok::<_, Error>(())
    });
    assert!(garbage.is_err());
    let given_up = sample.store.publish_with(|path| {
        stamped(9).write_to(path)?;
        fs::write(path.with_extension("spill"), "more").unwrap();
        Err::<(), _>(Error::EmptyStore { path: path.into() })
    });
    assert!(matches!(given_up, Err(Error::EmptyStore { .. })));

    sample.assert_tidy([1]);
    assert_eq!(sample.store.current().unwrap(), Some(1));
    assert_eq!(publish(&sample.store, 2).unwrap(), 2);
}

fn rolls_back() {
    let sample = Sample::new(3);
    let store = &sample.store;
    let mut reader = store.reader().unwrap();
    assert_eq!(store.rollback(None).unwrap(), 2);
    assert!(reader.refresh().unwrap());
    assert_eq!(held(reader.current()), (2, 2));
    assert!(!reader.refresh().unwrap());
    // Numbers are not used again.
    assert_eq!(publish(store, 4).unwrap(), 4);
    assert!(reader.refresh().unwrap());
    assert_eq!(held(reader.current()), (4, 4));
    // Back to what was current before, not to the one that was given up.
    assert_eq!(store.rollback(None).unwrap(), 2);
    assert_eq!(store.rollback(None).unwrap(), 1);
    assert!(matches!(
        store.rollback(None),
        Err(Error::NoGeneration {
            generation: None,
            ..
        })
    ));
    assert_eq!(store.rollback(Some(3)).unwrap(), 3);
    assert_eq!(store.rollback(Some(3)).unwrap(), 3);
    for missing in [0, 5, u64::MAX] {
        assert!(matches!(
            store.rollback(Some(missing)),
            Err(Error::NoGeneration { generation: Some(number), .. }) if number == missing
        ));
    }
    // One that is no table any more is not made current.
    fs::write(sample.generation(4), "short").unwrap();
    assert!(store.rollback(Some(4)).is_err());
    assert_eq!(store.current().unwrap(), Some(3));
    sample.assert_tidy(1..=4);
}

fn lists_what_there_is() {
    let sample = Sample::new(3);
    fs::write(sample.generation(2), "short").unwrap();
    // Never published, so not there.
    fs::write(sample.generation(4), "short").unwrap();
    fs::write(sample.path().join("note"), "to whom it may concern").unwrap();
    let list = sample.store.list().unwrap();
    let numbers: Vec<_> = list.iter().map(|info| info.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let records: Vec<_> = list.iter().map(|info| info.records).collect();
    assert_eq!(records, [Some(RECORDS), None, Some(RECORDS)]);
    let current: Vec<_> = list.iter().map(|info| info.is_current).collect();
    assert_eq!(current, [false, false, true]);
    assert_eq!(list[1].size_bytes, 5);
    assert_eq!(list[0].path, sample.generation(1));
    assert!(list.iter().all(|info| info.in_use == Some(false)));

    let reader = sample.store.reader().unwrap();
    let in_use = || -> Vec<_> {
        let list = sample.store.list().unwrap();
        list.iter().map(|info| info.in_use.unwrap()).collect()
    };
    assert_eq!(in_use(), [false, false, true]);
    let held = std::sync::Arc::clone(reader.current());
    drop(reader);
    assert_eq!(in_use(), [false, false, true]);
    drop(held);
    assert_eq!(in_use(), [false, false, false]);
}

fn a_damaged_pointer_is_an_error() {
    let sample = Sample::new(2);
    let mut reader = sample.store.reader().unwrap();
    let path = sample.path().join("CURRENT");
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[20] ^= 1;
    fs::write(&path, bad).unwrap();
    assert!(Store::open(sample.path()).is_err());
    assert!(sample.store.list().is_err());
    assert!(publish(&sample.store, 3).is_err());
    assert!(sample.store.prune(0).is_err());
    // Those who have a generation keep it.
    assert!(reader.recheck().is_err());
    assert_eq!(held(reader.current()), (2, 2));
    fs::write(&path, good).unwrap();
    assert!(!reader.recheck().unwrap());
    assert_eq!(publish(&sample.store, 3).unwrap(), 3);
    assert!(reader.refresh().unwrap());
    // It is a file, and nothing to wait for.
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o644.into()).unwrap();
    assert!(Store::open(sample.path()).is_err());
    assert!(reader.recheck().is_err());
    assert_eq!(
        fs::metadata(sample.path().join("LOCK"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

fn publishers_take_turns() {
    const EACH: u64 = 10;
    let sample = Sample::new(0);
    let numbers = thread::scope(|scope| {
        let publishers: Vec<_> = (0..4)
            .map(|publisher| {
                let store = &sample.store;
                scope.spawn(move || {
                    let stamp = |i| 1000 * publisher + i;
                    let publish = |i| (publish(store, stamp(i)).unwrap(), stamp(i));
                    (0..EACH).map(publish).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut numbers: Vec<_> = publishers
            .into_iter()
            .flat_map(|publisher| publisher.join().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    });
    // Each has a number of its own, and what was given that number.
    for ((number, stamp), expected) in numbers.iter().zip(1..) {
        assert_eq!(*number, expected);
        let table = Table::open(sample.generation(*number)).unwrap();
        assert_eq!(stamp_of(&table), *stamp);
    }
    sample.assert_tidy(1..=4 * EACH);
}
