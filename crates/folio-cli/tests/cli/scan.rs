//! `folio scan`

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::folder::Folder;
use crate::process::{FOLIO, run};

fn letters(folder: &Folder) {
    let lines = "d\t4\na\t1\nca\t31\nc\t3\nb\t2\ncb\t32\n";
    folder
        .folio_reading(["build", "-", "-o", "t.folio"], lines.as_bytes())
        .success();
}

#[test]
fn prints_records_in_order() {
    let folder = Folder::new();
    letters(&folder);
    for (options, expected) in [
        (&[][..], "a1 b2 c3 ca31 cb32 d4"),
        (&["--reverse"], "d4 cb32 ca31 c3 b2 a1"),
        (&["--limit", "2"], "a1 b2"),
        (&["--limit", "0"], ""),
        (&["--reverse", "--limit", "2"], "d4 cb32"),
        (&["--from", "c"], "c3 ca31 cb32 d4"),
        (&["--to", "c"], "a1 b2"),
        (&["--from", "b", "--to", "cb"], "b2 c3 ca31"),
        (&["--from", "b", "--to", "cb", "--reverse"], "ca31 c3 b2"),
        (&["--from", "bb", "--to", "bc"], ""),
        (&["--from", "d", "--to", "a"], ""),
        (&["--prefix", "c"], "c3 ca31 cb32"),
        (&["--prefix", "c", "--reverse", "--limit", "1"], "cb32"),
        (&["--prefix", "c", "--from", "ca"], "ca31 cb32"),
        (&["--prefix", "c", "--from", "a", "--to", "ca"], "c3"),
        (&["--prefix", "c", "--from", "d"], ""),
        (&["--prefix", "x"], ""),
        (&["--prefix", ""], "a1 b2 c3 ca31 cb32 d4"),
    ] {
        let arguments = ["scan", "t.folio"].iter().chain(options);
        let text = folder.folio(arguments).text();
        assert!(text.is_empty() || text.ends_with('\n'));
        let found = text.trim_end().replace('\t', "").replace('\n', " ");
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
fn walks_a_large_table_from_both_ends() {
    let folder = Folder::new();
    folder.table("t.folio", 20_000);
    let mut expected: Vec<_> = (0..20_000).map(|i| format!("key{i}\tvalue{i}\n")).collect();
    expected.sort();
    let forwards = folder.folio(["scan", "t.folio"]).text();
    assert!(forwards == expected.concat());
    expected.reverse();
    let backwards = folder.folio(["scan", "t.folio", "--reverse"]).text();
    assert!(backwards == expected.concat());
}

#[test]
fn keys_are_bytes_and_lines_stay_lines() {
    let folder = Folder::new();
    let tsv = b"\xff\xfe\tv\\n\n\t\\\tk\\te\\ny\tl\\\\i\\nne\n\xfe\tx\n";
    folder
        .folio_reading(["build", "-", "-o", "t.folio"], tsv)
        .success();
    let found = folder.folio(["scan", "t.folio"]).success();
    assert_eq!(
        found,
        b"\t\\\tk\\te\\ny\tl\\\\i\\nne\n\xfe\tx\n\xff\xfe\tv\\n\n"
    );
    let arguments = [b"scan", &b"t.folio"[..], b"--from", b"\xff"].map(OsStr::from_bytes);
    assert_eq!(folder.folio(arguments).success(), b"\xff\xfe\tv\\n\n");
    let value = folder.folio(["get", "t.folio", "k\te\ny"]).text();
    assert_eq!(value, "l\\i\nne\n");
}

#[test]
fn who_has_read_enough_may_go() {
    let folder = Folder::new();
    folder.table("t.folio", 100_000);
    for options in ["scan t.folio", "scan t.folio --reverse", "dump t.folio"] {
        let pipeline = format!(r#""$0" {options} 2>errors | head -n 1"#);
        let mut command = Command::new("sh");
        folder.at_home(command.args(["-c", &pipeline, FOLIO]));
        let first = run(&mut command, b"").text();
        let expected = if options.ends_with("--reverse") {
            "key99999\tvalue99999\n"
        } else {
            "key0\tvalue0\n"
        };
        assert_eq!(first, expected);
        assert_eq!(std::fs::read(folder.path("errors")).unwrap(), b"");
    }
}

#[test]
fn wrong_usage() {
    let folder = Folder::new();
    letters(&folder);
    for options in [
        &["--limit", "x"][..],
        &["--limit", "-1"],
        &["more"],
        &["--from"],
    ] {
        let arguments = ["scan", "t.folio"].iter().chain(options);
        let finished = folder.folio(arguments);
        assert_eq!(finished.status.code(), Some(2), "{options:?}");
        assert_eq!(finished.stdout, b"");
    }
}
