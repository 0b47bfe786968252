//! Processes in different namespaces of process ids, whose threads have the same id: the word of a
//! lock does not tell them apart.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use folio_ipc::{LockError, Mutex, Region, RwLock, Semaphore};
use folio_sys::process::{self, Fork};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, waitpid};
use tempfile::TempDir;

use crate::child::{Child, introduce, say, under, until_told};
use crate::{Test, skip};

pub(crate) const TESTS: &[Test] = &[
    (
        "threads_of_the_same_id_exclude_each_other",
        threads_of_the_same_id_exclude_each_other,
    ),
    (
        "a_thread_that_ends_abroad_with_a_lock_is_a_dead_owner",
        a_thread_that_ends_abroad_with_a_lock_is_a_dead_owner,
    ),
    (
        "a_child_that_is_forked_abroad_is_another_owner",
        a_child_that_is_forked_abroad_is_another_owner,
    ),
    (
        "the_death_of_an_owner_is_seen_by_one_of_the_same_id",
        the_death_of_an_owner_is_seen_by_one_of_the_same_id,
    ),
    (
        "the_death_of_a_waiter_is_not_that_of_an_owner_of_the_same_id",
        the_death_of_a_waiter_is_not_that_of_an_owner_of_the_same_id,
    ),
];

/// How often each process takes each lock.
const TURNS: u64 = 20_000;

/// Two words that are equal whenever nobody is between the two.
type Pair = [u64; 2];

/// Whose namespace is the region's: that of the first to attach. The others are abroad.
#[derive(Clone, Copy)]
enum Home {
    Tests,
    Owners,
    Waiters,
}

/// How to become the first process of a new namespace, if that is possible here.
fn ways_in() -> Option<&'static [&'static str]> {
    // As root; and as anybody, where anybody may.
    const WAYS: [&[&str]; 2] = [
        &["--pid", "--fork", "--kill-child"],
        &[
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--kill-child",
        ],
    ];
    let works = |way: &&&[&str]| {
        let mut tried = Command::new("unshare");
        let tried = tried.args(**way).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let way = WAYS.iter().find(works).copied();
    if way.is_none() {
        skip("there is no unshare that may make a namespace");
    }
    way
}

/// Starts children of a namespace of their own, one after the other; they say that they have the same id.
fn start<const COUNT: usize>(roles: [&str; COUNT], region: &Path) -> Option<[Child; COUNT]> {
    let way = ways_in()?;
    let mut tids = Vec::new();
    let children = roles.map(|role| {
        let mut child = Child::of(&mut under("unshare", way, role, region));
        tids.push(child.introduction());
        child
    });
    assert!(tids.iter().all(|tid| *tid == tids[0]), "{tids:?}");
    Some(children)
}

fn threads_of_the_same_id_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    drop(Region::options().create(&path).unwrap());
    // The first is at home, the others are abroad.
    let Some(mut children) = start(["count"; 3], &path) else {
        return;
    };
    let region = Region::open(&path).unwrap();
    for child in &mut children {
        child.go_on();
    }
    for child in children {
        assert!(child.finish().is_empty());
    }
    let all = TURNS * 3;
    let mutex = region.open_object::<Mutex<Pair>>("mutex").unwrap();
    assert_eq!(mutex.lock().unwrap().get(), [all; 2]);
    let rwlock = region.open_object::<RwLock<Pair>>("rwlock").unwrap();
    assert_eq!(rwlock.read().unwrap().get(), [all; 2]);
    let inside = region.open_object::<Mutex<u64>>("inside").unwrap();
    assert_eq!(inside.lock().unwrap().get(), all);
}

/// Takes each lock often, and looks whether anybody else has it.
pub(crate) fn count(path: &Path) {
    let region = Region::open(path).unwrap();
    let mutex = region.object::<Mutex<Pair>>("mutex").unwrap();
    let rwlock = region.object::<RwLock<Pair>>("rwlock").unwrap();
    let semaphore = region.object_with::<Semaphore>("semaphore", || 1).unwrap();
    let inside = region.object::<Mutex<u64>>("inside").unwrap();
    introduce();
    until_told();
    for turn in 0..TURNS {
        mutex.lock().unwrap().update(increment);
        if turn % 3 == 0 {
            let [one, two] = rwlock.read().unwrap().get();
            assert_eq!(one, two);
        }
        rwlock.write().unwrap().update(increment);
        let permit = semaphore.acquire().unwrap();
        // Somebody else would have to wait here.
        inside.try_lock().unwrap().update(|count| *count += 1);
        drop(permit);
    }
}

fn increment([one, two]: &mut Pair) {
    assert_eq!(one, two);
    *one += 1;
    *two += 1;
}

fn a_thread_that_ends_abroad_with_a_lock_is_a_dead_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    let _at_home = Region::options().create(&path).unwrap();
    let Some([child]) = start(["leak"], &path) else {
        return;
    };
    assert_eq!(child.finish(), ["the second thread has what the first had"]);
}

/// Has a thread end with locks, and another one, which gets its record, take them.
pub(crate) fn leak(path: &Path) {
    let region = Region::open(path).unwrap();
    let mutex = region.object::<Mutex<u64>>("mutex").unwrap();
    let rwlock = region.object::<RwLock<u64>>("rwlock").unwrap();
    let semaphore = region.object_with::<Semaphore>("semaphore", || 1).unwrap();
    introduce();
    thread::scope(|scope| {
        let leaking = scope.spawn(|| {
            std::mem::forget(mutex.lock().unwrap());
            std::mem::forget(rwlock.read().unwrap());
            std::mem::forget(semaphore.acquire().unwrap());
        });
        leaking.join().unwrap();
        let second = scope.spawn(|| {
            assert!(matches!(mutex.lock(), Err(LockError::OwnerDied(_))));
            drop(rwlock.write().unwrap());
            drop(semaphore.acquire().unwrap());
        });
        second.join().unwrap();
    });
    say("the second thread has what the first had");
}

fn a_child_that_is_forked_abroad_is_another_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    let region = Region::options().create(&path).unwrap();
    let Some([child]) = start(["fork"], &path) else {
        return;
    };
    assert_eq!(child.finish(), ["its children had locks of their own"]);
    let mutex = region.open_object::<Mutex<u64>>("mutex").unwrap();
    assert!(matches!(mutex.lock(), Err(LockError::OwnerDied(_))));
}

/// Forks a child that finds a guard of its parent's, and one that dies with a guard of its own.
pub(crate) fn fork(path: &Path) {
    let region = Region::open(path).unwrap();
    let mutex = region.object::<Mutex<u64>>("mutex").unwrap();
    introduce();
    let guard = mutex.lock().unwrap();
    let first = match process::fork().unwrap() {
        Fork::Parent(child) => child,
        Fork::Child => {
            drop(guard);
            let outcome = mutex.lock_timeout(Duration::from_millis(20)).map(drop);
            assert!(matches!(outcome, Err(LockError::TimedOut)), "{outcome:?}");
            std::process::exit(0);
        }
    };
    assert_eq!(wait_for(first).exit_status(), Some(0), "the child says why");
    assert!(mutex.try_lock().is_err(), "the child gave it up");
    guard.set(&7);
    drop(guard);
    let second = match process::fork().unwrap() {
        Fork::Parent(child) => child,
        Fork::Child => {
            let guard = mutex.lock().unwrap();
            assert_eq!(guard.get(), 7);
            process::kill_self();
        }
    };
    let status = wait_for(second);
    assert_eq!(status.terminating_signal(), Some(Signal::KILL.as_raw()));
    say("its children had locks of their own");
}

fn wait_for(child: Pid) -> WaitStatus {
    let ended = waitpid(Some(child), WaitOptions::empty()).unwrap();
    ended.unwrap().1
}

/// Two children and the region: the first has the locks, the second waits for one.
fn owner_and_waiter(home: Home) -> Option<(TempDir, Region, Child, Child)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    let region = Region::options().create(&path).unwrap();
    let (region, [mut owner, mut waiter]) = match home {
        Home::Tests => (region, start(["hold", "wait"], &path)?),
        Home::Owners => {
            drop(region);
            let children = start(["hold", "wait"], &path)?;
            (Region::open(&path).unwrap(), children)
        }
        Home::Waiters => {
            drop(region);
            let [waiter, owner] = start(["wait", "hold"], &path)?;
            (Region::open(&path).unwrap(), [owner, waiter])
        }
    };
    assert_eq!(owner.line(), "holds it");
    waiter.go_on();
    assert_eq!(waiter.line(), "cannot have it");
    while !is_waited_for(&region) {
        thread::sleep(Duration::from_millis(1));
    }
    // Some naps long: it may find nothing wrong with the owner.
    thread::sleep(Duration::from_millis(300));
    assert!(is_waited_for(&region));
    let threads = region.inspect().unwrap().threads;
    let first_of_a_namespace = threads.iter().filter(|thread| thread.tid == 1);
    assert_eq!(first_of_a_namespace.count(), 2, "{threads:#?}");
    Some((folder, region, owner, waiter))
}

fn is_waited_for(region: &Region) -> bool {
    let threads = region.inspect().unwrap().threads;
    threads
        .iter()
        .any(|thread| thread.waiting_on.as_deref() == Some("mutex"))
}

fn the_death_of_an_owner_is_seen_by_one_of_the_same_id() {
    for home in [Home::Tests, Home::Owners, Home::Waiters] {
        let Some((_folder, region, owner, waiter)) = owner_and_waiter(home) else {
            return;
        };
        owner.kill();
        assert_eq!(waiter.finish(), ["has it: its owner died"]);
        let rwlock = region.open_object::<RwLock<u64>>("rwlock").unwrap();
        assert!(matches!(rwlock.write(), Err(LockError::OwnerDied(_))));
        let semaphore = region.open_object::<Semaphore>("semaphore").unwrap();
        drop(semaphore.acquire().unwrap());
    }
}

/// Unless locks tell them apart, the kernel does this: it looks at what the waiter has announced, and finds its id there.
fn the_death_of_a_waiter_is_not_that_of_an_owner_of_the_same_id() {
    for home in [Home::Tests, Home::Owners, Home::Waiters] {
        let Some((_folder, region, owner, waiter)) = owner_and_waiter(home) else {
            return;
        };
        waiter.kill();
        let mutex = region.open_object::<Mutex<u64>>("mutex").unwrap();
        for _ in 0..20 {
            let short = Duration::from_millis(10);
            let outcome = mutex.lock_timeout(short).map(drop);
            assert!(matches!(outcome, Err(LockError::TimedOut)), "{outcome:?}");
        }
        region.repair().unwrap();
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        assert_eq!(owner.finish(), ["has given it up"]);
        assert_eq!(mutex.lock().unwrap().get(), 7);
    }
}

/// Takes locks and keeps them until told.
pub(crate) fn hold(path: &Path) {
    let region = Region::open(path).unwrap();
    let mutex = region.object::<Mutex<u64>>("mutex").unwrap();
    let rwlock = region.object::<RwLock<u64>>("rwlock").unwrap();
    let semaphore = region.object_with::<Semaphore>("semaphore", || 1).unwrap();
    introduce();
    let held = (
        mutex.lock().unwrap(),
        rwlock.write().unwrap(),
        semaphore.acquire().unwrap(),
    );
    say("holds it");
    until_told();
    held.0.set(&7);
    drop(held);
    say("has given it up");
}

/// Waits for a lock that somebody has.
pub(crate) fn wait(path: &Path) {
    let region = Region::open(path).unwrap();
    // So that the thread has a record.
    drop(region.object::<Semaphore>("other").unwrap());
    introduce();
    until_told();
    let mutex = region.open_object::<Mutex<u64>>("mutex").unwrap();
    let rwlock = region.open_object::<RwLock<u64>>("rwlock").unwrap();
    let semaphore = region.open_object::<Semaphore>("semaphore").unwrap();
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    assert!(matches!(rwlock.try_write(), Err(LockError::WouldBlock)));
    assert!(matches!(rwlock.try_read(), Err(LockError::WouldBlock)));
    assert!(matches!(
        semaphore.try_acquire(),
        Err(LockError::WouldBlock)
    ));
    say("cannot have it");
    match mutex.lock() {
        Ok(_) => say("has it"),
        Err(LockError::OwnerDied(_)) => say("has it: its owner died"),
        Err(error) => panic!("{error}"),
    }
}
