//! Servers that a bench starts, watches and ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::row::Skipped;

/// A server, ended when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    child: Child,
    port: u16,
}

/// How long a server may take until it answers: `folio serve` has a table to open, and
/// the machine may be busy with others' work.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long any single answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl Server {
    /// Starts a server on a free port of the loopback interface, and waits until it answers a PING.
    /// `command` gets the port. What the server says goes into a file in `folder`.
    pub(super) fn start(
        name: &'static str,
        folder: &Path,
        command: impl FnOnce(u16) -> Command,
    ) -> Result<Self, Skipped> {
        let port = free_port()?;
        let said = folder.join(format!("{name}.log"));
        let log = fs::File::create(&said)?;
        let child = command(port)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| Skipped(format!("{name} cannot be started: {error}")))?;
        let mut server = Self { name, child, port };
        let start = Instant::now();
        while !server.answers() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || start.elapsed() > START_TIMEOUT {
                let said = fs::read_to_string(&said).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing");
                return Err(Skipped(format!("{name} does not answer: {last}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Sends bytes and waits for these to come back.
    pub(super) fn expect(&self, request: &[u8], expected: &[u8]) -> Result<(), Skipped> {
        let answer = self
            .ask(request, expected)
            .map_err(|error| Skipped(format!("{} cannot be asked: {error}", self.name)))?;
        if answer == expected {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&answer);
        Err(Skipped(format!("{} answers {answer:?}", self.name)))
    }

    /// What comes back, as far as it is as expected, and a little more.
    fn ask(&self, request: &[u8], expected: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        connection.write_all(request)?;
        let mut answer = Vec::new();
        let mut buf = [0; 512];
        while answer.len() < expected.len() && expected.starts_with(&answer) {
            let count = connection.read(&mut buf)?;
            if count == 0 {
                break;
            }
            answer.extend(buf.iter().take(count));
        }
        Ok(answer)
    }

    fn answers(&self) -> bool {
        self.expect(b"PING\r\n", b"+PONG\r\n").is_ok()
    }

    /// The CPU time that the server and its workers, in the kernel and outside, have used so far.
    pub(super) fn cpu_time(&self) -> Result<Duration, Skipped> {
        let mut family = vec![self.child.id()];
        let mut ticks = 0;
        let processes = processes()?;
        // Parents come before their children: each pass over the list finds one generation more.
        loop {
            let of_family = |process: &&Process| {
                family.contains(&process.parent) && !family.contains(&process.pid)
            };
            let children: Vec<_> = processes
                .iter()
                .filter(of_family)
                .map(|process| process.pid)
                .collect();
            if children.is_empty() {
                break;
            }
            family.extend(children);
        }
        for process in processes
            .iter()
            .filter(|process| family.contains(&process.pid))
        {
            ticks += process.cpu_ticks;
        }
        let second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_nanos(ticks * (1_000_000_000 / second)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Politely, so that workers end as well; then not.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended already; `try_wait` tells.
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Nobody is left to tell of a failure, and nothing is left to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free now. Another process may take it before the server does; the server then
/// says so and ends.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// What `/proc/PID/stat` says of a process (`man 5 proc_pid_stat`).
#[derive(Debug, PartialEq)]
struct Process {
    pid: u32,
    parent: u32,
    /// In user mode and in the kernel, its ended threads included.
    cpu_ticks: u64,
}

fn processes() -> std::io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // Entries that are no processes have no such file, and those that end
        // meanwhile have it no more.
        let stat = fs::read_to_string(entry?.path().join("stat"));
        processes.extend(stat.ok().as_deref().and_then(Process::parse));
    }
    Ok(processes)
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        // The second field is a name in parentheses that may hold anything, parentheses included.
        let (pid, rest) = stat.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split(' ').skip(1);
        let parent = fields.next()?.parse().ok()?;
        let mut times = fields.skip(9).map(|field| field.parse::<u64>().ok());
        let cpu_ticks = times.next()??.checked_add(times.next()??)?;
        Some(Self {
            pid: pid.parse().ok()?,
            parent,
            cpu_ticks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let stat =
            "812 (a b) c) (d) S 1 812 812 0 -1 4194560 600 0 0 0 21 34 0 0 20 0 1 0 100 1 2 3";
        assert_eq!(
            Process::parse(stat),
            Some(Process {
                pid: 812,
                parent: 1,
                cpu_ticks: 55
            })
        );
        assert_eq!(Process::parse("cpu 1 2 3"), None);
        assert_eq!(Process::parse("812 (a) S 1"), None);
    }

    #[test]
    fn we_are_among_the_processes() {
        let us = processes()
            .unwrap()
            .into_iter()
            .find(|process| process.pid == std::process::id());
        assert!(us.is_some_and(|us| us.parent != 0));
    }

    #[test]
    fn a_server_that_ends_at_once_is_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let fails = |_| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo no such data >&2; exit 1"]);
            command
        };
        let why = Server::start("server", folder.path(), fails).unwrap_err();
        assert_eq!(why.0, "server does not answer: no such data");
    }

    #[test]
    fn a_program_that_is_not_there_is_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let why = Server::start("server", folder.path(), |_| Command::new("/nowhere/server"));
        assert!(why.unwrap_err().0.starts_with("server cannot be started: "));
    }
}
