//! Processes that end in time, one way or another.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives up. Nothing here takes a tenth of it;
/// a machine that is busy with other things may make it.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(120);

/// The program under test.
pub(crate) const FOLIO: &str = env!("CARGO_BIN_EXE_folio");

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    /// What it printed, from a process that did what it was asked without complaint.
    #[track_caller]
    pub(crate) fn success(self) -> Vec<u8> {
        assert!(self.status.success(), "{}: {}", self.status, self.stderr);
        self.stdout
    }

    /// The same as text.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        String::from_utf8(self.success()).unwrap()
    }
}

/// Runs a command to its end, feeding it these bytes through a pipe.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Finished {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Killed(child.unwrap());
    let mut stdin = child.0.stdin.take().unwrap();
    let stdout = read_all(child.0.stdout.take().unwrap());
    let stderr = read_all(child.0.stderr.take().unwrap());
    std::thread::scope(|scope| {
        // It may end before it has read everything.
        scope.spawn(move || drop(stdin.write_all(input)));
        let status = child.wait();
        Finished {
            status,
            stdout: stdout.join().unwrap(),
            stderr: String::from_utf8(stderr.join().unwrap()).unwrap(),
        }
    })
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// A process that does not outlive the test.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) Child);

impl Killed {
    /// Waits for its end; kills it and fails when that takes too long.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = within_watchdog(|| {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        if !ended {
            // So that readers of its pipes come to an end as well.
            let _ = self.0.kill();
            let _ = self.0.wait();
            panic!("process {} does not end", self.0.id());
        }
        status.unwrap()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so, and tells whether it came to be.
pub(crate) fn within_watchdog(mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < WATCHDOG {
        if is_so() {
            return true;
        }
        sleep(Duration::from_millis(2));
    }
    false
}

/// Whether a process runs; one that has ended and waits to be reaped does not.
pub(crate) fn runs(pid: u32) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
        .ok()
        .and_then(|stat| {
            let (_, rest) = stat.rsplit_once(") ")?;
            Some(!rest.starts_with(['Z', 'X']))
        })
        .unwrap_or(false)
}

pub(crate) fn send_signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}
