//! Text becomes records; text that cannot, an error that names the line.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use folio_table::import::{self, Format, Options};
use folio_table::{Builder, Error, OnDuplicate, Table};

fn options(format: Format, key: Option<&str>, value: Option<&str>) -> Options {
    let mut options = Options::new(format);
    options.key = key.map(str::to_owned);
    options.value = value.map(str::to_owned);
    options
}

fn import(input: impl BufRead, options: &Options) -> folio_table::Result<Vec<(String, String)>> {
    let mut builder = Builder::new();
    let count = import::read_into(input, Path::new("in"), options, &mut builder, |_| ())?;
    let table = Table::from_bytes(builder.to_vec()?, "out")?;
    assert_eq!(table.count(), count);
    let text = |bytes: Vec<u8>| bytes.escape_ascii().to_string();
    let records = table
        .iter()
        .map(|record| record.map(|(key, value)| (text(key), text(value))));
    records.collect()
}

/// The records that an input gives, read with buffers of several sizes.
#[track_caller]
fn gives(input: &[u8], options: &Options, expected: &[(&str, &str)]) {
    for size in [1, 2, 7, 8192] {
        let records = import(BufReader::with_capacity(size, input), options).unwrap();
        let records: Vec<_> = records
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(records, expected, "read by {size}");
    }
}

/// The message that an input gives.
#[track_caller]
fn fails(input: &[u8], options: &Options, expected: &str) {
    for size in [1, 8192] {
        let error = import(BufReader::with_capacity(size, input), options).unwrap_err();
        assert_eq!(error.to_string(), expected, "read by {size}");
    }
}

#[test]
fn format_by_name_and_extension() {
    for (path, format) in [
        ("a.tsv", Some(Format::Tsv)),
        ("a.b/c.CSV", Some(Format::Csv)),
        ("x.jsonl", Some(Format::JsonLines)),
        ("x.ndjson", Some(Format::JsonLines)),
        ("x.json", None),
        ("tsv", None),
        ("", None),
    ] {
        assert_eq!(Format::from_path(Path::new(path)), format, "{path}");
    }
    let error = "xml".parse::<Format>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown format \"xml\": tsv, csv and jsonl are known"
    );
}

#[test]
fn tsv() {
    let tsv = Options::new(Format::Tsv);
    gives(b"", &tsv, &[]);
    gives(b"b\t2\na\t1\n", &tsv, &[("a", "1"), ("b", "2")]);
    gives(b"a\t1\t2\t\n", &tsv, &[("a", "1\\t2\\t")]);
    gives(b"a\t", &tsv, &[("a", "")]);
    gives(b"a\t1\r\nb\t2", &tsv, &[("a", "1\\r"), ("b", "2")]);
    gives(b"\xff\0\t\xfe\"\n", &tsv, &[("\\xff\\x00", "\\xfe\\\"")]);

    fails(b"a\t1\nb\n", &tsv, "in: line 2: no tab, so no value");
    fails(b"a\t1\n\nb\t1\n", &tsv, "in: line 2: no tab, so no value");
    fails(b"a\t1\n\t2\n", &tsv, "in: line 2: the key is empty");
    fails(
        b"a\t1\nb\t2\na\t3\n",
        &tsv,
        "line 3: duplicate key \"a\", first given on line 1",
    );
    let long = [vec![b'x'; 65_537], b"\t".to_vec()].concat();
    fails(
        &long,
        &tsv,
        "in: line 1: the key has 65537 bytes: at most 65536 are allowed",
    );
    fails(
        b"a\t1",
        &options(Format::Tsv, Some("id"), None),
        "in: column \"id\" asked for, but TSV has no header: the first field is the key, the rest the value",
    );
}

#[test]
fn csv_columns() {
    let input = b"id,name,2\n7,ann,x\n8,\"b\"\"o\nb\",y\n";
    let whole = [
        ("7", r#"{\"id\":\"7\",\"name\":\"ann\",\"2\":\"x\"}"#),
        ("8", r#"{\"id\":\"8\",\"name\":\"b\\\"o\\nb\",\"2\":\"y\"}"#),
    ];
    let csv = |key, value| options(Format::Csv, key, value);
    gives(input, &csv(None, None), &whole);
    gives(
        input,
        &csv(Some("1"), Some("name")),
        &[("7", "ann"), ("8", "b\\\"o\\nb")],
    );
    // A name wins over a number.
    gives(input, &csv(Some("2"), Some("3")), &[("x", "x"), ("y", "y")]);
    gives(
        input,
        &csv(Some("name"), Some("id")),
        &[("ann", "7"), ("b\\\"o\\nb", "8")],
    );
    gives(b"k,v\n", &csv(None, None), &[]);
    gives(b"k,v\r\n1,2\r\n", &csv(None, Some("v")), &[("1", "2")]);
    gives(
        b"\xef\xbb\xbfk,v\n1,2",
        &csv(Some("k"), Some("v")),
        &[("1", "2")],
    );
    gives(
        b"k,v\n\xff,\xfe\n",
        &csv(None, Some("v")),
        &[("\\xff", "\\xfe")],
    );
}

#[test]
fn csv_errors() {
    let csv = |key, value| options(Format::Csv, key, value);
    fails(b"", &csv(None, None), "in: line 1: no header");
    for wanted in ["missing", "0", "3", "-1", "99999999999999999999"] {
        let message = format!("in: no column \"{wanted}\": the columns are a, b");
        fails(b"a,b\n1,2\n", &csv(Some(wanted), None), &message);
        fails(b"a,b\n1,2\n", &csv(None, Some(wanted)), &message);
    }
    fails(
        b"a,b\n1,2\n3\n",
        &csv(None, None),
        "in: line 3: 1 fields, but the header has 2",
    );
    fails(
        b"a,b\n\"1\n\n\",2\n3,4,5\n",
        &csv(None, None),
        "in: line 5: 3 fields, but the header has 2",
    );
    fails(
        b"a,b\n1,2\n,3\n",
        &csv(None, None),
        "in: line 3: the key is empty",
    );
    fails(
        b"a,b\n\n\n,3\n",
        &csv(None, None),
        "in: line 4: the key is empty",
    );
    // Line ends of both kinds, blank lines before, within and after rows.
    for (input, line) in [
        (&b"a,b\r\n1,2\r\n3\r\n"[..], 3),
        (b"\r\n\n\r\na,b\r\n1,2\r\n3\r\n", 6),
        (b"a,b\r\n\r\n\n1,\"2\r\n\r\n\"\r\n\r\n3\r\n", 8),
        (b"a,b\n1,\"\n\n\"\n\n\n3", 7),
    ] {
        let message = format!("in: line {line}: 1 fields, but the header has 2");
        fails(input, &csv(None, None), &message);
    }
    fails(
        b"a,b\n1,2\n3,\xff\n",
        &csv(None, None),
        "in: line 3: column \"b\": not UTF-8, which JSON needs",
    );
    fails(
        b"a,\xff\n1,2\n",
        &csv(None, None),
        "in: line 1: a column's name is not UTF-8, which JSON needs",
    );
    fails(
        b"a,b,a\n1,2,3\n",
        &csv(None, None),
        "in: line 1: two columns are called \"a\", so that a row is no JSON object",
    );
    fails(
        b"a,b\n1,2\n\"1\n\",2\n3,4\n\"1\n\",9\n",
        &csv(None, None),
        "line 6: duplicate key \"1\\n\", first given on line 3",
    );
}

#[test]
fn json_lines() {
    let json = |key, value| options(Format::JsonLines, key, value);
    let input = b"{\"key\":\"b\", \"n\": [1, {\"key\":2}]}\n\n \t\r\n{ \"key\" : \"a\" }";
    gives(
        input,
        &json(None, None),
        &[
            ("a", r#"{ \"key\" : \"a\" }"#),
            ("b", r#"{\"key\":\"b\", \"n\": [1, {\"key\":2}]}"#),
        ],
    );
    gives(b"", &json(None, None), &[]);
    // Escapes in names and strings; what is not a string is its text, exactly.
    gives(
        br#"{"k\u0065y":"\u00e9\n","v":"x\ty"}"#,
        &json(None, Some("v")),
        &[("\\xc3\\xa9\\n", "x\\ty")],
    );
    let input = br#"{"id":1.50,"v":{"a": 1}}
{"id":12345678901234567890123,"v":null}
{"id":true,"v":""}"#;
    gives(
        input,
        &json(Some("id"), Some("v")),
        &[
            ("1.50", r#"{\"a\": 1}"#),
            ("12345678901234567890123", "null"),
            ("true", ""),
        ],
    );
    gives(br#"{"id":3}"#, &json(Some("id"), Some("id")), &[("3", "3")]);
    gives(
        br#"{"key":1,"key":2}"#,
        &json(None, Some("key")),
        &[("2", "2")],
    );
}

#[test]
fn json_lines_errors() {
    let json = |key, value| options(Format::JsonLines, key, value);
    let plain = json(None, None);
    fails(
        b"{\"key\":1}\n{\"id\":1}\n",
        &plain,
        "in: line 2: no field \"key\"",
    );
    fails(
        b"{\"key\":1}",
        &json(None, Some("v")),
        "in: line 1: no field \"v\"",
    );
    for value in ["null", "[]", "{\"a\":1}"] {
        let input = format!("\n{{\"key\":{value}}}\n");
        let message = "in: line 2: the field \"key\" is no string, number or bool";
        fails(input.as_bytes(), &plain, message);
    }
    fails(b"{\"key\":\"\"}", &plain, "in: line 1: the key is empty");
    fails(
        b"{\"key\":1}\n{\"key\":2",
        &plain,
        "in: line 2: not a JSON object: EOF while parsing an object at column 8",
    );
    fails(
        b"\"key\"",
        &plain,
        "in: line 1: not a JSON object: invalid type: string \"key\", expected a JSON object at column 5",
    );
    for bad in [
        "{\"key\":1} x",
        "{\"key\":\"\\ud800\"}",
        "{\"key\":01}",
        "nonsense",
        "[1]",
        "{\"key\":1,}",
    ] {
        let error = import(bad.as_bytes(), &plain).unwrap_err().to_string();
        assert!(
            error.starts_with("in: line 1: not a JSON object: "),
            "{error}"
        );
    }
    assert!(import(&b"{\"key\":\"\xff\"}"[..], &plain).is_err());
    // Deep nesting ends in an error, not in an overflow of the stack.
    let deep = [vec![b'['; 1 << 20], b"\n".to_vec()].concat();
    let deep = [b"{\"key\":1,\"x\":".to_vec(), deep].concat();
    assert!(import(deep.as_slice(), &plain).is_err());
}

#[test]
fn later_and_earlier_duplicates() {
    for (choice, expected) in [(OnDuplicate::First, "1"), (OnDuplicate::Last, "3")] {
        let mut builder = Builder::new().on_duplicate(choice);
        let input = b"a\t1\nb\t2\na\t3\n";
        let options = Options::new(Format::Tsv);
        let count = import::read_into(&input[..], Path::new("in"), &options, &mut builder, |_| ());
        assert_eq!(count.unwrap(), 3);
        let table = Table::from_bytes(builder.to_vec().unwrap(), "out").unwrap();
        assert_eq!(table.count(), 2);
        assert_eq!(table.get(b"a").unwrap().unwrap(), expected.as_bytes());
        table.verify(|_| ()).unwrap();
    }
}

#[test]
fn progress_ends_with_the_length_of_the_input() {
    for format in [Format::Tsv, Format::Csv, Format::JsonLines] {
        let mut input = String::from(if format == Format::Csv { "key,v\n" } else { "" });
        for number in 0..20_000 {
            let line = match format {
                Format::Csv => format!("{number},x\n"),
                Format::Tsv => format!("{number}\tx\n"),
                _ => format!("{{\"key\":{number}}}\n"),
            };
            input.push_str(&line);
        }
        let mut seen = Vec::new();
        let mut builder = Builder::new();
        let options = Options::new(format);
        let count = import::read_into(
            input.as_bytes(),
            Path::new("in"),
            &options,
            &mut builder,
            |bytes| {
                seen.push(bytes);
            },
        );
        assert_eq!(count.unwrap(), 20_000);
        assert!(seen.is_sorted());
        assert!(seen.len() > 1 && seen.len() < 100, "{}", seen.len());
        assert_eq!(seen.last(), Some(&(input.len() as u64)));
    }
}

#[test]
fn an_input_that_breaks_off() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    for format in [Format::Tsv, Format::Csv, Format::JsonLines] {
        let input = BufReader::new(Cursor::new(b"key\tv,w\n").chain(Broken));
        let options = Options::new(format);
        let error = import(input, &options).unwrap_err();
        if format == Format::JsonLines {
            // Its only line is no record.
            assert!(matches!(error, Error::Line { line: 1, .. }));
        } else {
            assert_eq!(error.to_string(), "in: cannot read");
            let source = std::error::Error::source(&error).unwrap();
            assert_eq!(source.to_string(), "unplugged");
        }
    }
}
