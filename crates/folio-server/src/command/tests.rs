mod pipelines;
mod scans;

use super::*;
use crate::resp::Protocol;
use folio_table::Builder;

type Tables = Vec<Table<Vec<u8>>>;

fn table(records: &[(&str, &str)]) -> Table<Vec<u8>> {
    let mut builder = Builder::new();
    for (line, (key, value)) in (1..).zip(records) {
        builder.add(line, key.as_bytes(), value.as_bytes()).unwrap();
    }
    Table::from_bytes(builder.to_vec().unwrap(), "test.folio").unwrap()
}

fn tables() -> Tables {
    vec![
        table(&[("a", "1"), ("b", "hello"), ("c", "")]),
        table(&[("z", "26")]),
    ]
}

fn numbered(numbers: impl Iterator<Item = usize>) -> Table<Vec<u8>> {
    let keys: Vec<_> = numbers.map(|number| format!("key{number:05}")).collect();
    let records: Vec<_> = keys.iter().map(|key| (key.as_str(), "value")).collect();
    table(&records)
}

/// One client of one worker.
struct Fixture<B> {
    dispatcher: Dispatcher<B>,
    session: Session,
}

impl<B: ReadAt> Fixture<B> {
    fn new(tables: Vec<Table<B>>) -> Self {
        Self::with_limits(tables, Limits::default())
    }

    fn with_limits(tables: Vec<Table<B>>, limits: Limits) -> Self {
        let now = Instant::now();
        let facts = Facts {
            worker: 1,
            workers: 3,
            started: now,
            listen: Some("127.0.0.1:7379".parse().unwrap()),
            unix: None,
        };
        let counters = Rc::new(Counters::new(3).unwrap());
        let log = Rc::new(Log::nowhere());
        let peer = Peer::Tcp("127.0.0.1:5000".parse().unwrap());
        Self {
            dispatcher: Dispatcher::new(tables, facts, limits, counters, log),
            session: Session::new(5, peer, now),
        }
    }

    fn ask_bytes(&mut self, arguments: &[&[u8]]) -> (String, Next) {
        let input = arguments.concat();
        let mut end = 0_usize;
        let ranges: Vec<_> = arguments
            .iter()
            .map(|argument| {
                let start = end;
                end += <[u8]>::len(argument);
                start..end
            })
            .collect();
        let mut out = b"before".to_vec();
        let request = Request::new(&input, &ranges);
        let next = self
            .dispatcher
            .execute(&mut self.session, request, &mut out);
        let reply = out.strip_prefix(b"before").expect("earlier replies stay");
        (String::from_utf8_lossy(reply).into_owned(), next)
    }

    /// The reply to a request whose arguments have no blanks in them.
    fn ask(&mut self, request: &str) -> String {
        let arguments: Vec<_> = request.split(' ').map(str::as_bytes).collect();
        self.ask_bytes(&arguments).0
    }

    fn count(&self, counter: Counter) -> u64 {
        self.dispatcher.counters.of(1, counter)
    }
}

/// Asks each request of one client in turn.
fn check(rows: &[(&str, &str)]) {
    let mut fixture = Fixture::new(tables());
    for (request, expected) in rows {
        assert_eq!(fixture.ask(request), *expected, "{request}");
    }
}

#[test]
fn reads() {
    check(&[
        ("GET a", "$1\r\n1\r\n"),
        ("gEt b", "$5\r\nhello\r\n"),
        ("GET c", "$0\r\n\r\n"),
        ("GET d", "$-1\r\n"),
        (
            "MGET a d b a",
            "*4\r\n$1\r\n1\r\n$-1\r\n$5\r\nhello\r\n$1\r\n1\r\n",
        ),
        ("EXISTS a a d", ":2\r\n"),
        ("TOUCH a d", ":1\r\n"),
        ("STRLEN b", ":5\r\n"),
        ("STRLEN d", ":0\r\n"),
        ("GETRANGE b 1 3", "$3\r\nell\r\n"),
        ("SUBSTR b -2 -1", "$2\r\nlo\r\n"),
        ("GETRANGE b 9 10", "$0\r\n\r\n"),
        ("GETRANGE d 0 -1", "$0\r\n\r\n"),
        ("TYPE a", "+string\r\n"),
        ("TYPE d", "+none\r\n"),
        ("TTL a", ":-1\r\n"),
        ("PTTL d", ":-2\r\n"),
        ("DBSIZE", ":3\r\n"),
    ]);
}

#[test]
fn keys_of_any_length_are_looked_up() {
    let mut fixture = Fixture::new(tables());
    for len in [0, 1, 100, 70_000] {
        let (reply, _) = fixture.ask_bytes(&[b"GET", &vec![0xff; len]]);
        assert_eq!(reply, "$-1\r\n", "{len}");
    }
}

#[test]
fn selects_tables() {
    check(&[
        ("SELECT 1", "+OK\r\n"),
        ("GET z", "$2\r\n26\r\n"),
        ("GET a", "$-1\r\n"),
        ("SELECT 2", "-ERR DB index is out of range\r\n"),
        ("SELECT -1", "-ERR DB index is out of range\r\n"),
        (
            "SELECT x",
            "-ERR value is not an integer or out of range\r\n",
        ),
        (
            "SELECT 01",
            "-ERR value is not an integer or out of range\r\n",
        ),
        ("DBSIZE", ":1\r\n"),
        ("RESET", "+RESET\r\n"),
        ("DBSIZE", ":3\r\n"),
    ]);
}

#[test]
fn refuses_in_the_words_of_redis() {
    check(&[
        (
            "GET",
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        (
            "get a b",
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        (
            "MGET",
            "-ERR wrong number of arguments for 'mget' command\r\n",
        ),
        (
            "PING a b",
            "-ERR wrong number of arguments for 'ping' command\r\n",
        ),
        (
            "FOO bar baz",
            "-ERR unknown command 'FOO', with args beginning with: 'bar' 'baz' \r\n",
        ),
        (
            "GETRANGE b x 1",
            "-ERR value is not an integer or out of range\r\n",
        ),
        (
            "AUTH u p",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        ),
        ("AUTH default p", "+OK\r\n"),
        (
            "CLIENT",
            "-ERR wrong number of arguments for 'client' command\r\n",
        ),
        (
            "CLIENT KILL",
            "-ERR unknown subcommand 'KILL'. Try CLIENT HELP.\r\n",
        ),
        (
            "CLIENT GETNAME x",
            "-ERR wrong number of arguments for 'client|getname' command\r\n",
        ),
        (
            "CONFIG GET",
            "-ERR wrong number of arguments for 'config|get' command\r\n",
        ),
        ("HELLO 1", "-NOPROTO unsupported protocol version\r\n"),
        (
            "HELLO x",
            "-ERR Protocol version is not an integer or out of range\r\n",
        ),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"),
        (
            "HELLO 3 AUTH x",
            "-ERR Syntax error in HELLO option 'AUTH'\r\n",
        ),
    ]);
    let auth = Fixture::new(tables()).ask("AUTH p");
    assert!(auth.starts_with("-ERR AUTH <password> called without any password"));
}

#[test]
fn writes_are_refused() {
    for command in ["SET a 2", "del a", "FLUSHALL", "hset h f v", "LPUSH l 1"] {
        let name = command.split(' ').next().unwrap().to_ascii_lowercase();
        let expected =
            format!("-READONLY this server serves read-only tables; '{name}' would write\r\n");
        assert_eq!(Fixture::new(tables()).ask(command), expected);
    }
}

#[test]
fn what_is_repeated_to_a_client_is_one_line() {
    let mut fixture = Fixture::new(tables());
    let long = vec![b'x'; 100_000];
    let arguments = [b"a\r\n+OK".as_slice(), b"\r\n", &long, &long, &long];
    let (reply, next) = fixture.ask_bytes(&arguments);
    assert_eq!(next, Next::Continue);
    assert!(reply.starts_with("-ERR unknown command 'a??+OK', with args beginning with: '??'"));
    assert_eq!(reply.matches("\r\n").count(), 1);
    assert!(reply.len() < 1000, "{}", reply.len());
}

#[test]
fn names_connections() {
    check(&[
        ("CLIENT ID", ":5\r\n"),
        ("CLIENT GETNAME", "$-1\r\n"),
        ("CLIENT SETNAME me", "+OK\r\n"),
        ("CLIENT GETNAME", "$2\r\nme\r\n"),
        ("CLIENT SETINFO LIB-NAME lib", "+OK\r\n"),
        ("CLIENT SETINFO lib-ver 1.0", "+OK\r\n"),
        (
            "CLIENT SETINFO foo 1.0",
            "-ERR Unrecognized option 'foo'\r\n",
        ),
        ("CLIENT NO-EVICT ON", "+OK\r\n"),
        ("ECHO a", "$1\r\na\r\n"),
        ("PING", "+PONG\r\n"),
        ("PING a", "$1\r\na\r\n"),
        ("READONLY", "+OK\r\n"),
    ]);
    let mut fixture = Fixture::new(tables());
    let (reply, _) = fixture.ask_bytes(&[b"CLIENT", b"SETNAME", b"a b"]);
    assert!(reply.starts_with("-ERR Client names cannot contain spaces"));
    fixture.ask("CLIENT SETNAME me");
    let info = fixture.ask("CLIENT INFO");
    assert!(info.contains("id=5 addr=127.0.0.1:5000 name=me "), "{info}");
}

#[test]
fn says_hello() {
    let mut fixture = Fixture::new(tables());
    let hello = fixture.ask("HELLO");
    assert!(hello.starts_with("*14\r\n$6\r\nserver\r\n$5\r\nfolio\r\n"));
    assert!(hello.contains("$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:5\r\n"));
    let hello = fixture.ask("HELLO 3 AUTH default x SETNAME me");
    assert!(hello.starts_with("%7\r\n") && hello.contains("$5\r\nproto\r\n:3\r\n"));
    assert_eq!(fixture.ask("CLIENT GETNAME"), "$2\r\nme\r\n");
    assert_eq!(fixture.ask("GET d"), "_\r\n");
    assert_eq!(fixture.ask("MGET d"), "*1\r\n_\r\n");
    assert!(fixture.ask("INFO server").starts_with('='));
    // One that is refused changes nothing.
    fixture.ask("HELLO 2 SETNAME other FOO");
    assert_eq!(fixture.session.protocol, Protocol::Resp3);
    assert_eq!(fixture.ask("CLIENT GETNAME"), "$2\r\nme\r\n");
}

#[test]
fn tells_settings() {
    check(&[
        ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
        (
            "CONFIG GET appendonly",
            "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n",
        ),
        ("CONFIG GET nothing", "*0\r\n"),
        (
            "CONFIG GET data* por?",
            "*4\r\n$9\r\ndatabases\r\n$1\r\n2\r\n$4\r\nport\r\n$4\r\n7379\r\n",
        ),
        (
            "CONFIG SET save x",
            "-ERR settings cannot be changed while the server runs\r\n",
        ),
    ]);
}

#[test]
fn describes_commands() {
    let count = catalog::COMMANDS.len();
    let mut fixture = Fixture::new(tables());
    assert_eq!(fixture.ask("COMMAND COUNT"), format!(":{count}\r\n"));
    assert!(
        fixture
            .ask("COMMAND")
            .starts_with(&format!("*{count}\r\n*10\r\n$4\r\nauth\r\n"))
    );
    assert_eq!(
        fixture.ask("COMMAND INFO get nothing"),
        "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
         *3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*0\r\n*0\r\n*-1\r\n"
    );
    assert!(
        fixture
            .ask("COMMAND INFO mget")
            .contains(":-2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:-1\r\n:1\r\n")
    );
    assert!(
        fixture
            .ask("COMMAND DOCS get nothing")
            .starts_with("*2\r\n$3\r\nget\r\n*6\r\n$7\r\nsummary\r\n")
    );
    assert_eq!(
        fixture.ask("COMMAND GETKEYS mget a b"),
        "*2\r\n$1\r\na\r\n$1\r\nb\r\n"
    );
    assert_eq!(
        fixture.ask("COMMAND GETKEYS getrange a 0 1"),
        "*1\r\n$1\r\na\r\n"
    );
    assert_eq!(
        fixture.ask("COMMAND GETKEYS ping"),
        "-ERR The command has no key arguments\r\n"
    );
    assert!(
        fixture
            .ask("COMMAND LIST")
            .starts_with(&format!("*{count}\r\n"))
    );
}

#[test]
fn informs_about_all_workers() {
    let mut fixture = Fixture::new(tables());
    fixture.dispatcher.counters.add(0, Counter::Requests, 40);
    fixture.ask("GET a");
    let info = fixture.ask("INFO");
    assert!(info.contains("total_commands_processed:42\r\n"), "{info}");
    assert!(info.contains("keyspace_hits:1\r\n"));
    assert!(info.contains("db0:keys=3,expires=0,avg_ttl=0\r\ndb1:keys=1,"));
    assert!(info.contains("worker:1\r\nworkers:3\r\n"));
    assert!(info.contains("worker0:requests=40,connections=0\r\n"));
    assert!(info.contains(",name=test.folio\r\n"));
    let some = fixture.ask("INFO keyspace CLIENTS");
    assert!(some.contains("# Clients\r\n") && some.contains("# Keyspace\r\n"));
    assert!(!some.contains("# Server"));
    assert_eq!(fixture.ask("INFO nothing"), "$0\r\n\r\n");
}

#[test]
fn closes_when_asked_and_on_http() {
    let mut fixture = Fixture::new(tables());
    assert_eq!(
        fixture.ask_bytes(&[b"QUIT"]),
        ("+OK\r\n".to_owned(), Next::Close)
    );
    for word in [b"POST".as_slice(), b"Host:"] {
        let (reply, next) = fixture.ask_bytes(&[word, b"x"]);
        assert_eq!(next, Next::Close);
        assert!(reply.starts_with("-ERR Protocol error"));
    }
    assert_eq!(fixture.ask_bytes(&[]), (String::new(), Next::Continue));
}

#[test]
fn queues_and_answers_together() {
    check(&[
        ("EXEC", "-ERR EXEC without MULTI\r\n"),
        ("DISCARD", "-ERR DISCARD without MULTI\r\n"),
        ("WATCH a", "+OK\r\n"),
        ("MULTI", "+OK\r\n"),
        ("GET b", "+QUEUED\r\n"),
        ("GETRANGE b x 1", "+QUEUED\r\n"),
        ("SELECT 1", "+QUEUED\r\n"),
        ("GET z", "+QUEUED\r\n"),
        ("MULTI", "-ERR MULTI calls can not be nested\r\n"),
        ("WATCH a", "-ERR WATCH inside MULTI is not allowed\r\n"),
        (
            "EXEC",
            "*4\r\n$5\r\nhello\r\n-ERR value is not an integer or out of range\r\n+OK\r\n$2\r\n26\r\n",
        ),
        ("GET z", "$2\r\n26\r\n"),
        ("MULTI", "+OK\r\n"),
        ("DISCARD", "+OK\r\n"),
        ("MULTI", "+OK\r\n"),
        ("EXEC", "*0\r\n"),
        ("MULTI", "+OK\r\n"),
        (
            "GET",
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        ("GET z", "+QUEUED\r\n"),
        (
            "EXEC",
            "-EXECABORT Transaction discarded because of previous errors.\r\n",
        ),
        ("GET z", "$2\r\n26\r\n"),
        ("MULTI", "+OK\r\n"),
        ("RESET", "+RESET\r\n"),
        ("GET a", "$1\r\n1\r\n"),
    ]);
}

#[test]
fn a_transaction_is_bounded() {
    let limits = Limits {
        request_bytes: 1000,
        reply_bytes: 30,
        ..Limits::default()
    };
    let mut fixture = Fixture::with_limits(tables(), limits);
    fixture.ask("MULTI");
    let replies: Vec<_> = (0..50).map(|_| fixture.ask("GET b")).collect();
    assert!(replies.contains(&"-ERR the transaction is too long\r\n".to_owned()));
    assert!(fixture.session.held_bytes() <= 1000);
    assert!(fixture.ask("EXEC").starts_with("-EXECABORT"));

    fixture.ask("MULTI");
    for _ in 0..3 {
        fixture.ask("GET b");
    }
    let reply = fixture.ask("EXEC");
    assert!(reply.starts_with("*3\r\n$5\r\nhello\r\n$5\r\nhello\r\n-ERR the reply is longer"));
}

#[test]
fn a_reply_is_bounded() {
    let limits = Limits {
        reply_bytes: 20,
        ..Limits::default()
    };
    let mut fixture = Fixture::with_limits(tables(), limits);
    assert_eq!(fixture.ask("MGET b"), "*1\r\n$5\r\nhello\r\n");
    assert!(
        fixture
            .ask("MGET b b b")
            .starts_with("-ERR the reply is longer than 20 bytes")
    );
    assert_eq!(fixture.ask("GET a"), "$1\r\n1\r\n");
}

#[test]
fn random_keys_are_all_keys_in_time() {
    let mut fixture = Fixture::new(vec![numbered(0..20), table(&[])]);
    let mut seen = std::collections::BTreeSet::new();
    // That one of 20 never comes in 2000 has a chance below 10 to the power of -43.
    for _ in 0..2000 {
        seen.insert(fixture.ask("RANDOMKEY"));
    }
    let expected = (0..20).map(|number| format!("$8\r\nkey{number:05}\r\n"));
    assert!(seen.into_iter().eq(expected));
    fixture.ask("SELECT 1");
    assert_eq!(fixture.ask("RANDOMKEY"), "$-1\r\n");
}

/// Bytes that are whole until they break: then reading past the first page fails.
#[derive(Debug)]
struct Breaking {
    bytes: Vec<u8>,
    broken: Rc<std::cell::Cell<bool>>,
}

impl ReadAt for Breaking {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> folio::Result<usize> {
        if self.broken.get() {
            return Err(folio::Error::Fault {
                path: "bad\r\nname.folio".into(),
                offset: offset_bytes,
            });
        }
        self.bytes.read_at(offset_bytes, buf)
    }
}

#[test]
fn a_fault_is_an_error_reply_and_heals() {
    let broken = Rc::new(std::cell::Cell::new(false));
    let mut builder = Builder::new();
    builder.add(1, b"a", b"1").unwrap();
    let bytes = Breaking {
        bytes: builder.to_vec().unwrap(),
        broken: Rc::clone(&broken),
    };
    let table = Table::from_bytes(bytes, "bad.folio").unwrap();
    let mut fixture = Fixture::new(vec![table]);
    broken.set(true);
    for request in [
        "GET a",
        "MGET a a",
        "EXISTS a",
        "STRLEN a",
        "GETRANGE a 0 1",
        "TTL a",
        "SCAN 0",
        "SCAN 0 MATCH a*",
        "RANDOMKEY",
    ] {
        let reply = fixture.ask(request);
        assert!(
            reply.starts_with("-ERR table 0: bad??name.folio: fault at byte "),
            "{reply}"
        );
        assert_eq!(reply.matches("\r\n").count(), 1, "{reply}");
    }
    assert_eq!(fixture.ask("DBSIZE"), ":1\r\n");
    assert_eq!(fixture.count(Counter::Faults), 9);
    assert_eq!(fixture.count(Counter::Errors), 9);
    broken.set(false);
    assert_eq!(fixture.ask("GET a"), "$1\r\n1\r\n");
}

#[test]
fn a_damaged_table_gives_errors_and_no_panic() {
    let whole = {
        let mut builder = Builder::new();
        for index in 0..200_u64 {
            let key = format!("key{index}");
            builder.add(index, key.as_bytes(), &[b'v'; 100]).unwrap();
        }
        builder.to_vec().unwrap()
    };
    let mut answers = [0, 0];
    for at in (4096..whole.len()).step_by(61) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let Ok(table) = Table::from_bytes(bytes, "damaged.folio") else {
            continue;
        };
        let mut fixture = Fixture::new(vec![table]);
        for index in (0..200).step_by(7) {
            let reply = fixture.ask(&format!("GET key{index}"));
            assert!(reply.ends_with("\r\n"));
            answers[usize::from(reply.starts_with("-ERR table 0: "))] += 1;
        }
    }
    assert!(answers[0] > 0 && answers[1] > 0, "{answers:?}");
}

#[test]
fn integers_are_strict() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("", None),
        ("-", None),
        ("-0", None),
        ("+1", None),
        ("01", None),
        (" 1", None),
        ("1x", None),
        ("１", None),
    ] {
        assert_eq!(integer(text.as_bytes()), expected, "{text}");
    }
}
