//! `folio get`

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use crate::folder::Folder;
use crate::process::{Killed, WATCHDOG};

#[test]
fn prints_values_in_the_order_asked() {
    let folder = Folder::new();
    folder.table("t.folio", 1000);
    let values = folder.folio(["get", "t.folio", "key999", "key0", "key42", "key0"]);
    assert_eq!(values.stderr, "");
    assert_eq!(values.text(), "value999\nvalue0\nvalue42\nvalue0\n");
}

#[test]
fn names_keys_that_are_missing_and_prints_the_others() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let finished = folder.folio(["get", "t.folio", "key1", "no\nbody", "key2", "", "key3"]);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(finished.stdout, b"value1\nvalue2\nvalue3\n");
    assert_eq!(
        finished.stderr,
        "folio: t.folio: no such key: no\\nbody\nfolio: t.folio: no such key: \n"
    );
}

#[test]
fn finds_every_key() {
    let folder = Folder::new();
    folder.table("t.folio", 5000);
    let keys: Vec<_> = (0..5000).map(|i| format!("key{i}")).collect();
    let arguments = ["get", "t.folio"]
        .into_iter()
        .chain(keys.iter().map(String::as_str));
    let expected: Vec<_> = (0..5000).map(|i| format!("value{i}\n")).collect();
    assert_eq!(folder.folio(arguments).text(), expected.concat());
}

#[test]
fn reads_keys_from_standard_input() {
    let folder = Folder::new();
    folder.table("t.folio", 1000);
    for arguments in [
        &["get", "t.folio", "key1", "-", "key2"][..],
        &["get", "t.folio", "key1", "--stdin"],
        &["get", "--stdin", "t.folio", "key1"],
        &["get", "t.folio", "--stdin"],
        &["get", "t.folio", "-"],
    ] {
        for input in ["key7\nkey999\n", "key7\nkey999"] {
            let found = folder.folio_reading(arguments, input.as_bytes()).text();
            let before = if arguments.contains(&"key1") {
                "value1\n"
            } else {
                ""
            };
            let after = if arguments.contains(&"key2") {
                "value2\n"
            } else {
                ""
            };
            assert_eq!(found, format!("{before}value7\nvalue999\n{after}"));
        }
    }
    let all: Vec<_> = (0..1000).rev().map(|i| format!("key{i}\n")).collect();
    let expected: Vec<_> = (0..1000).rev().map(|i| format!("value{i}\n")).collect();
    let found = folder.folio_reading(["get", "t.folio", "-"], all.concat().as_bytes());
    assert_eq!(found.text(), expected.concat());
    assert_eq!(folder.folio(["get", "t.folio", "-"]).text(), "");
    // Somebody has to name keys.
    assert_eq!(folder.folio(["get", "t.folio"]).status.code(), Some(2));
}

#[test]
fn names_missing_keys_of_standard_input() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let long = "x".repeat(200_000);
    let input = format!("key1\nnobody\n\n{long}\nkey2\r\n-\nkey3\n");
    let finished = folder.folio_reading(["get", "t.folio", "-"], input.as_bytes());
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(finished.stdout, b"value1\nvalue3\n");
    let long = &long[..1000];
    let missing = ["nobody", "", &format!("{long}…"), "key2\\r", "-"];
    let expected = missing.map(|key| format!("folio: t.folio: no such key: {key}\n"));
    assert_eq!(finished.stderr, expected.concat());
}

/// As a program does that asks for one value after the other.
#[test]
fn answers_before_the_next_key() {
    let folder = Folder::new();
    folder.table("t.folio", 100);
    let mut command = folder.command(["get", "t.folio", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    let mut keys = child.0.stdin.take().unwrap();
    let mut values = BufReader::new(child.0.stdout.take().unwrap());
    let (sender, answers) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut line = String::new();
        while values.read_line(&mut line).unwrap() > 0 {
            sender.send(std::mem::take(&mut line)).unwrap();
        }
    });
    for number in 0..100 {
        writeln!(keys, "key{number}").unwrap();
        let answer = answers.recv_timeout(WATCHDOG).unwrap();
        assert_eq!(answer, format!("value{number}\n"));
    }
    drop(keys);
    assert!(child.wait().success());
    reader.join().unwrap();
}
