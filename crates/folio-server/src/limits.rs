//! What one client may ask of a worker.

use std::time::Duration;

/// Bounds on everything that a client controls.
///
/// They hold for each worker by itself. A client that goes over one gets
/// `-ERR Protocol error: …` or another error that names the limit, and where the
/// rest of its stream cannot be understood any more, its connection is closed.
///
/// ```
/// use folio_server::Limits;
///
/// let mut limits = Limits::default();
/// limits.connections = 100;
/// assert_eq!(limits.inline_bytes, 64 << 10);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time in one worker; 10,000. One more is told
    /// `-ERR max number of clients reached` and closed.
    pub connections: usize,

    /// The longest argument of a command, in bytes; 1 MiB. Keys are 64 KiB at most.
    pub argument_bytes: usize,

    /// The most arguments of one command, its name included; 1,048,576.
    pub arguments: usize,

    /// The longest request, in bytes as it is sent; 16 MiB.
    pub request_bytes: usize,

    /// The longest request that is a plain line of text, in bytes; 64 KiB.
    pub inline_bytes: usize,

    /// The longest reply to one request, in bytes; 512 MiB. A longer one is
    /// replaced by an error, and the connection stays.
    pub reply_bytes: usize,

    /// How many bytes of replies may wait to be sent before the worker takes no
    /// further requests from that client; 1 MiB. It goes on when they are sent.
    pub waiting_reply_bytes: usize,

    /// What the buffers of all connections of a worker may hold together, in
    /// bytes; 1 GiB. The connection that goes over it is closed.
    pub buffered_bytes: usize,

    /// A connection that neither sends a request nor takes a reply for so long is
    /// closed; zero, the default, means never.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            argument_bytes: 1 << 20,
            arguments: 1 << 20,
            request_bytes: 16 << 20,
            inline_bytes: 64 << 10,
            reply_bytes: 512 << 20,
            waiting_reply_bytes: 1 << 20,
            buffered_bytes: 1 << 30,
            idle_timeout: Duration::ZERO,
        }
    }
}
