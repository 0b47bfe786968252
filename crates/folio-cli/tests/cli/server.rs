//! A running `folio serve`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::process::Signal;

use crate::client::Client;
use crate::folder::Folder;
use crate::process::{Killed, WATCHDOG, runs, send_signal, within_watchdog};

/// A server that is killed, workers and all, when the test ends in whatever way.
#[derive(Debug)]
pub(crate) struct Server {
    process: Killed,
    /// What it prints, from both its outputs.
    lines: Receiver<String>,
    address: Option<SocketAddr>,
    /// The processes of the workers, as it printed them.
    pub(crate) workers: Vec<u32>,
    /// Everything that it printed before it was ready.
    pub(crate) greeting: Vec<String>,
}

impl Server {
    /// Runs `folio serve` with these arguments, on any free port of this machine.
    #[track_caller]
    pub(crate) fn start(folder: &Folder, arguments: &[&str]) -> Self {
        Self::start_reading(folder, arguments, b"")
    }

    /// The same, with a pipe as its standard input.
    #[track_caller]
    pub(crate) fn start_reading(folder: &Folder, arguments: &[&str], input: &[u8]) -> Self {
        let mut command = folder.command(["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        Self::run(&mut command, input)
    }

    /// Runs a command that serves.
    #[track_caller]
    pub(crate) fn run(command: &mut Command, input: &[u8]) -> Self {
        let process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = Killed(process.unwrap());
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(process.0.stdout.take().unwrap()),
            Box::new(process.0.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // The test may have ended and hung up.
                let _ = BufReader::new(output)
                    .lines()
                    .map_while(Result::ok)
                    .try_for_each(|line| sender.send(line));
            });
        }
        let mut stdin = process.0.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        let mut server = Self {
            process,
            lines,
            address: None,
            workers: Vec::new(),
            greeting: Vec::new(),
        };
        server.await_greeting();
        server
    }

    fn await_greeting(&mut self) {
        loop {
            let line = self.await_line(|_| true);
            if let Some(address) = line.strip_prefix("listening on ") {
                self.address = self.address.or(address.parse().ok());
            }
            // A row of the table: the worker's index, its process, and figures.
            let mut words = line.split_whitespace();
            let index = words.next().and_then(|word| word.parse().ok());
            if index == Some(self.workers.len()) {
                self.workers.push(words.next().unwrap().parse().unwrap());
            }
            let is_last = line.starts_with("try: ");
            self.greeting.push(line);
            if is_last {
                break;
            }
        }
        assert!(!self.workers.is_empty(), "{:?}", self.greeting);
    }

    /// Reads what it prints until a line is the one sought.
    #[track_caller]
    pub(crate) fn await_line(&mut self, sought: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let left = WATCHDOG.saturating_sub(started.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) if sought(&line) => return line,
                Ok(_) => {}
                Err(error) => panic!("{error}, after {:?}", self.greeting),
            }
        }
    }

    /// What it printed since, without waiting.
    pub(crate) fn lines_so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub(crate) fn port(&self) -> String {
        self.address().port().to_string()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.address())
    }

    /// A connection to each worker, by its process.
    #[track_caller]
    pub(crate) fn connect_each(&self) -> BTreeMap<u32, Client> {
        let mut found = BTreeMap::new();
        let reached = within_watchdog(|| {
            let mut client = self.connect();
            found.insert(client.worker_pid(), client);
            found.len() == self.workers.len()
        });
        assert!(reached, "workers reached: {:?}", found.keys());
        assert!(found.keys().all(|pid| self.workers.contains(pid)));
        found
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Waits until it has ended, and its workers with it.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.process.wait();
        let gone = within_watchdog(|| !self.workers.iter().any(|&pid| runs(pid)));
        assert!(gone, "a worker goes on");
        status
    }

    /// Ends it as Ctrl-C does.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::INT);
        assert!(self.wait().success());
    }
}
