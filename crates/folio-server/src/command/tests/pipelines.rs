//! Requests that arrive together are answered as one after the other.

use super::*;
use crate::resp::{Parsed, Parser};

const COUNTERS: [Counter; 5] = [
    Counter::Requests,
    Counter::Hits,
    Counter::Misses,
    Counter::Errors,
    Counter::Faults,
];

/// What a client was answered, how many requests went by the group, and what was counted.
struct Answered {
    out: Vec<u8>,
    grouped: usize,
    counts: [u64; 5],
}

/// Answers a stream as a connection does, whose replies are sent when enough wait.
fn answer<B: ReadAt>(mut fixture: Fixture<B>, input: &[u8], together: bool) -> Answered {
    let limits = fixture.dispatcher.limits.clone();
    let (mut input, mut parser) = (input.to_vec(), Parser::default());
    let (mut all, mut out) = (Vec::new(), Vec::new());
    let (mut at, mut grouped) = (0, 0);
    loop {
        if out.len() >= limits.waiting_reply_bytes {
            all.append(&mut out);
        }
        if together && parser.is_at_start() {
            let before = out.len();
            let session = &fixture.session;
            let len = fixture
                .dispatcher
                .execute_reads(session, &input[at..], &mut out);
            grouped += len;
            at += len;
            if len > 0 {
                assert!(out.len() > before);
                continue;
            }
        }
        match parser.parse(&mut input[at..], &limits).unwrap() {
            Parsed::Incomplete => break,
            Parsed::Complete(len) => {
                let request = parser.request(&input[at..]);
                fixture
                    .dispatcher
                    .execute(&mut fixture.session, request, &mut out);
                at += len;
            }
        }
    }
    all.append(&mut out);
    Answered {
        out: all,
        grouped,
        counts: COUNTERS.map(|counter| fixture.count(counter)),
    }
}

fn array(arguments: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        request.extend(format!("${}\r\n", <[u8]>::len(argument)).bytes());
        request.extend_from_slice(argument);
        request.extend(b"\r\n");
    }
    request
}

/// Reads of all kinds, and among them whatever else there is.
fn stream(mut random: u64, requests: usize) -> Vec<u8> {
    let mut below = move |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    };
    let mut stream = Vec::new();
    for _ in 0..requests {
        let key = format!("key{}", below(260)).into_bytes();
        let other = format!("key{}", below(260)).into_bytes();
        stream.extend(match below(40) {
            0..16 => array(&[b"GET", &key]),
            16..20 => array(&[b"get", &key]),
            20..23 => array(&[b"EXISTS", &key]),
            23..26 => array(&[b"StrLen", &key]),
            26..29 => array(&[b"MGET", &key, &other, b"", &key]),
            29 => array(&[b"EXISTS", &key, &other, &key]),
            30 => array(&[b"SELECT", if below(2) == 0 { b"0" } else { b"1" }]),
            31 => array(&[b"GET", &vec![b'x'; 70_000]]),
            32 => [b"GET \"", key.as_slice(), b"\"\r\n"].concat(),
            33 => array(&[b"GETRANGE", &key, b"1", b"3"]),
            34 => array(&[b"SET", &key, b"1"]),
            35 => array(&[b"GET"]),
            36 => array(&[b"HELLO", if below(2) == 0 { b"2" } else { b"3" }]),
            37 => array(&[b"MULTI"]),
            38 => array(&[b"EXEC"]),
            _ => array(&[]),
        });
    }
    stream
}

fn builder(values: usize) -> Builder {
    let mut builder = Builder::new();
    for number in 0..200 {
        let key = format!("key{number}");
        let value = "v".repeat(number % values);
        builder
            .add(number as u64, key.as_bytes(), value.as_bytes())
            .unwrap();
    }
    builder
}

/// The reply of `HELLO` tells of the connection alone, so that two fixtures answer the same.
#[track_caller]
fn check<B: ReadAt>(tables: impl Fn() -> Vec<Table<B>>, limits: &Limits, input: &[u8]) -> Answered {
    let fixture = || Fixture::with_limits(tables(), limits.clone());
    let single = answer(fixture(), input, false);
    let together = answer(fixture(), input, true);
    assert_eq!(
        together.out.escape_ascii().to_string(),
        single.out.escape_ascii().to_string()
    );
    assert_eq!(together.counts, single.counts);
    assert_eq!(single.grouped, 0);
    together
}

#[test]
fn any_mixture_is_answered_as_one_by_one() {
    let tables = || {
        let bytes = [builder(90), builder(7)].map(|builder| builder.to_vec().unwrap());
        let table = |bytes| Table::from_bytes(bytes, "test.folio").unwrap();
        bytes.into_iter().map(table).collect()
    };
    let mut limits = Limits::default();
    for (waiting_reply_bytes, reply_bytes) in [(1 << 20, 1 << 20), (100, 1 << 20), (300, 80)] {
        limits.waiting_reply_bytes = waiting_reply_bytes;
        limits.reply_bytes = reply_bytes;
        for seed in 1..30 {
            let input = stream(seed, 300);
            let answered = check(tables, &limits, &input);
            assert!(answered.grouped > 500, "{}", answered.grouped);
            let [requests, hits, misses, errors, _] = answered.counts;
            assert!(requests > 200 && hits > 20 && misses > 20 && errors > 10);
        }
    }
}

#[test]
fn a_damaged_table_has_an_error_for_those_requests_that_meet_it() {
    let good = builder(90).to_vec().unwrap();
    let input: Vec<u8> = (0..200)
        .flat_map(|number| array(&[b"GET", format!("key{number}").as_bytes()]))
        .collect();
    let mut faults = 0;
    for at in (4096..good.len() - 5000).step_by(211) {
        let tables = || {
            let mut bytes = good.clone();
            bytes[at..at + 16].fill(0xff);
            vec![Table::from_bytes(bytes, "test.folio").unwrap()]
        };
        let [requests, .., table_faults] = check(tables, &Limits::default(), &input).counts;
        assert_eq!(requests, 200);
        faults += table_faults;
    }
    assert!(faults > 10, "{faults}");
}

#[test]
fn a_fault_is_the_reply_of_every_request_that_meets_it() {
    let broken = Rc::new(std::cell::Cell::new(false));
    let tables = || {
        let bytes = Breaking {
            bytes: builder(9).to_vec().unwrap(),
            broken: Rc::clone(&broken),
        };
        broken.set(false);
        let table = Table::from_bytes(bytes, "bad.folio").unwrap();
        broken.set(true);
        vec![table]
    };
    let input = [array(&[b"GET", b"key1"]), array(&[b"EXISTS", b"nokey"])].concat();
    let answered = check(tables, &Limits::default(), &input.repeat(40));
    let [requests, hits, misses, errors, faults] = answered.counts;
    assert_eq!([requests, errors, faults], [80; 3]);
    assert_eq!([hits, misses], [0; 2]);
    assert_eq!(answered.grouped, input.len() * 40);
}
