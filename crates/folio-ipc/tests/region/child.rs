//! The processes that tests start, and what runs in them.

use std::env;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

use crate::{campaign, forked, growth, killed, objects, opening};

/// Says what a process is to do.
const ROLE: &str = "FOLIO_REGION_CHILD";
const PATH: &str = "FOLIO_REGION_PATH";

/// A process of this program, killed when dropped.
pub(crate) struct Child {
    process: process::Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts a process that does something with a region.
    pub(crate) fn start(role: &str, path: &Path) -> Self {
        Self::of(&mut Self::command(role, path))
    }

    /// Starts one that ends itself at a point, when it comes there for the `nth` time.
    pub(crate) fn until(point: &str, nth: u32, role: &str, path: &Path) -> Self {
        let mut command = Self::command(role, path);
        command.env("FOLIO_KILL_POINT", format!("{point}:{nth}"));
        Self::of(&mut command)
    }

    pub(crate) fn command(role: &str, path: &Path) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(ROLE, role).env(PATH, path).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let stdout = process.stdout.take().unwrap();
        Self {
            stdin: process.stdin.take(),
            process,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// The next line that it writes.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("it writes a line").unwrap()
    }

    /// Sends it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends its input and waits for it; all else that it writes.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<String> {
        let (lines, killed) = self.wait();
        assert!(!killed, "{lines:?}");
        lines
    }

    /// Ends its input and waits for it to be killed, or to end by itself; what it wrote, and whether it was killed.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (Vec<String>, bool) {
        drop(self.stdin.take());
        let lines = self.lines.by_ref().map(Result::unwrap).collect();
        let status = self.process.wait().unwrap();
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        assert!(killed || status.success(), "{status}: {lines:?}");
        (lines, killed)
    }

    /// Ends it, and leaves it as a zombie until it is dropped. It is one when its descriptors are closed, as its output shows.
    pub(crate) fn kill_to_zombie(&mut self) {
        self.process.kill().unwrap();
        assert!(self.lines.next().is_none());
    }

    /// Ends it, which it must not have done by itself.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        let status = self.process.wait().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(9), "{status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does what this process was started for, if it was started by a test.
pub(crate) fn run_if_told() -> bool {
    let Ok(role) = env::var(ROLE) else {
        return false;
    };
    let path = PathBuf::from(env::var_os(PATH).unwrap());
    match role.split_once('/').unwrap_or((&role, "")) {
        ("attach", _) => opening::attach(&path),
        ("fill", _) => opening::fill(&path),
        ("follow growth", _) => growth::follow(&path),
        ("use", name) => objects::use_until_told(&path, name),
        ("fork", what) => forked::run(&path, what),
        ("exercise", _) => killed::exercise(&path),
        ("churn", seed) => campaign::churn(&path, seed),
        _ => panic!("unknown role {role}"),
    }
    true
}

/// Writes a line past all buffers.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// The next line of the input; empty when it has ended.
pub(crate) fn hear() -> String {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Waits for the end of the input.
pub(crate) fn until_told() {
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
