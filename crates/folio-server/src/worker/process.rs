//! From the fork to the end of a worker process.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use folio_sys::process::die_with_parent;
use mio::net::{TcpListener, UnixListener};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGTERM};

use super::{Sockets, Worker};
use crate::command::{Dispatcher, Facts};
use crate::counters::Counters;
use crate::listen::{TcpSockets, UnixSocket};
use crate::log::Log;
use crate::signals::Signals;
use crate::{Database, Limits, Populate};

/// What the supervisor made before the fork, for its workers.
///
/// The tables are opened once, and their mappings inherited: whatever is wrong with
/// a file is found before the first worker runs, and every worker, whenever it was
/// started, serves the very same file, even when another has taken its path. Readers of
/// stores are inherited as well, and each worker goes on with its own.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) tables: Vec<Database>,
    pub(crate) tcp: Option<TcpSockets>,
    pub(crate) unix: Option<UnixSocket>,
    pub(crate) limits: Limits,
    pub(crate) populate: Populate,
    pub(crate) drain_timeout: Duration,
    pub(crate) counters: Rc<Counters>,
    /// The supervisor's; a worker takes them out of use.
    pub(crate) signals: Signals,
    pub(crate) lifeline: Pipe,
    pub(crate) log: Pipe,
}

/// Both ends of a pipe between the supervisor and its workers.
///
/// Of the log, workers keep the end for writing. Of the lifeline they keep the other:
/// the supervisor alone can write to it, and writes nothing. When it ends, however it
/// ends, so does the pipe, and the workers see that.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
}

/// The worker ended as it was told to.
const DONE: i32 = 0;
/// It could not go on.
const FAILED: i32 = 1;
/// It has a bug. The same status as that of a Rust program whose `main` panics.
const PANICKED: i32 = 101;

/// Runs a worker in a child process and ends the process with it.
///
/// Nothing returns to what the parent was doing, whose stack this is a copy of, and
/// no destructor of the parent's runs here.
pub(crate) fn run_in_child(inherited: Inherited, facts: &Facts, supervisor: Pid) -> ! {
    let run = AssertUnwindSafe(|| run(inherited, facts, supervisor));
    process::exit(match panic::catch_unwind(run) {
        Ok(Ok(())) => DONE,
        Ok(Err(_)) => FAILED,
        Err(_) => PANICKED,
    })
}

fn run(inherited: Inherited, facts: &Facts, supervisor: Pid) -> io::Result<()> {
    drop(inherited.lifeline.write);
    drop(inherited.log.read);
    log_panics(inherited.log.write.try_clone()?, facts.worker);
    let log = Rc::new(Log::new(inherited.log.write, facts.worker));

    // SIGTERM is caught throughout: by the supervisor's handlers until there are own
    // ones. SIGINT is caught and nothing done: a terminal sends it to all processes,
    // and the supervisor tells the workers what is to happen.
    let signals = Signals::register(&[SIGTERM, SIGHUP])?;
    if inherited.signals.take(SIGTERM) {
        signals.raise(SIGTERM);
    }
    drop(inherited.signals);
    die_with_parent(supervisor)?;
    allow_descriptors(inherited.limits.connections);

    inherited.populate.run(&inherited.tables, &log);

    let tcp = inherited
        .tcp
        .and_then(|sockets| sockets.into_socket(facts.worker));
    let unix = inherited.unix.as_ref().map(UnixSocket::listener);
    let sockets = Sockets {
        tcp: tcp.map(TcpListener::from_std),
        unix: unix.transpose()?.map(UnixListener::from_std),
        lifeline: inherited.lifeline.read,
        signals,
    };
    drop(inherited.unix);

    let dispatcher = Dispatcher::new(
        inherited.tables,
        facts.clone(),
        inherited.limits.clone(),
        Rc::clone(&inherited.counters),
        Rc::clone(&log),
    );
    Worker::new(
        dispatcher,
        sockets,
        facts,
        inherited.limits,
        inherited.drain_timeout,
        inherited.counters,
        Rc::clone(&log),
    )
    .and_then(Worker::run)
    .inspect_err(|error| log.line(format_args!("cannot go on: {error}")))
}

/// Sends the messages of panics to the log instead of the terminal.
fn log_panics(pipe: OwnedFd, worker: usize) {
    let log = Mutex::new(Log::new(pipe, worker));
    panic::set_hook(Box::new(move |panic| {
        // The process has one thread.
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.line(panic);
    }));
}

/// Lets this process have a descriptor for each connection, as far as it may.
fn allow_descriptors(connections: usize) {
    let needed = connections as u64 + 64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
    if current.is_some_and(|current| current < wanted) {
        let current = Some(wanted);
        // Where it is refused, connections above the old limit wait to be accepted.
        let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
    }
}
