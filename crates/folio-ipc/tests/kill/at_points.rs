//! A process that kills itself at each named point, between two that go on.

use std::collections::BTreeMap;
use std::time::Duration;

use folio_ipc::RwLock;

use crate::at_any_time::scale;
use crate::child::{FINISH, GO_ON, Task, Worker, expect_no_failure, region_for, say};
use crate::work::{Kind, Tools};

/// A point that is passed seldom is given some time, and some attempts.
const PASSES_WITHIN: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 3;

/// Points that are passed only after somebody else has died, and where that other is to die.
const AFTER_A_DEATH: [(&str, &str); 3] = [
    ("barrier.wait.broken", "barrier.wait.arrived"),
    ("mutex.lock.marked_inconsistent", "mutex.lock.owned"),
    ("semaphore.permit.recovered", "semaphore.acquire.taken"),
];

/// Kills at each point of a kind of lock.
pub(crate) fn walk(kind: Kind) {
    let points = kind.points();
    assert_eq!(points.is_empty(), folio_ipc::kill_points().is_empty());
    let mut killed = BTreeMap::new();
    for point in points {
        for passage in 1..=scale() {
            let nth = 1 + (passage - 1) * 3;
            let is_killed = (0..ATTEMPTS).any(|_| kill_at(kind, point, nth));
            *killed.entry(point).or_insert(0) += u32::from(is_killed);
        }
    }
    for (point, times) in &killed {
        println!("  {:9} {point:32} {times} killed", kind.name());
        // The mutex in another lock may never have an heir, say: the mutex itself does.
        let is_own = point.starts_with(&format!("{}.", kind.name()));
        assert!(*times > 0 || !is_own, "no process passed {point}");
    }
}

fn kill_at(kind: Kind, point: &str, nth: u32) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    let region = region_for(&path, 4);
    say(&region, GO_ON);
    let what = format!("{} at {point}:{nth}", kind.name());
    let first = AFTER_A_DEATH.iter().find(|(after, _)| *after == point);
    let start = || [0, 1].map(|number| Worker::start(&path, number, Task::One(kind), None));
    // A barrier at which enough living threads arrive does not break: the others come later.
    let is_alone = kind == Kind::Barrier && first.is_some();
    let early = (!is_alone).then(start);
    let mut doomed = Worker::start(&path, 2, Task::One(kind), Some(&format!("{point}:{nth}")));
    let ended = match first {
        None => doomed.ends_within(PASSES_WITHIN),
        Some((_, first)) => (0..20).find_map(|_| {
            let mut other = Worker::start(&path, 3, Task::One(kind), Some(first));
            other.ends_within(PASSES_WITHIN);
            doomed.ends_within(PASSES_WITHIN / 20)
        }),
    };
    if let Some(status) = ended {
        assert!(Worker::is_killed(status), "{what}: ended with {status}");
    } else {
        doomed.kill();
    }
    let mut survivors = early.unwrap_or_else(start);
    say(&region, FINISH);
    for survivor in &mut survivors {
        survivor.finish(&what);
    }
    expect_no_failure(&path);
    Tools::new(&region, 4).check_at_rest();
    region.repair().unwrap();
    ended.is_some()
}

/// A writer that is killed while it waits for readers has not come to the value.
pub(crate) fn writer_that_waits() {
    const POINT: &str = "rwlock.write.waiting";
    if !folio_ipc::kill_points().contains(&POINT) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    let region = region_for(&path, 2);
    let lock = region.object::<RwLock<[u64; 2]>>("rwlock").unwrap();
    let reading = lock.read().unwrap();
    say(&region, GO_ON);
    let mut doomed = Worker::start(&path, 0, Task::One(Kind::RwLock), Some(POINT));
    let status = doomed
        .ends_within(Duration::from_secs(60))
        .expect("the only other one that writes");
    assert!(Worker::is_killed(status), "ended with {status}");
    drop(reading);
    let guard = lock.write().expect("nobody has touched the value");
    assert_eq!(guard.get(), [0, 0]);
    drop(guard);
    assert!(lock.read().is_ok());
}
