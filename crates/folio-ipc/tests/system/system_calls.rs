//! A lock that nobody else wants is no business of the kernel's: `strace` sees what its users ask of it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use folio_ipc::{
    Barrier, Condvar, Event, EventReset, Mutex, Once, OnceValue, Region, RwLock, Semaphore, Shared,
};

use crate::child::{Child, arguments, say, under};
use crate::{Test, skip};

pub(crate) const TESTS: &[Test] = &[
    (
        "no_system_call_for_a_lock_that_nobody_else_wants",
        no_system_call_for_a_lock_that_nobody_else_wants,
    ),
    (
        "one_who_sleeps_is_woken_by_one_call",
        one_who_sleeps_is_woken_by_one_call,
    ),
    (
        "few_are_woken_who_do_not_sleep",
        few_are_woken_who_do_not_sleep,
    ),
];

/// How often each lock is taken and given up.
const TURNS: u32 = 1000;

/// What a child does between two marks.
const WORKS: [&str; 9] = [
    "mutex",
    "rwlock read",
    "rwlock write",
    "semaphore",
    "condvar",
    "barrier",
    "once",
    "event",
    "heap",
];

fn no_system_call_for_a_lock_that_nobody_else_wants() {
    let Some(calls) = calls_of("uncontended") else {
        return;
    };
    for work in WORKS {
        let calls = between_marks(&calls, work);
        assert!(
            calls.is_empty(),
            "{work}: {} system calls in {TURNS} turns, the first {:?}",
            calls.len(),
            calls[0]
        );
    }
}

/// Also that `strace` would have seen what the other test says is not there.
fn one_who_sleeps_is_woken_by_one_call() {
    let Some(calls) = calls_of("contended") else {
        return;
    };
    let calls = between_marks(&calls, "unlocking");
    // Those of the standard library are `FUTEX_WAKE_PRIVATE`: in other processes, they wake nobody.
    let wakes = calls.iter().filter(|call| call.contains("FUTEX_WAKE,"));
    assert_eq!(wakes.count(), 1, "{calls:#?}");
}

/// Two processes that want the same locks all the time sleep at times. Who gives a lock up wakes them then, and hardly ever else.
fn few_are_woken_who_do_not_sleep() {
    let Some(calls) = calls_of("contending") else {
        return;
    };
    let count = |operation| calls.iter().filter(|call| call.contains(operation)).count();
    let (sleeps, wakes) = (count("FUTEX_WAIT_BITSET,"), count("FUTEX_WAKE,"));
    let times = format!("{sleeps} sleeps, {wakes} wakes in {TURNS} turns of two processes");
    assert!(sleeps > 10 && wakes > 10, "{times}");
    // Who says that it will sleep, and then need not, is woken for nothing: a few in a hundred.
    assert!(wakes <= sleeps + sleeps / 8, "{times}");
    println!("{times}");
}

/// The system calls of a child, one a line; nothing where there is no `strace`, or none that may trace.
fn calls_of(role: &str) -> Option<Vec<String>> {
    let may_trace = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    if !may_trace.is_ok_and(|status| status.success()) {
        skip("there is no strace that may trace");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let options = ["-f", "-qq", "-o", calls.to_str().unwrap()];
    let mut traced = under("strace", &options, role, &folder.path().join("region"));
    let traced = traced.output().unwrap();
    assert!(
        traced.status.success(),
        "{}: {}",
        traced.status,
        String::from_utf8_lossy(&traced.stderr)
    );
    let text = std::fs::read_to_string(calls).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

/// Those between the writing of two lines.
fn between_marks<'a>(calls: &'a [String], work: &str) -> Vec<&'a str> {
    let at = |mark: &str| {
        let written = format!("write(1, \"{mark} {work}\\n\"");
        let at = calls.iter().position(|call| call.contains(&written));
        at.unwrap_or_else(|| panic!("no \"{mark} {work}\" among the calls"))
    };
    let calls = &calls[at("begin") + 1..at("end")];
    calls.iter().map(String::as_str).collect()
}

/// Uses each lock once, and then often.
pub(crate) fn uncontended(path: &Path) {
    let region = Region::options().create(path).unwrap();
    let mutex = region.object::<Mutex<u64>>("mutex").unwrap();
    let other = region.object::<Mutex<u64>>("other").unwrap();
    let rwlock = region.object::<RwLock<u64>>("rwlock").unwrap();
    let semaphore = region.object_with::<Semaphore>("s", || 2).unwrap();
    let condvar = region.object::<Condvar>("condvar").unwrap();
    let barrier = region.object_with::<Barrier>("barrier", || 1).unwrap();
    let once = region.object::<Once>("once").unwrap();
    let value = region.object::<OnceValue<u64>>("value").unwrap();
    let manual = region.object::<Event>("manual").unwrap();
    let automatic = region
        .object_with::<Event>("automatic", || EventReset::Automatic)
        .unwrap();

    repeat("mutex", || {
        mutex.lock().unwrap().update(|count| *count += 1);
        // Two at a time, and the first given up first.
        let first = mutex.try_lock().unwrap();
        let second = other.lock_timeout(Duration::from_secs(1)).unwrap();
        drop(first);
        drop(second);
    });
    repeat("rwlock read", || {
        drop(rwlock.read().unwrap());
        drop(rwlock.read_timeout(Duration::from_secs(1)).unwrap());
        let again = [rwlock.try_read().unwrap(), rwlock.read().unwrap()];
        drop(again);
    });
    repeat("rwlock write", || {
        rwlock.write().unwrap().update(|count| *count += 1);
        drop(rwlock.try_write().unwrap());
        drop(rwlock.write_timeout(Duration::from_secs(1)).unwrap());
    });
    repeat("semaphore", || {
        let two = [semaphore.acquire().unwrap(), semaphore.acquire().unwrap()];
        assert_eq!(semaphore.available(), 0);
        drop(two);
    });
    repeat("condvar", || {
        let guard = mutex.lock().unwrap();
        condvar.notify_one().unwrap();
        drop(guard);
        condvar.notify_all().unwrap();
    });
    repeat("barrier", || {
        barrier.wait().unwrap();
    });
    repeat("once", || {
        once.call(|| ()).unwrap();
        assert_eq!(value.get_or_init(|| 7).unwrap(), 7);
    });
    repeat("event", || {
        manual.set().unwrap();
        manual.wait().unwrap();
        manual.reset().unwrap();
        automatic.set().unwrap();
        automatic.wait().unwrap();
    });
    repeat("heap", || {
        let block = region.allocate(100).unwrap();
        block.write(0, b"content").unwrap();
    });
}

fn repeat(work: &str, mut turn: impl FnMut()) {
    // The first time, a thread becomes known to the region.
    turn();
    say(&format!("begin {work}"));
    for _ in 0..TURNS {
        turn();
    }
    say(&format!("end {work}"));
}

/// Unlocks a mutex that somebody sleeps for.
pub(crate) fn contended(path: &Path) {
    let region = Region::options().create(path).unwrap();
    let mutex = region.object::<Mutex<u64>>("mutex").unwrap();
    let guard = mutex.lock().unwrap();
    let (sleeper, is_asleep) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            sleeper.send(()).unwrap();
            drop(mutex.lock().unwrap());
            say("end unlocking");
        });
        is_asleep.recv().unwrap();
        let waits = || {
            let locks = region.inspect().unwrap().locks;
            locks
                .iter()
                .any(|lock| lock.name == "mutex" && lock.has_waiters)
        };
        while !waits() {
            thread::sleep(Duration::from_millis(1));
        }
        say("begin unlocking");
        drop(guard);
    });
}

/// Takes locks that another process takes as well, and keeps each for long now and then.
pub(crate) fn contending(path: &Path) {
    let region = Region::options().create(path).unwrap();
    let counts = Counts::of(&region);
    let [program, arguments @ ..] = arguments("contend", path);
    let other = Child::of(Command::new(program).args(arguments));
    counts.add();
    other.finish();
    assert_eq!(counts.mutex.lock().unwrap().get(), 2 * u64::from(TURNS));
    assert_eq!(counts.rwlock.read().unwrap().get(), 2 * u64::from(TURNS));
    assert_eq!(counts.semaphore.available(), 1);
}

/// The other process.
pub(crate) fn contend(path: &Path) {
    Counts::of(&Region::open(path).unwrap()).add();
}

struct Counts {
    mutex: Shared<Mutex<u64>>,
    rwlock: Shared<RwLock<u64>>,
    semaphore: Shared<Semaphore>,
}

impl Counts {
    fn of(region: &Region) -> Self {
        Self {
            mutex: region.object("mutex").unwrap(),
            rwlock: region.object("rwlock").unwrap(),
            semaphore: region.object_with("semaphore", || 1).unwrap(),
        }
    }

    fn add(&self) {
        for turn in 0..TURNS {
            let dawdle = || {
                if turn % 20 == 0 {
                    thread::sleep(Duration::from_micros(200));
                }
            };
            let guard = self.mutex.lock().unwrap();
            guard.update(|count| *count += 1);
            dawdle();
            drop(guard);
            let guard = self.rwlock.write().unwrap();
            guard.update(|count| *count += 1);
            dawdle();
            drop(guard);
            let permit = self.semaphore.acquire().unwrap();
            dawdle();
            drop(permit);
        }
    }
}
