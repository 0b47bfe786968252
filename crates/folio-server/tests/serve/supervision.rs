//! Processes that start, die and end.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use rustix::process::Signal;

use crate::Test;
use crate::client::Client;
use crate::server::{Server, WATCHDOG, runs, send_signal};

pub(crate) const TESTS: &[Test] = &[
    ("ends_on_sigterm_and_on_sigint", ends_when_told),
    ("answers_what_it_received_before_it_ends", drains),
    (
        "a_sigterm_to_one_worker_ends_no_other",
        one_worker_told_to_end,
    ),
    (
        "a_killed_worker_is_replaced_and_its_counts_stay",
        replaces_the_dead,
    ),
    (
        "connections_that_wait_survive_a_dead_worker",
        keeps_the_queue,
    ),
    ("workers_end_with_a_killed_supervisor", ends_with_supervisor),
    ("an_address_has_one_server", address_in_use),
    (
        "a_truncated_table_gives_errors_and_ends_nobody",
        survives_truncation,
    ),
];

fn ends_when_told() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(10, 2);
        // A client at rest holds nothing up.
        let mut client = server.connect();
        client.ask("PING\r\n", "+PONG\r\n");
        server.signal(signal);
        server.await_line(|line| line == "stopping");
        assert!(server.wait().success());
        server.await_no_workers();
        assert_eq!(client.rest(), b"");
        let address = server.address.unwrap();
        assert!(TcpStream::connect_timeout(&address, WATCHDOG).is_err());
    }
}

fn drains() {
    const REQUESTS: usize = 100_000;
    let mut server = Server::start(1000, 2);
    let mut client = server.connect();
    let get = "*2\r\n$3\r\nGET\r\n$12\r\nuser:0000042\r\n";
    client.send(get);
    let len: usize = client.line()[1..].parse().unwrap();
    client.take(len + 2);
    let reply_len = format!("${len}\r\n").len() + len + 2;
    // More than the buffers of the sockets hold: much is on its way when the end
    // comes, and whatever was received is answered, whole.
    let Client::Tcp(stream) = &client else {
        unreachable!("a TCP client")
    };
    let sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        // The server may end before all is sent.
        let _ = std::io::Write::write_all(&mut &sender, get.repeat(REQUESTS).as_bytes());
    });
    let first = client.take(reply_len);
    server.signal(Signal::TERM);
    let rest = client.rest();
    assert_eq!(rest.len() % reply_len, 0, "a reply was cut");
    assert!(rest.chunks(reply_len).all(|reply| reply == first));
    assert!(server.wait().success());
    server.await_no_workers();
    sending.join().unwrap();
}

fn one_worker_told_to_end() {
    let mut server = Server::start(10, 2);
    send_signal(server.workers[&0], Signal::TERM);
    let died = server.await_line(|line| line.starts_with("died "));
    assert_eq!(died, "died 0 exit status 0");
    server.await_line(|line| line.starts_with("started 0 "));
    // Not even a client that reads nothing keeps it for ever.
    let mut client = server.connect();
    let get = "*2\r\n$3\r\nGET\r\n$12\r\nuser:0000001\r\n";
    let Client::Tcp(stream) = &mut client else {
        unreachable!("a TCP client")
    };
    stream.set_nonblocking(true).unwrap();
    let requests = get.repeat(1000);
    while std::io::Write::write_all(stream, requests.as_bytes()).is_ok() {}
    for index in [0, 1] {
        send_signal(server.workers[&index], Signal::TERM);
        let died = format!("died {index} exit status 0");
        server.await_line(|line| line == died);
        let started = format!("started {index} ");
        server.await_line(|line| line.starts_with(&started));
    }
    // Neither does SIGINT, which a terminal sends to all: the supervisor decides.
    send_signal(server.workers[&1], Signal::INT);
    server.connect_each();
    assert!(runs(server.workers[&1]));
}

fn replaces_the_dead() {
    let mut server = Server::start(100, 2);
    for client in &mut server.connect_each() {
        for _ in 0..100 {
            client.ask("EXISTS user:0000042 nobody\r\n", ":1\r\n");
        }
    }
    let before = server.connect().info("total_commands_processed");
    assert!(before >= 200);
    let old = server.workers[&0];
    for round in 1..=3 {
        send_signal(server.workers[&0], Signal::KILL);
        let died = server.await_line(|line| line.starts_with("died "));
        assert_eq!(died, "died 0 signal 9");
        server.await_line(|line| line.starts_with("started 0 "));
        let restarts = format!(" restarts={round} ");
        server.await_line(|line| line.starts_with("status ") && line.contains(&restarts));
    }
    assert_ne!(server.workers[&0], old);
    for mut client in server.connect_each() {
        assert!(client.info("total_commands_processed") > before);
        assert!(client.info("keyspace_hits") >= 200);
        assert!(client.info("keyspace_misses") >= 200);
    }
}

fn keeps_the_queue() {
    let mut server = Server::start(10, 1);
    let worker = server.workers[&0];
    // While the worker stands still, clients wait in the queue of its socket.
    send_signal(worker, Signal::STOP);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("PING\r\n");
    }
    send_signal(worker, Signal::KILL);
    server.await_line(|line| line.starts_with("died 0 "));
    for client in &mut clients {
        client.expect("+PONG\r\n");
    }
}

fn ends_with_supervisor() {
    let mut server = Server::start(10, 3);
    assert!(server.workers.values().all(|&pid| runs(pid)));
    assert_eq!(server.workers.len(), 3);
    server.signal(Signal::KILL);
    server.wait();
    server.await_no_workers();
}

fn address_in_use() {
    let server = Server::start(10, 2);
    let address: SocketAddr = server.address.unwrap();
    let second = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["serve", "--listen", &address.to_string()])
        .arg(server.table())
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert_eq!(
        String::from_utf8(second.stdout).unwrap(),
        format!("error {address}: address in use: another server listens there\n")
    );
    server.connect().ask("PING\r\n", "+PONG\r\n");
}

fn survives_truncation() {
    let mut server = Server::start(1000, 2);
    let whole = fs::read(server.table()).unwrap();
    let workers = server.workers.clone();
    let mut clients = server.connect_each();
    for client in &mut clients {
        client.ask("STRLEN nobody\r\n", ":0\r\n");
    }
    let file = fs::OpenOptions::new().write(true).open(server.table());
    file.unwrap().set_len(4096).unwrap();
    let started = Instant::now();
    for client in &mut clients {
        for request in ["GET user:0000042\r\n", "MGET nobody user:0000042\r\n"] {
            client.send(request);
            let error = client.line();
            assert!(error.starts_with("-ERR table 0: "), "{error}");
            assert!(error.contains("table.folio"), "{error}");
        }
        client.ask(
            "PING\r\nSELECT 1\r\nDBSIZE\r\nSELECT 0\r\n",
            "+PONG\r\n+OK\r\n:1\r\n+OK\r\n",
        );
    }
    server.await_line(|line| line.starts_with("log worker ") && line.contains("table.folio"));
    assert!(clients[0].info("faults") >= 4);
    // As the same file, so that the mappings are of it.
    fs::write(server.table(), whole).unwrap();
    for client in &mut clients {
        client.ask("EXISTS user:0000042\r\n", ":1\r\n");
    }
    assert!(workers.values().all(|&pid| runs(pid)));
    let lines = server.lines_so_far();
    assert!(
        !lines.iter().any(|line| line.starts_with("died")),
        "{lines:?}"
    );
    // Each worker tells once a second, however many requests failed.
    let logged = lines.iter().filter(|line| line.starts_with("log "));
    assert!(logged.count() <= 2 * (1 + seconds(started)), "{lines:?}");
}

/// Whole seconds that have passed, rounded up.
fn seconds(since: Instant) -> usize {
    usize::try_from(since.elapsed().as_secs()).unwrap() + 1
}
