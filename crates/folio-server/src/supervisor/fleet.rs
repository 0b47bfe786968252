//! The worker processes: which run, which are to be started again, and when.

use std::io;
use std::time::{Duration, Instant};

use folio_sys::process::{Fork, fork};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, waitpid};

use super::{Observer, flush_output, memory};
use crate::command::Facts;
use crate::counters::Counter;
use crate::listen::{TcpSockets, UnixSocket};
use crate::worker::{Inherited, run_in_child};
use crate::{Database, Error, Event, Result, Status, WorkerStatus};

/// All workers, by index, and what they inherit.
///
/// Dropped, it leaves no worker behind.
pub(super) struct Fleet {
    /// Taken by the child, in its copy of this; the supervisor always has it.
    inherited: Option<Inherited>,
    workers: Vec<Slot>,
    started: Instant,
}

/// One worker, through all its lives.
#[derive(Debug)]
struct Slot {
    index: usize,
    state: State,
    /// How long to wait before the next restart.
    backoff: Duration,
    restarts: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Running { pid: Pid, since: Instant },
    Waiting { until: Instant },
    Ended,
}

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A worker that lived so long has recovered from whatever killed it before.
const RECOVERED: Duration = Duration::from_secs(10);

impl Fleet {
    pub(super) fn new(inherited: Inherited, workers: usize) -> Self {
        let slot = |index| Slot {
            index,
            state: State::Ended,
            backoff: FIRST_BACKOFF,
            restarts: 0,
        };
        Self {
            inherited: Some(inherited),
            workers: (0..workers).map(slot).collect(),
            started: Instant::now(),
        }
    }

    pub(super) fn inherited(&self) -> Option<&Inherited> {
        self.inherited.as_ref()
    }

    /// Starts every worker for the first time.
    pub(super) fn start_all(&mut self, observer: Observer<'_>) -> Result<()> {
        (0..self.workers.len()).try_for_each(|index| self.start(index, observer))
    }

    /// Starts again those workers whose time has come.
    pub(super) fn restart_due(&mut self, observer: Observer<'_>) {
        let now = Instant::now();
        for index in 0..self.workers.len() {
            let slot = self.workers.get_mut(index);
            let due =
                slot.filter(|slot| matches!(slot.state, State::Waiting { until } if until <= now));
            let Some(slot) = due else { continue };
            slot.restarts += 1;
            if let Err(error) = self.start(index, observer) {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let cause = cause.unwrap_or_default();
                observer(Event::Log(&format!("worker {index}: {error}: {cause}")));
                if let Some(slot) = self.workers.get_mut(index) {
                    slot.wait();
                }
            }
        }
    }

    /// When the next worker is to be started again.
    pub(super) fn next_restart(&self) -> Option<Instant> {
        let times = self.workers.iter().filter_map(|slot| match slot.state {
            State::Waiting { until } => Some(until),
            _ => None,
        });
        times.min()
    }

    /// Starts one worker.
    fn start(&mut self, index: usize, observer: Observer<'_>) -> Result<()> {
        let Some(inherited) = &self.inherited else {
            return Ok(());
        };
        // The worker may have been killed with connections open; it has none now.
        inherited.counters.set(index, Counter::ConnectionsOpen, 0);
        let facts = Facts {
            worker: index,
            workers: self.workers.len(),
            started: self.started,
            listen: inherited.tcp.as_ref().map(TcpSockets::address),
            unix: inherited
                .unix
                .as_ref()
                .map(UnixSocket::path)
                .map(Into::into),
        };
        let supervisor = getpid();
        flush_output();
        let forked = fork().map_err(|error| Error::system("start a worker", error))?;
        let pid = match (forked, &mut self.inherited) {
            (Fork::Parent(pid), _) => pid,
            (Fork::Child, inherited) => match inherited.take() {
                Some(inherited) => run_in_child(inherited, &facts, supervisor),
                None => std::process::exit(1),
            },
        };
        if let Some(slot) = self.workers.get_mut(index) {
            let since = Instant::now();
            slot.state = State::Running { pid, since };
        }
        observer(Event::WorkerStarted {
            index,
            pid: raw(pid),
        });
        Ok(())
    }

    /// Takes note of workers that died, to start them again.
    pub(super) fn bury_dead(&mut self, observer: Observer<'_>) {
        for slot in &mut self.workers {
            let State::Running { pid, .. } = slot.state else {
                continue;
            };
            if let Some(status) = slot.reap_if_dead() {
                slot.wait();
                let restart_in = match slot.state {
                    State::Waiting { until } => until.saturating_duration_since(Instant::now()),
                    _ => Duration::ZERO,
                };
                observer(Event::WorkerDied {
                    index: slot.index,
                    pid: raw(pid),
                    status: &status,
                    restart_in,
                });
            }
        }
    }

    /// Closes the supervisor's sockets, so that nobody waits where none will accept.
    pub(super) fn stop_listening(&mut self) {
        if let Some(inherited) = &mut self.inherited {
            inherited.tcp = None;
            inherited.unix = None;
        }
    }

    /// Tells every worker to answer what it has received and to end.
    pub(super) fn tell_to_end(&mut self) {
        for slot in &mut self.workers {
            match slot.state {
                State::Running { pid, .. } => signal(pid, Signal::TERM),
                State::Waiting { .. } | State::Ended => slot.state = State::Ended,
            }
        }
    }

    /// Goes on to the current generations of stores, and has the workers do so.
    ///
    /// A worker that serves sees for itself that there is another generation; one that
    /// nobody asks anything would keep the old one for ever.
    pub(super) fn follow_stores(&mut self, observer: Observer<'_>) {
        let tables = self
            .inherited
            .iter_mut()
            .flat_map(|inherited| &mut inherited.tables);
        let mut any = false;
        for (database, table) in tables.enumerate() {
            match table.recheck() {
                Ok(false) => {}
                Ok(true) => {
                    any = true;
                    observer(Event::GenerationChanged {
                        database,
                        generation: table.generation().unwrap_or_default(),
                    });
                }
                // The workers log why.
                Err(_) => any = true,
            }
        }
        if any {
            self.tell_to_follow();
        }
    }

    /// Has every worker look at the stores.
    pub(super) fn tell_to_follow(&self) {
        for slot in &self.workers {
            if let State::Running { pid, .. } = slot.state {
                signal(pid, Signal::HUP);
            }
        }
    }

    /// Takes note of workers that ended, for good.
    pub(super) fn reap(&mut self) {
        for slot in &mut self.workers {
            if slot.reap_if_dead().is_some() {
                slot.state = State::Ended;
            }
        }
    }

    pub(super) fn any_alive(&self) -> bool {
        let alive = |slot: &Slot| matches!(slot.state, State::Running { .. });
        self.workers.iter().any(alive)
    }

    /// Ends every worker that still runs, and waits for that.
    pub(super) fn kill_all(&mut self) {
        for slot in &mut self.workers {
            if let State::Running { pid, .. } = slot.state {
                signal(pid, Signal::KILL);
                while matches!(waitpid(Some(pid), WaitOptions::empty()), Err(Errno::INTR)) {}
            }
            slot.state = State::Ended;
        }
    }

    pub(super) fn status(&self) -> Status {
        let tables = self.inherited.as_ref().map(|inherited| &inherited.tables);
        let tables = tables.map_or(&[][..], Vec::as_slice);
        Status {
            workers: self
                .workers
                .iter()
                .map(|slot| self.status_of(slot))
                .collect(),
            generations: tables.iter().map(Database::generation).collect(),
            data_bytes: tables.iter().map(|table| table.info().file_len).sum(),
            uptime: self.started.elapsed(),
        }
    }

    fn status_of(&self, slot: &Slot) -> WorkerStatus {
        let inherited = self.inherited.as_ref();
        let count =
            |counter| inherited.map_or(0, |inherited| inherited.counters.of(slot.index, counter));
        let pid = match slot.state {
            State::Running { pid, .. } => Some(raw(pid)),
            _ => None,
        };
        let memory = pid
            .zip(inherited)
            .and_then(|(pid, inherited)| memory::of_tables(pid, &inherited.tables));
        WorkerStatus {
            index: slot.index,
            pid,
            rss_bytes: memory.map(|memory| memory.rss),
            pss_bytes: memory.map(|memory| memory.pss),
            private_bytes: memory.map(|memory| memory.private),
            requests: count(Counter::Requests),
            connections: count(Counter::ConnectionsOpen),
            restarts: slot.restarts,
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.kill_all();
    }
}

impl Slot {
    /// How the worker ended, if it did. Only this worker is waited for: other
    /// children of this process are not the server's.
    fn reap_if_dead(&mut self) -> Option<String> {
        let State::Running { pid, since } = self.state else {
            return None;
        };
        let status = match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(None) | Err(Errno::INTR) => return None,
            Ok(Some((_, status))) => describe(status),
            // Somebody else has waited for it, so that nobody knows.
            Err(error) => format!("unknown status ({})", io::Error::from(error)),
        };
        if since.elapsed() >= RECOVERED {
            self.backoff = FIRST_BACKOFF;
        }
        Some(status)
    }

    /// Makes the worker wait for its restart, and the next time longer.
    fn wait(&mut self) {
        self.state = State::Waiting {
            until: Instant::now() + self.backoff,
        };
        self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
    }
}

fn describe(status: WaitStatus) -> String {
    if let Some(code) = status.exit_status() {
        format!("exit status {code}")
    } else if let Some(signal) = status.terminating_signal() {
        format!("signal {signal}")
    } else {
        "stopped".to_owned()
    }
}

/// Signals a worker that was not waited for, so that the id is still its own.
fn signal(pid: Pid, signal: Signal) {
    // A worker that has ended meanwhile needs no signal.
    let _ = kill_process(pid, signal);
}

fn raw(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_up_to_a_bound() {
        let mut slot = Slot {
            index: 0,
            state: State::Ended,
            backoff: FIRST_BACKOFF,
            restarts: 0,
        };
        let waits: Vec<_> = (0..9)
            .map(|_| {
                let wait = slot.backoff;
                slot.wait();
                wait.as_millis()
            })
            .collect();
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
    }
}
