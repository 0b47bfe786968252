//! New connections.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use folio::ReadAt;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::{FIRST_CONNECTION, Worker};
use crate::command::{Peer, Session};
use crate::connection::Connection;
use crate::counters::Counter;

/// Connections accepted before those that are open have their turn.
const ACCEPTED_AT_ONCE: usize = 64;
/// How long to wait when there are no descriptors, or no memory, for one more.
const PAUSE: Duration = Duration::from_millis(100);

/// Where accepting stopped.
enum Queue {
    /// Nobody waits; the next brings an event.
    Empty,
    /// Somebody may be waiting, and no event will tell.
    Waiting,
    /// The system has no room for more.
    Full,
}

impl<B: ReadAt> Worker<B> {
    /// Accepts connections, if somebody may be waiting.
    pub(super) fn accept_if_due(&mut self) {
        if self.accept_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.accept_at = match self.accept_some() {
            Queue::Empty => None,
            Queue::Waiting => Some(self.now),
            Queue::Full => Some(self.now + PAUSE),
        };
    }

    fn accept_some(&mut self) -> Queue {
        for _ in 0..ACCEPTED_AT_ONCE {
            match self.accept() {
                Ok((socket, peer)) => self.welcome(socket, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Queue::Empty,
                // One client went away while it waited; the next may be there.
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    if let Some(suppressed) = self.accept_log.admit(self.now) {
                        self.log.line(format_args!(
                            "cannot accept a connection: {error} (and {suppressed} times before)"
                        ));
                    }
                    return Queue::Full;
                }
            }
        }
        Queue::Waiting
    }

    fn accept(&mut self) -> io::Result<(OwnedFd, Peer)> {
        if let Some(listener) = &self.sockets.tcp {
            match listener.accept() {
                Ok((stream, address)) => return Ok((stream.into(), Peer::Tcp(address))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        match &self.sockets.unix {
            Some(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((stream.into(), Peer::Unix))
            }
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn welcome(&mut self, socket: OwnedFd, peer: Peer) {
        if self.connections.len() >= self.limits.connections {
            self.counters
                .add(self.index, Counter::ConnectionsRefused, 1);
            // Where the socket does not take these few bytes, there is nothing to do.
            let _ = rustix::io::write(&socket, b"-ERR max number of clients reached\r\n");
            return;
        }
        if matches!(peer, Peer::Tcp(_)) {
            // Replies are sent whole; waiting for more to send with them only delays.
            let _ = sockopt::set_tcp_nodelay(&socket, true);
        }
        let key = self.connections.vacant_key();
        let registered = self.poll.registry().register(
            &mut SourceFd(&socket.as_raw_fd()),
            Token(FIRST_CONNECTION + key),
            Interest::READABLE,
        );
        if let Err(error) = registered {
            self.log
                .line(format_args!("cannot watch a connection: {error}"));
            return;
        }
        let id = self.next_id();
        let session = Session::new(id, peer, self.now);
        self.connections
            .insert(Connection::new(socket, session, self.now));
        self.counters.add(self.index, Counter::Connections, 1);
        self.count_open();
    }

    /// An id that no connection of any worker has had: the workers count in turns.
    fn next_id(&self) -> u64 {
        let earlier = self.counters.of(self.index, Counter::Connections);
        earlier * self.workers as u64 + self.index as u64 + 1
    }
}

/// Whether it concerns one connection, or one attempt.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INTR | Errno::CONNABORTED | Errno::PROTO | Errno::PERM)
    )
}
