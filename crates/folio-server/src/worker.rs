//! A worker: one event loop over its sockets and its clients.

mod accept;
mod process;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use folio::ReadAt;
use mio::event::Event;
use mio::net::{TcpListener, UnixListener};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGTERM};
use slab::Slab;

use crate::Limits;
use crate::command::{Dispatcher, Facts};
use crate::connection::{Buffers, Connection, Progress};
use crate::counters::{Counter, Counters};
use crate::log::{Log, RateLimit};
use crate::signals::Signals;

pub(crate) use process::{Inherited, Pipe, run_in_child};

const SIGNALS: Token = Token(0);
const LIFELINE: Token = Token(1);
const TCP: Token = Token(2);
const UNIX: Token = Token(3);
/// Connections have the tokens from here on.
const FIRST_CONNECTION: usize = 4;

const EVENTS_AT_ONCE: usize = 1024;
/// How often connections are looked through for those that idled too long.
const SWEEP: Duration = Duration::from_secs(1);
/// Times that a client which never stops sending is heard once more before the end.
const LAST_TURNS: usize = 16;

/// What a worker serves and where it listens.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) tcp: Option<TcpListener>,
    pub(crate) unix: Option<UnixListener>,
    /// Readable when the supervisor has ended.
    pub(crate) lifeline: OwnedFd,
    /// Has SIGTERM and SIGHUP.
    pub(crate) signals: Signals,
}

/// The event loop and everything it owns.
#[derive(Debug)]
pub(crate) struct Worker<B> {
    poll: Poll,
    sockets: Sockets,
    dispatcher: Dispatcher<B>,
    connections: Slab<Connection>,
    /// Connections that have more to do than one turn allowed, by key.
    unfinished: VecDeque<usize>,
    buffers: Buffers,
    /// What the buffers of all connections hold together.
    held_bytes: usize,
    limits: Limits,
    index: usize,
    workers: usize,
    counters: Rc<Counters>,
    log: Rc<Log>,
    now: Instant,
    next_sweep: Instant,
    /// When to try again to accept, though no event says that there is anybody.
    accept_at: Option<Instant>,
    accept_log: RateLimit,
    drain_timeout: Duration,
    /// Set when the worker was told to end: until when it may take.
    end_by: Option<Instant>,
}

impl<B: ReadAt> Worker<B> {
    pub(crate) fn new(
        dispatcher: Dispatcher<B>,
        mut sockets: Sockets,
        facts: &Facts,
        limits: Limits,
        drain_timeout: Duration,
        counters: Rc<Counters>,
        log: Rc<Log>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let watch =
            |fd: i32, token| registry.register(&mut SourceFd(&fd), token, Interest::READABLE);
        watch(sockets.signals.as_fd().as_raw_fd(), SIGNALS)?;
        watch(sockets.lifeline.as_raw_fd(), LIFELINE)?;
        if let Some(tcp) = &mut sockets.tcp {
            registry.register(tcp, TCP, Interest::READABLE)?;
        }
        if let Some(unix) = &mut sockets.unix {
            registry.register(unix, UNIX, Interest::READABLE)?;
        }
        let now = Instant::now();
        Ok(Self {
            poll,
            sockets,
            dispatcher,
            connections: Slab::new(),
            unfinished: VecDeque::new(),
            buffers: Buffers::default(),
            held_bytes: 0,
            limits,
            index: facts.worker,
            workers: facts.workers,
            counters,
            log,
            now,
            next_sweep: now + SWEEP,
            accept_at: Some(now),
            accept_log: RateLimit::default(),
            drain_timeout,
            end_by: None,
        })
    }

    /// Serves until SIGTERM has come and all that was received is answered, or until
    /// the supervisor has ended.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
        self.log.ready(self.index);
        loop {
            if self.sockets.signals.take(SIGTERM) && self.end_by.is_none() {
                self.end();
            }
            if self.sockets.signals.take(SIGHUP) {
                self.dispatcher.recheck();
            }
            if let Some(end_by) = self.end_by {
                if self.connections.is_empty() || self.now >= end_by {
                    return Ok(());
                }
            }
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.now = Instant::now();
            self.dispatcher.set_now(self.now);
            self.dispatcher.refresh();
            for event in &events {
                match event.token() {
                    SIGNALS => self.sockets.signals.drain(),
                    // Nothing is ever written to it: this is its end.
                    LIFELINE => return Ok(()),
                    TCP | UNIX => self.accept_at = Some(self.now),
                    Token(token) => self.take_event(token - FIRST_CONNECTION, event),
                }
            }
            self.accept_if_due();
            for _ in 0..self.unfinished.len() {
                if let Some(key) = self.unfinished.pop_front() {
                    self.advance(key);
                }
            }
            self.sweep_if_due();
            self.count_bytes();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.unfinished.is_empty() {
            return Some(Duration::ZERO);
        }
        let sweep = (!self.connections.is_empty()).then_some(self.next_sweep);
        let next = [sweep, self.accept_at, self.end_by]
            .into_iter()
            .flatten()
            .min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn take_event(&mut self, key: usize, event: &Event) {
        // An event may be of a connection that was closed after it was fetched.
        if let Some(connection) = self.connections.get_mut(key) {
            connection.note(
                event.is_readable(),
                event.is_read_closed() || event.is_error(),
                event.is_writable() || event.is_write_closed(),
                self.now,
            );
            self.advance(key);
        }
    }

    fn advance(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let held_before = connection.held_bytes();
        let progress = connection.advance(
            &mut self.dispatcher,
            &mut self.buffers,
            &self.limits,
            self.now,
        );
        self.held_bytes = self.held_bytes.saturating_sub(held_before) + connection.held_bytes();
        let over = connection.held_bytes() > 0 && self.held_bytes > self.limits.buffered_bytes;
        if over {
            self.log
                .line("closed a connection: all buffers together are over their limit");
        }
        if over || progress == Progress::Closed {
            return self.close(key);
        }
        if progress == Progress::Unfinished {
            self.unfinished.push_back(key);
        }
        let Some(writable) = connection.change_of_interest() else {
            return;
        };
        let mut interest = Interest::READABLE;
        if writable {
            interest |= Interest::WRITABLE;
        }
        // This brings an event also for what is the case already.
        let watched = self.poll.registry().reregister(
            &mut SourceFd(&connection.socket().as_raw_fd()),
            Token(FIRST_CONNECTION + key),
            interest,
        );
        if watched.is_err() {
            self.close(key);
        }
    }

    fn close(&mut self, key: usize) {
        if let Some(connection) = self.connections.try_remove(key) {
            self.held_bytes = self.held_bytes.saturating_sub(connection.held_bytes());
            let socket = connection.socket().as_raw_fd();
            // It is closed right after, which ends the registration wherever this fails.
            let _ = self.poll.registry().deregister(&mut SourceFd(&socket));
            self.count_open();
        }
    }

    /// Closes the connections whose time is over.
    fn sweep_if_due(&mut self) {
        if self.now < self.next_sweep {
            return;
        }
        self.next_sweep = self.now + SWEEP;
        let is_over = |connection: &Connection| {
            connection
                .deadline(&self.limits)
                .is_some_and(|deadline| deadline <= self.now)
        };
        let over: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| is_over(connection))
            .map(|(key, _)| key)
            .collect();
        for key in over {
            self.close(key);
        }
    }

    /// Stops to accept, and answers what has arrived.
    fn end(&mut self) {
        self.end_by = Some(self.now + self.drain_timeout);
        // Those who wait in the queue have been connected as far as they know.
        self.accept_if_due();
        self.sockets.tcp = None;
        self.sockets.unix = None;
        self.accept_at = None;
        let keys: Vec<_> = self.connections.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.note(true, false, false, self.now);
            }
            for _ in 0..LAST_TURNS {
                self.advance(key);
                if self.unfinished.pop_back().is_none() {
                    break;
                }
            }
            if let Some(connection) = self.connections.get_mut(key) {
                connection.finish_at_once();
                self.advance(key);
            }
        }
        self.count_bytes();
    }

    fn count_open(&self) {
        let open = self.connections.len() as u64;
        self.counters
            .set(self.index, Counter::ConnectionsOpen, open);
    }

    fn count_bytes(&mut self) {
        for (counter, bytes) in [
            (Counter::BytesIn, &mut self.buffers.bytes_in),
            (Counter::BytesOut, &mut self.buffers.bytes_out),
        ] {
            self.counters
                .add(self.index, counter, std::mem::take(bytes));
        }
    }
}
