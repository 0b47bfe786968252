//! `folio build --memory`

use std::fmt::Write;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::folder::Folder;
use crate::process::Killed;

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

#[test]
fn a_build_keeps_to_its_memory() {
    let folder = Folder::new();
    let mut lines = String::new();
    for number in 0..250_000_u32 {
        let key = number.wrapping_mul(0x9e37_79b9);
        let len = number as usize % 500;
        writeln!(lines, "{key:08x}\t{}", "v".repeat(len)).unwrap();
    }
    let input_len = folder.write("t.tsv", &lines).metadata().unwrap().len();
    assert!(input_len > 60 * MIB);
    let mut tables = Vec::new();
    for (memory, limit) in [("4M", 4 * MIB), ("8MiB", 8 * MIB), ("1G", 1024 * MIB)] {
        let peak = build(
            &folder,
            &["build", "t.tsv", "-o", "t.folio", "--memory", memory],
        );
        assert!(peak <= limit + 32 * MIB, "{peak} bytes taken with {memory}");
        // Else the figure would say nothing.
        assert_eq!(peak > input_len, limit > input_len, "{peak} with {memory}");
        tables.push(fs::read(folder.path("t.folio")).unwrap());
    }
    assert!(tables.iter().all(|table| *table == tables[0]));
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
        let finished = folder.folio(["build", "t.tsv", "-o", "t.folio", "--memory", memory]);
        assert_eq!(finished.status.code(), Some(2));
        assert!(finished.stderr.contains(expected), "{}", finished.stderr);
    }
    assert_eq!(folder.files().len(), 1);
}
