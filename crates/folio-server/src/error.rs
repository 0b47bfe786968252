//! What can go wrong when a server starts or runs.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a server could not start, or had to end.
///
/// What goes wrong with one request or one connection is answered to that client
/// and logged; it is never one of these.
///
/// `Display` gives one line without the cause; [`std::error::Error::source`]
/// keeps the system's error where there is one.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process listens on the address, or on the Unix socket.
    #[error("{address}: address in use: another server listens there")]
    AddressInUse {
        /// The address and port, or the path of the socket.
        address: String,
    },

    /// The address cannot be listened on, for another reason.
    #[error("{address}: cannot listen")]
    Listen {
        /// The address and port, or the path of the socket.
        address: String,
        /// The system's error.
        source: io::Error,
    },

    /// The path for the Unix socket holds something that is no socket.
    #[error("{}: exists and is no socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },

    /// The configuration asks for something impossible.
    #[error("{reason}")]
    Config {
        /// What, and what to do instead.
        reason: &'static str,
    },

    /// A system call that the supervisor or all workers need failed.
    #[error("cannot {action}")]
    System {
        /// What was being done, as a verb with its object: `start a worker`.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// Wraps the error of a system call with what was being done.
    pub(crate) fn system(action: &'static str, source: impl Into<io::Error>) -> Self {
        Self::System {
            action,
            source: source.into(),
        }
    }

    /// Sorts out why an address cannot be listened on.
    pub(crate) fn listen(address: &impl ToString, source: impl Into<io::Error>) -> Self {
        let (address, source) = (address.to_string(), source.into());
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::AddressInUse { address }
        } else {
            Self::Listen { address, source }
        }
    }

    /// The same for the path of a Unix socket.
    pub(crate) fn listen_at(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::listen(&path.display(), source)
    }
}
