//! `folio lab`: the claims hold here.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::process::{Command, Output};
use std::thread;

use folio_sys::sandbox::{Refusable, Refusal, refuse};

#[test]
fn a_folder_that_is_none_is_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_folio"))
        .args(["lab", "windows"])
        .env("TMPDIR", "/nowhere/at-all")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("folio: cannot make a sparse file: "),
        "{said}"
    );
}

/// Runs an experiment with a file of 32 MiB, and gives what it printed.
fn experiment(arguments: &[&str]) -> (Output, String) {
    run(&[arguments, &["--size", "32M"]].concat())
}

/// Runs an experiment that draws a picture and leaves nothing else, and gives what it printed.
fn run(arguments: &[&str]) -> (Output, String) {
    let temporary = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let picture = temporary.path().join("out.svg");
    let output = Command::new(env!("CARGO_BIN_EXE_folio"))
        .arg("lab")
        .args(arguments)
        .arg("--svg")
        .arg(&picture)
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let svg = std::fs::read_to_string(picture).unwrap_or_default();
    assert!(
        svg.starts_with("<svg ") && svg.contains("verdict: "),
        "{output:?}"
    );
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    (output, printed)
}

#[test]
fn windows() {
    let (output, printed) = run(&["windows"]);
    assert!(output.status.success(), "{printed}{output:?}");
    let row = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}: {printed}"))[name.len()..].trim()
    };
    assert_eq!(row("file size"), "16.00 GiB");
    assert_eq!(row("largest hole"), "64.00 MiB");
    assert!(row("whole mapping").starts_with("refused: "));
    assert_eq!(row("marks read right"), "1,000 of 1,000");
    assert!(row("verdict:").starts_with("holds"));
}

#[test]
fn windows_as_json() {
    let found = as_json(run(&["windows", "--json"]), "windows");
    assert_eq!(found["file_bytes"], 16_u64 << 30);
    assert_eq!(found["marks_read_right"], 1000);
    assert!(found["whole_mapping_refused"].is_string(), "{found}");
}

#[test]
fn ipc() {
    let (output, printed) = run(&["ipc", "--seconds", "1", "--kill-every-ms", "25"]);
    assert!(output.status.success(), "{printed}{output:?}");
    assert_eq!(printed.matches("is the counter\n").count(), 3, "{printed}");
    assert!(printed.contains("\nverdict: holds: "), "{printed}");
}

#[test]
fn ipc_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let arguments = ["ipc", "--json", "--seconds", "1", "--folder", path];
    let found = as_json(run(&arguments), "ipc");
    assert!(found["kills"].as_u64().unwrap() > 0, "{found}");
    assert_eq!(found["hung"], 0);
    let locks = found["locks"].as_array().unwrap();
    assert_eq!(locks.len(), 3, "{found}");
    assert!(locks.iter().all(|lock| lock["is_sum_right"] == true));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn share() {
    let (output, printed) = experiment(&["share", "--processes", "3"]);
    assert!(output.status.success(), "{printed}{output:?}");
    assert!(
        printed.contains("\nverdict: holds: 3 processes that map the file hold it once\n"),
        "{printed}"
    );
    assert!(
        printed.contains("\nmapped, PSS sum ") && printed.contains('█'),
        "{printed}"
    );
}

/// What an experiment printed as one JSON object.
fn as_json((output, printed): (Output, String), name: &str) -> serde_json::Value {
    assert!(output.status.success(), "{printed}{output:?}");
    let found: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(found["experiment"], name);
    assert_eq!(found["holds"], true);
    assert!(found["verdict"].as_str().unwrap().starts_with("holds"));
    found
}

#[test]
fn share_and_paging_as_json() {
    let found = as_json(
        experiment(&["share", "--json", "--processes", "2"]),
        "share",
    );
    assert_eq!(found["file_bytes"], 32 << 20);
    assert_eq!(found["processes"], 2);
    assert!(
        found["copied"]["pss_bytes"].as_u64().unwrap() >= 64 << 20,
        "{found}"
    );
    assert!(found["mapped"]["ready_ns"].as_u64().unwrap() > 0, "{found}");
    let found = as_json(experiment(&["paging", "--json"]), "paging");
    assert_eq!(found["file_bytes"], 32 << 20);
    assert_eq!(found["mapped"]["swapped_bytes"], 0);
    assert!(
        found["mapped"]["taken_bytes"].as_u64().unwrap() >= 16 << 20,
        "{found}"
    );
    assert!(
        found["taken_by"].is_string() && found["has_swap"].is_boolean(),
        "{found}"
    );
}

#[test]
fn dirty() {
    let (output, printed) = experiment(&["dirty", "--pages", "300"]);
    assert!(output.status.success(), "{printed}{output:?}");
    assert!(printed.contains("\nverdict: holds"), "{printed}");
    for method in ["mprotect", "checksums"] {
        let line = printed.lines().find(|line| line.starts_with(method));
        let words: Vec<_> = line.unwrap().split_whitespace().collect();
        assert_eq!(
            words.get(1..4),
            Some(&["1,500", "1,500", "0"][..]),
            "{printed}"
        );
    }
    // It stands in the table and in two charts.
    let untracked = printed
        .lines()
        .filter(|line| line.trim().starts_with("untracked"));
    assert_eq!(untracked.count(), 3, "{printed}");
}

/// What a sandbox refuses is said, and done without.
#[test]
fn dirty_without_userfaultfd() {
    for (how, why) in [
        (Refusal::NotPermitted, "Operation not permitted"),
        (Refusal::NotImplemented, "Function not implemented"),
    ] {
        // The refusal is for the thread and what it starts.
        let in_sandbox = thread::spawn(move || {
            refuse(Refusable::Userfaultfd, how).unwrap();
            experiment(&["dirty", "--pages", "100"])
        });
        let (output, printed) = in_sandbox.join().unwrap();
        assert!(output.status.success(), "{printed}{output:?}");
        assert!(
            printed.contains(&format!("\nuserfaultfd  cannot be had here: {why} ")),
            "{printed}"
        );
        assert!(
            printed.contains("\nverdict: holds as far as it can be seen without userfaultfd: "),
            "{printed}"
        );
    }
}

#[test]
fn dirty_as_json() {
    let found = as_json(experiment(&["dirty", "--json", "--pages", "50"]), "dirty");
    let methods = found["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 4, "{found}");
    let checksums = &methods[2];
    assert_eq!(checksums["method"], "checksums");
    assert_eq!(checksums["written_pages"], 250);
    assert_eq!(checksums["found_pages"], 250);
    assert!(checksums["scan_ns"].as_f64().unwrap() > 0.0);
    assert!(methods[3]["found_pages"].is_null() && methods[3]["first_write_ns"].is_number());
}

#[test]
fn dirty_of_more_pages_than_there_are() {
    let output = Command::new(env!("CARGO_BIN_EXE_folio"))
        .args(["lab", "dirty", "--size", "64K", "--pages", "9999"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("folio: a file of 64.00 KiB has "),
        "{said}"
    );
}

#[test]
fn paging() {
    let (output, printed) = experiment(&["paging"]);
    assert!(output.status.success(), "{printed}{output:?}");
    assert!(printed.contains("\nverdict: holds"), "{printed}");
    assert!(printed.contains("\ntaken away by "), "{printed}");
    let swapped = printed
        .lines()
        .find(|line| line.starts_with("of it in swap"))
        .unwrap();
    assert!(swapped.ends_with(" 0 B"), "{printed}");
}
