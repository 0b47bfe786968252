//! What happens in a server, for whoever shows it.

use std::time::Duration;

use crate::Status;

/// Something that happened, as told to the observer of [`Supervisor::run`].
///
/// The observer is called in the supervisor, between other things that it does; while
/// it runs, no dead worker is restarted. Workers serve on.
///
/// [`Supervisor::run`]: crate::Supervisor::run
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// All workers accept connections. Told once.
    Ready(&'a Status),

    /// The state of all workers; told at every tick.
    Status(&'a Status),

    /// A worker was started, or started again.
    WorkerStarted {
        /// Which, from 0.
        index: usize,
        /// Its process.
        pid: u32,
    },

    /// A worker ended although nobody told it to.
    WorkerDied {
        /// Which, from 0.
        index: usize,
        /// Its process.
        pid: u32,
        /// How it ended: `exit status 1`, `signal 9`.
        status: &'a str,
        /// How long until it is started again.
        restart_in: Duration,
    },

    /// A store that is served has another current generation: workers are going on to it.
    GenerationChanged {
        /// The number by which clients select it.
        database: usize,
        /// The generation's number.
        generation: u64,
    },

    /// A line that a worker or the supervisor logged, without a line end.
    Log(&'a str),

    /// The server was told to stop: workers answer what they have received, and end.
    Stopping,
}
