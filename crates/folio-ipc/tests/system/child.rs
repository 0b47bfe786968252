//! The processes that tests start.

use std::env;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{full_disk, namespaces, system_calls};

/// A process of this program, perhaps with another between, killed when dropped.
pub(crate) struct Child {
    process: process::Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// Its id as this process sees it.
    pid: Option<Pid>,
}

impl Child {
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        Self {
            stdin: process.stdin.take(),
            process,
            lines: BufReader::new(stdout).lines(),
            pid: None,
        }
    }

    /// Waits for it to [say who it is](introduce); its thread id, as it sees that.
    #[track_caller]
    pub(crate) fn introduction(&mut self) -> u32 {
        let line = self.line();
        let (tid, pid) = line.split_once(' ').unwrap();
        self.pid = Pid::from_raw(pid.parse().unwrap());
        tid.parse().unwrap()
    }

    /// The next line that it writes.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.try_line().expect("it writes a line")
    }

    /// The next line that it writes, if it writes one more.
    pub(crate) fn try_line(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    /// Ends its input.
    pub(crate) fn go_on(&mut self) {
        drop(self.stdin.take());
    }

    /// Waits for its end, which must be a good one; all else that it writes.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.go_on();
        let lines = self.lines.by_ref().map(Result::unwrap).collect();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {lines:?}");
        lines
    }

    /// Kills it, and waits until it is no more.
    pub(crate) fn kill(mut self) {
        self.kill_if_there();
        let _ = self.lines.by_ref().count();
        let _ = self.process.wait();
    }

    fn kill_if_there(&self) {
        if let Some(pid) = self.pid {
            // It may have ended, but has been waited for by nobody but its parent, which ends with it.
            if matches!(rustix::process::test_kill_process(pid), Ok(())) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.kill_if_there();
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// The arguments of this program that make it do something with a region.
pub(crate) fn arguments(role: &str, path: &Path) -> [PathBuf; 4] {
    [
        env::current_exe().unwrap(),
        PathBuf::from("--child"),
        PathBuf::from(role),
        path.to_owned(),
    ]
}

/// A program that runs this one, with options of its own.
pub(crate) fn under(program: &str, options: &[&str], role: &str, path: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(options).args(arguments(role, path));
    command.env_remove("FOLIO_KILL_POINT");
    command
}

/// Does what this process was started for, if it was started by a test.
pub(crate) fn run_if_told() -> bool {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [child, role, path] = arguments.as_slice() else {
        return false;
    };
    if child != "--child" {
        return false;
    }
    let path = Path::new(path);
    match role.to_str() {
        Some("uncontended") => system_calls::uncontended(path),
        Some("contended") => system_calls::contended(path),
        Some("contending") => system_calls::contending(path),
        Some("contend") => system_calls::contend(path),
        Some("fill ext4") => full_disk::fill_ext4(path),
        Some("fill tmpfs") => full_disk::fill_tmpfs(path),
        Some("count") => namespaces::count(path),
        Some("leak") => namespaces::leak(path),
        Some("fork") => namespaces::fork(path),
        Some("hold") => namespaces::hold(path),
        Some("wait") => namespaces::wait(path),
        _ => panic!("unknown role {}", role.to_string_lossy()),
    }
    true
}

/// Writes a line past all buffers, in one system call.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Says who this process is: its thread's id, and its own for those who see the mounted `/proc`, in
/// whichever namespace it is.
pub(crate) fn introduce() {
    let pid = std::fs::read_link("/proc/self").unwrap();
    say(&format!("{} {}", process::id(), pid.display()));
}

/// Waits for the end of the input.
pub(crate) fn until_told() {
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
