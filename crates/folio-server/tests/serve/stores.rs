//! Stores whose generations change while they are served.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use folio_table::{Builder, Store};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Test;
use crate::client::Client;
use crate::server::{Server, WATCHDOG, build, send_signal};

pub(crate) const TESTS: &[Test] = &[
    (
        "no_request_fails_while_generations_change",
        no_request_fails,
    ),
    ("idle_workers_let_old_generations_go", idle_workers_let_go),
    ("sighup_has_workers_look", sighup_has_workers_look),
    (
        "a_bad_generation_is_not_served",
        a_bad_generation_is_not_served,
    ),
];

/// How many keys each generation has, all with the generation's number for a value.
const KEYS: u64 = 64;
const WORKERS: usize = 2;

/// A store, and a table beside it.
struct Sample {
    folder: TempDir,
    store: Store,
}

impl Sample {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path().join("store")).unwrap();
        build(&folder.path().join("table.folio"), 0..10);
        let sample = Self { folder, store };
        sample.publish(1);
        sample
    }

    fn publish(&self, number: u64) {
        let build = |path: &Path| {
            let mut builder = Builder::new();
            for i in 0..KEYS {
                let (key, value) = (format!("key{i}"), number.to_string());
                builder.add(i, key.as_bytes(), value.as_bytes())?;
            }
            builder.write_to(path)
        };
        assert_eq!(self.store.publish_with(build).unwrap(), number);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Serves the table as number 0 and the store as number 1.
    fn serve(&self, options: &[&str]) -> Server {
        let paths = [self.path("table.folio"), self.path("store")];
        let options = [&["--listen", "127.0.0.1:0"], options].concat();
        Server::of_paths(&paths, WORKERS, &options)
    }
}

/// A connection to each worker, at the store.
fn clients(server: &Server) -> Vec<Client> {
    let mut clients = server.connect_each();
    for client in &mut clients {
        client.ask("SELECT 1\r\n", "+OK\r\n");
    }
    clients
}

fn get(client: &mut Client) -> u64 {
    client.text("GET key0\r\n").parse().unwrap()
}

/// Asks for all keys in several ways at once, and expects one generation's values in all
/// replies to each request.
fn ask_all(client: &mut Client, least: &AtomicU64) -> u64 {
    let keys: Vec<_> = (0..KEYS).map(|i| format!("key{i}")).collect();
    let keys = keys.join(" ");
    let at_least = least.load(Ordering::SeqCst);
    client.send(format!(
        "MGET {keys}\r\nMULTI\r\nGET key1\r\nMGET {keys}\r\nEXEC\r\nDBSIZE\r\n"
    ));
    let before = values(client, KEYS);
    assert!(
        before >= at_least,
        "{before} after {at_least} was published"
    );
    client.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n");
    let single = value(client);
    assert!(single >= before);
    assert_eq!(
        values(client, KEYS),
        single,
        "two generations in one transaction"
    );
    client.expect(format!(":{KEYS}\r\n"));
    single
}

fn value(client: &mut Client) -> u64 {
    let len = client.line();
    assert!(len.starts_with('$'), "{len}");
    client.line().parse().unwrap()
}

/// An array of values, which are all the same.
fn values(client: &mut Client, count: u64) -> u64 {
    client.expect(format!("*{count}\r\n"));
    let first = value(client);
    for _ in 1..count {
        assert_eq!(value(client), first, "two generations in one reply");
    }
    first
}

fn no_request_fails() {
    const GENERATIONS: u64 = 100;
    let sample = Sample::new();
    let server = sample.serve(&[]);
    let published = AtomicU64::new(1);
    let replies: u64 = thread::scope(|scope| {
        let askers: Vec<_> = clients(&server)
            .into_iter()
            .chain(clients(&server))
            .map(|mut client| {
                let published = &published;
                scope.spawn(move || {
                    let (mut seen, mut replies) = (0, 0);
                    while seen < GENERATIONS {
                        let now = ask_all(&mut client, published);
                        assert!(now >= seen, "{now} after {seen}");
                        seen = now;
                        replies += 1;
                    }
                    replies
                })
            })
            .collect();
        for number in 2..=GENERATIONS {
            sample.publish(number);
            published.store(number, Ordering::SeqCst);
            sample.store.prune(1).unwrap();
        }
        let replies = askers.into_iter().map(|asker| asker.join().unwrap());
        replies.sum()
    });
    assert!(replies >= GENERATIONS, "too few to meet any: {replies}");
    let info = server.connect().text("INFO folio\r\n");
    let line = info
        .lines()
        .find(|line| line.starts_with("table1:"))
        .unwrap();
    let expected = format!("table1:keys={KEYS},file_bytes=");
    assert!(line.starts_with(&expected), "{line}");
    assert!(
        line.contains(&format!(",generation={GENERATIONS},name=")),
        "{line}"
    );
    assert!(!info.contains("table0:keys=10,file_bytes=16472,generation"));
    assert_eq!(server.connect().info("total_error_replies"), 0);
    let lines = server.lines_so_far();
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("died") || line.starts_with("log")),
        "{lines:?}"
    );
}

fn idle_workers_let_go() {
    let sample = Sample::new();
    let mut server = sample.serve(&[]);
    assert_eq!(sample.store.prune(0).unwrap().removed, Vec::<u64>::new());
    sample.publish(2);
    server.await_line(|line| line == "generation 1 2");
    let started = Instant::now();
    while sample.store.prune(0).unwrap().removed.is_empty() {
        assert!(started.elapsed() < WATCHDOG, "generation 1 is held");
        thread::yield_now();
    }
    // One that is started later has the new one, too.
    send_signal(server.workers[&0], Signal::KILL);
    server.await_line(|line| line.starts_with("started 0 "));
    for client in &mut clients(&server) {
        assert_eq!(get(client), 2);
    }
    server.await_line(|line| line.starts_with("status ") && line.ends_with(" generations=-,2"));
}

fn sighup_has_workers_look() {
    let sample = Sample::new();
    // The supervisor never looks by itself.
    let mut server = sample.serve(&["--tick-ms", "3600000"]);
    let mut clients = clients(&server);
    // The file that is mapped is not the one that is written to any more.
    fs::remove_file(sample.path("store/SEQUENCE")).unwrap();
    sample.publish(2);
    for client in &mut clients {
        assert_eq!(get(client), 1);
    }
    server.signal(Signal::HUP);
    server.await_line(|line| line == "generation 1 2");
    let started = Instant::now();
    for client in &mut clients {
        while get(client) == 1 {
            assert!(started.elapsed() < WATCHDOG, "not followed");
        }
        assert_eq!(get(client), 2);
    }
    // From now on they listen to the right one.
    send_signal(server.pid(), Signal::HUP);
    sample.publish(3);
    for client in &mut clients {
        while get(client) != 3 {
            assert!(started.elapsed() < WATCHDOG, "not followed");
        }
    }
}

fn a_bad_generation_is_not_served() {
    let sample = Sample::new();
    let mut server = sample.serve(&[]);
    let mut clients = clients(&server);
    // A store whose current generation is not there: CURRENT is that of another one.
    let other = Sample::new();
    other.publish(2);
    fs::copy(other.path("store/CURRENT"), sample.path("copy")).unwrap();
    fs::rename(sample.path("copy"), sample.path("store/CURRENT")).unwrap();
    server.await_line(|line| {
        line.starts_with("log worker ") && line.ends_with("store: there is no generation 2")
    });
    for client in &mut clients {
        assert_eq!(get(client), 1);
    }
    sample.publish(3);
    for client in &mut clients {
        assert_eq!(get(client), 3);
    }
}
