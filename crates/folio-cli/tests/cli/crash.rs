//! Builds that are killed, at any moment: the target is the old table or the new one, and the next
//! build removes what is left.
//!
//! `FOLIO_CRASH_ROUNDS` sets how many are killed, and the counts are reported.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::folder::Folder;
use crate::process::{Killed, send_signal, within_watchdog};
use crate::program::report;

/// Needs some runs in files, so that there are all kinds of moments.
const BUILD_NEW: [&str; 6] = ["build", "new.tsv", "-o", "t.folio", "--memory", "1M"];
const BUILD_OLD: [&str; 4] = ["build", "old.tsv", "-o", "t.folio"];

struct Tables {
    folder: Folder,
    old: Vec<u8>,
    new: Vec<u8>,
    /// What there is when nothing is left over.
    files: BTreeSet<PathBuf>,
    /// How long the new table takes.
    takes: Duration,
}

impl Tables {
    fn make() -> Self {
        let folder = Folder::new();
        folder.write("old.tsv", "key1\told\n");
        let line = |number: u32| {
            let key = number.wrapping_mul(0x9e37_79b9);
            format!("{key:08x}\t{}\n", "v".repeat(number as usize % 150))
        };
        folder.write("new.tsv", (0..30_000).map(line).collect::<String>());
        let started = Instant::now();
        folder.folio(BUILD_NEW).success();
        let takes = started.elapsed();
        let new = fs::read(folder.path("t.folio")).unwrap();
        folder.folio(BUILD_OLD).success();
        let old = fs::read(folder.path("t.folio")).unwrap();
        let files = folder.files();
        Self {
            folder,
            old,
            new,
            files,
            takes,
        }
    }

    fn start_new(&self) -> Killed {
        let mut command = self.folder.command(BUILD_NEW);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Killed(command.spawn().unwrap())
    }
}

#[test]
fn killed_at_random_moments() {
    let rounds = std::env::var("FOLIO_CRASH_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let tables = Tables::make();
    let (mut ended, mut new, mut left_over) = (0, 0, 0);
    for _ in 0..rounds {
        let mut build = tables.start_new();
        // Some come too late: the moments up to the last one are to be met.
        let moment = RandomState::new().hash_one(0) % 1200;
        sleep(tables.takes * u32::try_from(moment).unwrap() / 1000);
        let _ = build.0.kill();
        let status = build.wait();
        ended += u32::from(status.success());

        let table = fs::read(tables.folder.path("t.folio")).unwrap();
        let is_new = table == tables.new;
        assert!(is_new || table == tables.old, "neither the old nor the new");
        assert!(is_new || !status.success());
        new += u32::from(is_new);
        let left = tables.folder.files();
        assert!(left.is_superset(&tables.files));
        left_over += left.len() - tables.files.len();

        tables.folder.folio(BUILD_OLD).success();
        assert_eq!(tables.folder.files(), tables.files);
        let table = fs::read(tables.folder.path("t.folio")).unwrap();
        assert!(table == tables.old);
    }
    report(&format!(
        "{rounds} builds killed, {ended} of them too late: {new} new tables, {} old ones, {left_over} files left over",
        rounds - new
    ));
}

#[test]
fn asked_to_end() {
    let tables = Tables::make();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        // From a pipe that has more to come, so that it does not end before.
        let mut command = tables.folder.command(["build", "-", "-o", "t.folio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        let mut build = Killed(command.spawn().unwrap());
        // Under nohup(1), and there alone, a signal is ignored, and is to stay so.
        if has_signal("SigIgn:", std::process::id(), signal) {
            crate::program::report(&format!("not tested: {signal:?} is ignored here"));
            continue;
        }
        let handles = || has_signal("SigCgt:", build.0.id(), signal);
        assert!(within_watchdog(handles));
        send_signal(build.0.id(), signal);
        assert_eq!(build.wait().signal(), Some(signal.as_raw()));
        assert_eq!(tables.folder.files(), tables.files);
        let table = fs::read(tables.folder.path("t.folio")).unwrap();
        assert!(table == tables.old);
    }
}

/// Whether one of the masks in a process's status has a signal (`proc(5)`).
fn has_signal(mask: &str, pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix(mask));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// What a build that was killed has left, on a file system where files cannot be without a name, is removed
/// by the next one; what belongs to a build that runs is not.
#[test]
fn what_is_left_over_goes_with_the_next_build() {
    let tables = Tables::make();
    let abandoned = ".folio-build-00000000000000aa.tmp";
    tables.folder.write(abandoned, "half a table");
    let held = tables
        .folder
        .write(".folio-build-00000000000000bb.tmp", "being written");
    let file = fs::File::open(&held).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();

    tables.folder.folio(BUILD_OLD).success();
    assert!(!tables.folder.path(abandoned).exists());
    assert!(held.exists());
    drop(file);
    tables.folder.folio(BUILD_OLD).success();
    assert_eq!(tables.folder.files(), tables.files);
}
