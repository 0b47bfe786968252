//! What the terminal shows of a running server.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use console::Term;
use folio_server::{Database, Event, Status, WorkerStatus};
use indicatif::{HumanBytes, HumanCount};

use crate::failure::complain;

/// Where clients connect.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) unix: Option<PathBuf>,
}

/// A table that is served, for the heading.
#[derive(Debug)]
pub(crate) struct Served {
    name: String,
    generation: Option<u64>,
    count: u64,
    file_len: u64,
}

/// Prints lines as they come, and on a terminal keeps a table of the workers below them.
#[derive(Debug)]
pub(crate) struct Screen {
    term: Term,
    addresses: Addresses,
    tables: Vec<Served>,
    sample_key: Option<&'static str>,
    /// How many lines the table takes that stands on the terminal now.
    drawn: usize,
    /// Requests at the status before.
    requests_before: Option<(std::time::Duration, u64)>,
}

impl Served {
    /// A store is called by its folder.
    pub(crate) fn of(path: &Path, table: &Database) -> Self {
        let name = match table.generation() {
            Some(_) => path,
            None => table.name(),
        };
        Self {
            name: name.display().to_string(),
            generation: table.generation(),
            count: table.count(),
            file_len: table.info().file_len,
        }
    }
}

impl Screen {
    pub(crate) fn new(
        addresses: Addresses,
        tables: Vec<Served>,
        sample_key: Option<&'static str>,
    ) -> Self {
        Self {
            // What replaces a table is written at once, lest the terminal flicker.
            term: Term::buffered_stdout(),
            addresses,
            tables,
            sample_key,
            drawn: 0,
            requests_before: None,
        }
    }

    /// Shows one event. A terminal that is gone is no reason to stop serving, so
    /// failures to write are not looked at.
    pub(crate) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Ready(status) => {
                self.say_out(&self.heading());
                self.draw(status);
            }
            Event::Status(status) if self.term.is_term() => self.draw(status),
            Event::WorkerDied {
                index,
                pid,
                status,
                restart_in,
            } => self.say(&format!(
                "worker {index} (pid {pid}) ended by {status}; restarting in {restart_in:.0?}"
            )),
            Event::GenerationChanged {
                database,
                generation,
            } => self.say_out(&self.changed(*database, *generation)),
            Event::Log(line) => self.say(line),
            Event::Stopping => self.say("stopping"),
            _ => {}
        }
    }

    fn heading(&self) -> String {
        let mut text = String::new();
        for (number, table) in self.tables.iter().enumerate() {
            let generation = table
                .generation
                .map(|number| format!("generation {number}, "));
            let generation = generation.unwrap_or_default();
            let _ = writeln!(
                text,
                "serving {} as number {number}: {generation}{} keys, {}",
                table.name,
                HumanCount(table.count),
                HumanBytes(table.file_len)
            );
        }
        if let Some(address) = self.addresses.tcp {
            let _ = writeln!(text, "listening on {address}");
        }
        if let Some(path) = &self.addresses.unix {
            let _ = writeln!(text, "listening on {}", path.display());
        }
        text
    }

    fn changed(&self, database: usize, generation: u64) -> String {
        let name = self.tables.get(database).map_or("?", |table| &table.name);
        format!("serving {name} as number {database}: generation {generation}\n")
    }

    /// Prints to stdout, above the table.
    fn say_out(&mut self, text: &str) {
        self.clear();
        let _ = write!(self.term, "{text}");
        let _ = self.term.flush();
    }

    /// Prints a line to stderr, above the table.
    fn say(&mut self, line: &str) {
        self.clear();
        let _ = self.term.flush();
        complain(line);
    }

    fn clear(&mut self) {
        if self.drawn > 0 {
            let _ = self.term.clear_last_lines(self.drawn);
            self.drawn = 0;
        }
    }

    fn draw(&mut self, status: &Status) {
        let text = self.table(status);
        self.clear();
        let is_term = self.term.is_term();
        let width = usize::from(self.term.size().1);
        for line in text.lines() {
            // A line that wraps would be two to clear.
            let line = if is_term {
                console::truncate_str(line, width, "")
            } else {
                line.into()
            };
            let _ = self.term.write_line(&line);
            if is_term {
                self.drawn += 1;
            }
        }
        let _ = self.term.flush();
    }

    fn table(&mut self, status: &Status) -> String {
        let mut text = String::from("\n");
        let _ = writeln!(
            text,
            "worker       pid  RSS of data  PSS of data  connections      requests"
        );
        for worker in &status.workers {
            text.push_str(&row(worker));
        }
        let _ = writeln!(text, "{}\n", self.rate(status));
        let _ = writeln!(text, "{}", shared(status));
        let _ = writeln!(text, "try: {}", self.suggestion());
        if self.term.is_term() {
            let _ = writeln!(text, "Ctrl-C ends it");
        }
        text
    }

    /// The last row: all requests, and how many a second since the last look.
    fn rate(&mut self, status: &Status) -> String {
        let requests = status.requests();
        let rate = self.requests_before.map_or(0, |(uptime, before)| {
            let elapsed = status.uptime.saturating_sub(uptime).as_millis().max(1);
            let answered = u128::from(requests.saturating_sub(before));
            u64::try_from(answered * 1000 / elapsed).unwrap_or(u64::MAX)
        });
        self.requests_before = Some((status.uptime, requests));
        format!(
            "{:>70}  {}/s",
            HumanCount(requests).to_string(),
            HumanCount(rate)
        )
    }

    /// A command to try, for the address and the data at hand.
    fn suggestion(&self) -> String {
        let key = self.sample_key.unwrap_or("KEY");
        match (&self.addresses.tcp, &self.addresses.unix) {
            (Some(address), _) if address.ip().is_loopback() || address.ip().is_unspecified() => {
                format!("redis-cli -p {} GET {key}", address.port())
            }
            (Some(address), _) => {
                format!(
                    "redis-cli -h {} -p {} GET {key}",
                    address.ip(),
                    address.port()
                )
            }
            (None, Some(path)) => format!("redis-cli -s {} GET {key}", path.display()),
            (None, None) => String::new(),
        }
    }
}

fn row(worker: &WorkerStatus) -> String {
    let bytes =
        |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| HumanBytes(bytes).to_string());
    format!(
        "{:>6} {:>9} {:>12} {:>12} {:>12} {:>13}\n",
        worker.index,
        worker.pid.map_or("-".to_owned(), |pid| pid.to_string()),
        bytes(worker.rss_bytes),
        bytes(worker.pss_bytes),
        HumanCount(worker.connections).to_string(),
        HumanCount(worker.requests).to_string(),
    )
}

/// The point of it all: what the workers hold together, against copies.
fn shared(status: &Status) -> String {
    let count = status.workers.len() as u64;
    let copies = status.data_bytes.saturating_mul(count);
    match status.pss_total_bytes() {
        Some(pss) => format!(
            "sum of PSS {}: {count} workers share one copy; private copies would take {}",
            HumanBytes(pss),
            HumanBytes(copies)
        ),
        None => format!("private copies would take {}", HumanBytes(copies)),
    }
}
