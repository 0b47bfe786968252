//! What the workers count, in memory that they and the supervisor share.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use folio_sys::shared::SharedWords;

/// What is counted, for each worker by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Counter {
    /// Requests answered.
    Requests,
    /// Requests answered with an error.
    Errors,
    /// Keys asked for and found.
    Hits,
    /// Keys asked for and not found.
    Misses,
    /// Lookups that met a lost page or a damaged record.
    Faults,
    /// Connections open now.
    ConnectionsOpen,
    /// Connections accepted.
    Connections,
    /// Connections turned away because there were too many.
    ConnectionsRefused,
    /// Bytes received.
    BytesIn,
    /// Bytes sent.
    BytesOut,
}

/// Words a worker has to itself: two cache lines, since processors fetch them in
/// pairs, so that workers counting at the same time do not slow each other down.
const ROW_WORDS: usize = 16;
const _: () = assert!((Counter::BytesOut as usize) < ROW_WORDS);

/// The counters of all workers.
///
/// Each row is written by its worker alone, and by the supervisor while that worker
/// is dead. They outlive the worker: its replacement goes on counting.
#[derive(Debug)]
pub(crate) struct Counters {
    words: SharedWords,
}

impl Counters {
    /// Makes the counters of so many workers, all zero.
    pub(crate) fn new(workers: usize) -> io::Result<Self> {
        let count = workers
            .checked_mul(ROW_WORDS)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            words: SharedWords::new(count)?,
        })
    }

    /// Adds to one of the worker's own counters.
    ///
    /// With one writer a load and a store are enough, and several times cheaper
    /// than an atomic addition.
    pub(crate) fn add(&self, worker: usize, counter: Counter, amount: u64) {
        if let Some(word) = self.word(worker, counter) {
            word.store(word.load(Relaxed).wrapping_add(amount), Relaxed);
        }
    }

    /// Sets one of the worker's own counters.
    pub(crate) fn set(&self, worker: usize, counter: Counter, value: u64) {
        if let Some(word) = self.word(worker, counter) {
            word.store(value, Relaxed);
        }
    }

    /// One worker's count.
    pub(crate) fn of(&self, worker: usize, counter: Counter) -> u64 {
        self.word(worker, counter)
            .map_or(0, |word| word.load(Relaxed))
    }

    /// The count of all workers together.
    pub(crate) fn total(&self, counter: Counter) -> u64 {
        self.words
            .iter()
            .skip(counter as usize)
            .step_by(ROW_WORDS)
            .fold(0, |sum, word| sum.wrapping_add(word.load(Relaxed)))
    }

    fn word(&self, worker: usize, counter: Counter) -> Option<&AtomicU64> {
        self.words.get(worker * ROW_WORDS + counter as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_over_workers() {
        let counters = Counters::new(3).unwrap();
        counters.add(0, Counter::Hits, 1);
        counters.add(2, Counter::Hits, 5);
        counters.add(2, Counter::Hits, 5);
        counters.add(1, Counter::Misses, 7);
        counters.set(1, Counter::BytesOut, 9);
        counters.add(3, Counter::Hits, 100);
        assert_eq!(counters.total(Counter::Hits), 11);
        assert_eq!(counters.of(2, Counter::Hits), 10);
        assert_eq!(counters.total(Counter::BytesOut), 9);
        assert_eq!(counters.total(Counter::Requests), 0);
    }
}
