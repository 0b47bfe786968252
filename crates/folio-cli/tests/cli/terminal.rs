//! What stands on a terminal: the status table, renewed in place, and Ctrl-C.

use crate::client::Client;
use crate::folder::Folder;
use crate::process::{runs, within_watchdog};
use crate::program::have;
use crate::pty::Terminal;

/// Whether the status table is there from its first to its last line.
fn is_whole(screen: &str) -> bool {
    screen.contains("\nworker  ") && screen.contains("\nCtrl-C ends it\n")
}

#[test]
fn the_status_table_is_renewed_in_place_and_ctrl_c_ends_it() {
    if !have(&["setsid"]) {
        return;
    }
    let folder = Folder::new();
    folder.table("t.folio", 1000);
    let mut terminal = Terminal::open(100);
    let mut server = terminal.spawn(&folder, "serve t.folio --workers 2 --listen 127.0.0.1:0");
    let first = terminal.await_screen(is_whole);
    assert!(
        first.contains("serving t.folio as number 0: 1,000 keys, "),
        "{first}"
    );
    let (_, address) = first.split_once("listening on 127.0.0.1:").unwrap();
    let port = address.lines().next().unwrap();
    let suggestion = format!("\ntry: redis-cli -p {port} GET KEY\n");
    assert!(first.contains(&suggestion), "{first}");
    assert!(first.contains("\nsum of PSS "), "{first}");
    assert!(
        first.contains(": 2 workers share one copy; private copies would take "),
        "{first}"
    );
    let workers = rows(&first);
    assert_eq!(workers.len(), 2);
    assert!(
        workers.iter().all(|row| runs(row.pid) && row.requests == 0),
        "{first}"
    );

    // All stays where it is but for the figures.
    let mut client = Client::tcp(format!("127.0.0.1:{port}").parse().unwrap());
    for _ in 0..1234 {
        client.ask("GET key7", "$6\r\nvalue7\r\n");
    }
    let pid = client.worker_pid();
    let renewed = terminal.await_screen(|screen| {
        let mut rows = rows(screen).into_iter();
        is_whole(screen) && rows.any(|row| row.pid == pid && row.requests >= 1234)
    });
    assert_eq!(rows(&renewed).len(), 2, "{renewed}");
    for line in [
        "worker       pid",
        "sum of PSS",
        "try: ",
        "Ctrl-C ends it",
        "serving ",
    ] {
        assert_eq!(renewed.matches(line).count(), 1, "{renewed}");
        let place = |screen: &str| screen.lines().position(|found| found.starts_with(line));
        assert_eq!(place(&renewed), place(&first), "{renewed}");
    }

    terminal.press(b"\x03");
    assert_eq!(server.wait().code(), Some(0));
    assert!(within_watchdog(|| !workers.iter().any(|row| runs(row.pid))));
    terminal.await_screen(|screen| screen.contains("folio: stopping\n"));
}

#[test]
fn a_narrow_terminal_cuts_lines() {
    const COLUMNS: u16 = 50;
    if !have(&["setsid"]) {
        return;
    }
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let mut terminal = Terminal::open(COLUMNS);
    let mut server = terminal.spawn(&folder, "serve t.folio --workers 2 --listen 127.0.0.1:0");
    let first = terminal.await_screen(is_whole);
    // Were a line to wrap, each renewal would leave a line of the one before.
    terminal.await_renewals(3);
    let renewed = terminal.await_screen(is_whole);
    assert_eq!(renewed.lines().count(), first.lines().count(), "{renewed}");
    let table = renewed.split_once("\nworker ").unwrap().1;
    assert!(table.contains("\nsum of PSS "), "{renewed}");
    assert!(!table.contains("private copies would take"), "{renewed}");
    terminal.press(b"\x03");
    assert!(server.wait().success());
}

#[test]
fn a_build_shows_how_far_it_is() {
    if !have(&["setsid"]) {
        return;
    }
    let folder = Folder::new();
    let lines: Vec<_> = (0..300_000)
        .map(|i| format!("key{i}\tvalue{i}\n"))
        .collect();
    folder.write("t.tsv", lines.concat());
    let mut terminal = Terminal::open(100);
    let mut build = terminal.spawn(&folder, "build t.tsv -o t.folio");
    terminal.await_screen(|screen| screen.contains("reading "));
    assert!(build.wait().success());
    // And takes it away in the end.
    let last = terminal.await_screen(|screen| screen.contains("300,000 records"));
    assert!(!last.contains("reading "), "{last}");
}

#[test]
fn a_verification_shows_how_far_it_is() {
    if !have(&["setsid"]) {
        return;
    }
    let folder = Folder::new();
    folder.table("t.folio", 300_000);
    let mut terminal = Terminal::open(100);
    let mut verify = terminal.spawn(&folder, "verify t.folio --threads 1");
    terminal.await_screen(|screen| screen.contains("verifying "));
    assert!(verify.wait().success());
    let last = terminal.await_screen(|screen| screen.contains("whole: 300,000 records"));
    assert!(!last.contains("verifying "), "{last}");
}

/// A row of the table of workers.
struct Row {
    pid: u32,
    requests: u64,
}

fn rows(screen: &str) -> Vec<Row> {
    let mut lines = screen
        .lines()
        .skip_while(|line| !line.starts_with("worker "));
    lines.next();
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .take_while(|words| words.len() > 2)
        .map(|words| Row {
            pid: words[1].parse().unwrap(),
            requests: words.last().unwrap().replace(',', "").parse().unwrap(),
        })
        .collect()
}
