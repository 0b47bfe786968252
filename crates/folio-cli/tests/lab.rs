//! `folio lab`: the claims hold here.
#![cfg(target_os = "linux")]

use std::process::Command;

#[test]
fn windows() {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_folio"))
        .args(["lab", "windows"])
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}{said}");
    let row = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}: {printed}"))[name.len()..].trim()
    };
    assert_eq!(row("file size"), "16.00 GiB");
    assert_eq!(row("largest hole"), "64.00 MiB");
    assert!(row("whole mapping").starts_with("refused: "));
    assert_eq!(row("marks read right"), "1,000 of 1,000");
    assert!(row("verdict:").starts_with("holds"));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

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

#[test]
fn ipc() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_folio"))
        .args([
            "lab",
            "ipc",
            "--seconds",
            "1",
            "--kill-every-ms",
            "25",
            "--folder",
        ])
        .arg(folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}{said}");
    assert_eq!(printed.matches("is the counter\n").count(), 3, "{printed}");
    assert!(printed.contains("\nverdict:        holds: "), "{printed}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
