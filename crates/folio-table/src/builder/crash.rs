//! Ends builds by SIGKILL at named moments, and looks at what they leave.
//!
//! Each is this program once more, in a process of its own, told by its environment what to do.

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use rustix::process::{Signal, getpid, kill_process};

use crate::{Builder, Table};

/// The moment at which to end.
const MOMENT: &str = "FOLIO_TEST_CRASH_AT";

/// How often it is to be passed before.
const PASSES: &str = "FOLIO_TEST_CRASH_AFTER";

/// Whether all files are to have names, as on file systems where they must.
const NAMED: &str = "FOLIO_TEST_NAMED";

/// The folder to build in.
const FOLDER: &str = "FOLIO_TEST_FOLDER";

const MOMENTS: [&str; 8] = [
    "spilled", "created", "added", "records", "index", "synced", "named", "renamed",
];

/// A moment at which the process may be told to end.
pub(super) fn reached(moment: &'static str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);

    if env::var(MOMENT).is_ok_and(|wanted| wanted == moment) {
        let passes = env::var(PASSES).map_or(0, |passes| passes.parse().unwrap());
        if PASSED.fetch_add(1, Ordering::Relaxed) == passes {
            kill_process(getpid(), Signal::KILL).unwrap();
            unreachable!("killed");
        }
    }
}

/// Whether all files are to have names.
pub(super) fn names_all() -> bool {
    env::var_os(NAMED).is_some()
}

fn old() -> Builder {
    let mut builder = Builder::new();
    builder.add(1, b"key", b"old").unwrap();
    builder
}

/// Spills a few times, and has values that are put aside.
fn new(folder: &Path) -> Builder {
    let mut builder = Builder::new().memory_bytes(30_000).temporary_folder(folder);
    for number in 0..1000_u64 {
        let value = vec![b'v'; usize::try_from(number % 1500).unwrap()];
        let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        builder.add(number, &key, &value).unwrap();
    }
    builder
}

/// Runs the test of this name, which does nothing else than what the environment says.
fn child(test: &str, folder: &Path, variables: &[(&str, &str)]) -> ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("builder::crash::{test}"), "--quiet"]);
    command.env(FOLDER, folder).envs(variables.iter().copied());
    command.output().unwrap().status
}

#[test]
fn child_builds() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    new(folder).write_to(&folder.join("t.folio")).unwrap();
}

#[test]
fn child_removes_its_files() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let path = folder.join("t.folio");
    let draft = super::target::Target::create(&path).unwrap();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    crate::remove_temporary_files();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    // It can neither be finished nor begun anew.
    draft.commit().unwrap_err();
    old().write_to(&path).unwrap_err();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    kill_process(getpid(), Signal::KILL).unwrap();
}

/// Kills a build and says whether the new table stands, and how many files are left beside it.
#[track_caller]
fn crash(moment: &str, passes: u32, named: bool) -> (bool, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.folio");
    old().write_to(&path).unwrap();
    let (old_table, new_table) = (
        old().to_vec().unwrap(),
        new(folder.path()).to_vec().unwrap(),
    );

    let passes = passes.to_string();
    let mut variables = vec![(MOMENT, moment), (PASSES, passes.as_str())];
    if named {
        variables.push((NAMED, "1"));
    }
    let status = child("child_builds", folder.path(), &variables);
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{moment}");
    let table = fs::read(&path).unwrap();
    let is_new = table == new_table;
    assert!(is_new || table == old_table, "{moment}");
    Table::open(&path).unwrap().verify(|_| ()).unwrap();
    let left = fs::read_dir(folder.path()).unwrap().count() - 1;

    // The next one removes them, and works.
    new(folder.path()).write_to(&path).unwrap();
    assert!(fs::read(&path).unwrap() == new_table);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{moment}");
    (is_new, left)
}

#[test]
fn killed_at_each_moment() {
    for moment in MOMENTS {
        let is_new = moment == "renamed";
        // The finished table has a name for the moment before it is renamed, and nothing else has one.
        assert_eq!(
            crash(moment, 0, false),
            (is_new, usize::from(moment == "named"))
        );
        let draft = !matches!(moment, "spilled" | "renamed");
        assert_eq!(crash(moment, 0, true), (is_new, usize::from(draft)));
    }
    for passes in [1, 5, 10] {
        assert_eq!(crash("spilled", passes, false), (false, 0));
        assert_eq!(crash("spilled", passes, true), (false, 0));
    }
}

#[test]
fn a_process_that_is_to_end_removes_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let status = child("child_removes_its_files", folder.path(), &[(NAMED, "1")]);
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
