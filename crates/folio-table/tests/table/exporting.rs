//! What is written as text is read back as the same table, byte for byte.

use std::path::Path;

use folio_table::export::{self, Writer};
use folio_table::import::{self, Format, Options};
use folio_table::{Builder, Table};

use crate::random::Random;

const FORMATS: [(export::Format, Format); 2] = [
    (export::Format::Tsv, Format::Tsv),
    (export::Format::JsonLines, Format::JsonLines),
];

fn build(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new();
    for (line, (key, value)) in (1..).zip(records) {
        builder.add(line, key, value).unwrap();
    }
    builder.to_vec().unwrap()
}

fn export(table: &[u8], format: export::Format) -> Vec<u8> {
    let table = Table::from_bytes(table, "test").unwrap();
    let mut writer = Writer::new(format, Vec::new());
    let mut scan = table.scan(..).unwrap();
    while let Some((key, value)) = scan.next_record().unwrap() {
        writer.record(key, value).unwrap();
    }
    writer.into_inner()
}

fn import(text: &[u8], options: &Options) -> folio_table::Result<Vec<u8>> {
    let mut builder = Builder::new();
    import::read_into(text, Path::new("in"), options, &mut builder, |_| ())?;
    builder.to_vec()
}

#[track_caller]
fn comes_back(records: &[(Vec<u8>, Vec<u8>)]) {
    let table = build(records);
    for (to, from) in FORMATS {
        let text = export(&table, to);
        let lines = text.split_inclusive(|byte| *byte == b'\n').count();
        assert_eq!(lines, records.len());
        assert!(import(&text, &Options::new(from)).unwrap() == table);
        // By their names as well, as any other object.
        if from == Format::JsonLines {
            let mut named = Options::new(from);
            named.key = Some("key".to_owned());
            named.value = Some("value".to_owned());
            assert!(import(&text, &named).unwrap() == table);
        }
        // In any order of the lines.
        let mut lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
        Random::new(1).shuffle(&mut lines);
        assert!(import(&lines.concat(), &Options::new(from)).unwrap() == table);
    }
}

#[test]
fn all_kinds_of_bytes_come_back() {
    comes_back(&[]);
    let each = (0..=255_u8).map(|byte| (vec![byte], vec![byte]));
    comes_back(&each.collect::<Vec<_>>());
    let mut random = Random::new(2);
    for alphabet in [
        &b"\t\n\\tn"[..],
        b"\\\"{}:,\r\x00\x1f",
        "aäöü\u{2028}\u{ffff}".as_bytes(),
        b"\xff\xfe=/+",
    ] {
        let mut text = |most: usize| -> Vec<u8> {
            let len = random.below(most);
            (0..len)
                .map(|_| alphabet[random.below(alphabet.len())])
                .collect()
        };
        let mut records: Vec<_> = (0..500).map(|_| (text(9), text(30))).collect();
        records.sort();
        records.dedup_by(|a, b| a.0 == b.0);
        records.retain(|(key, _)| !key.is_empty());
        comes_back(&records);
    }
    let mut records = Vec::new();
    for len in [1, 100, 4095, 65_536] {
        records.push((random.bytes(len), random.bytes(2 * len)));
        records.push((vec![b'\n'; len], vec![b'\n'; 3 * len]));
    }
    records.sort();
    records.dedup();
    comes_back(&records);
}

/// Values that look like what was written are values.
#[test]
fn lines_in_values_come_back() {
    let first = build(&[
        (b"a\tb".to_vec(), b"1\n2".to_vec()),
        (b"\xff".to_vec(), b"x".to_vec()),
    ]);
    let records = FORMATS.map(|(to, _)| {
        let text = export(&first, to);
        (text.trim_ascii_end().to_vec(), text)
    });
    comes_back(&records);
}

#[test]
fn the_lines_are_these() {
    let table = build(&[
        (b"a".to_vec(), b"1\t\\n".to_vec()),
        (b"b".to_vec(), b"1\n2\t\\n".to_vec()),
        (b"c\t".to_vec(), b"\r".to_vec()),
        ("d\u{e4}".into(), b"\xff\xfe".to_vec()),
        (b"e\xff".to_vec(), b"\"\\\x01".to_vec()),
        (b"f".to_vec(), b"\x01\x02\x03\x04".to_vec()),
    ]);
    let tsv = b"a\t1\t\\n\n\t\\\tb\t1\\n2\\t\\\\n\n\t\\\tc\\t\t\r\nd\xc3\xa4\t\xff\xfe\n\
                e\xff\t\"\\\x01\nf\t\x01\x02\x03\x04\n";
    assert_eq!(export(&table, export::Format::Tsv), tsv);
    let json = [
        r#"{"key":"a","value":"1\t\\n","folio":"record"}"#,
        r#"{"key":"b","value":"1\n2\t\\n","folio":"record"}"#,
        r#"{"key":"c\t","value":"\r","folio":"record"}"#,
        r#"{"key":"dä","value_base64":"//4=","folio":"record"}"#,
        r#"{"key_base64":"Zf8=","value":"\"\\\u0001","folio":"record"}"#,
        r#"{"key":"f","value_base64":"AQIDBA==","folio":"record"}"#,
    ];
    let expected = json.map(|line| format!("{line}\n")).concat();
    let found = String::from_utf8(export(&table, export::Format::JsonLines)).unwrap();
    assert_eq!(found, expected);
}

/// Whatever is not exactly such a line is read as ever.
#[test]
fn other_lines_are_as_they_were() {
    let value_of = |line: &str| {
        let table = import(line.as_bytes(), &Options::new(Format::JsonLines)).unwrap();
        let table = Table::from_bytes(table, "test").unwrap();
        let (key, value) = table.first().unwrap().unwrap();
        assert_eq!(key, b"k");
        String::from_utf8(value).unwrap()
    };
    assert_eq!(value_of(r#"{"value":"v","folio":"record","key":"k"}"#), "v");
    for line in [
        r#"{"key":"k","value":"v"}"#,
        r#"{"key":"k","value":"v","folio":"x"}"#,
        r#"{"key":"k","value":"v","folio":12}"#,
        r#"{"key":"k","value":1,"folio":"record"}"#,
        r#"{"key":"k","folio":"record"}"#,
        r#"{"key":"k","value":"v","folio":"record","more":1}"#,
        r#"{"key":"k","value":"v","value_base64":"AQ==","folio":"record"}"#,
        r#"{"key_base64":"aw==","value":"v"}"#,
    ] {
        assert_eq!(value_of(line), line);
    }
}

#[test]
fn text_that_was_tampered_with() {
    let fails = |text: &str, format, expected: &str| {
        let error = import(text.as_bytes(), &Options::new(format)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    for (text, problem) in [
        ("\t\\\ta\n", "an escaped line without a value"),
        ("\t\\\t\tb\n", "the key is empty"),
        (
            "\t\\\ta\tb\\\n",
            "\"\\\" is no escape: \\t, \\n and \\\\ are",
        ),
        (
            "\t\\\ta\\r\tb\n",
            "\"\\r\" is no escape: \\t, \\n and \\\\ are",
        ),
        ("\ta\tb\n", "the key is empty"),
        ("\t\\a\tb\n", "the key is empty"),
    ] {
        fails(text, Format::Tsv, &format!("in: line 1: {problem}"));
    }
    for encoded in ["A", "AQ=", "AQ", "A?==", "AR=="] {
        let line = format!(r#"{{"key":"k","value_base64":"{encoded}","folio":"record"}}"#);
        let error = import(line.as_bytes(), &Options::new(Format::JsonLines)).unwrap_err();
        let expected = "in: line 1: the field \"value_base64\": Invalid ";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
