//! The processes that tests start.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::system_calls;

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
