//! The server under test, in a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use folio::Source;
use folio_server::{Config, Database, Event, Status, Supervisor, sample};
use folio_table::{Builder, Store, Table, Verify};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;

/// How long anything may take before a test gives up. Nothing here takes a hundredth
/// of it; a machine that is busy with other things may make it.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// A server that is killed, workers and all, when the test ends in whatever way.
pub(crate) struct Server {
    process: Child,
    lines: Receiver<String>,
    pub(crate) address: Option<SocketAddr>,
    /// The processes of the workers, by index, as far as lines were read.
    pub(crate) workers: BTreeMap<usize, u32>,
    folder: TempDir,
}

impl Server {
    /// Serves so many records of the sample from so many workers.
    pub(crate) fn start(records: u32, workers: usize) -> Self {
        Self::start_with(records, workers, &["--listen", "127.0.0.1:0"])
    }

    /// The same, with these options. `UNIX` among them stands for a path.
    pub(crate) fn start_with(records: u32, workers: usize, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("table.folio");
        build(&table, 0..records);
        let second = folder.path().join("second.folio");
        build(&second, 0..1);
        Self::spawn(folder, &[table, second], workers, options)
    }

    /// Serves tables and stores that there are already.
    pub(crate) fn of_paths(paths: &[PathBuf], workers: usize, options: &[&str]) -> Self {
        Self::spawn(tempfile::tempdir().unwrap(), paths, workers, options)
    }

    fn spawn(folder: TempDir, paths: &[PathBuf], workers: usize, options: &[&str]) -> Self {
        let unix = folder.path().join("socket");
        let unix = unix.to_str().unwrap();
        // `DESCRIPTORS N` first among the options: how many the server may have open.
        let (limit, options) = match options {
            ["DESCRIPTORS", limit, rest @ ..] => (*limit, rest),
            options => ("unchanged", options),
        };
        let limited = r#"[ "$1" = unchanged ] || ulimit -n "$1"; shift; exec "$0" "$@""#;
        let mut process = Command::new("sh")
            .args(["-c", limited])
            .arg(std::env::current_exe().unwrap())
            .args([limit, "serve"])
            .args(["--workers", &workers.to_string()])
            .args(options.iter().map(|&option| match option {
                "UNIX" => unix,
                option => option,
            }))
            .args(paths)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            // The test may have ended and hung up.
            let _ = output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line));
        });
        let mut server = Self {
            process,
            lines,
            address: None,
            workers: BTreeMap::new(),
            folder,
        };
        server.await_line(|line| line == "ready");
        server
    }

    /// The file of the first table.
    pub(crate) fn table(&self) -> PathBuf {
        self.folder.path().join("table.folio")
    }

    /// Where the Unix socket is.
    pub(crate) fn unix(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.address.expect("a server with a TCP address"))
    }

    /// A connection to each worker.
    pub(crate) fn connect_each(&self) -> Vec<Client> {
        let mut found = BTreeMap::new();
        let started = Instant::now();
        while found.len() < self.workers.len() {
            assert!(started.elapsed() < WATCHDOG, "workers not reached");
            let mut client = self.connect();
            let info = client.text("INFO folio\r\n");
            let index = info.lines().find_map(|line| line.strip_prefix("worker:"));
            found.insert(index.unwrap().to_owned(), client);
        }
        found.into_values().collect()
    }

    /// Reads what the server prints until a line is the one sought.
    pub(crate) fn await_line(&mut self, sought: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let left = WATCHDOG.saturating_sub(started.elapsed());
            let line = self.lines.recv_timeout(left).expect("the line sought");
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["listen", address] => self.address = Some(address.parse().unwrap()),
                ["started", index, pid] => {
                    self.workers
                        .insert(index.parse().unwrap(), pid.parse().unwrap());
                }
                _ => {}
            }
            if sought(&line) {
                return line;
            }
        }
    }

    /// What was printed since, without waiting.
    pub(crate) fn lines_so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Waits until the server has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < WATCHDOG, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until none of the workers runs.
    pub(crate) fn await_no_workers(&self) {
        let started = Instant::now();
        while self.workers.values().any(|&pid| runs(pid)) {
            assert!(started.elapsed() < WATCHDOG, "a worker goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The workers end with their supervisor, as a test of its own shows.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn send_signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Whether a process runs; one that has ended and waits to be reaped does not.
pub(crate) fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(") ")
                .map(|(_, rest)| !rest.starts_with('Z'))
        })
        .unwrap_or(false)
}

/// Makes a table of these records of the sample.
pub(crate) fn build(path: &Path, records: std::ops::Range<u32>) {
    let mut builder = Builder::new();
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for index in records {
        sample::record(index, &mut key, &mut value);
        builder.add(u64::from(index), &key, &value).unwrap();
    }
    builder.write_to(path).unwrap();
}

/// Runs a server and prints what happens, one event a line.
pub(crate) fn serve(mut arguments: impl Iterator<Item = String>) {
    let mut config = Config::default();
    config.listen = None;
    config.tick = Duration::from_millis(50);
    let mut tables = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap();
        match argument.as_str() {
            "--workers" => config.workers = value().parse().unwrap(),
            "--listen" => config.listen = Some(value().parse().unwrap()),
            "--unix" => config.unix = Some(value().into()),
            "--connections" => config.limits.connections = value().parse().unwrap(),
            "--reply-bytes" => config.limits.reply_bytes = value().parse().unwrap(),
            "--request-bytes" => config.limits.request_bytes = value().parse().unwrap(),
            "--buffered-bytes" => config.limits.buffered_bytes = value().parse().unwrap(),
            "--idle-ms" => {
                config.limits.idle_timeout = Duration::from_millis(value().parse().unwrap());
            }
            "--tick-ms" => config.tick = Duration::from_millis(value().parse().unwrap()),
            path if Store::is_at(path) => {
                let store = Store::open(path).unwrap();
                let reader = store.checked_reader(Verify::Never).unwrap();
                tables.push(Database::from(reader));
            }
            path => {
                let view = Source::open(path).unwrap().whole().unwrap();
                tables.push(Table::options().from_bytes(view, path).unwrap().into());
            }
        }
    }
    let outcome = Supervisor::bind(config, tables).and_then(|supervisor| {
        if let Some(address) = supervisor.local_addr() {
            println!("listen {address}");
        }
        supervisor.run(print)
    });
    if let Err(error) = outcome {
        println!("error {error}");
        std::process::exit(1);
    }
}

fn print(event: Event<'_>) {
    match event {
        Event::Ready(_) => println!("ready"),
        Event::Status(status) => print_status(status),
        Event::WorkerStarted { index, pid } => println!("started {index} {pid}"),
        Event::WorkerDied { index, status, .. } => println!("died {index} {status}"),
        Event::GenerationChanged {
            database,
            generation,
        } => println!("generation {database} {generation}"),
        Event::Log(line) => println!("log {line}"),
        Event::Stopping => println!("stopping"),
        _ => {}
    }
}

fn print_status(status: &Status) {
    let restarts: u64 = status.workers.iter().map(|worker| worker.restarts).sum();
    let known = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| bytes.to_string());
    let private: Vec<_> = status
        .workers
        .iter()
        .map(|worker| known(worker.private_bytes))
        .collect();
    let generation = |number: &Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
    let generations: Vec<_> = status.generations.iter().map(generation).collect();
    println!(
        "status requests={} restarts={restarts} data={} pss={} private={} generations={}",
        status.requests(),
        status.data_bytes,
        known(status.pss_total_bytes()),
        private.join(","),
        generations.join(",")
    );
    // Another process reads this, and standard output is no terminal there.
    std::io::stdout().flush().unwrap();
}
