//! The supervisor: starts workers, watches them, and ends with them.

mod fleet;
mod memory;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::counters::Counters;
use crate::listen::{TcpSockets, UnixSocket};
use crate::log::{Message, Messages};
use crate::signals::Signals;
use crate::worker::{Inherited, Pipe};
use crate::{Config, Database, Error, Event, Result};
use fleet::Fleet;

/// A server whose sockets listen and whose workers have not been started.
///
/// Clients may connect from [`bind`](Self::bind) on; they are answered when
/// [`run`](Self::run) has started the workers.
///
/// ```no_run
/// use folio::Source;
/// use folio_server::{Config, Event, Supervisor};
/// use folio_table::Table;
///
/// let view = Source::open("users.folio")?.whole()?;
/// let table = Table::options().from_bytes(view, "users.folio")?;
/// let supervisor = Supervisor::bind(Config::default(), vec![table])?;
/// supervisor.run(|event| {
///     if let Event::Log(line) = event {
///         eprintln!("{line}");
///     }
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Supervisor {
    config: Config,
    tables: Vec<Database>,
    tcp: Option<TcpSockets>,
    unix: Option<UnixSocket>,
}

impl Supervisor {
    /// Listens where `config` says, to serve these tables and stores; the first is database 0.
    ///
    /// # Errors
    ///
    /// [`Error::AddressInUse`], [`Error::NotASocket`] or [`Error::Listen`] when it
    /// cannot listen there; [`Error::Config`] when there is no address or no table.
    pub fn bind(
        config: Config,
        tables: impl IntoIterator<Item = impl Into<Database>>,
    ) -> Result<Self> {
        let tables: Vec<_> = tables.into_iter().map(Into::into).collect();
        if tables.is_empty() {
            let reason = "there is no table to serve";
            return Err(Error::Config { reason });
        }
        if config.listen.is_none() && config.unix.is_none() {
            let reason = "there is neither an address nor a path to listen on";
            return Err(Error::Config { reason });
        }
        let workers = config.workers.get();
        let tcp = config
            .listen
            .map(|address| TcpSockets::bind(address, workers))
            .transpose()?;
        let unix = config.unix.as_deref().map(UnixSocket::bind).transpose()?;
        Ok(Self {
            config,
            tables,
            tcp,
            unix,
        })
    }

    /// The TCP address that clients connect to, with the port that was picked if 0
    /// was asked for.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(TcpSockets::address)
    }

    /// The path of the Unix socket that clients connect to.
    #[must_use]
    pub fn unix_path(&self) -> Option<&Path> {
        self.unix.as_ref().map(UnixSocket::path)
    }

    /// Starts the workers and serves until SIGINT or SIGTERM has come and all workers
    /// have ended.
    ///
    /// A worker that dies is started again, after a pause that doubles from 100 ms to
    /// 10 s while it keeps dying. When the supervisor ends, be it by SIGKILL, so do
    /// the workers. A second SIGINT or SIGTERM ends them at once.
    ///
    /// Where stores are served, workers go on to each new generation between two
    /// requests. They see it by themselves; SIGHUP has them look at the stores'
    /// files. Where there are none, SIGHUP does what it did before.
    ///
    /// What the standard output and error hold in buffers is flushed before each
    /// start of a worker, since the worker would have a copy.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when a system call fails that it cannot do without; above
    /// all, when this process has more than one thread, since then it cannot fork.
    /// No worker is left running then.
    pub fn run(self, mut observer: impl FnMut(Event<'_>)) -> Result<()> {
        Running::start(self)?.run(&mut observer)
    }
}

type Observer<'a> = &'a mut dyn FnMut(Event<'_>);

/// A server with its workers.
struct Running {
    fleet: Fleet,
    messages: Messages,
    tick: Duration,
    drain_timeout: Duration,
    next_tick: Instant,
    ready: Vec<bool>,
}

/// How much of the log is read at once.
const LOG_BYTES: usize = 16 << 10;
/// The most that a pipe holds unless asked for more (`pipe(7)`).
const PIPE_BYTES: usize = 64 << 10;

impl Running {
    fn start(server: Supervisor) -> Result<Self> {
        let workers = server.config.workers.get();
        let counters = Counters::new(workers)
            .map_err(|error| Error::system("share memory with workers", error))?;
        let mut signals = vec![SIGINT, SIGTERM, SIGCHLD];
        if server.tables.iter().any(Database::is_store) {
            signals.push(SIGHUP);
        }
        let signals =
            Signals::register(&signals).map_err(|error| Error::system("catch signals", error))?;
        let inherited = Inherited {
            tables: server.tables,
            tcp: server.tcp,
            unix: server.unix,
            limits: server.config.limits,
            populate: server.config.populate,
            drain_timeout: server.config.drain_timeout,
            counters: Rc::new(counters),
            signals,
            lifeline: pipe()?,
            log: pipe()?,
        };
        Ok(Self {
            fleet: Fleet::new(inherited, workers),
            messages: Messages::default(),
            tick: server.config.tick.max(Duration::from_millis(10)),
            drain_timeout: server.config.drain_timeout,
            next_tick: Instant::now() + server.config.tick,
            ready: vec![false; workers],
        })
    }

    fn run(mut self, observer: Observer<'_>) -> Result<()> {
        self.fleet.start_all(observer)?;
        loop {
            let due = self.fleet.next_restart().into_iter();
            self.wait_until(due.chain([self.next_tick]).min(), observer)?;
            if self.told_to_stop() {
                return self.stop(observer);
            }
            self.fleet.bury_dead(observer);
            self.fleet.restart_due(observer);
            let now = Instant::now();
            let told_to_look = self.told_to_look();
            if told_to_look || now >= self.next_tick {
                self.fleet.follow_stores(observer);
            }
            if told_to_look {
                self.fleet.tell_to_follow();
            }
            if now >= self.next_tick {
                self.next_tick = now + self.tick;
                observer(Event::Status(&self.fleet.status()));
            }
        }
    }

    fn told_to_stop(&self) -> bool {
        let Some(inherited) = self.fleet.inherited() else {
            return true;
        };
        // Both are asked, so that neither is left for later.
        inherited.signals.take(SIGINT) | inherited.signals.take(SIGTERM)
    }

    fn told_to_look(&self) -> bool {
        let signals = self.fleet.inherited().map(|inherited| &inherited.signals);
        signals.is_some_and(|signals| signals.take(SIGHUP))
    }

    /// Tells the workers to end, waits for that, and ends those that do not.
    fn stop(mut self, observer: Observer<'_>) -> Result<()> {
        observer(Event::Stopping);
        self.fleet.stop_listening();
        self.fleet.tell_to_end();
        let deadline = Instant::now() + self.drain_timeout;
        while self.fleet.any_alive() {
            self.wait_until(Some(deadline), observer)?;
            self.fleet.reap();
            if self.told_to_stop() || Instant::now() >= deadline {
                break;
            }
        }
        self.fleet.kill_all();
        // Nobody writes any more, so that this ends: a pipe holds so much at most.
        for _ in 0..PIPE_BYTES / LOG_BYTES {
            self.read_log(observer);
        }
        Ok(())
    }

    /// Waits for a signal or for a message, and passes messages on.
    fn wait_until(&mut self, until: Option<Instant>, observer: Observer<'_>) -> Result<()> {
        let Some(inherited) = self.fleet.inherited() else {
            return Ok(());
        };
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut polled = [
            PollFd::new(&inherited.signals, PollFlags::IN),
            PollFd::new(&inherited.log.read, PollFlags::IN),
        ];
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for workers", error)),
        }
        inherited.signals.drain();
        self.read_log(observer);
        Ok(())
    }

    fn read_log(&mut self, observer: Observer<'_>) {
        let mut bytes = [0; LOG_BYTES];
        let Some(inherited) = self.fleet.inherited() else {
            return;
        };
        // Once: were workers to log faster than this goes, signals would wait.
        let count = rustix::io::read(&inherited.log.read, &mut bytes).unwrap_or(0);
        for message in self.messages.take(bytes.get(..count).unwrap_or_default()) {
            match message {
                Message::Text(line) => observer(Event::Log(&line)),
                Message::Ready(worker) => self.note_ready(worker, observer),
            }
        }
    }

    fn note_ready(&mut self, worker: usize, observer: Observer<'_>) {
        let before = self.ready.iter().all(|&ready| ready);
        if let Some(ready) = self.ready.get_mut(worker) {
            *ready = true;
        }
        if !before && self.ready.iter().all(|&ready| ready) {
            observer(Event::Ready(&self.fleet.status()));
        }
    }
}

/// A pipe that does not block.
fn pipe() -> Result<Pipe> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|error| Error::system("make a pipe", error))?;
    Ok(Pipe { read, write })
}

/// Sees to it that a child has no copy of what is still to be printed.
fn flush_output() {
    // Output that cannot be written now would not be written later.
    let _ = io::stdout().flush();
    let _ = io::stderr().flush();
}
