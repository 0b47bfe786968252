//! `folio store`, and the commands that take a store's folder.

use std::fs;

use rustix::process::Signal;

use crate::folder::Folder;
use crate::process::{send_signal, within_watchdog};
use crate::server::Server;

/// A store `s` of three generations: two records, three, and two again.
fn three(folder: &Folder) {
    folder.write("ab.tsv", "a\t1\nb\t2\n");
    folder.write("c.tsv", "c\t3\n");
    let publish = |arguments: &[&str]| {
        let arguments = ["store", "publish", "s"].iter().chain(arguments);
        folder.folio(arguments)
    };
    let first = publish(&["ab.tsv"]);
    assert!(
        first.stderr.starts_with("s: generation 1: 2 records, "),
        "{}",
        first.stderr
    );
    assert_eq!(first.text(), "");
    let second = publish(&["ab.tsv", "c.tsv"]);
    assert!(
        second.stderr.starts_with("s: generation 2: 3 records, "),
        "{}",
        second.stderr
    );
    folder.folio(["build", "ab.tsv", "-o", "t.folio"]).success();
    let third = publish(&["t.folio"]);
    assert!(
        third.stderr.starts_with("s: generation 3: 2 records, "),
        "{}",
        third.stderr
    );
}

#[test]
fn publishes_lists_rolls_back_and_prunes() {
    let folder = Folder::new();
    three(&folder);
    let list = folder.folio(["store", "list", "s"]).text();
    let rows: Vec<_> = list.lines().collect();
    assert_eq!(rows.len(), 4);
    assert!(rows[0].starts_with("generation          records         size  written"));
    assert!(
        rows[2].starts_with("         2                3 "),
        "{list}"
    );
    assert!(rows[3].ends_with(" ago     current"), "{list}");
    assert_eq!(list.matches("current").count(), 1);
    assert_eq!(folder.folio(["get", "s", "a"]).text(), "1\n");

    let back = folder.folio(["store", "rollback", "s"]);
    assert_eq!(back.stderr, "s: generation 2 is current\n");
    assert_eq!(folder.folio(["get", "s", "c"]).text(), "3\n");
    assert!(
        folder
            .folio(["stat", "s"])
            .text()
            .contains("records         3\n")
    );
    folder.folio(["store", "rollback", "s", "3"]).success();

    let pruned = folder.folio(["store", "prune", "s", "--keep", "1"]);
    assert!(
        pruned.stderr.starts_with("s: removed generations 1, 2, "),
        "{}",
        pruned.stderr
    );
    assert_eq!(
        folder.folio(["store", "list", "s"]).text().lines().count(),
        2
    );
    assert_eq!(folder.folio(["get", "s", "b"]).text(), "2\n");
    let pruned = folder.folio(["store", "prune", "s"]);
    assert_eq!(pruned.stderr, "s: removed no generation, 0 B\n");
}

#[test]
fn lists_objects() {
    let folder = Folder::new();
    three(&folder);
    fs::write(folder.path("s/00000000000000000001.folio"), "damaged").unwrap();
    let text = folder.folio(["store", "list", "s", "--json"]).text();
    let objects: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 3);
    let keys: Vec<_> = objects[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "generation",
            "records",
            "size_bytes",
            "written_unix_seconds",
            "current",
            "in_use",
            "path"
        ]
    );
    assert_eq!(objects[0]["records"], serde_json::Value::Null);
    assert_eq!(objects[0]["size_bytes"], 7);
    assert_eq!(objects[1]["generation"], 2);
    assert_eq!(objects[1]["records"], 3);
    assert_eq!(objects[1]["current"], false);
    assert_eq!(objects[2]["current"], true);
    assert_eq!(objects[2]["in_use"], false);
    assert_eq!(objects[2]["path"], "s/00000000000000000003.folio");
    let list = folder.folio(["store", "list", "s"]).text();
    assert!(list.lines().nth(1).unwrap().contains(" damaged "), "{list}");
}

#[test]
fn publishes_from_a_pipe() {
    let folder = Folder::new();
    let arguments = [
        "store", "publish", "s", "-", "--format", "csv", "--key", "name", "--memory", "1M",
    ];
    let csv = b"city,name\nLondon,Ada\n";
    folder.folio_reading(arguments, csv).success();
    let value = folder.folio(["get", "s", "Ada"]).text();
    assert_eq!(value, "{\"city\":\"London\",\"name\":\"Ada\"}\n");
}

/// Arguments, the exit status, and what is said.
type Case = (&'static [&'static str], i32, &'static str);

const WRONG: &[Case] = &[
    (&["store"], 2, "Usage: folio store <COMMAND>"),
    (
        &["store", "publish", "s"],
        2,
        "required arguments were not provided",
    ),
    (
        &["store", "publish", "new", "nope.folio"],
        1,
        "folio: nope.folio: cannot open: ",
    ),
    (
        &["store", "publish", "new", "t.txt"],
        1,
        "not a folio table\nhint: to build",
    ),
    (
        &["store", "publish", "s", "t.folio", "c.tsv"],
        1,
        "folio: t.folio: several paths are several inputs",
    ),
    (
        &["store", "publish", "s", "ab.tsv", "ab.tsv"],
        1,
        "folio: ab.tsv, ab.tsv: line 1: duplicate key \"a\"",
    ),
    (
        &["store", "publish", "no/such/place", "c.tsv"],
        1,
        "folio: no/such/place: cannot make the folder: ",
    ),
    (
        &["store", "publish", ".", "c.tsv"],
        1,
        "folio: .: there are other files in it, and no file CURRENT: not a folio store\n",
    ),
    (
        &["store", "list", "empty"],
        1,
        "folio: empty: there is no file CURRENT in it: not a folio store\n\
         hint: folio store publish FOLDER TABLE makes one\n",
    ),
    (
        &["store", "prune", "nope"],
        1,
        "folio: nope: cannot open: No such file or directory",
    ),
    (
        &["store", "prune", "s", "--keep", "-1"],
        2,
        "unexpected argument '-1'",
    ),
    (
        &["store", "rollback", "s", "7"],
        1,
        "folio: s: there is no generation 7\n\
         hint: folio store list FOLDER shows those that there are\n",
    ),
    (&["get", "empty", "a"], 1, "is a directory"),
    (&["serve", "empty"], 1, "is a directory"),
];

#[test]
fn says_what_is_wrong() {
    let folder = Folder::new();
    three(&folder);
    fs::create_dir(folder.path("empty")).unwrap();
    folder.write("t.txt", "not a table");
    for (arguments, code, expected) in WRONG {
        let finished = folder.folio(*arguments);
        assert_eq!(finished.status.code(), Some(*code), "{arguments:?}");
        let said = finished.stderr;
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert!(!folder.path("new").exists());
    // Nothing was published, and nothing is left of the attempts.
    let mut names: Vec<_> = fs::read_dir(folder.path("s"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let expected = ["1", "2", "3"].map(|number| format!("{number:0>20}.folio"));
    assert_eq!(names[..3], expected);
    assert_eq!(names[3..], ["CURRENT", "LOCK", "SEQUENCE"]);
}

/// The first publishing made the store, and failed.
#[test]
fn a_store_without_a_generation() {
    let folder = Folder::new();
    folder.write("twice.tsv", "a\t1\na\t2\n");
    let failed = folder.folio(["store", "publish", "s", "twice.tsv"]);
    assert_eq!(failed.status.code(), Some(1));
    let list = folder.folio(["store", "list", "s"]).text();
    assert_eq!(list.lines().count(), 1);
    for arguments in [&["get", "s", "a"][..], &["stat", "s"], &["serve", "s"]] {
        let finished = folder.folio(arguments);
        assert_eq!(finished.status.code(), Some(1));
        assert_eq!(
            finished.stderr,
            "folio: s: nothing is published in this store yet\n\
             hint: folio store publish FOLDER TABLE makes the first one\n"
        );
    }
}

#[test]
fn serves_a_store_through_its_generations() {
    let folder = Folder::new();
    three(&folder);
    let server = Server::start(&folder, &["s", "--workers", "2"]);
    let mut client = server.connect();
    client.ask("GET a\r\n", "$1\r\n1\r\n");
    client.ask("GET c\r\n", "$-1\r\n");
    let list = folder.folio(["store", "list", "s"]).text();
    assert!(list.ends_with("current, in use\n"), "{list}");

    folder.folio(["store", "publish", "s", "c.tsv"]).success();
    client.ask("GET a\r\n", "$-1\r\n");
    client.ask("GET c\r\n", "$1\r\n3\r\n");
    send_signal(server.pid(), Signal::HUP);
    assert!(within_watchdog(|| {
        let pruned = folder.folio(["store", "prune", "s", "--keep", "0"]);
        !pruned.stderr.contains("in use")
    }));
    folder.folio(["store", "publish", "s", "ab.tsv"]).success();
    client.ask("GET a\r\n", "$1\r\n1\r\n");
    server.stop();
    let list = folder.folio(["store", "list", "s"]).text();
    assert!(list.ends_with(" current\n"), "{list}");
}
