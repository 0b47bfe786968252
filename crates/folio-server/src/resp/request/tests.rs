use super::*;

/// What a whole stream came to: the requests, and the error that ended it.
type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Parses a stream that arrives in the pieces given.
fn parse_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Outcome {
    let mut parser = Parser::default();
    let mut input = Vec::new();
    let mut requests = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match parser.parse(&mut input, limits) {
                Ok(Parsed::Incomplete) => break,
                Ok(Parsed::Complete(len)) => {
                    assert!(len > 0 && len <= input.len(), "no progress: {len}");
                    let request = parser.request(&input);
                    assert_eq!(request.len(), request.from(0).len());
                    requests.push(request.from(0).map(<[u8]>::to_vec).collect());
                    input.drain(..len);
                }
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn parse(stream: &[u8]) -> Outcome {
    parse_pieces([stream], &Limits::default())
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

const PIPELINE: &[u8] = b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n\
    PING\r\n*0\r\n*1\r\n$0\r\n\r\n  \r\nget \"a\\x20b\" 'c'\n*-1\r\n\
    *3\r\n$4\r\nMGET\r\n$1\r\nx\r\n$2\r\n\x00\xff\r\n";

#[test]
fn takes_a_pipeline() {
    let (requests, error) = parse(PIPELINE);
    assert_eq!(error, None);
    assert_eq!(
        requests,
        [
            words(&["GET", "a\r\nb"]),
            words(&["PING"]),
            words(&[]),
            words(&[""]),
            words(&[]),
            words(&["get", "a b", "c"]),
            words(&[]),
            vec![b"MGET".to_vec(), b"x".to_vec(), vec![0, 0xff]],
        ]
    );
}

#[test]
fn pieces_make_no_difference() {
    let whole = parse(PIPELINE);
    for split in 0..=PIPELINE.len() {
        let (head, tail) = PIPELINE.split_at(split);
        assert_eq!(parse_pieces([head, tail], &Limits::default()), whole);
    }
    let bytes = PIPELINE.chunks(1);
    assert_eq!(parse_pieces(bytes, &Limits::default()), whole);
}

#[test]
fn names_what_is_wrong() {
    for (stream, expected) in [
        ("*x\r\n", ProtocolError::ArrayLength),
        ("*\r\n", ProtocolError::ArrayLength),
        ("*1\rx", ProtocolError::ArrayLength),
        ("*1000000000000\r\n", ProtocolError::ArrayLength),
        ("*99999999999999999999\r\n", ProtocolError::ArrayLength),
        ("*000000000000000000000001\r\n", ProtocolError::ArrayLength),
        ("*1\r\nGET", ProtocolError::NoBulk(b'G')),
        ("*1\r\n\r\n", ProtocolError::NoBulk(b'\r')),
        ("*1\r\n$-1\r\n", ProtocolError::BulkLength),
        ("*1\r\n$9223372036854775807\r\n", ProtocolError::BulkLength),
        ("*1\r\n$3\r\nGETxx", ProtocolError::NoCrlf),
        ("*1\r\n$3\r\nGET\n\n", ProtocolError::NoCrlf),
        ("GET \"a\r\n", ProtocolError::Quotes),
    ] {
        assert_eq!(
            parse(stream.as_bytes()),
            (vec![], Some(expected)),
            "{stream:?}"
        );
    }
    assert_eq!(
        ProtocolError::NoBulk(b'\r').to_string(),
        "expected '$', got '?'"
    );
}

#[test]
fn keeps_to_limits() {
    let limits = Limits {
        argument_bytes: 10,
        arguments: 3,
        request_bytes: 40,
        inline_bytes: 12,
        ..Limits::default()
    };
    let outcome = |stream: &str| parse_pieces([stream.as_bytes()], &limits);
    assert_eq!(outcome("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n").1, None);
    assert_eq!(outcome("*4\r\n").1, Some(ProtocolError::ArrayLength));
    assert_eq!(outcome("*1\r\n$10\r\n0123456789\r\n").1, None);
    assert_eq!(outcome("*1\r\n$11\r\n").1, Some(ProtocolError::BulkLength));
    assert_eq!(
        outcome("*3\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n$1\r\n").1,
        Some(ProtocolError::RequestTooLong)
    );
    assert_eq!(outcome("GET 45678901\n").1, None);
    assert_eq!(
        outcome("GET 456789012").1,
        Some(ProtocolError::InlineTooLong)
    );
    assert_eq!(
        outcome("GET 456789012\n").1,
        Some(ProtocolError::InlineTooLong)
    );
}

#[test]
fn announced_but_unsent_arguments_take_no_room() {
    let mut parser = Parser::default();
    let mut input = b"*1048576\r\n$1048576\r\n".to_vec();
    let parsed = parser.parse(&mut input, &Limits::default());
    assert_eq!(parsed, Ok(Parsed::Incomplete));
    assert!(parser.arguments.capacity() < 16);
}

#[test]
fn gives_room_back() {
    let mut many = b"*1000\r\n".to_vec();
    many.extend(b"$1\r\na\r\n".repeat(1000));
    let mut parser = Parser::default();
    assert_eq!(
        parser.parse(&mut many, &Limits::default()),
        Ok(Parsed::Complete(many.len()))
    );
    assert_eq!(parser.request(&many).len(), 1000);
    assert_eq!(
        parser.parse(&mut [], &Limits::default()),
        Ok(Parsed::Incomplete)
    );
    assert!(parser.arguments.capacity() <= KEPT_ARGUMENTS);
}

/// A small generator of its own (xorshift64), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[test]
fn garbage_ends_and_pieces_still_make_no_difference() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let limits = Limits {
        inline_bytes: 64,
        request_bytes: 200,
        ..Limits::default()
    };
    for _ in 0..20_000 {
        let mut stream = PIPELINE.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(stream.len());
            match random.below(4) {
                0 => stream[at] = u8::try_from(random.below(256)).unwrap(),
                1 => stream[at] = b"*$\r\n-0919\"'\\x "[random.below(14)],
                2 => drop(stream.drain(at..stream.len().min(at + 1 + random.below(8)))),
                _ => stream.insert(at, b"*$\r\n-0919\"'\\x "[random.below(14)]),
            }
        }
        let whole = parse_pieces([stream.as_slice()], &limits);
        let split = random.below(stream.len() + 1);
        let (head, tail) = stream.split_at(split);
        let pieces = parse_pieces([head, tail], &limits);
        assert_eq!(
            pieces,
            whole,
            "{:?} cut at {split}",
            stream.escape_ascii().to_string()
        );
    }
}

#[test]
fn noise_ends() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let len = random.below(64);
        let stream: Vec<u8> = (0..len)
            .map(|_| b"*$\r\n-012\"'\\x \x00\xffA"[random.below(15)])
            .collect();
        let whole = parse(&stream);
        assert_eq!(parse_pieces(stream.chunks(1), &Limits::default()), whole);
    }
}
