//! The Redis clients of others connect and work as they are.

use std::process::Command;

use redis::{Commands, ConnectionLike, ErrorKind, ServerErrorKind};

use crate::folder::Folder;
use crate::process::{WATCHDOG, run};
use crate::program::{have, report, skip};
use crate::sample::sample;
use crate::server::Server;

/// A server of `key0` to `key999`, and of a second table; on TCP and on a Unix socket.
fn serve(folder: &Folder) -> Server {
    folder.table("t.folio", 1000);
    folder.write("second.tsv", "a\tone\nb\t\"two\" \u{fc}\n");
    let arguments = [
        "t.folio",
        "second.tsv",
        "--workers",
        "2",
        "--unix",
        "socket",
    ];
    Server::start(folder, &arguments)
}

#[test]
fn redis_cli() {
    if !have(&["redis-cli"]) {
        return;
    }
    let folder = Folder::new();
    let server = serve(&folder);
    let port = server.port();
    let ask = |request: &[&str]| {
        let mut command = Command::new("redis-cli");
        let finished = run(command.args(["-p", &port]).args(request), b"");
        assert_eq!(finished.stderr, "", "{request:?}");
        finished.text()
    };
    for (request, expected) in [
        (&["PING"][..], "PONG\n"),
        (&["GET", "key42"], "value42\n"),
        (&["GET", "nobody"], "\n"),
        (&["MGET", "key1", "nobody", "key2"], "value1\n\nvalue2\n"),
        (&["EXISTS", "key1", "nobody", "key1"], "2\n"),
        (&["STRLEN", "key42"], "7\n"),
        (&["STRLEN", "nobody"], "0\n"),
        (&["DBSIZE"], "1000\n"),
        (&["ECHO", "hello"], "hello\n"),
        (
            &["--scan", "--pattern", "key99?"],
            "key990\nkey991\nkey992\nkey993\nkey994\nkey995\nkey996\nkey997\nkey998\nkey999\n",
        ),
        (&["-n", "1", "DBSIZE"], "2\n"),
        (&["-n", "1", "GET", "b"], "\"two\" ü\n"),
        (&["--no-raw", "GET", "key42"], "\"value42\"\n"),
        (&["--no-raw", "GET", "nobody"], "(nil)\n"),
        (&["--no-raw", "STRLEN", "key42"], "(integer) 7\n"),
        (&["-3", "GET", "key42"], "value42\n"),
        (&["-3", "--no-raw", "GET", "nobody"], "(nil)\n"),
        (
            &["-3", "--no-raw", "MGET", "key1", "x"],
            "1) \"value1\"\n2) (nil)\n",
        ),
    ] {
        assert_eq!(ask(request), expected, "{request:?}");
    }
    for write in [&["SET", "key1", "x"][..], &["DEL", "key1"], &["FLUSHALL"]] {
        let reply = ask(write);
        assert!(reply.starts_with("READONLY "), "{write:?}: {reply}");
    }
    assert_eq!(ask(&["GET", "key1"]), "value1\n");
    let info = ask(&["INFO"]);
    assert!(
        info.contains("db0:keys=1000,") && info.contains("db1:keys=2,"),
        "{info}"
    );
    let wrong = ask(&["NOSUCH", "command"]);
    assert!(wrong.starts_with("ERR unknown command"), "{wrong}");

    // Several commands over one connection, one of them a SELECT.
    let mut session = Command::new("redis-cli");
    let commands = b"GET key3\nSELECT 1\nGET a\nSELECT 7\nGET a\nQUIT\n";
    let finished = run(session.args(["-p", &port]), commands);
    assert_eq!(
        finished.text(),
        "value3\nOK\none\nERR DB index is out of range\n\none\n"
    );
    server.stop();
}

#[test]
fn redis_benchmark() {
    if !have(&["redis-benchmark"]) {
        return;
    }
    let sample = sample();
    let server = Server::start(&sample.folder, &["--workers", "2"]);
    let port = server.port();
    let load = ["-p", &port, "-n", "20000", "-P", "16", "-c", "20"];
    // Keys of its own, which the table does not have; then one that it has.
    for what in [
        &["-t", "get", "-r", "1000000"][..],
        &["GET", "user:0000042"],
    ] {
        let mut command = Command::new("redis-benchmark");
        let finished = run(command.args(load).args(what), b"");
        assert_eq!(finished.stderr, "", "{what:?}");
        let stdout = finished.text();
        for word in ["error", "warning"] {
            assert!(!stdout.to_lowercase().contains(word), "{stdout}");
        }
        assert!(stdout.contains("20000 requests completed"), "{stdout}");
        let rate = stdout
            .lines()
            .find(|line| line.contains("requests per second"));
        report(&format!(
            "redis-benchmark {}, unoptimised: {}",
            what.join(" "),
            rate.unwrap().trim()
        ));
    }
    let info = server.connect().text("INFO stats");
    for field in [
        "keyspace_hits:20000",
        "keyspace_misses:20000",
        "total_error_replies:0",
    ] {
        assert!(info.lines().any(|line| line == field), "{field}: {info}");
    }
    server.stop();
}

/// Connects in each way, and checks what it is answered.
const REDIS_PY: &str = r#"
import sys, redis

def check(found, expected):
    assert found == expected, f"{found!r} found, {expected!r} expected"

def session(client):
    assert client.ping()
    check(client.get("key42"), b"value42")
    check(client.get("nobody"), None)
    check(client.mget("key1", "nobody", "key2"), [b"value1", None, b"value2"])
    check(client.exists("key1", "nobody", "key1"), 2)
    check(client.strlen("key42"), 7)
    check(client.dbsize(), 1000)
    check(sorted(client.scan_iter(count=7)), sorted(b"key%d" % n for n in range(1000)))
    check(list(client.scan_iter(match="key1?", count=3)), [b"key%d" % n for n in range(10, 20)])
    check(client.echo("hello"), b"hello")
    info = client.info()
    check(info["db0"]["keys"], 1000)
    check(info["workers"], 2)
    with client.pipeline() as pipe:
        for number in range(500):
            pipe.get(f"key{number}")
        check(pipe.execute(), [f"value{number}".encode() for number in range(500)])
    with client.pipeline(transaction=False) as pipe:
        check(pipe.strlen("key1").get("nobody").execute(), [6, None])
    for write in (lambda: client.set("key1", "x"), lambda: client.delete("key1")):
        try:
            write()
        except redis.exceptions.ReadOnlyError:
            pass
        else:
            raise AssertionError("a write was not refused")
    check(client.get("key1"), b"value1")

port, socket = int(sys.argv[1]), sys.argv[2]
session(redis.Redis(port=port))
session(redis.Redis(port=port, protocol=2))
session(redis.Redis(port=port, protocol=3, client_name="folio-test"))
session(redis.Redis.from_url(f"redis://127.0.0.1:{port}/0", health_check_interval=1))
session(redis.Redis(unix_socket_path=socket))
second = redis.Redis(port=port, db=1, decode_responses=True)
check(second.get("b"), '"two" \u00fc')
check(second.dbsize(), 2)
print("redis-py", redis.__version__)
"#;

#[test]
fn redis_py() {
    if !have(&["python3"]) {
        return;
    }
    let import = run(Command::new("python3").args(["-c", "import redis"]), b"");
    if !import.status.success() {
        return skip("python3 has no module redis");
    }
    let folder = Folder::new();
    let server = serve(&folder);
    let mut command = Command::new("python3");
    command.args(["-W", "error", "-c", REDIS_PY, &server.port()]);
    let finished = run(command.arg(folder.path("socket")), b"");
    assert_eq!(finished.stderr, "");
    report(finished.text().trim());
    server.stop();
}

#[test]
fn redis_rs() {
    let folder = Folder::new();
    let server = serve(&folder);
    let tcp = format!("redis://127.0.0.1:{}/", server.port());
    let unix = format!("redis+unix://{}", folder.path("socket").display());
    for url in [&tcp, &format!("{tcp}?protocol=resp3"), &unix] {
        let client = redis::Client::open(url.as_str()).unwrap();
        let mut connection = client.get_connection_with_timeout(WATCHDOG).unwrap();
        connection.set_read_timeout(Some(WATCHDOG)).unwrap();
        assert!(connection.check_connection());
        rust_session(&mut connection);
    }
    let second = redis::Client::open(format!("{tcp}1")).unwrap();
    let mut connection = second.get_connection_with_timeout(WATCHDOG).unwrap();
    assert_eq!(connection.get("a"), Ok("one".to_owned()));
    server.stop();
}

fn rust_session(connection: &mut redis::Connection) {
    let missing: Option<String> = None;
    assert_eq!(connection.get("key42"), Ok("value42".to_owned()));
    assert_eq!(connection.get("nobody"), Ok(missing.clone()));
    let values = [
        Some("value1".to_owned()),
        missing,
        Some("value2".to_owned()),
    ];
    assert_eq!(
        connection.mget(&["key1", "nobody", "key2"]),
        Ok(values.to_vec())
    );
    assert_eq!(connection.exists("key1"), Ok(true));
    assert_eq!(connection.exists("nobody"), Ok(false));
    assert_eq!(connection.strlen("key42"), Ok(7));
    assert_eq!(redis::cmd("DBSIZE").query(connection), Ok(1000));
    let keys: Vec<String> = connection
        .scan_match("key99?")
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let expected: Vec<_> = (990..1000).map(|number| format!("key{number}")).collect();
    assert_eq!(keys, expected);
    assert_eq!(redis::cmd("PING").query(connection), Ok("PONG".to_owned()));
    let info: redis::InfoDict = redis::cmd("INFO").query(connection).unwrap();
    assert_eq!(info.get("workers"), Some(2));

    let mut pipeline = redis::pipe();
    for number in 0..500 {
        pipeline.get(format!("key{number}"));
    }
    let expected: Vec<_> = (0..500).map(|number| format!("value{number}")).collect();
    assert_eq!(pipeline.query(connection), Ok(expected.clone()));
    assert_eq!(pipeline.atomic().query(connection), Ok(expected));

    let refused = connection.set::<_, _, ()>("key1", "x").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly));
    assert_eq!(connection.get("key1"), Ok("value1".to_owned()));
}
