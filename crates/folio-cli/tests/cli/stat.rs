//! `folio stat`

use std::fs;

use serde_json::Value;

use crate::folder::Folder;
use crate::server::Server;

#[test]
fn prints_counts_sizes_and_version() {
    let folder = Folder::new();
    let table = folder.table("t.folio", 1234);
    let text = folder.folio(["stat", "t.folio"]).text();
    let file_len = fs::metadata(table).unwrap().len();
    // `key0` to `key1233`, each with its value.
    let digits = 10 + 2 * 90 + 3 * 900 + 4 * 234;
    let (keys, values) = (3 * 1234 + digits, 5 * 1234 + digits);
    for (name, expected) in [
        ("format version", "1".to_owned()),
        ("records", "1,234".to_owned()),
        ("keys", format!("({} bytes)", with_commas(keys))),
        ("values", format!("({} bytes)", with_commas(values))),
        ("file", format!("({} bytes)", with_commas(file_len))),
        ("mapped by", "no other process".to_owned()),
    ] {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.ends_with(&expected), "{line}: {expected} expected");
    }
}

#[test]
fn tells_who_has_the_table_mapped() {
    let folder = Folder::new();
    folder.table("t.folio", 1000);
    let server = Server::start(&folder, &["t.folio", "--workers", "3"]);
    assert_eq!(server.workers.len(), 3);
    let text = folder.folio(["stat", "t.folio"]).text();
    let (_, mappers) = text.split_once("mapped by").unwrap();
    let mut rows: Vec<_> = mappers
        .lines()
        .filter(|line| line.ends_with("folio"))
        .map(|line| {
            line.split_whitespace()
                .next()
                .unwrap()
                .parse::<u32>()
                .unwrap()
        })
        .collect();
    // The supervisor has it mapped as well.
    let mut expected = server.workers.clone();
    expected.push(server.pid());
    expected.sort_unstable();
    rows.sort_unstable();
    assert_eq!(rows, expected, "{text}");
    server.stop();
    let text = folder.folio(["stat", "t.folio"]).text();
    assert!(
        text.contains("mapped by       no other process\n"),
        "{text}"
    );
}

#[test]
fn prints_the_same_as_json() {
    let folder = Folder::new();
    let table = folder.table("t.folio", 1234);
    let text = folder.folio(["stat", "--json", "t.folio"]).text();
    assert_eq!(text.lines().count(), 1);
    let stat: Value = serde_json::from_str(&text).unwrap();
    let file_len = fs::metadata(table).unwrap().len();
    let digits = 10 + 2 * 90 + 3 * 900 + 4 * 234;
    let (keys, values) = (3 * 1234 + digits, 5 * 1234 + digits);
    assert_eq!(stat["table"], "t.folio");
    assert_eq!(stat["format_version"], 1);
    assert_eq!(stat["records"], 1234);
    assert_eq!(stat["key_bytes"], keys);
    assert_eq!(stat["value_bytes"], values);
    assert_eq!(stat["file_bytes"], file_len);
    assert_eq!(stat["mapped_by"], Value::Array(Vec::new()));
    let overhead = stat["overhead_bytes_a_record"].as_f64().unwrap();
    let expected = f64::from(u32::try_from(file_len - keys - values).unwrap()) / 1234.0;
    assert!((overhead - expected).abs() < 1e-9, "{overhead}");
    let load = stat["index_load"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&load), "{load}");
    assert!(stat["longest_probe_lines"].as_u64().unwrap() >= 1);
    let sections = stat["sections"].as_array().unwrap();
    let kinds: Vec<_> = sections.iter().map(|section| &section["kind"]).collect();
    assert_eq!(kinds, ["records", "hash index", "order", "checksums"]);
    let records = &sections[0];
    assert_eq!(records["offset_bytes"], 4096);
    assert_eq!(records["len_bytes"], keys + values + 2 * 1234);
}

fn with_commas(number: u64) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", with_commas(thousands), number % 1000),
    }
}
