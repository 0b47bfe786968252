//! What of a file is in memory: counted, brought in, dropped, and by whom it is held.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use folio::residency::{Basis, Mappers, PageCounts, ProcessMemory};
use folio::{Error, Map, Residency};
use folio_sys::page;
use folio_sys::sandbox::{Refusable, Refusal, refuse};
use tempfile::NamedTempFile;

/// Pages of the test files: more than the kernel reads ahead by itself, and an end within a page.
const PAGES: u64 = 1000;

fn len() -> u64 {
    (PAGES - 1) * page::size() as u64 + 17
}

/// A file on a disk, all of it in memory and none of it dirty.
fn sample() -> NamedTempFile {
    let file = NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    fs::write(&file, vec![7; usize::try_from(len()).unwrap()]).unwrap();
    file.as_file().sync_all().unwrap();
    file
}

/// Does some work under a refusal of `cachestat` in each way, and without one.
fn with_and_without_cachestat(work: impl Fn(Basis) + Sync) {
    let refusals = [
        None,
        Some(Refusal::NotPermitted),
        Some(Refusal::NotImplemented),
    ];
    for refusal in refusals {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut basis = Basis::CacheStat;
                if let Some(how) = refusal {
                    refuse(Refusable::CacheStat, how).unwrap();
                    basis = Basis::Mincore;
                }
                let probe =
                    folio_sys::cachestat::cachestat(File::open("/proc/self/exe").unwrap(), 0, 1);
                if probe.is_err() {
                    basis = Basis::Mincore;
                }
                work(basis);
            });
        });
    }
}

fn resident(counts: PageCounts) -> u64 {
    counts.resident.unwrap()
}

#[test]
fn counts_what_is_there_by_range_and_by_cell() {
    let file = sample();
    let page = page::size() as u64;
    with_and_without_cachestat(|basis| {
        let residency = Residency::open(&file).unwrap();
        let all = residency.pages(..).unwrap();
        assert_eq!(
            (all.basis, all.pages, all.resident),
            (basis, PAGES, Some(PAGES))
        );
        assert_eq!((all.offset_bytes, all.len_bytes), (0, len()));
        let known = basis == Basis::CacheStat;
        assert_eq!(all.dirty, known.then_some(0));
        assert_eq!(all.evicted.is_some(), known);
        for (range, pages) in [
            (0..0, 0),
            (5..6, 1),
            (page - 1..page + 1, 2),
            (len() - 1..len(), 1),
        ] {
            let counts = residency.pages(range).unwrap();
            assert_eq!((counts.pages, counts.resident), (pages, Some(pages)));
        }
        let cells = residency.cells(7).unwrap();
        assert_eq!(cells.len(), 7);
        assert_eq!(cells.iter().map(|cell| cell.pages).sum::<u64>(), PAGES);
        assert_eq!(cells.iter().map(|cell| resident(*cell)).sum::<u64>(), PAGES);
        assert_eq!(
            residency.cells(5000).unwrap().len(),
            usize::try_from(PAGES).unwrap()
        );
        for wrong in [0..len() + 1, len() + 1..len() + 1, u64::MAX - 1..u64::MAX] {
            let error = residency.pages(wrong).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        }
    });
}

#[test]
fn what_is_evicted_is_gone_and_what_is_loaded_is_back() {
    let page = page::size() as u64;
    with_and_without_cachestat(|basis| {
        let file = sample();
        let residency = Residency::open(&file).unwrap();
        residency.evict(..).unwrap();
        let all = residency.pages(..).unwrap();
        assert_eq!((all.resident, all.basis), (Some(0), basis));
        if let Some(evicted) = all.evicted {
            assert!(evicted <= PAGES);
        }
        let mut seen = Vec::new();
        residency
            .load(10 * page..500 * page, |done| seen.push(done))
            .unwrap();
        assert_eq!(seen.last(), Some(&(490 * page)));
        let loaded = residency.pages(10 * page..500 * page).unwrap();
        assert_eq!(loaded.resident, Some(490));
        assert!(resident(residency.pages(600 * page..).unwrap()) < 400);
        // Without waiting, it comes by and by.
        residency.load_ahead(..).unwrap();
        let started = Instant::now();
        while resident(residency.pages(..).unwrap()) < PAGES {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "it does not come"
            );
            thread::sleep(Duration::from_millis(2));
        }
    });
}

#[test]
fn loading_needs_no_advice() {
    let file = sample();
    let residency = Residency::open(&file).unwrap();
    residency.evict(..).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            refuse(Refusable::Advice, Refusal::NotPermitted).unwrap();
            residency.load(.., |_| {}).unwrap();
        });
    });
    assert_eq!(residency.pages(..).unwrap().resident, Some(PAGES));
}

#[test]
fn dirty_pages_are_counted_and_written_before_they_are_dropped() {
    let file = NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    fs::write(&file, vec![7; usize::try_from(len()).unwrap()]).unwrap();
    let residency = Residency::open(&file).unwrap();
    let all = residency.pages(..).unwrap();
    // Others on the machine may have them written at any time.
    if let (Some(dirty), Some(write_back)) = (all.dirty, all.write_back) {
        assert!(dirty + write_back <= PAGES);
    }
    residency.evict(..).unwrap();
    assert_eq!(residency.pages(..).unwrap().resident, Some(0));
    assert!(fs::read(&file).unwrap().iter().all(|&byte| byte == 7));
}

#[test]
fn what_is_mapped_stays() {
    let file = sample();
    let map = Map::open(&file).unwrap();
    map.populate().unwrap();
    let residency = Residency::open(&file).unwrap();
    residency.evict(..).unwrap();
    assert_eq!(residency.pages(..).unwrap().resident, Some(PAGES));
    drop(map);
    residency.evict(..).unwrap();
    assert_eq!(residency.pages(..).unwrap().resident, Some(0));
}

#[test]
fn a_file_that_is_cut_grown_or_replaced_is_seen_as_it_is() {
    let file = sample();
    let residency = Residency::open(&file).unwrap();
    assert!(!residency.is_replaced());
    file.as_file().set_len(5).unwrap();
    assert_eq!(residency.pages(..).unwrap().pages, 1);
    file.as_file().set_len(0).unwrap();
    assert_eq!(residency.pages(..).unwrap().pages, 0);
    assert!(residency.cells(80).unwrap().is_empty());
    assert!(residency.is_empty().unwrap());
    residency.load(.., |_| {}).unwrap();
    residency.evict(..).unwrap();
    assert!(
        residency
            .mappers()
            .unwrap()
            .found
            .iter()
            .all(|mapper| mapper.pid != 0)
    );
    file.as_file().set_len(len()).unwrap();
    // All of it a hole now.
    assert_eq!(residency.pages(..).unwrap().pages, PAGES);
    let other = sample();
    fs::rename(other.path(), file.path()).unwrap();
    assert!(residency.is_replaced());
    fs::remove_file(file.path()).unwrap();
    assert!(residency.is_replaced());
    assert_eq!(residency.pages(..).unwrap().pages, PAGES);
}

#[test]
fn what_has_no_pages_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for path in [folder.path(), Path::new("/dev/null"), &fifo] {
        let error = Residency::open(path).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
    let error = Residency::open("/nowhere/at-all").unwrap_err();
    assert!(matches!(error, Error::Io { action: "open", .. }), "{error}");
}

#[test]
fn who_holds_it_and_how_much() {
    let file = sample();
    let residency = Residency::open(&file).unwrap();
    let us = std::process::id();
    let is_us = |mappers: &Mappers| mappers.found.iter().any(|mapper| mapper.pid == us);
    assert!(!is_us(&residency.mappers().unwrap()));
    let map = Map::open(&file).unwrap();
    map.populate().unwrap();
    let mappers = residency.mappers().unwrap();
    let mapper = mappers
        .found
        .iter()
        .find(|mapper| mapper.pid == us)
        .unwrap();
    let bytes = PAGES * page::size() as u64;
    assert_eq!((mapper.rss_bytes, mapper.pss_bytes), (bytes, bytes));
    assert_eq!((mapper.private_bytes, mapper.shared_bytes), (bytes, 0));
    assert_eq!((mapper.swapped_bytes, mapper.locked_bytes), (0, 0));
    // Twice by one process is shared by nobody.
    let ours = ProcessMemory::of(us).unwrap();
    let id = map.file_id().unwrap();
    let held = ours.files.iter().find(|held| held.id == id).unwrap();
    assert_eq!(held.path, file.path());
    assert!(!held.is_deleted);
    assert_eq!((held.mapped_bytes, held.memory.rss_bytes), (bytes, bytes));
    assert!(ours.total.rss_bytes >= bytes + ours.anonymous.rss_bytes);
    fs::remove_file(file.path()).unwrap();
    let ours = ProcessMemory::of(us).unwrap();
    let held = ours.files.iter().find(|held| held.id == id).unwrap();
    assert_eq!(held.path, file.path());
    assert!(held.is_deleted);
    let _ = file.close();
}

/// A process that does nothing, until it is dropped.
struct Idle(Child);

impl Idle {
    fn start() -> Self {
        let mut command = Command::new("sleep");
        Self(command.arg("600").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_that_end_in_the_middle_are_no_error() {
    let idle = Idle::start();
    let pid = idle.0.id();
    assert!(ProcessMemory::of(pid).is_ok());
    let mut idle = idle;
    idle.0.kill().unwrap();
    // Ended, and not reaped: it has no mappings any more.
    let started = Instant::now();
    while ProcessMemory::of(pid).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(60));
    }
    let error = ProcessMemory::of(pid).unwrap_err();
    let kind = std::io::Error::from(error).kind();
    assert_eq!(kind, ErrorKind::NotFound);
    drop(idle);
    assert!(ProcessMemory::of(pid).is_err());

    let file = sample();
    let map = Map::open(&file).unwrap();
    map.get::<u8>(0).unwrap();
    let id = map.file_id().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop(Idle::start());
            }
        });
        for _ in 0..50 {
            let mappers = Mappers::of(id).unwrap();
            assert!(
                mappers
                    .found
                    .iter()
                    .any(|mapper| mapper.pid == std::process::id())
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
}

const STRANGER: &str = "FOLIO_TEST_STRANGER";

/// Looks at a file that it may only read, and at a process that is not its own.
#[test]
fn stranger() {
    let Ok(path) = std::env::var(STRANGER) else {
        return;
    };
    let residency = Residency::open(path).unwrap();
    let all = residency.pages(..).unwrap();
    match all.basis {
        // Linux 6.5 to 6.13 tell anybody.
        Basis::CacheStat => assert!(all.resident.is_some()),
        basis => assert_eq!((basis, all.resident), (Basis::Withheld, None)),
    }
    assert!(
        residency
            .cells(10)
            .unwrap()
            .iter()
            .all(|cell| cell.basis == all.basis)
    );
    refuse(Refusable::CacheStat, Refusal::NotImplemented).unwrap();
    let all = residency.pages(..).unwrap();
    assert_eq!(
        (all.basis, all.resident, all.dirty),
        (Basis::Withheld, None, None)
    );
    assert!(all.pages > 0);
    let error = ProcessMemory::of(1).unwrap_err();
    assert_eq!(
        std::io::Error::from(error).kind(),
        ErrorKind::PermissionDenied
    );
    assert!(residency.mappers().unwrap().refused > 0);
}

#[test]
fn those_who_may_not_know_are_told_that_they_do_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("program");
    // By a process of its own: a descriptor of this one, open for writing, would be in the children that other tests
    // start meanwhile, and a program that is open for writing cannot be run.
    let copied = Command::new("cp")
        .args([&std::env::current_exe().unwrap(), &program])
        .status();
    assert!(copied.unwrap().success());
    let path = folder.path().join("data");
    let mut command = Command::new(&program);
    command.args(["--exact", "stranger", "--nocapture", "--test-threads=1"]);
    if rustix::process::geteuid().is_root() {
        fs::write(&path, vec![7; 100_000]).unwrap();
        // Of whom nothing here is: `nobody`, everywhere.
        command.uid(65534).gid(65534).env(STRANGER, &path);
    } else {
        let theirs = "/etc/passwd";
        assert_ne!(
            fs::metadata(theirs).unwrap().uid(),
            rustix::process::geteuid().as_raw()
        );
        command.env(STRANGER, theirs);
    }
    let output = command.current_dir("/").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
