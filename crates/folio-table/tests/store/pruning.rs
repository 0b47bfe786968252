//! Pruning, and who is safe from it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use folio_table::Store;

use crate::Test;
use crate::child::Child;
use crate::sample::{Sample, held, publish};

pub(crate) const TESTS: &[Test] = &[
    (
        "keeps_the_newest_and_the_current",
        keeps_the_newest_and_the_current,
    ),
    ("leaves_what_readers_hold", leaves_what_readers_hold),
    (
        "a_killed_reader_holds_nothing",
        a_killed_reader_holds_nothing,
    ),
    (
        "children_hold_what_their_parents_did",
        children_hold_what_their_parents_did,
    ),
    ("opening_races_with_pruning", opening_races_with_pruning),
    ("pruned_while_it_is_opened", pruned_while_it_is_opened),
    ("leaves_what_is_not_its_own", leaves_what_is_not_its_own),
];

fn keeps_the_newest_and_the_current() {
    let sample = Sample::new(6);
    let size = fs::metadata(sample.generation(1)).unwrap().len();
    sample.store.rollback(Some(2)).unwrap();
    let pruned = sample.store.prune(3).unwrap();
    assert_eq!(pruned.removed, [1, 3]);
    assert_eq!(pruned.freed_bytes, 2 * size);
    assert_eq!((pruned.in_use.len(), pruned.leftovers), (0, 0));
    sample.assert_tidy([2, 4, 5, 6]);
    assert_eq!(sample.store.prune(0).unwrap().removed, [4, 5, 6]);
    sample.assert_tidy([2]);
    assert!(sample.store.prune(0).unwrap().removed.is_empty());
    // Also a number whose generation is gone is not used again.
    assert_eq!(publish(&sample.store, 7).unwrap(), 7);
    assert!(sample.store.prune(usize::MAX).unwrap().removed.is_empty());
    sample.assert_tidy([2, 7]);
    assert!(Sample::new(0).store.prune(0).unwrap().removed.is_empty());
}

fn leaves_what_readers_hold() {
    let sample = Sample::new(1);
    let mut reader = sample.store.reader().unwrap();
    let first = reader.current().clone();
    for number in 2..=4 {
        publish(&sample.store, number).unwrap();
    }
    reader.refresh().unwrap();
    publish(&sample.store, 5).unwrap();
    let pruned = sample.store.prune(1).unwrap();
    assert_eq!((pruned.removed, pruned.in_use), (vec![2, 3], vec![1, 4]));
    assert_eq!(held(&first), (1, 1));
    assert_eq!(held(reader.current()), (4, 4));
    drop(first);
    reader.refresh().unwrap();
    assert_eq!(sample.store.prune(1).unwrap().removed, [1, 4]);
    sample.assert_tidy([5]);
}

fn a_killed_reader_holds_nothing() {
    let sample = Sample::new(1);
    let mut reader = Child::reader("hold", sample.path());
    assert_eq!(reader.line(), "1 1");
    publish(&sample.store, 2).unwrap();
    assert_eq!(sample.store.prune(0).unwrap().in_use, [1]);
    reader.kill();
    assert_eq!(sample.store.prune(0).unwrap().removed, [1]);
}

/// The child goes on where its parent has ended.
fn children_hold_what_their_parents_did() {
    let sample = Sample::new(1);
    let mut reader = Child::reader("fork and hold", sample.path());
    assert_eq!(reader.line(), "the parent ends");
    assert_eq!(reader.line(), "1 1");
    publish(&sample.store, 2).unwrap();
    assert_eq!(sample.store.prune(0).unwrap().in_use, [1]);
    // It reads once more, and follows.
    assert_eq!(reader.finish(), ["1 1", "2 2"]);
    let mut waited = 0;
    while !sample.store.prune(0).unwrap().in_use.is_empty() {
        waited += 1;
        assert!(waited < 10_000, "somebody holds it still");
        thread::yield_now();
    }
    sample.assert_tidy([2]);
}

fn opening_races_with_pruning() {
    let sample = Sample::new(1);
    let done = AtomicBool::new(false);
    let mut removed = 0;
    let opened = thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut opened = 0_u64;
                    let mut newest = 0;
                    while !done.load(Ordering::Relaxed) {
                        let store = Store::open(sample.path()).unwrap();
                        let reader = store.reader().unwrap();
                        let (number, stamp) = held(reader.current());
                        assert_eq!(number, stamp);
                        assert!(number >= newest);
                        newest = number;
                        opened += 1;
                    }
                    opened
                })
            })
            .collect();
        for number in 2..=100 {
            publish(&sample.store, number).unwrap();
            removed += sample.store.prune(0).unwrap().removed.len();
        }
        done.store(true, Ordering::Relaxed);
        let counts = readers.into_iter().map(|reader| reader.join().unwrap());
        counts.sum::<u64>()
    });
    assert!(
        opened > 0 && removed > 0,
        "{opened} opened, {removed} removed"
    );
    sample.store.prune(0).unwrap();
    sample.assert_tidy([100]);
}

/// What is opened and not locked yet is removed, and the next one taken.
fn pruned_while_it_is_opened() {
    static PATH: Mutex<Option<PathBuf>> = Mutex::new(None);

    let sample = Sample::new(1);
    *PATH.lock().unwrap() = Some(sample.path().to_owned());
    let store = Store::open(sample.path()).unwrap().on_step(|step| {
        assert_eq!(step, "generation opened");
        // Once.
        if let Some(path) = PATH.lock().unwrap().take() {
            let another = Store::open(path).unwrap();
            publish(&another, 2).unwrap();
            assert_eq!(another.prune(0).unwrap().removed, [1]);
        }
    });
    let mut reader = store.reader().unwrap();
    assert_eq!(held(reader.current()), (2, 2));

    publish(&sample.store, 3).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(held(reader.current()), (3, 3));
}

fn leaves_what_is_not_its_own() {
    let sample = Sample::new(2);
    let notes = ["README", "1.folio", "table.folio", "incoming", ".hidden"];
    for note in notes {
        fs::write(sample.path().join(note), note).unwrap();
    }
    // Names that publishers give, and what none of them makes.
    let outside = sample.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "kept").unwrap();
    symlink(&outside, sample.path().join("incoming-link")).unwrap();
    let fifo = sample.path().join("incoming-fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, fifo, 0o644.into()).unwrap();
    fs::write(sample.path().join("incoming-file"), "").unwrap();

    assert_eq!(sample.store.prune(0).unwrap().leftovers, 3);
    publish(&sample.store, 3).unwrap();
    assert!(outside.join("precious").exists());
    assert!(
        !sample
            .names()
            .iter()
            .any(|name| name.starts_with("incoming-"))
    );
    for note in notes {
        assert_eq!(fs::read_to_string(sample.path().join(note)).unwrap(), note);
    }
}
