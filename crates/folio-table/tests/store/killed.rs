//! Publishers and pruners that are killed at each step of the way.

use std::ffi::OsStr;
use std::sync::OnceLock;

use folio_table::Store;
use rustix::process::{Signal, getpid, kill_process};

use crate::Test;
use crate::child::{Child, say};
use crate::sample;
use crate::sample::{Sample, held};

pub(crate) const TESTS: &[Test] = &[
    ("killed_while_publishing", killed_while_publishing),
    ("killed_while_pruning", killed_while_pruning),
    ("killed_while_making_a_store", killed_while_making_a_store),
    ("every_step_is_tested", every_step_is_tested),
];

/// What a publisher does last, and which generation is current then.
const PUBLISHING: [(&str, u64); 10] = [
    ("prepared", 1),
    ("table written", 1),
    ("table synced", 1),
    ("table renamed", 1),
    ("table in the folder", 1),
    ("pointer written", 1),
    ("change announced", 1),
    ("pointer renamed", 2),
    ("folder synced", 2),
    ("change settled", 2),
];
const PRUNING: [&str; 2] = ["generation locked", "generation removed"];
const MAKING: [&str; 5] = [
    "pointer written",
    "change announced",
    "pointer renamed",
    "folder synced",
    "change settled",
];

fn killed_while_publishing() {
    for (step, current) in PUBLISHING {
        let sample = Sample::new(1);
        let store = &sample.store;
        let mut reader = store.reader().unwrap();
        let role = format!("publish until/{step}");
        let (_, killed) = Child::start(&role, sample.path()).wait();
        assert!(killed, "{step}");

        // Whoever read before is not behind, although nobody told him.
        assert_eq!(store.current().unwrap(), Some(current), "{step}");
        assert_eq!(reader.refresh().unwrap(), current == 2, "{step}");
        assert_eq!(reader.current().number(), current, "{step}");
        assert_eq!(held(store.reader().unwrap().current()).0, current);
        let list = store.list().unwrap();
        let numbers: Vec<_> = list.iter().map(|info| info.number).collect();
        assert_eq!(numbers, (1..=current).collect::<Vec<_>>(), "{step}");

        // Nothing of it is left when somebody else has published.
        let next = sample::publish(store, 33).unwrap();
        assert_eq!(next, current + 1, "{step}");
        sample.assert_tidy(1..=next);
        assert!(reader.refresh().unwrap(), "{step}");
        assert_eq!(held(reader.current()), (next, 33), "{step}");
        assert!(!reader.refresh().unwrap());
    }
    // Or pruned.
    for (step, current) in PUBLISHING {
        let sample = Sample::new(1);
        let mut reader = sample.store.reader().unwrap();
        let role = format!("publish until/{step}");
        assert!(Child::start(&role, sample.path()).wait().1);
        assert_eq!(reader.refresh().unwrap(), current == 2);
        let pruned = sample.store.prune(9).unwrap();
        // The folder it worked in, and the table that got its name.
        let is_stray =
            current == 1 && !["prepared", "table written", "table synced"].contains(&step);
        assert_eq!(pruned.leftovers, 1 + usize::from(is_stray), "{step}");
        sample.assert_tidy(1..=current);
        assert!(!reader.refresh().unwrap());
    }
}

fn killed_while_pruning() {
    for step in PRUNING {
        let sample = Sample::new(3);
        let role = format!("prune until/{step}");
        assert!(Child::start(&role, sample.path()).wait().1, "{step}");
        let is_gone = step == "generation removed";
        assert_eq!(sample.generation(1).exists(), !is_gone);
        let reader = sample.store.reader().unwrap();
        assert_eq!(held(reader.current()), (3, 3));
        let pruned = sample.store.prune(0).unwrap();
        let left = if is_gone { vec![2] } else { vec![1, 2] };
        assert_eq!(pruned.removed, left, "{step}");
        sample.assert_tidy([3]);
    }
}

fn killed_while_making_a_store() {
    for step in MAKING {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let role = format!("create until/{step}");
        assert!(Child::start(&role, &path).wait().1, "{step}");
        let store = Store::create(&path).unwrap();
        assert_eq!(store.current().unwrap(), None, "{step}");
        assert_eq!(sample::publish(&store, 5).unwrap(), 1);
        let sample = Sample { folder, store };
        sample.assert_tidy([1]);
        let reader = sample.store.reader().unwrap();
        assert_eq!(held(reader.current()), (1, 5));
    }
}

/// What is said at each step is what is tested above.
fn every_step_is_tested() {
    let sample = Sample::new(2);
    let steps = |role| Child::start(role, sample.path()).finish();
    assert_eq!(steps("publish until/"), PUBLISHING.map(|(step, _)| step));
    assert_eq!(steps("prune until/"), [PRUNING, PRUNING].concat());
    let new = sample.folder.path().join("new");
    assert_eq!(Child::start("create until/", &new).finish(), MAKING);
}

/// The step at which this process ends.
static LAST_STEP: OnceLock<String> = OnceLock::new();

/// Ends this process at its last step; where that is none, says all steps.
fn step(step: &'static str) {
    let last = LAST_STEP.get().unwrap();
    if last == step {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
    if last.is_empty() {
        say(step);
    }
}

fn open(path: &OsStr, last_step: &str) -> Store {
    LAST_STEP.set(last_step.to_owned()).unwrap();
    Store::open(path).unwrap().on_step(step)
}

pub(crate) fn publish(path: &OsStr, last_step: &str) {
    sample::publish(&open(path, last_step), 2).unwrap();
}

pub(crate) fn prune(path: &OsStr, last_step: &str) {
    open(path, last_step).prune(0).unwrap();
}

pub(crate) fn create(path: &OsStr, last_step: &str) {
    LAST_STEP.set(last_step.to_owned()).unwrap();
    Store::create_step_by_step(path, step).unwrap();
}
