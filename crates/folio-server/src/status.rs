//! What the supervisor tells of its workers.

use std::time::Duration;

/// All workers at one moment, and what they cost.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The workers, by index.
    pub workers: Vec<WorkerStatus>,

    /// The size of the files of all tables together, in bytes: what each worker
    /// would need if it had a copy of its own.
    pub data_bytes: u64,

    /// The generation of each table, by number; `None` for those that are of no store. Workers
    /// that are busy go on to it with their next request, idle ones within a moment.
    pub generations: Vec<Option<u64>>,

    /// How long the supervisor has been running.
    pub uptime: Duration,
}

impl Status {
    /// The workers' shares of the data in physical memory, added up: how much of it
    /// is there because of this server. `None` unless it is known of every worker.
    #[must_use]
    pub fn pss_total_bytes(&self) -> Option<u64> {
        self.workers.iter().map(|worker| worker.pss_bytes).sum()
    }

    /// How many requests the workers have answered together, the dead included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.workers.iter().map(|worker| worker.requests).sum()
    }
}

/// One worker at one moment.
///
/// The memory figures count the pages of the tables' files, and no others. They are
/// `None` where the system does not tell, and while the worker is not running.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Which worker, from 0.
    pub index: usize,

    /// Its process, or `None` while it waits to be restarted.
    pub pid: Option<u32>,

    /// Bytes of the tables that this worker's page tables reach (resident set size).
    pub rss_bytes: Option<u64>,

    /// Of these, its share: each page's size divided by the number of processes
    /// that reach it (proportional set size).
    pub pss_bytes: Option<u64>,

    /// Of these, the bytes that no other process reaches.
    pub private_bytes: Option<u64>,

    /// Requests answered since the server started.
    pub requests: u64,

    /// Connections open now.
    pub connections: u64,

    /// How often it has been restarted.
    pub restarts: u64,
}
