//! How long threads have been seen with locks, look after look.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use folio_ipc::{Inspection, LockInfo};

/// Since when each thread was seen with each lock that it has, at all looks.
///
/// Between two looks it may have given the lock up and taken it again: nothing in a region counts that, since
/// counting would take time whenever a lock is taken.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// By the lock's offset, the thread's record and its id.
    since: BTreeMap<(u64, u32, u32), Instant>,
    now: Option<Instant>,
}

impl Sightings {
    /// Takes another look into account.
    pub(super) fn add(&mut self, seen: &Inspection) {
        let now = Instant::now();
        let before = std::mem::take(&mut self.since);
        let keys = seen.locks.iter().flat_map(keys_of);
        self.since = keys
            .map(|key| (key, before.get(&key).copied().unwrap_or(now)))
            .collect();
        self.now = Some(now);
    }

    /// How long a thread has been seen with a lock, if more than once.
    pub(super) fn time(&self, lock: &LockInfo, record: u32, tid: u32) -> Option<Duration> {
        let since = self.since.get(&(lock.offset_bytes, record, tid))?;
        let time = self.now?.duration_since(*since);
        (!time.is_zero()).then_some(time)
    }
}

fn keys_of(lock: &LockInfo) -> impl Iterator<Item = (u64, u32, u32)> + use<'_> {
    let owner = lock.owner_record.zip(lock.owner_tid);
    let holders = lock.holders.iter().map(|one| (one.record, one.tid));
    let threads = owner.into_iter().chain(holders);
    threads.map(|(record, tid)| (lock.offset_bytes, record, tid))
}
