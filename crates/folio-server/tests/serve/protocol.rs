//! What clients are answered.

use folio_server::sample;

use crate::Test;
use crate::client::Client;
use crate::server::Server;

pub(crate) const TESTS: &[Test] = &[
    ("answers_pipelines_and_split_requests", answers_pipelines),
    ("serves_every_value_byte_for_byte", serves_every_value),
    ("speaks_resp3_when_asked", speaks_resp3),
    ("selects_tables", selects_tables),
    ("closes_after_garbage", closes_after_garbage),
    ("answers_before_it_closes", answers_before_it_closes),
    ("serves_over_a_unix_socket", serves_over_unix),
];

fn get(index: u32) -> String {
    format!("*2\r\n$3\r\nGET\r\n$12\r\nuser:{index:07}\r\n")
}

fn bulk(index: u32) -> Vec<u8> {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    sample::record(index, &mut key, &mut value);
    let mut bulk = format!("${}\r\n", value.len()).into_bytes();
    bulk.extend(value);
    bulk.extend(b"\r\n");
    bulk
}

fn answers_pipelines() {
    let server = Server::start(1000, 2);
    let mut client = server.connect();
    let requests: String = (0..500).map(get).collect();
    let replies: Vec<u8> = (0..500).flat_map(bulk).collect();
    client.ask(&requests, &replies);
    client.ask("PING\r\nGET user:0000007\nGET nobody\r\n", {
        [b"+PONG\r\n", bulk(7).as_slice(), b"$-1\r\n"].concat()
    });
    // Commands of all kinds among the reads, and a read that is not all there.
    let (mut requests, mut replies) = (String::new(), Vec::new());
    for index in 0..200 {
        requests += &get(index);
        replies.extend(bulk(index));
        if index % 3 == 0 {
            requests += "*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n*2\r\n$6\r\nEXISTS\r\n$1\r\nx\r\n";
            replies.extend(b"$2\r\nhi\r\n:0\r\n");
        }
        if index % 50 == 49 {
            requests += "GET nobody\r\n*2\r\n$6\r\nstrlen\r\n$1\r\nx\r\n";
            replies.extend(b"$-1\r\n:0\r\n");
        }
    }
    requests += "*2\r\n$3\r\nGET\r\n$12\r\nuser:00";
    client.ask(&requests, &replies);
    client.ask("00005\r\n", bulk(5));
    // One byte at a time.
    for byte in get(3).bytes() {
        client.send([byte]);
    }
    client.expect(bulk(3));
    client.ask(
        "*4\r\n$4\r\nmget\r\n$12\r\nuser:0000001\r\n$1\r\nx\r\n$12\r\nuser:0000002\r\n",
        [b"*3\r\n", bulk(1).as_slice(), b"$-1\r\n", &bulk(2)].concat(),
    );
}

fn serves_every_value() {
    let server = Server::start(20_000, 2);
    for mut client in server.connect_each() {
        for start in (0..20_000).step_by(1000) {
            let requests: String = (start..start + 1000).map(get).collect();
            let replies: Vec<u8> = (start..start + 1000).flat_map(bulk).collect();
            client.ask(&requests, &replies);
        }
    }
}

fn speaks_resp3() {
    let server = Server::start(10, 1);
    let mut client = server.connect();
    client.ask("GET nobody\r\n", "$-1\r\n");
    client.send("HELLO 3\r\n");
    assert_eq!(client.line(), "%7");
    while client.line() != "modules" {}
    client.expect("*0\r\n");
    client.ask("GET nobody\r\n", "_\r\n");
    client.ask("CONFIG GET save\r\n", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
    client.ask("HELLO 4\r\n", "-NOPROTO unsupported protocol version\r\n");
    client.ask("RESET\r\nGET nobody\r\n", "+RESET\r\n$-1\r\n");
}

fn selects_tables() {
    let server = Server::start(10, 1);
    let mut client = server.connect();
    client.ask("DBSIZE\r\n", ":10\r\n");
    client.ask("SELECT 1\r\nDBSIZE\r\n", "+OK\r\n:1\r\n");
    client.ask("SELECT 2\r\n", "-ERR DB index is out of range\r\n");
    client.ask("DBSIZE\r\nSELECT 0\r\nDBSIZE\r\n", ":1\r\n+OK\r\n:10\r\n");
}

fn closes_after_garbage() {
    let server = Server::start(10, 1);
    for (garbage, error) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*1\r\n+OK\r\n", "expected '$', got '+'"),
        ("*1\r\n$-5\r\n", "invalid bulk length"),
        ("GET \"\r\n", "unbalanced quotes in request"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
            "this is no HTTP server",
        ),
    ] {
        let mut client = server.connect();
        // What came before is answered; what comes after is not.
        client.send(format!("PING\r\n{garbage}PING\r\n"));
        let rest = String::from_utf8(client.rest()).unwrap();
        assert_eq!(rest, format!("+PONG\r\n-ERR Protocol error: {error}\r\n"));
    }
    // A client that goes on sending gets the reply all the same.
    let mut client = server.connect();
    client.send("*x\r\n");
    client.send(vec![b'x'; 1 << 20]);
    let rest = client.rest();
    assert!(rest.starts_with(b"-ERR Protocol error"), "{rest:?}");
    server.connect().ask("PING\r\n", "+PONG\r\n");
}

fn answers_before_it_closes() {
    let server = Server::start(10, 1);
    let mut client = server.connect();
    client.send("PING\r\nQUIT\r\nPING\r\n");
    assert_eq!(client.rest(), b"+PONG\r\n+OK\r\n");
    let mut client = server.connect();
    client.send("PING\r\nECHO a\r\nPIN");
    client.end();
    assert_eq!(client.rest(), b"+PONG\r\n$1\r\na\r\n");
}

fn serves_over_unix() {
    let mut server = Server::start_with(10, 2, &["--unix", "UNIX", "--listen", "127.0.0.1:0"]);
    for _ in 0..10 {
        let mut client = Client::unix(&server.unix());
        client.ask(get(5), bulk(5));
        server.connect().ask(get(5), bulk(5));
    }
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
    assert!(!server.unix().exists());
}
