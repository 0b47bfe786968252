//! Readers: what they see, when, and with which permissions.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread;

use folio::Windows;
use folio_table::{Error, Table};

use crate::Test;
use crate::child::Child;
use crate::sample::{Sample, held, publish};

pub(crate) const TESTS: &[Test] = &[
    (
        "sees_the_newest_and_keeps_the_old",
        sees_the_newest_and_keeps_the_old,
    ),
    ("reads_where_it_may_not_write", reads_where_it_may_not_write),
    (
        "looks_at_nothing_where_nothing_changed",
        looks_at_nothing_where_nothing_changed,
    ),
    ("clones_go_their_own_ways", clones_go_their_own_ways),
    ("tables_over_other_bytes", tables_over_other_bytes),
    ("a_lost_sequence_is_no_loss", a_lost_sequence_is_no_loss),
    ("a_copied_store_is_noticed", a_copied_store_is_noticed),
    (
        "a_bad_generation_is_not_taken",
        a_bad_generation_is_not_taken,
    ),
    (
        "a_lock_of_others_keeps_nobody_out",
        a_lock_of_others_keeps_nobody_out,
    ),
];

fn sees_the_newest_and_keeps_the_old() {
    let sample = Sample::new(1);
    let mut reader = sample.store.reader().unwrap();
    let mut all = vec![Arc::clone(reader.current())];
    for number in 2..20 {
        assert!(!reader.refresh().unwrap());
        publish(&sample.store, number).unwrap();
        assert_eq!(
            reader.current().number(),
            number - 1,
            "not before it is asked"
        );
        assert!(reader.refresh().unwrap());
        assert_eq!(held(reader.current()), (number, number));
        all.push(Arc::clone(reader.current()));
    }
    for (generation, number) in all.iter().zip(1..) {
        assert_eq!(held(generation), (number, number));
    }
}

/// Where the tests run as root, whom no permission keeps from anything, the reader is somebody else.
fn reads_where_it_may_not_write() {
    let sample = Sample::new(3);
    let set_mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    for entry in fs::read_dir(sample.path()).unwrap() {
        set_mode(&entry.unwrap().path(), 0o444);
    }
    set_mode(&sample.path().join("LOCK"), 0);
    set_mode(sample.path(), 0o555);
    let read = Child::reader("read once", sample.path()).finish();
    assert_eq!(read, ["3 3", "1:- 2:- 3:- current 3"]);
    set_mode(sample.path(), 0o755);
}

/// The number that is mapped is enough to know that. So nobody sees that CURRENT is missing, for a while.
fn looks_at_nothing_where_nothing_changed() {
    let sample = Sample::new(2);
    let mut reader = sample.store.reader().unwrap();
    let (current, away) = (sample.path().join("CURRENT"), sample.path().join("away"));
    fs::rename(&current, &away).unwrap();
    for _ in 0..1000 {
        assert!(!reader.refresh().unwrap());
    }
    assert!(reader.recheck().is_err());
    fs::rename(&away, &current).unwrap();
    publish(&sample.store, 3).unwrap();
    assert!(reader.refresh().unwrap());
    fs::rename(&current, &away).unwrap();
    assert!(!reader.refresh().unwrap());
}

fn clones_go_their_own_ways() {
    let sample = Sample::new(1);
    let reader = sample.store.reader().unwrap();
    let mut clone = reader.clone();
    publish(&sample.store, 2).unwrap();
    assert!(clone.refresh().unwrap());
    assert_eq!(held(clone.current()), (2, 2));
    assert_eq!(held(reader.current()), (1, 1));
    let mut moved = reader.clone();
    let seen = thread::spawn(move || {
        assert!(moved.refresh().unwrap());
        held(moved.current())
    });
    assert_eq!(seen.join().unwrap(), (2, 2));
}

fn tables_over_other_bytes() {
    let sample = Sample::new(1);
    let mut reader = sample
        .store
        .reader_with(|file, path| {
            let windows = Windows::options().map(file, path)?;
            let table = Table::from_bytes(windows, path)?;
            table.verify(|_| ())?;
            Ok(table)
        })
        .unwrap();
    assert_eq!(held(reader.current()), (1, 1));
    publish(&sample.store, 2).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(held(reader.current()), (2, 2));
    // The table's own descriptor is not what keeps it.
    assert_eq!(sample.store.prune(0).unwrap().removed, [1]);
    publish(&sample.store, 3).unwrap();
    assert_eq!(sample.store.prune(0).unwrap().in_use, [2]);
}

fn a_lost_sequence_is_no_loss() {
    let sample = Sample::new(1);
    let path = sample.path().join("SEQUENCE");
    let mut before = sample.store.reader().unwrap();
    fs::remove_file(&path).unwrap();
    let mut after = sample.store.reader().unwrap();
    assert!(!after.refresh().unwrap());
    publish(&sample.store, 2).unwrap();
    assert!(after.refresh().unwrap());
    assert!(!after.refresh().unwrap());
    assert!(path.exists());
    // That one has the file mapped that has no name any more.
    assert!(before.recheck().unwrap());
    publish(&sample.store, 3).unwrap();
    assert!(before.refresh().unwrap());
    assert!(after.refresh().unwrap());
    // Cut short, there is nothing to be read.
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    assert!(!after.refresh().unwrap());
    publish(&sample.store, 4).unwrap();
    assert!(after.refresh().unwrap());
    assert_eq!(held(after.current()), (4, 4));
}

fn a_copied_store_is_noticed() {
    let sample = Sample::new(1);
    let mut reader = sample.store.reader().unwrap();
    let other = Sample::new(2);
    // Files that take the place of others, as programs that copy folders make them.
    for name in other.names() {
        let beside = sample.folder.path().join(&name);
        fs::copy(other.path().join(&name), &beside).unwrap();
        fs::rename(beside, sample.path().join(&name)).unwrap();
    }
    let mut refreshes = 1;
    while !reader.refresh().unwrap() {
        refreshes += 1;
        assert!(refreshes < 100_000, "never noticed");
    }
    assert_eq!(held(reader.current()), (2, 2));
    // Now it listens to the right file.
    reader.refresh().unwrap();
    publish(&sample.store, 3).unwrap();
    assert!(reader.refresh().unwrap());
}

fn a_bad_generation_is_not_taken() {
    let sample = Sample::new(1);
    let mut reader = sample.store.reader().unwrap();
    publish(&sample.store, 2).unwrap();
    let good = fs::read(sample.generation(2)).unwrap();
    fs::write(sample.generation(2), "short").unwrap();
    for _ in 0..3 {
        assert!(matches!(
            reader.refresh(),
            Err(Error::NotATable { .. } | Error::Length { .. })
        ));
        assert_eq!(held(reader.current()), (1, 1));
    }
    fs::write(sample.generation(2), good).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(held(reader.current()), (2, 2));

    publish(&sample.store, 3).unwrap();
    fs::remove_file(sample.generation(3)).unwrap();
    assert!(matches!(
        reader.refresh(),
        Err(Error::NoGeneration {
            generation: Some(3),
            ..
        })
    ));
    assert_eq!(held(reader.current()), (2, 2));
    assert_eq!(sample.store.rollback(None).unwrap(), 2);
    assert!(!reader.refresh().unwrap());
}

fn a_lock_of_others_keeps_nobody_out() {
    use rustix::fs::{FlockOperation, flock};

    let sample = Sample::new(1);
    let file = fs::File::open(sample.generation(1)).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let reader = sample.store.reader().unwrap();
    assert_eq!(held(reader.current()), (1, 1));
}
