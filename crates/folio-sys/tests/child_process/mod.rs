//! Tests that need a process of their own: each is run by a test that starts this very
//! program anew for it, and looks at how it ended.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "FOLIO_TEST_CHILD";
const SIGNAL: &str = "FOLIO_TEST_SIGNAL";

/// The exit status of a child that came to its end: no test harness and no
/// misspelt name gives it.
pub(crate) const REACHED_END: i32 = 47;

/// How long a child may take, on the slowest machine or emulator there is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program that runs this one and so must run its children: an emulator, for another
/// architecture. Unset for programs that run by themselves.
const RUNNER: &str = "FOLIO_TEST_RUNNER";

/// Runs the test `name` of this program in a process of its own, with a signal to be about.
pub(crate) fn run(name: &str, signal: i32) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut child = this_program()
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(NAME, name)
        .env(SIGNAL, signal.to_string())
        // A core, where one is written, goes with the folder.
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    // The children write less than a pipe holds, so none waits for us to read.
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{name}, signal {signal}: still running after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// Whether this is another processor than the machine's.
pub(crate) fn is_emulated() -> bool {
    std::env::var_os(RUNNER).is_some()
}

fn this_program() -> Command {
    let program = std::env::current_exe().unwrap();
    match std::env::var_os(RUNNER) {
        None => Command::new(program),
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(program);
            command
        }
    }
}

pub(crate) fn assert_reaches_end(name: &str, signal: i32) {
    let output = run(name, signal);
    assert_eq!(
        output.status.code(),
        Some(REACHED_END),
        "{name}, signal {signal}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How a process ends by `signal`, with a core or without.
pub(crate) fn assert_killed(name: &str, signal: i32, as_in: ExitStatus) {
    let output = run(name, signal);
    assert_eq!(
        output.status.into_raw(),
        as_in.into_raw(),
        "{name}, signal {signal}: {}, not {as_in}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// In the child of that name, does the work, and ends the process as one that got there.
pub(crate) fn child(name: &str, work: impl FnOnce(i32)) {
    if std::env::var(NAME).is_ok_and(|child| child == name) {
        let signal = std::env::var(SIGNAL).unwrap().parse().unwrap();
        work(signal);
        std::process::exit(REACHED_END);
    }
}
