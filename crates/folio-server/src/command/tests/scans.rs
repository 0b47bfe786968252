//! SCAN.

use super::*;

/// The cursor and the keys of a reply to `SCAN`.
fn scanned(reply: &str) -> (String, Vec<String>) {
    let lines: Vec<_> = reply.split("\r\n").collect();
    assert_eq!(lines[0], "*2", "{reply}");
    let keys = lines[4..].chunks_exact(2).map(|key| key[1].to_owned());
    let keys: Vec<_> = keys.collect();
    assert_eq!(lines[3], format!("*{}", keys.len()));
    (lines[2].to_owned(), keys)
}

/// All keys that a loop of `SCAN`s gives, and how many it took.
fn scan_all<B: ReadAt>(fixture: &mut Fixture<B>, options: &str) -> (Vec<String>, usize) {
    let (mut all, mut cursor) = (Vec::new(), "0".to_owned());
    for requests in 1..10_000 {
        let reply = fixture.ask(format!("SCAN {cursor} {options}").trim_end());
        let (next, keys) = scanned(&reply);
        all.extend(keys);
        if next == "0" {
            return (all, requests);
        }
        cursor = next;
    }
    panic!("no end");
}

#[test]
fn scans_all_keys() {
    let expected: Vec<_> = (0..1000).map(|number| format!("key{number:05}")).collect();
    let mut fixture = Fixture::new(vec![numbered(0..1000), table(&[])]);
    for (options, requests) in [
        ("", 100),
        ("COUNT 1", 1000),
        ("count 7", 143),
        ("COUNT 999", 2),
        ("COUNT 1000", 1),
        ("COUNT 9223372036854775807", 1),
        ("MATCH * COUNT 100", 10),
        ("TYPE string COUNT 100", 10),
    ] {
        let found = scan_all(&mut fixture, options);
        assert_eq!(found, (expected.clone(), requests), "{options}");
    }
    assert_eq!(scan_all(&mut fixture, "TYPE hash"), (Vec::new(), 1));
    fixture.ask("SELECT 1");
    assert_eq!(scan_all(&mut fixture, ""), (Vec::new(), 1));
}

#[test]
fn a_pattern_with_a_prefix_is_sought() {
    let mut fixture = Fixture::new(vec![numbered(0..1000)]);
    // One request of ten keys each, though a thousand keys are there.
    for (pattern, first, count) in [
        ("key0042*", "key00420", 10),
        ("key0042?", "key00420", 10),
        ("key00425", "key00425", 1),
        ("key0099[0-9]", "key00990", 10),
        ("nokey*", "", 0),
        ("key00425x*", "", 0),
    ] {
        let (keys, requests) = scan_all(&mut fixture, &format!("MATCH {pattern}"));
        assert_eq!((keys.len(), requests), (count, 1), "{pattern}");
        assert_eq!(keys.first().map_or("", String::as_str), first);
    }
    let (keys, requests) = scan_all(&mut fixture, "MATCH key00[12]* COUNT 50");
    assert_eq!((keys.len(), requests), (200, 20));
    let (keys, requests) = scan_all(&mut fixture, "MATCH *7 COUNT 100");
    assert_eq!((keys.len(), requests), (100, 10));
}

#[test]
fn scan_refuses_in_the_words_of_redis() {
    let arguments = "-ERR wrong number of arguments for 'scan' command\r\n";
    let not_integer = "-ERR value is not an integer or out of range\r\n";
    check(&[
        ("SCAN", arguments),
        ("SCAN x", "-ERR invalid cursor\r\n"),
        ("SCAN 1x", "-ERR invalid cursor\r\n"),
        ("SCAN 18446744073709551616", "-ERR invalid cursor\r\n"),
        ("SCAN 0 COUNT", "-ERR syntax error\r\n"),
        ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
        ("SCAN 0 COUNT -5", "-ERR syntax error\r\n"),
        ("SCAN 0 COUNT x", not_integer),
        ("SCAN 0 WITH 1", "-ERR syntax error\r\n"),
        ("SCAN 0 MATCH", "-ERR syntax error\r\n"),
        ("SCAN 0 TYPE set", "*2\r\n$1\r\n0\r\n*0\r\n"),
        // Numbers that were never given out begin again.
        ("SCAN 12345 MATCH a", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        (
            "SCAN 18446744073709551615 COUNT 100",
            "*2\r\n$1\r\n0\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        ),
    ]);
}

#[test]
fn a_cursor_is_good_on_any_connection() {
    let mut first = Fixture::new(vec![numbered(0..1000)]);
    let mut other = Fixture::new(vec![numbered(0..1000)]);
    let (cursor, keys) = scanned(&first.ask("SCAN 0 COUNT 400"));
    assert_eq!(keys.len(), 400);
    let (end, keys) = scanned(&other.ask(&format!("SCAN {cursor} COUNT 600")));
    assert_eq!((end.as_str(), keys[0].as_str()), ("0", "key00400"));
}

/// The table is replaced within a walk through it.
#[test]
fn a_scan_goes_on_in_another_table() {
    let mut fixture = Fixture::new(vec![numbered(0..1000)]);
    let (cursor, _) = scanned(&fixture.ask("SCAN 0 COUNT 400"));
    assert!(fixture.session.held_bytes() > "key00400".len());
    // Half of the keys passed are gone, and so is the one to go on from.
    fixture.dispatcher.tables = vec![numbered((0..2000).filter(|number| number % 2 == 1)).into()];
    let (next, keys) = scanned(&fixture.ask(&format!("SCAN {cursor} COUNT 400")));
    assert_eq!((keys[0].as_str(), keys.len()), ("key00401", 400));
    // A connection that did not see it begins again.
    let mut other = Fixture::new(vec![numbered((0..2000).filter(|number| number % 2 == 1))]);
    let (_, keys) = scanned(&other.ask(&format!("SCAN {cursor} COUNT 1")));
    assert_eq!(keys, ["key00001"]);
    let (_, keys) = scanned(&other.ask(&format!("SCAN {next} COUNT 1")));
    assert_eq!(keys, ["key01201"]);
    // What one connection remembers of one table is not used for another.
    fixture.dispatcher.tables.push(numbered(0..10).into());
    fixture.ask("SELECT 1");
    let (_, keys) = scanned(&fixture.ask(&format!("SCAN {next} COUNT 1")));
    assert_eq!(keys, ["key00000"]);
}

#[test]
fn a_long_reply_to_scan_is_cut_at_a_key() {
    let keys: Vec<_> = (0..100).map(|number| format!("{number:060000}")).collect();
    let records: Vec<_> = keys.iter().map(|key| (key.as_str(), "")).collect();
    let mut fixture = Fixture::new(vec![table(&records)]);
    let (all, requests) = scan_all(&mut fixture, "COUNT 1000");
    assert!(all == keys);
    assert_eq!(requests, 6);
    let limits = Limits {
        reply_bytes: 50_000,
        ..Limits::default()
    };
    let mut fixture = Fixture::with_limits(vec![table(&records)], limits);
    let expected = "-ERR the reply is longer than 50000 bytes, which is the limit; a lower COUNT gives less\r\n";
    assert_eq!(fixture.ask("SCAN 0"), expected);
}
