//! Hashes by their upper bits.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zerocopy::IntoBytes;

use super::{HASHED_LEN, Hashed};

/// Some of the partitions, filled by several threads.
#[derive(Debug)]
pub(super) struct Partitions {
    numbers: Range<u64>,
    filled: Vec<Mutex<Partition>>,
    /// How many hashes are a block, the last ones of a partition aside.
    block_len: usize,
    /// The file for all blocks, if they are not kept in memory, and how long it is.
    spill: Option<(File, Mutex<u64>)>,
}

/// Blocks of hashes, in no order.
#[derive(Debug, Default)]
struct Partition {
    len: u64,
    kept: Vec<Vec<Hashed>>,
    spilled: Vec<Spilled>,
}

/// A block in the file.
#[derive(Clone, Copy, Debug)]
struct Spilled {
    offset: u64,
    len: usize,
}

impl Partitions {
    pub(super) fn new(numbers: Range<u64>, block_len: usize, spill: Option<File>) -> Self {
        Self {
            filled: numbers.clone().map(|_| Mutex::default()).collect(),
            numbers,
            block_len,
            spill: spill.map(|file| (file, Mutex::new(0))),
        }
    }

    pub(super) fn numbers(&self) -> Range<u64> {
        self.numbers.clone()
    }

    /// How many hashes the fullest has.
    pub(super) fn longest(&self) -> u64 {
        let lens = self.filled.iter().map(|partition| locked(partition).len);
        lens.max().unwrap_or(0)
    }

    /// For one thread to fill them.
    pub(super) fn gather(&self) -> Gathering<'_> {
        Gathering {
            partitions: self,
            blocks: self.filled.iter().map(|_| Vec::new()).collect(),
        }
    }

    /// Gives a partition in the order of hash and offset, and forgets it.
    pub(super) fn take_sorted(&self, number: u64) -> io::Result<Vec<Hashed>> {
        let index = usize::try_from(number - self.numbers.start).unwrap_or(usize::MAX);
        let partition = self.filled.get(index);
        let partition = partition.map(|partition| std::mem::take(&mut *locked(partition)));
        let Partition { len, kept, spilled } = partition.unwrap_or_default();
        let mut all = Vec::new();
        all.try_reserve_exact(usize::try_from(len).unwrap_or(usize::MAX))?;
        for block in kept {
            all.extend_from_slice(&block);
        }
        for block in spilled {
            let start = all.len();
            all.resize(start + block.len, Hashed::default());
            let to = all.get_mut(start..).unwrap_or_default();
            if let Some((file, _)) = &self.spill {
                file.read_exact_at(to.as_mut_bytes(), block.offset)?;
            }
        }
        // As one number they compare without a branch.
        all.sort_unstable_by_key(|hashed| {
            u128::from(hashed.hash) << 64 | u128::from(hashed.offset)
        });
        Ok(all)
    }

    fn add(&self, index: usize, block: &mut Vec<Hashed>) -> io::Result<()> {
        let Some(partition) = self.filled.get(index) else {
            return Ok(());
        };
        let len = block.len();
        let Some((file, file_len)) = &self.spill else {
            let mut partition = locked(partition);
            partition.len += len as u64;
            partition.kept.push(std::mem::take(block));
            return Ok(());
        };
        let offset = {
            let mut file_len = locked(file_len);
            let offset = *file_len;
            *file_len += (len * HASHED_LEN) as u64;
            offset
        };
        file.write_all_at(block.as_bytes(), offset)?;
        block.clear();
        let mut partition = locked(partition);
        partition.len += len as u64;
        partition.spilled.push(Spilled { offset, len });
        Ok(())
    }
}

/// What one thread has for each of the partitions.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    partitions: &'a Partitions,
    blocks: Vec<Vec<Hashed>>,
}

impl Gathering<'_> {
    /// Takes a hash, if it belongs to one of the partitions.
    #[inline]
    pub(super) fn push(&mut self, number: u64, hashed: Hashed) -> io::Result<()> {
        let index = number.wrapping_sub(self.partitions.numbers.start);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(block) = self.blocks.get_mut(index) else {
            return Ok(());
        };
        if block.len() == block.capacity() {
            if !block.is_empty() {
                self.partitions.add(index, block)?;
            }
            block.try_reserve_exact(self.partitions.block_len)?;
        }
        block.push(hashed);
        Ok(())
    }

    /// Hands over what is not a whole block.
    pub(super) fn finish(mut self) -> io::Result<()> {
        for (index, block) in self.blocks.iter_mut().enumerate() {
            if !block.is_empty() {
                self.partitions.add(index, block)?;
            }
        }
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
