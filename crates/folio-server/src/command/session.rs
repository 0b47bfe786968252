//! What a connection has told about itself.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::scan::Place;
use super::transaction::Transaction;
use crate::resp::Protocol;

/// The state of one connection that commands read and change.
#[derive(Debug)]
pub(crate) struct Session {
    /// Unique in the server, over all its workers.
    pub(crate) id: u64,
    pub(crate) peer: Peer,
    pub(crate) opened: Instant,
    pub(crate) protocol: Protocol,
    /// Which table commands mean; always one that there is.
    pub(crate) database: usize,
    pub(crate) name: Box<[u8]>,
    pub(crate) library_name: Box<[u8]>,
    pub(crate) library_version: Box<[u8]>,
    /// What waits for `EXEC`, since `MULTI`.
    pub(crate) transaction: Option<Box<Transaction>>,
    /// Where the last `SCAN` came to.
    pub(super) scanned: Option<Box<Place>>,
}

impl Session {
    pub(crate) fn new(id: u64, peer: Peer, opened: Instant) -> Self {
        Self {
            id,
            peer,
            opened,
            protocol: Protocol::default(),
            database: 0,
            name: Box::default(),
            library_name: Box::default(),
            library_version: Box::default(),
            transaction: None,
            scanned: None,
        }
    }

    /// Forgets what the client asked for, as `RESET` does.
    pub(crate) fn reset(&mut self) {
        self.protocol = Protocol::default();
        self.database = 0;
        self.name = Box::default();
        self.transaction = None;
        self.scanned = None;
    }

    /// How much memory is kept for the client, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let transaction = self.transaction.as_ref();
        let scanned = self.scanned.as_ref();
        self.name.len()
            + self.library_name.len()
            + self.library_version.len()
            + transaction.map_or(0, |transaction| transaction.held_bytes())
            + scanned.map_or(0, |place| place.held_bytes())
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client of the Unix socket, which has no name of its own.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix => formatter.write_str("unix:0"),
        }
    }
}
