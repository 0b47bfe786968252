//! Work that may end its process, done in a process of its own: this very program, started anew
//! for one of its tests.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "FOLIO_TEST_CHILD";

/// How long a child may take, on the slowest machine there is.
const PATIENCE: Duration = Duration::from_secs(60);

/// SIGBUS, as Linux numbers it on the machines that have folio's fault handler.
const SIGBUS: i32 = 7;

/// Runs the test `name` of this program in a process of its own.
pub(crate) fn run(name: &str, stdin: impl Into<Stdio>, variables: &[(&str, &OsStr)]) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(NAME, name)
        .envs(variables.iter().copied())
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The other end of what the child was given is to see that nobody else has it.
    drop(command);
    let mut stderr = child.stderr.take().unwrap();
    let said = thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{name}: still running after {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(1));
    };
    let said = said.join().unwrap();
    assert!(
        status.success() || is_sigbus(status),
        "{name}: {status}\n{said}"
    );
    status
}

/// Whether this is the process that [`run`] made for the test of this name.
pub(crate) fn is(name: &str) -> bool {
    std::env::var_os(NAME).is_some_and(|child| child == name)
}

/// Whether a process was ended by a page that its file had lost.
pub(crate) fn is_sigbus(status: ExitStatus) -> bool {
    status.signal() == Some(SIGBUS)
}
