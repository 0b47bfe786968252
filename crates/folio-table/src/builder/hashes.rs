//! The hashes of all keys, in order, however many they are.
//!
//! The records are read once more, and their keys hashed, with a seed that was not known before they
//! were all written. Hash and offset go to one of many partitions, by the upper bits of the hash; each
//! partition is then sorted by itself. Where the partitions are more than memory
//! holds, their parts go to a temporary file. This is what an index is made of.

mod partitions;
mod scan;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::budget::Budget;
use super::output::Output;
use super::spool::Spool;
use super::temporary::scratch;
use crate::format::home_line;
use partitions::Partitions;
use scan::Scan;
pub(super) use scan::{Window, damaged};

/// A record, by the hash of its key.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub(super) struct Hashed {
    pub(super) hash: u64,
    /// Where it begins in the records section.
    pub(super) offset: u64,
}

const HASHED_LEN: usize = size_of::<Hashed>();

/// The records section, from which keys are hashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys<'a> {
    pub(super) output: &'a Output,
    /// Where the records section begins in the file.
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) count: u64,
    /// The order section, which tells where records begin.
    pub(super) order: &'a Spool,
}

/// How the keys are to be partitioned.
#[derive(Debug)]
pub(super) struct Hashing<'a> {
    keys: Keys<'a>,
    /// How many partitions the hashes fall in.
    partitions: u64,
    /// How many of them are made in one pass over the records.
    partitions_at_once: u64,
    /// How many hashes of a partition each thread gathers before they go to the others.
    block_len: usize,
    /// Where parts of partitions go that do not fit into memory.
    spill: Option<PathBuf>,
    threads: usize,
}

/// In memory, a partition is to fit into the processor's cache.
const PARTITION_LEN: usize = 1 << 20;

/// A block of a partition that goes to a file.
const MIN_BLOCK_LEN: usize = 4 << 10;
const MAX_BLOCK_LEN: usize = 1 << 20;

/// More threads would wait for the one that takes what they sort.
const MAX_THREADS: usize = 4;

impl<'a> Hashing<'a> {
    pub(super) fn new(keys: Keys<'a>, budget: &Budget, folder: &Path) -> Self {
        let all = keys.count.saturating_mul(HASHED_LEN as u64);
        let spills = all > budget.hashes_len as u64;
        let partition_len = if spills {
            budget.partition_len
        } else {
            PARTITION_LEN
        };
        let partitions = all.div_ceil(partition_len as u64).max(1);
        let threads = if partitions > 1 {
            thread::available_parallelism().map_or(1, |count| count.get().min(MAX_THREADS))
        } else {
            1
        };
        // A quarter of the memory is for blocks that are not full.
        let unfilled_len = budget.hashes_len / 2 / threads;
        let partitions_at_once = (unfilled_len / MIN_BLOCK_LEN).max(1) as u64;
        let partitions_at_once = partitions_at_once.min(partitions);
        let share_len = usize::try_from(unfilled_len as u64 / partitions_at_once);
        let max_block_len = if spills {
            MAX_BLOCK_LEN
        } else {
            4 * MIN_BLOCK_LEN
        };
        let block_len = share_len
            .unwrap_or(usize::MAX)
            .clamp(MIN_BLOCK_LEN, max_block_len);
        Self {
            keys,
            partitions,
            partitions_at_once,
            block_len: block_len / HASHED_LEN,
            spill: spills.then(|| folder.to_owned()),
            threads,
        }
    }

    /// How many parts of equal width the range of the hashes is cut in.
    pub(super) fn partitions(&self) -> u64 {
        self.partitions
    }

    /// Hashes all keys, and gives them in the order of hash and offset, in slices, until
    /// it is told to stop.
    ///
    /// A partition of more than `max_len` is not given: it is the other kind of break. No memory is taken for it.
    pub(super) fn for_each<T>(
        &self,
        seed: u64,
        max_len: u64,
        mut take: impl FnMut(&[Hashed]) -> io::Result<ControlFlow<T>>,
    ) -> io::Result<Outcome<T>> {
        let mut first = 0;
        while first < self.partitions {
            let end = (first + self.partitions_at_once).min(self.partitions);
            let spill = self.spill.as_deref().map(scratch).transpose()?;
            let partitions = Partitions::new(first..end, self.block_len, spill);
            self.fill(&partitions, seed)?;
            if partitions.longest() > max_len {
                return Ok(Outcome::TooLong);
            }
            if let ControlFlow::Break(reason) = self.give(&partitions, &mut take)? {
                return Ok(Outcome::Stopped(reason));
            }
            first = end;
        }
        Ok(Outcome::Done)
    }

    /// Sorts all keys whose hashes are in these partitions into them.
    fn fill(&self, partitions: &Partitions, seed: u64) -> io::Result<()> {
        let scan = Scan::new(self.keys, seed);
        let work = || {
            let mut gathering = partitions.gather();
            scan.work(|hashed| {
                let number = home_line(hashed.hash, self.partitions);
                gathering.push(number, hashed)
            })?;
            gathering.finish()
        };
        if self.threads == 1 {
            return work();
        }
        thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads).map(|_| scope.spawn(work)).collect();
            let mut outcome = work();
            for other in others {
                let other = other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                outcome = outcome.and(other);
            }
            outcome
        })
    }

    /// Sorts each partition, some ahead of the one that is taken.
    fn give<T>(
        &self,
        partitions: &Partitions,
        mut take: impl FnMut(&[Hashed]) -> io::Result<ControlFlow<T>>,
    ) -> io::Result<ControlFlow<T>> {
        if self.threads == 1 {
            for number in partitions.numbers() {
                if let ControlFlow::Break(reason) = take(&partitions.take_sorted(number)?)? {
                    return Ok(ControlFlow::Break(reason));
                }
            }
            return Ok(ControlFlow::Continue(()));
        }
        thread::scope(|scope| {
            let sorters: Vec<Receiver<_>> = (0..self.threads)
                .map(|first| {
                    let (sender, sorted) = sync_channel(1);
                    let mine = partitions.numbers().skip(first).step_by(self.threads);
                    scope.spawn(move || {
                        for number in mine {
                            if sender.send(partitions.take_sorted(number)).is_err() {
                                return;
                            }
                        }
                    });
                    sorted
                })
                .collect();
            for (_, sorted) in partitions.numbers().zip(sorters.iter().cycle()) {
                // Where its thread has panicked, the scope will.
                let Ok(sorted) = sorted.recv() else {
                    break;
                };
                if let ControlFlow::Break(reason) = take(&sorted?)? {
                    return Ok(ControlFlow::Break(reason));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// How giving hashes came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome<T> {
    /// All were given.
    Done,
    /// Told to stop.
    Stopped(T),
    /// The hashes are not spread.
    TooLong,
}
