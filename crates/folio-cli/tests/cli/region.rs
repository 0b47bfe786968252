//! `folio region`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use folio_ipc::{Data, LockError, Mutex, Region, RwLock, Semaphore, Shared};
use rustix::process::Signal;
use serde_json::Value;

use crate::folder::Folder;
use crate::process::{Killed, WATCHDOG, send_signal, within_watchdog};

/// A region `r` of two objects, open in this process.
fn region(folder: &Folder) -> (Region, [Shared<Data<u64>>; 2]) {
    let region = Region::options()
        .size_bytes(2 << 20)
        .create(folder.path("r"))
        .unwrap();
    let objects = ["hits", "misses"].map(|name| region.object(name).unwrap());
    (region, objects)
}

#[test]
fn shows_what_there_is() {
    let folder = Folder::new();
    let (region, objects) = region(&folder);
    let stat = folder.folio(["region", "stat", "r"]).text();
    assert!(
        stat.contains("size            2.00 MiB (2,097,152 bytes)\n"),
        "{stat}"
    );
    assert!(
        stat.contains("participants    1 living, 0 dead, room for "),
        "{stat}"
    );
    assert!(stat.contains("objects         2, room for "), "{stat}");

    let list = folder.folio(["region", "objects", "r"]).text();
    let rows: Vec<_> = list.lines().collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(rows[1].starts_with("data "), "{list}");
    assert!(
        rows[1].contains("  hits (") && rows[2].contains("  misses ("),
        "{list}"
    );

    let list = folder.folio(["region", "participants", "r"]).text();
    let pid = std::process::id().to_string();
    assert!(
        list.lines()
            .any(|row| row.contains(&pid) && row.contains("living")),
        "{list}"
    );

    let locks = folder.folio(["region", "locks", "r"]).text();
    assert!(locks.contains("(heap and directory)     free\n"), "{locks}");
    drop((region, objects));
    let stat = folder.folio(["region", "stat", "r"]).text();
    assert!(stat.contains("participants    0 living, 0 dead"), "{stat}");
}

#[test]
fn shows_it_as_json() {
    let folder = Folder::new();
    let (_region, _objects) = region(&folder);
    let first = |action: &str| -> Value {
        let text = folder.folio(["region", action, "r", "--json"]).text();
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    };
    let stat = first("stat");
    assert_eq!(stat["size_bytes"], 2 << 20);
    assert_eq!(stat["participants_living"], 1);
    assert_eq!(stat["objects"], 2);
    assert!(stat["heap"]["free_bytes"].as_u64().unwrap() > 1 << 20);
    let object = first("objects");
    assert_eq!(object["name"], "hits");
    assert_eq!(object["kind"], "data");
    assert_eq!(object["user_slots"].as_array().unwrap().len(), 1);
    let participant = first("participants");
    assert_eq!(participant["pid"], std::process::id());
    assert_eq!(participant["living"], true);
    assert_eq!(first("locks")["owner_pid"], Value::Null);
    assert_eq!(first("list")["participants_living"], 1);
}

#[test]
fn lists_the_regions_of_a_folder() {
    let folder = Folder::new();
    let (_region, _objects) = region(&folder);
    folder.write("other", "no region");
    let list = folder.folio(["region", "list", "."]).text();
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.ends_with("./r\n"), "{list}");
    let refused = folder.folio(["region", "list", "other", "r"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.starts_with("folio: "), "{}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1);
}

#[test]
fn removes_objects_and_regions() {
    let folder = Folder::new();
    let (region, [hits, misses]) = region(&folder);
    drop(hits);
    let removed = folder.folio(["region", "remove", "r", "--object", "hits"]);
    assert_eq!(removed.stderr, "r: removed object \"hits\"\n");
    let missing = folder.folio(["region", "remove", "r", "--object", "hits"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        missing
            .stderr
            .starts_with("folio: r: no object is called \"hits\"\nhint: "),
        "{}",
        missing.stderr
    );
    let kept = folder.folio(["region", "remove", "r"]);
    assert_eq!(kept.status.code(), Some(1));
    assert!(
        kept.stderr
            .starts_with("folio: r: 1 processes have it open\nhint: "),
        "{}",
        kept.stderr
    );
    drop((misses, region));
    let removed = folder.folio(["region", "remove", "r"]);
    assert_eq!(removed.stderr, "r: removed\n");
    assert!(!folder.path("r").exists());

    // What is no region stays.
    folder.write("precious", "x".repeat(10_000));
    let refused = folder.folio(["region", "remove", "precious", "--force"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(folder.path("precious").exists());
}

#[test]
fn repairs() {
    let folder = Folder::new();
    let (_region, _objects) = region(&folder);
    let repaired = folder.folio(["region", "repair", "r"]);
    assert!(
        repaired
            .stderr
            .starts_with("r: 0 dead processes cleaned up behind, "),
        "{}",
        repaired.stderr
    );
}

/// What `region locks --json` says of a lock.
fn lock_as_json(folder: &Folder, name: &str) -> Value {
    let text = folder.folio(["region", "locks", "r", "--json"]).text();
    let locks = text.lines().map(|row| serde_json::from_str(row).unwrap());
    locks
        .into_iter()
        .find(|lock: &Value| lock["name"] == name)
        .unwrap()
}

/// What it says to humans: the row of a lock without its name, and those that belong to it.
fn lock_as_text(folder: &Folder, name: &str) -> Vec<String> {
    let text = folder.folio(["region", "locks", "r"]).text();
    let mut rows = text.lines();
    let first = rows.find_map(|row| {
        let (_, rest) = row.split_once(' ')?;
        rest.trim_start().strip_prefix(name)?.strip_prefix(' ')
    });
    let further = rows.take_while(|row| row.starts_with(' '));
    first
        .into_iter()
        .chain(further)
        .map(|row| row.trim().to_owned())
        .collect()
}

#[test]
fn shows_who_holds_locks_and_who_waits() {
    let folder = Folder::new();
    let (region, _objects) = region(&folder);
    let mutex = region.object::<Mutex<u64>>("queue").unwrap();
    let rwlock = region.object::<RwLock<u64>>("table").unwrap();
    let semaphore = region.object_with::<Semaphore>("slots", || 3).unwrap();
    let pid = std::process::id();
    let since_held = Instant::now();
    let held = (
        mutex.lock().unwrap(),
        rwlock.read().unwrap(),
        [semaphore.acquire().unwrap(), semaphore.acquire().unwrap()],
    );
    let queue = lock_as_json(&folder, "queue");
    assert_eq!(queue["owner_pid"], pid);
    assert_eq!(queue["held_at_least_ms"], Value::Null);
    let tid = queue["owner_tid"].as_u64().unwrap();
    let me = format!("process {pid}, thread {tid}");
    assert_eq!(lock_as_text(&folder, "queue"), [format!("held by {me}")]);
    assert_eq!(
        lock_as_text(&folder, "table"),
        ["read by 1 thread".to_owned(), format!("by {me}")]
    );
    assert_eq!(
        lock_as_text(&folder, "slots"),
        ["2 permits taken".to_owned(), format!("by {me}, 2 times")]
    );
    let slots = lock_as_json(&folder, "slots");
    assert_eq!(slots["holders"][0]["pid"], pid);
    assert_eq!(slots["holders"][0]["times"], 2);
    assert_eq!(slots["holders"][1], Value::Null);
    assert_eq!(slots["waiters"], Value::Array(Vec::new()));

    thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(mutex.lock().unwrap()));
        let is_waited_for =
            || lock_as_json(&folder, "queue")["waiters"][0]["waiting_for_ns"].is_u64();
        assert!(within_watchdog(is_waited_for));
        let held_at_least = || lock_as_json(&folder, "queue")["held_at_least_ms"].as_u64();
        assert!(within_watchdog(|| held_at_least() >= Some(20)));
        assert!(
            held_at_least() <= Some(u64::try_from(since_held.elapsed().as_millis()).unwrap() + 1)
        );
        let rows = lock_as_text(&folder, "queue");
        assert!(
            rows[0].starts_with(&format!("held by {me}, ≥ ")),
            "{rows:?}"
        );
        assert!(rows[0].contains("; 1 waits, up to "), "{rows:?}");
        drop(held);
        waiter.join().unwrap();
    });
    for name in ["queue", "table", "slots"] {
        assert_eq!(lock_as_text(&folder, name), ["free"]);
    }
}

#[test]
fn a_lock_of_nobody_is_shown_and_repaired() {
    let folder = Folder::new();
    let (region, _objects) = region(&folder);
    let mutex = region.object_with::<Mutex<u64>>("queue", || 5).unwrap();
    drop(mutex.lock().unwrap());
    let at = lock_as_json(&folder, "queue")["offset_bytes"]
        .as_u64()
        .unwrap();
    // The same in any byte order.
    let word = 0x2b2b_2b2b_u32;
    let file = File::options().write(true).open(folder.path("r")).unwrap();
    file.write_all_at(&word.to_be_bytes(), at).unwrap();

    let queue = lock_as_json(&folder, "queue");
    assert_eq!(queue["owner_unknown"], true);
    assert_eq!(queue["owner_tid"], word);
    assert_eq!(queue["owner_pid"], Value::Null);
    let nobody = format!("held by thread {word}, which there is none of: folio region repair");
    assert_eq!(lock_as_text(&folder, "queue"), [nobody]);
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));

    let repaired = folder.folio(["region", "repair", "r", "--json"]).text();
    let repaired: Value = serde_json::from_str(&repaired).unwrap();
    assert_eq!(repaired["locks"], 1);
    assert_eq!(repaired["participants"], 0);
    let died = "its owner died: the next to take it is told";
    assert_eq!(lock_as_text(&folder, "queue"), [died]);
    assert_eq!(lock_as_json(&folder, "queue")["owner_unknown"], false);

    let Err(LockError::OwnerDied(guard)) = mutex.try_lock() else {
        panic!("nobody has said that the value is right");
    };
    assert_eq!(guard.get(), 5);
    guard.recovered();
    drop(guard);
    assert!(mutex.try_lock().is_ok());
    assert_eq!(lock_as_text(&folder, "queue"), ["free"]);
}

/// The heap's own lock is at the beginning of the control page: see `docs/region.md`.
#[test]
fn a_heap_that_nobody_has_locked_is_unlocked() {
    let folder = Folder::new();
    let (region, _objects) = region(&folder);
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .open(folder.path("r"))
        .unwrap();
    let after_garbage = |change: &dyn Fn()| {
        file.write_all_at(&0x2b2b_2b2b_u32.to_be_bytes(), 4096)
            .unwrap();
        change();
        let mut word = [0; 4];
        file.read_exact_at(&mut word, 4096).unwrap();
        assert_eq!(word, [0; 4]);
    };
    after_garbage(&|| {
        folder.folio(["region", "repair", "r"]).text();
    });
    after_garbage(&|| drop(region.object::<Data<u64>>("made").unwrap()));
    after_garbage(&|| {
        let arguments = ["region", "remove", "r", "--object", "made"];
        folder.folio(arguments).text();
    });
    assert!(region.check().is_ok());
}

#[test]
fn repairs_what_a_dead_process_held() {
    let folder = Folder::new();
    let (region, _objects) = region(&folder);
    let mutex = region.object::<Mutex<u64>>("queue").unwrap();
    let rwlock = region.object::<RwLock<u64>>("table").unwrap();
    let semaphore = region.object_with::<Semaphore>("slots", || 3).unwrap();
    let held = (
        mutex.lock().unwrap(),
        rwlock.read().unwrap(),
        [semaphore.acquire().unwrap(), semaphore.acquire().unwrap()],
    );
    // As it would be if this process had died now: of a copy, nobody is a participant.
    std::fs::copy(folder.path("r"), folder.path("copy")).unwrap();
    drop(held);
    let repaired = folder.folio(["region", "repair", "copy"]);
    let expected =
        "copy: 1 dead processes cleaned up behind, 1 threads, 4 locks released, 0 blocks ";
    assert!(repaired.stderr.starts_with(expected), "{}", repaired.stderr);
    let again = folder.folio(["region", "repair", "copy", "--json"]).text();
    let again: Value = serde_json::from_str(&again).unwrap();
    for key in ["participants", "threads", "locks", "blocks", "block_bytes"] {
        assert_eq!(again[key], 0, "{again}");
    }
}

#[test]
fn watches_who_has_locks() {
    let folder = Folder::new();
    let (region, _objects) = region(&folder);
    let mutex = region.object::<Mutex<u64>>("queue").unwrap();
    let guard = mutex.lock().unwrap();
    let mut command = folder.command("region locks r --json --watch --interval-ms 10".split(' '));
    let mut watch = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    // Its output ends with it.
    let (done, is_done) = mpsc::channel::<()>();
    let pid = watch.0.id();
    thread::spawn(move || {
        if is_done.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
            send_signal(pid, Signal::KILL);
        }
    });
    let mut looks = lines
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .filter(|lock| lock["name"] == "queue");
    // At the first look it has not been seen before, and after that it has.
    let first = looks.next().unwrap();
    assert_eq!(first["owner_pid"], std::process::id());
    assert_eq!(first["owner_seen_with_it_ms"], Value::Null);
    let second = looks.next().unwrap();
    let seen_ms = second["owner_seen_with_it_ms"].as_u64();
    assert!(seen_ms >= Some(10), "{second}");
    assert!(looks.any(|look| look["owner_seen_with_it_ms"].as_u64() > seen_ms));
    drop(guard);
    assert!(looks.any(|look| look["owner_tid"].is_null()));
    drop(mutex.lock().unwrap());
    let guard = mutex.lock().unwrap();
    let again = looks.find(|look| look["owner_tid"].is_u64()).unwrap();
    assert_eq!(again["owner_seen_with_it_ms"], Value::Null, "{again}");
    drop(guard);
    drop(done);
}
