//! `folio build`

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::folder::Folder;
use crate::process::{FOLIO, run};

const CSV: &str = "name,email,city\n\
                   Ada,ada@example.org,London\n\
                   \"Grace, B.\",grace@example.org,\"New\nYork\"\n";

#[track_caller]
fn get(folder: &Folder, keys: &[&str]) -> String {
    let arguments = ["get", "t.folio"].iter().chain(keys);
    folder.folio(arguments).text()
}

#[test]
fn tsv_from_a_file_and_from_a_pipe() {
    let folder = Folder::new();
    let tsv = "b\tsecond\na\tfirst\tand more\nc\t\n";
    folder.write("t.tsv", tsv);
    let finished = folder.folio(["build", "t.tsv", "-o", "t.folio"]);
    assert_eq!(finished.stderr, "t.folio: 3 records, 16.09 KiB\n");
    assert_eq!(finished.success(), b"");
    assert_eq!(
        get(&folder, &["a", "b", "c"]),
        "first\tand more\nsecond\n\n"
    );

    let finished = folder.folio_reading(["build", "-", "-o", "piped.folio"], tsv.as_bytes());
    finished.success();
    let read = |name| fs::read(folder.path(name)).unwrap();
    assert_eq!(read("t.folio"), read("piped.folio"));
}

#[test]
fn csv_with_its_key_by_name_and_by_number() {
    let folder = Folder::new();
    folder.write("t.csv", CSV);
    let build = ["build", "t.csv", "-o", "t.folio"];
    let ada = r#"{"name":"Ada","email":"ada@example.org","city":"London"}"#;
    let grace = r#"{"name":"Grace, B.","email":"grace@example.org","city":"New\nYork"}"#;

    folder.folio(build).success();
    assert_eq!(get(&folder, &["Grace, B."]), format!("{grace}\n"));
    for key in ["email", "2"] {
        folder.folio(build.iter().chain(&["--key", key])).success();
        let values = get(&folder, &["ada@example.org", "grace@example.org"]);
        assert_eq!(values, format!("{ada}\n{grace}\n"));
    }
    for (key, value) in [("email", "name"), ("2", "1")] {
        let columns = ["--key", key, "--value", value];
        folder.folio(build.iter().chain(&columns)).success();
        let values = get(&folder, &["grace@example.org", "ada@example.org"]);
        assert_eq!(values, "Grace, B.\nAda\n");
    }
    // A pipe has no name that tells its format.
    let piped = [
        "build", "-", "-o", "t.folio", "--format", "csv", "--key", "city",
    ];
    folder.folio_reading(piped, CSV.as_bytes()).success();
    assert_eq!(
        get(&folder, &["London", "New\nYork"]),
        format!("{ada}\n{grace}\n")
    );
}

#[test]
fn json_lines_with_the_key_in_a_field() {
    let folder = Folder::new();
    let lines =
        "{\"key\":\"a\",\"id\":7,\"n\":{\"x\":1}}\n\n{ \"key\": \"b\\u00fc\", \"id\": 8 }\n";
    folder.write("t.jsonl", lines);
    folder
        .folio(["build", "t.jsonl", "-o", "t.folio"])
        .success();
    let (a, b) = (
        r#"{"key":"a","id":7,"n":{"x":1}}"#,
        r#"{ "key": "b\u00fc", "id": 8 }"#,
    );
    assert_eq!(get(&folder, &["bü", "a"]), format!("{b}\n{a}\n"));

    let by_id = [
        "build", "-", "--format", "jsonl", "--key", "id", "-o", "t.folio",
    ];
    folder.folio_reading(by_id, lines.as_bytes()).success();
    assert_eq!(get(&folder, &["7", "8"]), format!("{a}\n{b}\n"));

    let of_key = by_id.iter().chain(&["--value", "key"]);
    folder.folio_reading(of_key, lines.as_bytes()).success();
    assert_eq!(get(&folder, &["7", "8"]), "a\nbü\n");
}

#[test]
fn a_key_that_comes_twice() {
    let folder = Folder::new();
    folder.write("t.tsv", "a\t1\nb\t2\nc\t3\na\t4\n");
    let before = folder.files();
    let finished = folder.folio(["build", "t.tsv", "-o", "t.folio"]);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stderr,
        "folio: t.tsv: line 4: duplicate key \"a\", first given on line 1\n\
         hint: --on-duplicate last (or first) keeps one of them\n"
    );
    assert_eq!(folder.files(), before);

    for (which, expected) in [("first", "1\n2\n3\n"), ("last", "4\n2\n3\n")] {
        let build = ["build", "t.tsv", "-o", "t.folio", "--on-duplicate", which];
        assert!(folder.folio(build).stderr.contains("3 records"));
        assert_eq!(get(&folder, &["a", "b", "c"]), expected);
    }
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let folder = Folder::new();
    let lines: Vec<_> = (0..5000).map(|i| format!("key{i}\tvalue{i}\n")).collect();
    let reversed: Vec<_> = lines.iter().rev().cloned().collect();
    for (name, lines) in [
        ("a.folio", &lines),
        ("b.folio", &lines),
        ("c.folio", &reversed),
    ] {
        let input = lines.concat();
        folder
            .folio_reading(["build", "-", "-o", name], input.as_bytes())
            .success();
    }
    let read = |name| fs::read(folder.path(name)).unwrap();
    assert_eq!(read("a.folio"), read("b.folio"));
    assert_eq!(read("a.folio"), read("c.folio"));
}

#[test]
fn keys_and_values_are_bytes() {
    let folder = Folder::new();
    let input = b"caf\xe9\t\xff\xfe\n\xc3\xbc\t\x00\r\n";
    folder
        .folio_reading(["build", "-", "-o", "t.folio"], input)
        .success();
    let get = |key| {
        let arguments = [
            OsStr::new("get"),
            OsStr::new("t.folio"),
            OsStr::from_bytes(key),
        ];
        folder.folio(arguments).success()
    };
    assert_eq!(get(b"caf\xe9"), b"\xff\xfe\n");
    assert_eq!(get("ü".as_bytes()), b"\0\r\n");
}

#[test]
fn replaces_the_table_in_one_step() {
    let folder = Folder::new();
    let out = folder.table("t.folio", 10);
    let old = fs::metadata(&out).unwrap();
    let old_bytes = fs::read(&out).unwrap();
    // Who has the old file open or mapped keeps it: the new one is another file.
    folder.table("t.folio", 20);
    let new = fs::metadata(&out).unwrap();
    assert_ne!(old.ino(), new.ino());
    assert!(
        folder
            .folio(["stat", "t.folio"])
            .text()
            .contains("records         20\n")
    );
    // A build that fails leaves what is there.
    let new_bytes = fs::read(&out).unwrap();
    assert_ne!(old_bytes, new_bytes);
    let finished = folder.folio_reading(["build", "-", "-o", "t.folio"], b"no value\n");
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(fs::read(&out).unwrap(), new_bytes);
    assert_eq!(folder.files().len(), 1);
}

#[test]
fn the_mode_is_what_the_umask_leaves() {
    let folder = Folder::new();
    for (umask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        let build = format!(r#"umask {umask}; exec "$0" build - -o t.folio"#);
        let mut command = Command::new("sh");
        folder.at_home(command.args(["-c", &build, FOLIO]));
        run(&mut command, b"a\t1\n").success();
        let found = fs::metadata(folder.path("t.folio")).unwrap().permissions();
        assert_eq!(found.mode() & 0o7777, mode);
    }
}

#[test]
fn a_table_may_have_no_records() {
    let folder = Folder::new();
    folder
        .folio_reading(["build", "-", "-o", "t.folio"], b"")
        .success();
    assert!(
        folder
            .folio(["stat", "t.folio"])
            .text()
            .contains("records         0\n")
    );
}

#[test]
fn either_index_finds_the_same() {
    let folder = Folder::new();
    let lines: Vec<_> = (0..2000)
        .map(|number| format!("key{number}\tvalue{number}\n"))
        .collect();
    folder.write("t.tsv", lines.concat());
    let keys = ["key0", "key7", "key1234", "key1999"];
    let mut sizes = Vec::new();
    for (index, line) in [
        ("hash", "index size      7.5"),
        ("perfect", "index size      0.7"),
    ] {
        let build = ["build", "t.tsv", "-o", "t.folio", "--index", index];
        folder.folio(build).success();
        assert_eq!(
            get(&folder, &keys),
            "value0\nvalue7\nvalue1234\nvalue1999\n"
        );
        let text = folder.folio(["stat", "t.folio"]).text();
        assert!(
            text.contains(&format!("\nindex           {index}\n")),
            "{text}"
        );
        assert!(text.contains(line), "{text}");
        assert_eq!(text.contains("longest probe"), index == "hash");
        sizes.push(fs::metadata(folder.path("t.folio")).unwrap().len());
    }
    assert!(sizes[1] + 8_000 < sizes[0], "{sizes:?}");
    let refused = folder.folio(["build", "t.tsv", "-o", "t.folio", "--index", "none"]);
    assert_eq!(refused.status.code(), Some(2));
}
