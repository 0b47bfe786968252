//! `folio verify`, and `--verify` of those who read tables.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::folder::Folder;
use crate::server::Server;

const PAGE: usize = 4096;

/// Flips a bit of each of these pages of a table.
fn damage(path: &Path, pages: &[usize]) {
    let mut bytes = fs::read(path).unwrap();
    for page in pages {
        bytes[page * PAGE + 100] ^= 1;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn whole_tables_are_whole() {
    let folder = Folder::new();
    folder.table("a.folio", 1234);
    folder.table("b.folio", 1);
    for threads in ["1", "3"] {
        let finished = folder.folio(["verify", "a.folio", "b.folio", "--threads", threads]);
        assert_eq!(finished.stderr, "");
        let text = finished.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].starts_with("a.folio: whole: 1,234 records, "),
            "{text}"
        );
        assert!(
            lines[1].starts_with("b.folio: whole: 1 records, "),
            "{text}"
        );
    }
}

#[test]
fn all_that_is_damaged_is_named() {
    let folder = Folder::new();
    damage(&folder.table("t.folio", 5000), &[1, 3, 30]);
    folder.table("whole.folio", 10);
    folder.write("none.folio", b"no table at all");
    let finished = folder.folio(["verify", "none.folio", "t.folio", "whole.folio"]);
    assert_eq!(finished.status.code(), Some(1));
    let text = String::from_utf8(finished.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    for (line, (page, section)) in lines.iter().zip([(1, "records"), (3, "records"), (30, "")]) {
        let start = format!(
            "t.folio: page at byte {} is damaged: checksum ",
            page * PAGE
        );
        assert!(line.starts_with(&start), "{line}");
        assert!(line.contains(&format!("(section: {section}")), "{line}");
    }
    assert!(
        lines[3].starts_with("whole.folio: whole: 10 records"),
        "{text}"
    );
    assert_eq!(
        finished.stderr,
        "folio: none.folio: shorter than a header: not a folio table\n\
         folio: t.folio: damaged in 3 places\n"
    );
}

#[test]
fn a_program_can_read_what_is_damaged() {
    let folder = Folder::new();
    damage(&folder.table("t.folio", 5000), &[2]);
    folder.table("whole.folio", 10);
    folder.write("none.folio", b"no table at all");
    let arguments = ["verify", "--json", "t.folio", "whole.folio", "none.folio"];
    let finished = folder.folio(arguments);
    assert_eq!(finished.status.code(), Some(1));
    let text = String::from_utf8(finished.stdout).unwrap();
    let tables: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(tables.len(), 3);
    assert_eq!(tables[0]["table"], "t.folio");
    assert_eq!(tables[0]["whole"], false);
    assert_eq!(tables[0]["damaged"], 1);
    assert_eq!(tables[0]["damages"][0]["section"], "records");
    assert_eq!(tables[0]["damages"][0]["offset"], 2 * PAGE);
    assert_eq!(tables[1]["whole"], true);
    assert_eq!(tables[1]["records"], 10);
    assert_eq!(tables[2]["whole"], false);
    assert!(
        tables[2]["error"]
            .as_str()
            .unwrap()
            .contains("not a folio table")
    );
}

#[test]
fn get_checks_as_often_as_asked_for() {
    let folder = Folder::new();
    let path = folder.table("t.folio", 5000);
    for when in ["never", "open", "touch", "always"] {
        let text = folder
            .folio(["get", "--verify", when, "t.folio", "key7"])
            .text();
        assert_eq!(text, "value7\n");
    }
    // The first record is that of key0.
    damage(&path, &[1]);
    let expected = "folio: t.folio: page at byte 4096 is damaged: checksum ";
    for when in ["open", "touch", "always"] {
        let finished = folder.folio(["get", "--verify", when, "t.folio", "key0"]);
        assert_eq!(finished.status.code(), Some(1));
        assert!(finished.stderr.starts_with(expected), "{}", finished.stderr);
        assert_eq!(finished.stdout, b"");
    }
    // What is not touched is not checked.
    for (when, is_found) in [
        ("never", true),
        ("touch", true),
        ("always", true),
        ("open", false),
    ] {
        let finished = folder.folio(["get", "--verify", when, "t.folio", "key999"]);
        assert_eq!(
            finished.status.success(),
            is_found,
            "{when}: {}",
            finished.stderr
        );
    }
    let finished = folder.folio(["get", "--verify", "sometimes", "t.folio", "key0"]);
    assert_eq!(finished.status.code(), Some(2));
}

#[test]
fn a_server_never_gives_a_value_of_a_damaged_page() {
    let folder = Folder::new();
    let path = folder.table("t.folio", 5000);
    damage(&path, &[1]);
    let server = [
        "serve",
        "t.folio",
        "--verify",
        "open",
        "--listen",
        "127.0.0.1:0",
    ];
    let finished = folder.folio(server);
    assert_eq!(finished.status.code(), Some(1));
    for when in ["touch", "always"] {
        let server = Server::start(&folder, &["t.folio", "--workers", "2", "--verify", when]);
        for client in server.connect_each().values_mut() {
            client.send("GET key0\r\n");
            let reply = client.line();
            assert!(
                reply.starts_with('-') && reply.contains("byte 4096"),
                "{reply}"
            );
            client.ask("GET key999", "$8\r\nvalue999\r\n");
        }
        server.stop();
    }
}
