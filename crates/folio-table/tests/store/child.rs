//! The processes that tests start, and what runs in them.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

use folio_sys::process::{Fork, fork};
use folio_table::Store;

use crate::sample::{held, publish};
use crate::{campaign, killed};

/// Says what a process is to do.
const ROLE: &str = "FOLIO_STORE_CHILD";
const STORE: &str = "FOLIO_STORE_PATH";

/// A process of this program, killed when dropped.
pub(crate) struct Child {
    process: process::Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts a process that does something with a store.
    pub(crate) fn start(role: &str, store: &Path) -> Self {
        Self::of(&mut Self::command(role, store, env::current_exe().unwrap()))
    }

    /// Starts one that may not write to the store, where this can be had: as another user, if this one
    /// is root.
    pub(crate) fn reader(role: &str, store: &Path) -> Self {
        const NOBODY: u32 = 65534;
        if !rustix::process::getuid().is_root() {
            return Self::start(role, store);
        }
        // That user may not be able to reach this program where it is.
        let beside = store.parent().unwrap().join("reader");
        if !beside.exists() {
            // By a process of its own: a descriptor of this one, open for writing, would be in the children that other
            // tests start meanwhile, and a program that is open for writing cannot be run.
            let copied = Command::new("cp")
                .args([&env::current_exe().unwrap(), &beside])
                .status();
            assert!(copied.unwrap().success());
        }
        Self::of(Self::command(role, store, beside).uid(NOBODY).gid(NOBODY))
    }

    fn command(role: &str, store: &Path, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.env(ROLE, role).env(STORE, store).current_dir("/");
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
        self.next_line().expect("it writes a line")
    }

    /// The next line, if there is one before it ends.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    /// Ends its input and waits for it; all else that it writes.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let lines = self.lines.by_ref().map(Result::unwrap).collect();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {lines:?}");
        lines
    }

    /// Waits for it to be killed, or to end by itself; what it wrote, and whether it was killed.
    pub(crate) fn wait(mut self) -> (Vec<String>, bool) {
        let lines = self.lines.by_ref().map(Result::unwrap).collect();
        let status = self.process.wait().unwrap();
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        assert!(killed || status.success(), "{status}: {lines:?}");
        (lines, killed)
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
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
    let path = env::var_os(STORE).unwrap();
    match role.split_once('/').unwrap_or((&role, "")) {
        ("read once", _) => read_once(&path),
        ("hold", _) => hold(&path),
        ("fork and hold", _) => fork_and_hold(&path),
        ("create until", step) => killed::create(&path, step),
        ("publish until", step) => killed::publish(&path, step),
        ("prune until", step) => killed::prune(&path, step),
        ("publish for ever", stamp) => campaign::publish(&path, stamp),
        ("prune for ever", life) => campaign::prune(&path, life),
        ("follow", _) => campaign::follow(&path),
        ("open again", _) => campaign::open_again(&path),
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

fn read_once(path: &OsStr) {
    let store = Store::open(path).unwrap();
    let mut reader = store.reader().unwrap();
    assert!(!reader.refresh().unwrap());
    assert!(!reader.recheck().unwrap());
    let (number, stamp) = held(reader.current());
    say(&format!("{number} {stamp}"));
    drop(reader);
    let mark = |in_use| match in_use {
        Some(true) => '+',
        Some(false) => '-',
        None => '?',
    };
    let list = store.list().unwrap().into_iter();
    let list: Vec<_> = list
        .map(|info| format!("{}:{}", info.number, mark(info.in_use)))
        .collect();
    let current = store.current().unwrap().unwrap();
    say(&format!("{} current {current}", list.join(" ")));
    assert!(publish(&store, 9).is_err() && store.prune(0).is_err());
}

/// Holds what is current until its input ends.
fn hold(path: &OsStr) {
    let reader = Store::open(path).unwrap().reader().unwrap();
    let (number, stamp) = held(reader.current());
    say(&format!("{number} {stamp}"));
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(reader);
}

/// The same in a child, whose parent ends. It reads again before it ends.
fn fork_and_hold(path: &OsStr) {
    let mut reader = Store::open(path).unwrap().reader().unwrap();
    let say_held = |(number, stamp): (u64, u64)| say(&format!("{number} {stamp}"));
    let (ended, alive) = rustix::pipe::pipe().unwrap();
    match fork().unwrap() {
        Fork::Parent(_) => say("the parent ends"),
        Fork::Child => {
            drop(alive);
            File::from(ended).read_to_end(&mut Vec::new()).unwrap();
            say_held(held(reader.current()));
            io::stdin().read_to_end(&mut Vec::new()).unwrap();
            say_held(held(reader.current()));
            assert!(reader.refresh().unwrap());
            say_held(held(reader.current()));
        }
    }
}
