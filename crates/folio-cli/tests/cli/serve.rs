//! `folio serve`

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::thread::available_parallelism;

use rustix::process::Signal;

use crate::client::Client;
use crate::folder::Folder;
use crate::process::{runs, send_signal, within_watchdog};
use crate::sample::sample;
use crate::server::Server;

#[test]
fn without_a_path_it_makes_the_sample_and_serves_it() {
    let sample = sample();
    let table = sample.table();
    let greeting = sample.greeting.join("\n");
    let heading = format!("serving {} as number 0: 1,000,000 keys", table.display());
    assert!(greeting.contains(&heading), "{greeting}");
    assert!(greeting.contains("\nlistening on 127.0.0.1:"), "{greeting}");
    assert!(greeting.contains("\ntry: redis-cli -p "), "{greeting}");
    assert!(greeting.ends_with(" GET user:0000042"), "{greeting}");

    // The second start takes what is there.
    let made = fs::metadata(&table).unwrap();
    let server = Server::start(&sample.folder, &[]);
    assert_eq!(server.workers.len(), available_parallelism().unwrap().get());
    let kept = fs::metadata(&table).unwrap();
    assert_eq!(
        (kept.ino(), kept.mtime_nsec()),
        (made.ino(), made.mtime_nsec())
    );
    assert_eq!(kept.len(), made.len());

    let mut client = server.connect();
    client.ask("DBSIZE", ":1000000\r\n");
    let found = client.text("GET user:0000042");
    assert!(found.starts_with(r#"{"id":42,"#), "{found}");
    let table = table.to_str().unwrap();
    let printed = sample
        .folder
        .folio(["get", table, "user:0000042", "user:0999999"]);
    let last = client.text("GET user:0999999");
    assert_eq!(printed.text(), format!("{found}\n{last}\n"));
    client.ask("EXISTS user:1000000", ":0\r\n");
    server.stop();
}

#[test]
fn a_sample_that_is_damaged_is_made_anew() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("cache/folio")).unwrap();
    let table = folder.write("cache/folio/sample-1.folio", b"cut short");
    let server = Server::start(&folder, &["--workers", "1"]);
    server.connect().ask("DBSIZE", ":1000000\r\n");
    assert_eq!(
        fs::read(table).unwrap(),
        fs::read(sample().table()).unwrap()
    );
    server.stop();
}

#[test]
fn serves_inputs_as_well_as_tables() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    folder.write("t.tsv", "a\tfrom tsv\n");
    folder.write("t.csv", "id,name\na,from csv\n");
    folder.write("t.jsonl", "{\"key\":\"a\"}\n");
    let server = Server::start(&folder, &["t.folio", "t.tsv", "t.csv", "t.jsonl"]);
    for (number, name, keys) in [(0, "t.folio", 10), (1, "t.tsv", 1), (3, "t.jsonl", 1)] {
        let file = name.rsplit_once('.').unwrap().0;
        let said = server.greeting.iter().any(|line| {
            line.starts_with("serving ")
                && line.contains(file)
                && line.contains(&format!(" as number {number}: {keys} keys, "))
        });
        assert!(said, "{:?}", server.greeting);
    }
    let mut client = server.connect();
    client.ask("GET key7", "$6\r\nvalue7\r\n");
    for (number, value) in [
        (1, "from tsv"),
        (2, r#"{"id":"a","name":"from csv"}"#),
        (3, r#"{"key":"a"}"#),
    ] {
        client.ask(&format!("SELECT {number}"), "+OK\r\n");
        assert_eq!(client.text("GET a"), value);
    }
    client.ask("SELECT 4", "-ERR DB index is out of range\r\n");
    server.stop();
}

#[test]
fn an_input_is_built_once_until_it_changes() {
    let folder = Folder::new();
    folder.write("t.tsv", "a\t1\n");
    let serve = |expected: &str| {
        let server = Server::start(&folder, &["t.tsv", "--workers", "1"]);
        assert_eq!(server.connect().text("GET a"), expected);
        server.stop();
        let mut tables = fs::read_dir(folder.path("cache/folio")).unwrap();
        let table = tables.next().unwrap().unwrap();
        assert!(tables.next().is_none(), "an older state was left");
        (table.path(), table.metadata().unwrap().ino())
    };
    let first = serve("1");
    assert_eq!(serve("1"), first);
    folder.write("t.tsv", "a\tone\n");
    assert_ne!(serve("one"), first);
}

#[test]
fn serves_what_comes_through_a_pipe() {
    let folder = Folder::new();
    let csv = "id,name\na,Ada\nb,Bob\na,Ann\n";
    let options = "- --format csv --key id --value name --on-duplicate first --workers 2";
    let options: Vec<_> = options.split(' ').collect();
    let server = Server::start_reading(&folder, &options, csv.as_bytes());
    let said = |line: &String| line.starts_with("serving <stdin> as number 0: 2 keys, ");
    assert!(server.greeting.iter().any(said), "{:?}", server.greeting);
    for client in server.connect_each().values_mut() {
        client.ask("MGET a b c", "*3\r\n$3\r\nAda\r\n$3\r\nBob\r\n$-1\r\n");
    }
    // Nobody else needs it, and it goes with the server.
    assert!(folder.files().is_empty());
    server.stop();
}

/// To look afterwards would not do: the file was there for a moment, in which the server could be killed.
#[test]
fn what_comes_through_a_pipe_is_never_a_file_that_could_be_left() {
    use rustix::fs::inotify;

    let folder = Folder::new();
    let cache = folder.path("cache/folio");
    fs::create_dir_all(&cache).unwrap();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let named = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, &cache, named).unwrap();

    let mut server = Server::start_reading(&folder, &["-", "--workers", "2"], b"a\tb\n");
    server.connect().ask("GET a", "$1\r\nb\r\n");
    server.signal(Signal::KILL);
    assert_eq!(server.wait().code(), None);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);

    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    while let Ok(event) = events.next() {
        // A file system without unnamed files has these, which the next build there removes.
        let name = event.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(".folio-build-"), "{name} was there");
    }
}

#[test]
fn listens_on_a_unix_socket() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let socket = folder.path("socket");
    let mut command = folder.command(["serve", "t.folio", "--unix", "socket", "--workers", "2"]);
    let server = Server::run(&mut command, b"");
    let greeting = server.greeting.join("\n");
    assert!(greeting.contains("listening on socket\n"), "{greeting}");
    assert!(!greeting.contains("127.0.0.1"), "{greeting}");
    assert!(
        greeting.ends_with("try: redis-cli -s socket GET KEY"),
        "{greeting}"
    );
    Client::unix(&socket).ask("GET key3", "$6\r\nvalue3\r\n");
    server.stop();
    assert!(!socket.exists());

    let server = Server::start(&folder, &["t.folio", "--unix", "socket"]);
    Client::unix(&socket).ask("GET key3", "$6\r\nvalue3\r\n");
    server.connect().ask("GET key3", "$6\r\nvalue3\r\n");
    server.stop();
}

#[test]
fn ends_with_status_0_when_told() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::new();
        folder.table("t.folio", 10);
        let mut server = Server::start(&folder, &["t.folio", "--workers", "3"]);
        assert!(server.workers.iter().all(|&pid| runs(pid)));
        server.signal(signal);
        server.await_line(|line| line == "folio: stopping");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn its_workers_end_with_it_when_it_is_killed() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let mut server = Server::start(&folder, &["t.folio", "--workers", "4"]);
    assert_eq!(server.workers.len(), 4);
    assert!(server.workers.iter().all(|&pid| runs(pid)));
    server.signal(Signal::KILL);
    assert_eq!(server.wait().code(), None);
}

#[test]
fn a_killed_worker_is_replaced() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let mut server = Server::start(&folder, &["t.folio", "--workers", "2"]);
    let (killed, other) = (server.workers[0], server.workers[1]);
    send_signal(killed, Signal::KILL);
    let line = server.await_line(|line| line.starts_with("folio: worker 0 "));
    let expected = format!("folio: worker 0 (pid {killed}) ended by signal 9; restarting in ");
    assert!(line.starts_with(&expected), "{line}");
    assert!(line.ends_with("ms"), "{line}");
    let mut replacement = None;
    let replaced = within_watchdog(|| {
        let mut client = server.connect();
        client.ask("GET key7", "$6\r\nvalue7\r\n");
        let pid = client.worker_pid();
        assert_ne!(pid, killed);
        replacement = Some(pid).filter(|&pid| pid != other);
        replacement.is_some()
    });
    assert!(replaced, "only worker {other} answers");
    server.workers[0] = replacement.unwrap();
    assert!(runs(other));
    server.stop();
}
