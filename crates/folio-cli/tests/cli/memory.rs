//! `--memory` of all that builds tables.

use std::fmt::Write;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::folder::Folder;
use crate::process::Killed;
use crate::server::Server;

const MIB: u64 = 1 << 20;

/// The most memory that a process has had at once so far, in bytes; `None` when it has ended.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// Runs a build to its end, and tells how much memory it took at most.
fn build(folder: &Folder, arguments: &[&str]) -> u64 {
    let mut command = folder.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut build = Killed(command.spawn().unwrap());
    let mut peak = 0;
    while build.0.try_wait().unwrap().is_none() {
        peak = peak.max(peak_memory(build.0.id()).unwrap_or(0));
        sleep(Duration::from_millis(1));
    }
    assert!(build.wait().success());
    assert!(peak > 0);
    peak
}

/// More than 60 MiB of records in no order.
fn write_input(folder: &Folder) -> u64 {
    let mut lines = String::new();
    for number in 0..250_000_u32 {
        let key = number.wrapping_mul(0x9e37_79b9);
        let len = number as usize % 500;
        writeln!(lines, "{key:08x}\t{}", "v".repeat(len)).unwrap();
    }
    let len = folder.write("t.tsv", &lines).metadata().unwrap().len();
    assert!(len > 60 * MIB);
    len
}

#[test]
fn a_build_keeps_to_its_memory() {
    let folder = Folder::new();
    let input_len = write_input(&folder);
    for index in ["hash", "perfect"] {
        let mut tables = Vec::new();
        for (memory, limit) in [("4M", 4 * MIB), ("8MiB", 8 * MIB), ("1G", 1024 * MIB)] {
            let arguments = "build t.tsv -o t.folio --memory".split(' ');
            let arguments: Vec<_> = arguments.chain([memory, "--index", index]).collect();
            let peak = build(&folder, &arguments);
            assert!(peak <= limit + 32 * MIB, "{peak} bytes taken with {memory}");
            // Else the figure would say nothing.
            assert_eq!(peak > input_len, limit > input_len, "{peak} with {memory}");
            tables.push(fs::read(folder.path("t.folio")).unwrap());
        }
        assert!(tables.iter().all(|table| *table == tables[0]));
    }
}

#[test]
fn a_publisher_keeps_to_its_memory() {
    let folder = Folder::new();
    let input_len = write_input(&folder);
    for (memory, limit) in [("4M", 4 * MIB), ("1G", 1024 * MIB)] {
        let arguments = ["store", "publish", "store", "t.tsv", "--memory", memory];
        let peak = build(&folder, &arguments);
        assert!(peak <= limit + 32 * MIB, "{peak} bytes taken with {memory}");
        assert_eq!(peak > input_len, limit > input_len, "{peak} with {memory}");
    }
}

/// What is built on the way, of a file or from a pipe. Its pages do not count as long as no client asks
/// for any.
#[test]
fn a_server_keeps_to_its_memory() {
    let folder = Folder::new();
    let input_len = write_input(&folder);
    let input = fs::read(folder.path("t.tsv")).unwrap();
    let peak = |path: &str, memory: &str, stdin: &[u8]| {
        let arguments = [path, "--memory", memory, "--populate", "never"];
        let server = Server::start_reading(&folder, &arguments, stdin);
        let peak = peak_memory(server.pid()).unwrap();
        server.connect().ask("DBSIZE", ":250000\r\n");
        server.stop();
        // Or the next one would find it.
        let _ = fs::remove_dir_all(folder.path("cache"));
        peak
    };
    for (path, stdin) in [("t.tsv", &b""[..]), ("-", &input)] {
        for (memory, limit) in [("4M", 4 * MIB), ("1G", 1024 * MIB)] {
            let peak = peak(path, memory, stdin);
            assert!(peak <= limit + 32 * MIB, "{peak} bytes taken with {memory}");
            assert_eq!(peak > input_len, limit > input_len, "{peak} with {memory}");
        }
    }
}

#[test]
fn too_little_memory_is_refused() {
    let folder = Folder::new();
    folder.write("t.tsv", "a\t1\n");
    for (memory, expected) in [
        ("1023K", "at least 1M is needed"),
        ("0", "at least 1M is needed"),
        ("lots", "expected a number of bytes"),
    ] {
        for command in [
            "build t.tsv -o t.folio",
            "store publish store t.tsv",
            "serve t.tsv",
        ] {
            let arguments = command.split(' ').chain(["--memory", memory]);
            let finished = folder.folio(arguments);
            assert_eq!(finished.status.code(), Some(2));
            assert!(finished.stderr.contains(expected), "{}", finished.stderr);
        }
    }
    assert_eq!(folder.files().len(), 1);
}
