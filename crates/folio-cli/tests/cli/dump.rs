//! `folio dump`, and back by `folio build`

use std::fs;

use serde_json::Value;

use crate::folder::Folder;

/// Records of all kinds, as a dump of them.
fn every_kind(folder: &Folder) {
    let mut lines = Vec::new();
    for byte in 0..=255_u8 {
        // Each byte within a key and a value, by the escapes where there must be some.
        let text: &[u8] = match byte {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\\' => b"\\\\",
            _ => &[byte],
        };
        for part in [b"\t\\\tkey ", text, b"\t", text, b" ", text, b"\n"] {
            lines.extend_from_slice(part);
        }
    }
    lines.extend_from_slice("ключ\t\u{1F980} value with \\backslashes\\n\n".as_bytes());
    lines.extend_from_slice(b"empty\t\n");
    lines.extend_from_slice(&[b"long\t", &b"0123456789".repeat(30_000)[..], b"\n"].concat());
    folder.write("every.tsv", lines);
    folder
        .folio(["build", "every.tsv", "-o", "t.folio"])
        .success();
}

#[test]
fn comes_back_byte_for_byte() {
    let folder = Folder::new();
    every_kind(&folder);
    let table = fs::read(folder.path("t.folio")).unwrap();
    for format in ["tsv", "jsonl"] {
        let dump = ["dump", "t.folio", "--format", format];
        let text = folder.folio(dump).success();
        let name = format!("dump.{format}");
        folder.write(&name, &text);
        folder
            .folio(["build", &name, "-o", "again.folio"])
            .success();
        assert!(fs::read(folder.path("again.folio")).unwrap() == table);
        // By a pipe as well.
        let build = ["build", "-", "--format", format, "-o", "piped.folio"];
        folder.folio_reading(build, &text).success();
        assert!(fs::read(folder.path("piped.folio")).unwrap() == table);
        // TSV is what is printed unless something else is asked for.
        if format == "tsv" {
            assert!(folder.folio(["dump", "t.folio"]).success() == text);
            assert!(folder.folio(["scan", "t.folio"]).success() == text);
        }
    }
    let named = ["--key", "key", "--value", "value"];
    let build = ["build", "dump.jsonl", "-o", "named.folio"];
    folder.folio(build.iter().chain(&named)).success();
    assert!(fs::read(folder.path("named.folio")).unwrap() == table);
}

#[test]
fn plain_records_are_plain_lines() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let expected: Vec<_> = (0..10).map(|i| format!("key{i}\tvalue{i}\n")).collect();
    assert_eq!(folder.folio(["dump", "t.folio"]).text(), expected.concat());
    let json = folder
        .folio(["dump", "t.folio", "--format", "jsonl"])
        .text();
    let expected: Vec<_> = (0..10)
        .map(|i| format!(r#"{{"key":"key{i}","value":"value{i}","folio":"record"}}"#) + "\n")
        .collect();
    assert_eq!(json, expected.concat());
}

#[test]
fn a_table_without_records() {
    let folder = Folder::new();
    folder
        .folio_reading(["build", "-", "-o", "t.folio"], b"")
        .success();
    for format in ["tsv", "jsonl"] {
        let dump = ["dump", "t.folio", "--format", format];
        assert_eq!(folder.folio(dump).success(), b"");
    }
    assert_eq!(
        folder.folio(["scan", "t.folio", "--reverse"]).success(),
        b""
    );
}

#[test]
fn damage_is_told_and_not_skipped() {
    let folder = Folder::new();
    let path = folder.table("t.folio", 1000);
    let mut bytes = fs::read(&path).unwrap();
    // The lengths of the first record of the second page of records.
    let stat = folder.folio(["stat", "--json", "t.folio"]).text();
    let stat: Value = serde_json::from_str(&stat).unwrap();
    let order = stat["sections"][2]["offset_bytes"].as_u64().unwrap();
    let order = usize::try_from(order).unwrap();
    let first = u64::from_le_bytes(bytes[order + 24..order + 32].try_into().unwrap());
    let at = 4096 + usize::try_from(first).unwrap();
    assert_eq!(bytes[at + 2..at + 5], *b"key");
    bytes[at] = 0;
    fs::write(&path, bytes).unwrap();
    for arguments in [
        &["dump", "t.folio"][..],
        &["dump", "t.folio", "--format", "jsonl"],
        &["scan", "t.folio"],
        &["scan", "t.folio", "--reverse"],
    ] {
        let finished = folder.folio(arguments);
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}");
        let expected =
            format!("folio: t.folio: damaged at byte {at}: a key length that no key has\n");
        assert_eq!(finished.stderr, expected, "{arguments:?}");
    }
}
