//! What a client may not do, and what the server does about it.

use std::io::Write as _;

use crate::Test;
use crate::client::Client;
use crate::server::Server;

pub(crate) const TESTS: &[Test] = &[
    ("a_client_that_does_not_read_holds_nobody_up", slow_reader),
    ("one_connection_too_many_is_told_so", too_many_connections),
    ("idle_connections_are_closed", idle_connections),
    (
        "without_descriptors_clients_wait_their_turn",
        few_descriptors,
    ),
    ("a_reply_over_the_limit_is_an_error", long_reply),
    ("a_request_over_the_limit_closes", long_request),
    ("buffers_together_have_a_limit", buffers_together),
];

fn slow_reader() {
    const REQUESTS: usize = 200_000;
    let server = Server::start(100, 1);
    let mut client = server.connect();
    let Client::Tcp(stream) = &client else {
        unreachable!("a TCP client")
    };
    let mut sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let get = "*2\r\n$3\r\nGET\r\n$12\r\nuser:0000042\r\n";
        sender.write_all(get.repeat(REQUESTS).as_bytes()).unwrap();
    });
    // Until replies fill the buffers of the sockets and the server's own. It may
    // take nothing more from this client then, and serves the others.
    let mut other = server.connect();
    let mut answered = 0;
    loop {
        other.ask("PING\r\n", "+PONG\r\n");
        let now = other.info("keyspace_hits");
        if now == answered && now > 0 {
            break;
        }
        answered = now;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(answered < REQUESTS as u64, "all was answered, read or not");
    let header = client.line();
    let len: usize = header[1..].parse().unwrap();
    client.take(len + 2);
    for _ in 1..REQUESTS {
        client.expect(&header);
        client.take(2 + len + 2);
    }
    sending.join().unwrap();
    client.ask("PING\r\n", "+PONG\r\n");
}

fn too_many_connections() {
    let server = Server::start_with(10, 1, &["--listen", "127.0.0.1:0", "--connections", "3"]);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("PING\r\n", "+PONG\r\n");
    }
    assert_eq!(
        server.connect().rest(),
        b"-ERR max number of clients reached\r\n"
    );
    assert_eq!(clients[0].info("rejected_connections"), 1);
    clients[1].send("QUIT\r\n");
    assert_eq!(clients[1].rest(), b"+OK\r\n");
    drop(clients.remove(1));
    // It is free when the server has seen the end.
    while clients[0].info("connected_clients") > 2 {}
    server.connect().ask("PING\r\n", "+PONG\r\n");
}

fn idle_connections() {
    let server = Server::start_with(10, 1, &["--listen", "127.0.0.1:0", "--idle-ms", "300"]);
    let mut client = server.connect();
    client.ask("PING\r\n", "+PONG\r\n");
    assert_eq!(client.rest(), b"");
}

fn few_descriptors() {
    let mut server = Server::start_with(10, 1, &["DESCRIPTORS", "40", "--listen", "127.0.0.1:0"]);
    // More than the server can have; the rest wait in the queue of its socket.
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("PING\r\n");
    }
    let log = server.await_line(|line| line.starts_with("log worker 0: cannot accept"));
    assert!(log.contains("Too many open files"), "{log}");
    for mut client in clients {
        client.expect("+PONG\r\n");
    }
    server.connect().ask("PING\r\n", "+PONG\r\n");
}

fn long_reply() {
    let server = Server::start_with(10, 1, &["--listen", "127.0.0.1:0", "--reply-bytes", "300"]);
    let mut client = server.connect();
    client.send("MGET user:0000001 user:0000002 user:0000003 user:0000004\r\n");
    let error = client.line();
    assert!(error.starts_with("-ERR the reply is longer than 300 bytes"));
    client.ask("EXISTS user:0000001\r\n", ":1\r\n");
}

fn long_request() {
    let server = Server::start_with(
        10,
        1,
        &["--listen", "127.0.0.1:0", "--request-bytes", "100"],
    );
    let mut client = server.connect();
    client.send(format!("*2\r\n$4\r\nECHO\r\n$90\r\n{}", "x".repeat(90)));
    assert_eq!(client.rest(), b"-ERR Protocol error: request too big\r\n");
}

fn buffers_together() {
    let options = ["--listen", "127.0.0.1:0", "--buffered-bytes", "2000000"];
    let mut server = Server::start_with(10, 1, &options);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        let part = format!("*2\r\n$4\r\nECHO\r\n$900000\r\n{}", "x".repeat(800_000));
        let Client::Tcp(stream) = client else {
            unreachable!("a TCP client")
        };
        // The server may close it meanwhile.
        let _ = stream.write_all(part.as_bytes());
    }
    server.await_line(|line| line.starts_with("log ") && line.contains("buffers"));
    server.connect().ask("PING\r\n", "+PONG\r\n");
}
