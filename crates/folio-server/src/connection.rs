//! One client: what it sent, what waits to be sent to it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use crate::Limits;
use crate::command::{Dispatcher, Next, Session};
use crate::resp::{Parsed, Parser, Protocol, Reply};

/// A connection whose socket does not block.
///
/// It never waits: [`advance`](Self::advance) goes as far as the socket allows, and
/// is called again when the socket is ready for more.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    session: Session,
    parser: Parser,
    input: Vec<u8>,
    /// How many bytes of `input` have been answered.
    answered: usize,
    output: Vec<u8>,
    /// How many bytes of `output` have been sent.
    sent: usize,
    phase: Phase,
    readiness: Readiness,
    /// Whether events tell when the socket takes more again.
    watched: bool,
    /// Whether to close as soon as nothing has arrived, instead of lingering.
    hurried: bool,
    /// When the client last did something.
    active: Instant,
}

/// What is known of a socket. Events tell of changes alone.
#[derive(Debug, Default)]
struct Readiness {
    /// Whether it may have more to read.
    readable: bool,
    /// Whether the client has ended its stream, so that a short read is not the last.
    hung_up: bool,
    /// Whether it takes no more for now.
    blocked: bool,
}

/// Where a connection stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are answered.
    Open,
    /// No further requests are; the replies that wait are sent.
    Closing,
    /// All is sent. What still arrives is read and dropped until the client closes
    /// its end or this time has come: closing before would reset the connection,
    /// and the client might lose the last replies.
    Lingering(Instant),
}

/// What a connection needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// An event of its socket.
    Waiting,
    /// To be advanced again, after others had their turn.
    Unfinished,
    /// To be dropped.
    Closed,
}

/// Buffers that connections of one worker borrow while they have something in them,
/// so that connections at rest have none. What is read and written next is in the
/// processor's cache.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes read from and written to sockets, to be counted.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// How much is read at once.
const READ_BYTES: usize = 32 << 10;
/// The largest buffer that is kept for the next connection.
const KEPT_BYTES: usize = 256 << 10;
/// Buffers up to this size stay with their connection, however little is in them.
const SMALL_BYTES: usize = 4 << 10;
/// Reads and writes of one connection before others have their turn.
const TURNS: usize = 8;
/// How long a connection lingers.
const LINGER: Duration = Duration::from_secs(1);

impl Connection {
    pub(crate) fn new(socket: OwnedFd, session: Session, now: Instant) -> Self {
        Self {
            socket,
            session,
            parser: Parser::default(),
            input: Vec::new(),
            answered: 0,
            output: Vec::new(),
            sent: 0,
            phase: Phase::Open,
            readiness: Readiness::default(),
            watched: false,
            hurried: false,
            active: now,
        }
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Takes note of what an event says of the socket.
    pub(crate) fn note(&mut self, readable: bool, hung_up: bool, writable: bool, now: Instant) {
        self.readiness.readable |= readable || hung_up;
        self.readiness.hung_up |= hung_up;
        if writable {
            self.readiness.blocked = false;
        }
        self.active = now;
    }

    /// Whether events must begin (true) or may cease to tell that the socket takes
    /// more; `None` if they do as they should.
    pub(crate) fn change_of_interest(&mut self) -> Option<bool> {
        let blocked = self.readiness.blocked;
        let watched = std::mem::replace(&mut self.watched, blocked);
        (blocked != watched).then_some(blocked)
    }

    /// How much memory its buffers take, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.input.capacity()
            + self.output.capacity()
            + self.parser.held_bytes()
            + self.session.held_bytes()
    }

    /// When it lingered or idled long enough, if nothing happens until then.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        match self.phase {
            Phase::Lingering(until) => Some(until),
            _ if limits.idle_timeout.is_zero() => None,
            _ => self.active.checked_add(limits.idle_timeout),
        }
    }

    /// Takes no further requests beyond those that have arrived.
    pub(crate) fn finish(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
    }

    /// The same, because the worker ends: nothing is waited for but the sending.
    pub(crate) fn finish_at_once(&mut self) {
        self.hurried = true;
        self.readiness.readable = true;
        self.finish();
    }

    /// Answers, sends and reads as far as the socket allows, for a bounded time.
    pub(crate) fn advance<B: folio::ReadAt>(
        &mut self,
        dispatcher: &mut Dispatcher<B>,
        buffers: &mut Buffers,
        limits: &Limits,
        now: Instant,
    ) -> Progress {
        for _ in 0..TURNS {
            match self.turn(dispatcher, buffers, limits, now) {
                Ok(Progress::Unfinished) => {}
                Ok(progress) => {
                    self.lay_down(buffers);
                    return progress;
                }
                // A client that is gone gets no reply, and nobody else cares.
                Err(_) => return Progress::Closed,
            }
        }
        self.lay_down(buffers);
        Progress::Unfinished
    }

    fn turn<B: folio::ReadAt>(
        &mut self,
        dispatcher: &mut Dispatcher<B>,
        buffers: &mut Buffers,
        limits: &Limits,
        now: Instant,
    ) -> io::Result<Progress> {
        if self.waiting_bytes() > 0 && !self.readiness.blocked {
            self.send(buffers)?;
        }
        match self.phase {
            Phase::Lingering(_) => return self.discard(buffers),
            Phase::Closing if self.waiting_bytes() > 0 => return Ok(Progress::Waiting),
            Phase::Closing => return self.linger(now),
            Phase::Open => {}
        }
        if self.waiting_bytes() >= limits.waiting_reply_bytes {
            return Ok(Progress::Waiting);
        }
        let before = self.waiting_bytes();
        self.answer(dispatcher, buffers, limits);
        if self.phase != Phase::Open || self.waiting_bytes() > before {
            return Ok(Progress::Unfinished);
        }
        if !self.readiness.readable {
            return Ok(Progress::Waiting);
        }
        self.receive(buffers)?;
        Ok(Progress::Unfinished)
    }

    fn waiting_bytes(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Answers the requests that are there whole, until enough replies wait.
    fn answer<B: folio::ReadAt>(
        &mut self,
        dispatcher: &mut Dispatcher<B>,
        buffers: &mut Buffers,
        limits: &Limits,
    ) {
        if self.answered == self.input.len() {
            return;
        }
        if self.output.capacity() == 0 {
            std::mem::swap(&mut self.output, &mut buffers.output);
        } else if self.sent > 0 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        while self.output.len() < limits.waiting_reply_bytes {
            if self.parser.is_at_start() {
                let input = self.input.get(self.answered..).unwrap_or_default();
                let answered = dispatcher.execute_reads(&self.session, input, &mut self.output);
                if answered > 0 {
                    self.answered += answered;
                    continue;
                }
            }
            let input = self.input.get_mut(self.answered..).unwrap_or_default();
            match self.parser.parse(input, limits) {
                Ok(Parsed::Incomplete) => return,
                Ok(Parsed::Complete(len)) => {
                    let request = self.parser.request(input);
                    let next = dispatcher.execute(&mut self.session, request, &mut self.output);
                    self.answered += len;
                    if next == Next::Close {
                        return self.finish();
                    }
                }
                Err(error) => {
                    // Errors look the same in every version.
                    Reply::new(&mut self.output, Protocol::Resp2)
                        .error(&format!("ERR Protocol error: {error}"));
                    dispatcher.count_protocol_error();
                    return self.finish();
                }
            }
        }
    }

    /// Sends what waits, as much as the socket takes.
    fn send(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        #[cfg(not(target_vendor = "apple"))]
        let flags = SendFlags::NOSIGNAL;
        #[cfg(target_vendor = "apple")]
        let flags = SendFlags::empty();
        while self.waiting_bytes() > 0 {
            let waiting = self.output.get(self.sent..).unwrap_or_default();
            match rustix::net::send(&self.socket, waiting, flags) {
                Ok(count) => {
                    self.sent += count;
                    buffers.bytes_out += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.readiness.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once.
    fn receive(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        self.make_room(buffers);
        let room = self.input.capacity() - self.input.len();
        match rustix::io::read(&self.socket, spare_capacity(&mut self.input)) {
            // The client has ended its stream; it may still be reading.
            Ok(0) => self.finish(),
            Ok(count) => {
                buffers.bytes_in += count as u64;
                // A read that fills less than the room has emptied the socket, and
                // the next bytes bring an event. The end of the stream, if it was
                // announced before this read, does not.
                self.readiness.readable = count == room || self.readiness.hung_up;
            }
            Err(Errno::AGAIN) => self.readiness.readable = false,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Sees to it that a good deal can be read, and that what is kept comes first.
    fn make_room(&mut self, buffers: &mut Buffers) {
        if self.answered > 0 {
            self.input.drain(..self.answered);
            self.answered = 0;
        }
        if self.input.capacity() - self.input.len() >= READ_BYTES / 2 {
            return;
        }
        let needed = self.input.len() + READ_BYTES;
        if buffers.input.capacity() >= needed {
            buffers.input.extend_from_slice(&self.input);
            self.input = std::mem::take(&mut buffers.input);
        } else {
            self.input.reserve(READ_BYTES);
        }
    }

    /// Gives buffers back that have nothing in them, and large ones that have little.
    fn lay_down(&mut self, buffers: &mut Buffers) {
        if self.answered == self.input.len() {
            self.input.clear();
            self.answered = 0;
            keep(std::mem::take(&mut self.input), &mut buffers.input);
        } else if self.input.capacity() > SMALL_BYTES
            && self.input.len() - self.answered < self.input.capacity() / 2
        {
            let rest = self.input.get(self.answered..).unwrap_or_default().to_vec();
            let mut large = std::mem::replace(&mut self.input, rest);
            self.answered = 0;
            large.clear();
            keep(large, &mut buffers.input);
        }
        if self.output.is_empty() {
            keep(std::mem::take(&mut self.output), &mut buffers.output);
        }
    }

    /// Ends this direction of the connection.
    fn linger(&mut self, now: Instant) -> io::Result<Progress> {
        rustix::net::shutdown(&self.socket, Shutdown::Write)?;
        self.phase = Phase::Lingering(now + LINGER);
        self.input.clear();
        self.answered = 0;
        self.readiness.readable = true;
        Ok(Progress::Unfinished)
    }

    /// Reads and drops.
    fn discard(&mut self, buffers: &mut Buffers) -> io::Result<Progress> {
        self.make_room(buffers);
        match rustix::io::read(&self.socket, spare_capacity(&mut self.input)) {
            Ok(0) => Ok(Progress::Closed),
            Ok(_) | Err(Errno::INTR) => {
                self.input.clear();
                Ok(Progress::Unfinished)
            }
            Err(Errno::AGAIN) => {
                self.readiness.readable = false;
                Ok(if self.hurried {
                    Progress::Closed
                } else {
                    Progress::Waiting
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Keeps the larger of two empty buffers for the next connection.
fn keep(buffer: Vec<u8>, kept: &mut Vec<u8>) {
    if buffer.capacity() > kept.capacity() && buffer.capacity() <= KEPT_BYTES {
        *kept = buffer;
    }
}
