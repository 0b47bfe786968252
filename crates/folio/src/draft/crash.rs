//! Ends commits and recoveries by SIGKILL at named moments, and looks at what they leave.
//!
//! Each is this program once more, in a process of its own, told by its environment what to do.

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

use crate::{Draft, Error, Map, ReadAt};

/// The moment at which to end, how often it is to be passed before, and the file.
const MOMENT: &str = "FOLIO_TEST_DRAFT_CRASH_AT";
const PASSES: &str = "FOLIO_TEST_DRAFT_CRASH_AFTER";
const FILE: &str = "FOLIO_TEST_DRAFT";

/// The moments of a commit and of closing, in order, and how often the child comes by.
const MOMENTS: [(&str, u32); 11] = [
    ("created", 2),
    ("recorded", 2),
    ("headed", 2),
    ("synced", 2),
    ("named", 2),
    ("written", 13),
    ("applied", 2),
    ("safe", 2),
    ("void", 2),
    ("done", 1),
    ("removed", 1),
];

/// A moment at which the process may be told to end.
pub(super) fn reached(moment: &'static str) {
    static PASSED: AtomicU32 = AtomicU32::new(0);

    if env::var(MOMENT).is_ok_and(|wanted| wanted == moment) {
        let passes: u32 = env::var(PASSES).unwrap().parse().unwrap();
        if PASSED.fetch_add(1, Ordering::Relaxed) == passes {
            kill_process(getpid(), Signal::KILL).unwrap();
            unreachable!("killed");
        }
    }
}

fn page() -> u64 {
    folio_sys::page::size() as u64
}

/// The pages that each of the two commits changes; each run is written by itself.
fn changes(commit: u8) -> &'static [u64] {
    match commit {
        1 => &[0, 3, 4, 9, 40, 99],
        _ => &[3, 5, 7, 9, 11, 41, 77, 99],
    }
}

fn version(commits: u8) -> Vec<u8> {
    let mut bytes = vec![b'.'; usize::try_from(100 * page()).unwrap()];
    for commit in 1..=commits {
        for at in changes(commit) {
            let at = usize::try_from(at * page()).unwrap();
            bytes[at + 7..at + 1000].fill(b'0' + commit);
        }
    }
    bytes
}

fn edit(draft: &mut Draft, commit: u8) {
    for at in changes(commit) {
        let bytes = [b'0' + commit; 993];
        draft.write_all_at(at * page() + 7, &bytes).unwrap();
    }
    assert_eq!(
        draft.dirty().unwrap().page_count(),
        changes(commit).len() as u64
    );
    draft.commit().unwrap();
}

/// Runs the test of this name, which does nothing else than what the environment says.
fn child(test: &str, path: &Path, moment: &str, passes: u32) -> Option<i32> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("draft::crash::{test}"), "--quiet"]);
    command.env(FILE, path).env(MOMENT, moment);
    command.env(PASSES, passes.to_string());
    command.output().unwrap().status.signal()
}

#[test]
fn child_commits() {
    let Some(path) = env::var_os(FILE) else {
        return;
    };
    let mut draft = Draft::open(path).unwrap();
    edit(&mut draft, 1);
    edit(&mut draft, 2);
}

#[test]
fn child_recovers() {
    let Some(path) = env::var_os(FILE) else {
        return;
    };
    drop(Draft::open(path).unwrap());
}

/// Kills recoveries of a file, each from where it is now, and says how many.
fn kill_recoveries(path: &Path, versions: &[Vec<u8>]) -> u32 {
    let journal = path.with_file_name("file.draft-journal");
    let before = (fs::read(path).unwrap(), fs::read(&journal).ok());
    let mut kills = 0;
    for (moment, passes) in [
        ("replayed", 0),
        ("replayed", 3),
        ("recovered", 0),
        ("done", 0),
        ("removed", 0),
    ] {
        kills += u32::from(child("child_recovers", path, moment, passes).is_some());
        let draft = Draft::open(path).unwrap();
        let mut bytes = vec![0; before.0.len()];
        draft.read_exact_at(0, &mut bytes).unwrap();
        assert!(versions.contains(&bytes), "{moment} {passes}");
        drop(draft);
        // Back to where it was, for the next one.
        fs::write(path, &before.0).unwrap();
        if let Some(bytes) = &before.1 {
            fs::write(&journal, bytes).unwrap();
        }
    }
    kills
}

#[test]
fn killed_at_each_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let versions = [version(0), version(1), version(2)];
    let (mut kills, mut seen) = (0, [0; 3]);
    for (moment, count) in MOMENTS {
        for passes in 0..count {
            fs::write(&path, &versions[0]).unwrap();
            let reader = Map::open(&path).unwrap();
            let signal = child("child_commits", &path, moment, passes);
            assert_eq!(signal, Some(Signal::KILL.as_raw()), "{moment} {passes}");
            kills += 1;
            if passes % 4 == 0 {
                kills += kill_recoveries(&path, &versions);
            }
            let draft = Draft::open(&path).unwrap();
            let bytes = fs::read(&path).unwrap();
            let which = versions.iter().position(|version| *version == bytes);
            seen[which.unwrap_or_else(|| panic!("a mixture at {moment} {passes}"))] += 1;
            let mut mapped = vec![0; bytes.len()];
            reader.read_exact_at(0, &mut mapped).unwrap();
            assert!(mapped == bytes);
            assert!(matches!(Draft::open(&path), Err(Error::InUse { .. })));
            drop(draft);
            assert!(!folder.path().join("file.draft-journal").exists());
        }
    }
    println!("{kills} kills: {seen:?} are none, one and two commits, none mixed");
    assert!(seen.iter().all(|&count| count > 1));
}
