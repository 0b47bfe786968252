//! Which chunks of a map are let in, and which is to go.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The size of a chunk, in bytes: at one page fault Linux maps as much as a whole large page of the page cache
/// (since 6.18; before, what `fault_around_bytes` says), and never across the boundary of a page table, which
/// is 2 MiB where pages are of 4 KiB.
const CHUNK_BYTES: u64 = 2 << 20;
/// More chunks than this have a list of states that is a budget of its own.
const MOST_CHUNKS: u64 = 1 << 22;

/// Nothing of the chunk is resident.
const ABSENT: u8 = 0;
/// It was let in, and not used since the clock's hand went by.
const IDLE: u8 = 1;
/// It was used since then.
const USED: u8 = 2;

/// How a map is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    /// A power of two.
    chunk_bytes: u64,
    /// How far into its chunk the map begins: chunks begin at addresses that are multiples of
    /// their size, as what the kernel maps at once does.
    skew: u64,
    chunks: usize,
    /// How many chunks may be there at once.
    limit: usize,
}

impl Geometry {
    /// For a map of so many bytes at most, at an address. `None` when the budget is less than two chunks.
    pub(super) fn new(address: usize, most_bytes: u64, budget_bytes: u64) -> Option<Self> {
        let wanted = most_bytes.div_ceil(MOST_CHUNKS).max(CHUNK_BYTES);
        let chunk_bytes = wanted.checked_next_power_of_two()?;
        let limit = usize::try_from(budget_bytes / chunk_bytes).unwrap_or(usize::MAX);
        let skew = address as u64 % chunk_bytes;
        let chunks = usize::try_from(most_bytes.checked_add(skew)?.div_ceil(chunk_bytes)).ok()?;
        (limit >= 2).then_some(Self {
            chunk_bytes,
            skew,
            chunks,
            limit,
        })
    }

    /// The chunk that a byte is in; those past the end are in the last.
    #[inline]
    fn chunk_of(self, offset: u64) -> usize {
        let chunk = offset.saturating_add(self.skew) / self.chunk_bytes;
        let last = self.chunks.saturating_sub(1);
        usize::try_from(chunk).map_or(last, |chunk| chunk.min(last))
    }

    /// Where a chunk begins in the map, and how long it is.
    fn range_of(self, chunk: usize) -> (u64, u64) {
        let start = chunk as u64 * self.chunk_bytes;
        let end = start + self.chunk_bytes;
        let start = start.saturating_sub(self.skew);
        (start, end - self.skew - start)
    }
}

/// Chunks in the order in which they came, each with a state that reads change without a lock.
#[derive(Debug)]
pub(super) struct Clock {
    geometry: Geometry,
    states: Box<[AtomicU8]>,
    /// Those that are there; the hand of the clock is before the first.
    admitted: Mutex<VecDeque<usize>>,
    evictions: AtomicU64,
}

impl Clock {
    pub(super) fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            states: (0..geometry.chunks)
                .map(|_| AtomicU8::new(ABSENT))
                .collect(),
            admitted: Mutex::default(),
            evictions: AtomicU64::new(0),
        }
    }

    /// The chunks that `len` bytes, at least one, lie in.
    #[inline]
    pub(super) fn chunks(&self, offset: u64, len: usize) -> RangeInclusive<usize> {
        let last = offset.saturating_add(len as u64 - 1);
        self.geometry.chunk_of(offset)..=self.geometry.chunk_of(last)
    }

    #[inline]
    pub(super) fn is_in_one_chunk(&self, offset: u64, len: usize) -> bool {
        len <= self.rest_of_chunk(offset)
    }

    /// How many bytes there are from here to the end of the chunk.
    #[inline]
    pub(super) fn rest_of_chunk(&self, offset: u64) -> usize {
        let size = self.geometry.chunk_bytes;
        let within = offset.wrapping_add(self.geometry.skew) & (size - 1);
        usize::try_from(size - within).unwrap_or(usize::MAX)
    }

    /// Marks a chunk as used, if it is there, and tells whether it is.
    #[inline]
    pub(super) fn use_chunk(&self, chunk: usize) -> bool {
        let Some(state) = self.states.get(chunk) else {
            // No byte is there; whoever reads it is told.
            return true;
        };
        match state.load(Ordering::Acquire) {
            USED => true,
            // Should it be given back this very moment, it stays so.
            IDLE => state
                .compare_exchange(IDLE, USED, Ordering::AcqRel, Ordering::Acquire)
                .map_or_else(|found| found == USED, |_| true),
            _ => false,
        }
    }

    /// Lets a chunk in, and gives back others until there is room for it.
    ///
    /// # Errors
    ///
    /// The first of giving back; then the chunk is not let in.
    pub(super) fn admit(
        &self,
        chunk: usize,
        mut give_back: impl FnMut(u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = self.states.get(chunk) else {
            return Ok(());
        };
        if state.load(Ordering::Acquire) != ABSENT {
            return Ok(());
        }
        while admitted.len() >= self.geometry.limit {
            let Some(first) = admitted.pop_front() else {
                break;
            };
            let Some(state) = self.states.get(first) else {
                continue;
            };
            // A second chance; at most one round of them, since who is passed by is idle.
            let is_used = state.compare_exchange(USED, IDLE, Ordering::AcqRel, Ordering::Acquire);
            if is_used.is_ok() {
                admitted.push_back(first);
                continue;
            }
            // First told, then done: who reads it in between looks again afterwards.
            state.store(ABSENT, Ordering::SeqCst);
            let (start, len) = self.geometry.range_of(first);
            if let Err(error) = give_back(start, len) {
                state.store(IDLE, Ordering::Release);
                admitted.push_back(first);
                return Err(error);
            }
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
        admitted.push_back(chunk);
        // A first use is no second one: what is read once, in order, goes first.
        state.store(IDLE, Ordering::Release);
        Ok(())
    }

    /// Gives all back.
    ///
    /// # Errors
    ///
    /// The first of giving back; then the rest is still there.
    pub(super) fn clear(
        &self,
        mut give_back: impl FnMut(u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(chunk) = admitted.pop_front() {
            if let Some(state) = self.states.get(chunk) {
                state.store(ABSENT, Ordering::SeqCst);
            }
            let (start, len) = self.geometry.range_of(chunk);
            give_back(start, len)?;
        }
        Ok(())
    }

    pub(super) fn admitted_bytes(&self) -> u64 {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.len() as u64 * self.geometry.chunk_bytes
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_begin_at_whole_addresses_and_cover_the_map() {
        for (address, len, budget) in [
            (0x7000_0000_1000_u64, 10_u64 << 20, 4_u64 << 20),
            (0x7000_0000_0000, 1, 5 << 20),
            (0x7000_001f_f000, 300 << 20, 64 << 20),
            (0x10_0000, 1 << 50, 1 << 60),
        ] {
            let Ok(address) = usize::try_from(address) else {
                continue;
            };
            let geometry = Geometry::new(address, len, budget).unwrap();
            let size = geometry.chunk_bytes;
            assert!(size.is_power_of_two() && geometry.limit as u64 * size <= budget);
            let mut end = 0;
            for chunk in [0, 1, geometry.chunks - 1] {
                let (start, len) = geometry.range_of(chunk);
                assert!(start == 0 || (address as u64 + start) % size == 0);
                assert_eq!((address as u64 + start + len) % size, 0);
                assert_eq!(geometry.chunk_of(start), chunk);
                assert_eq!(geometry.chunk_of(start + len - 1), chunk);
                end = start + len;
                if geometry.chunks == 1 {
                    break;
                }
            }
            assert!(end >= len && end - len < size);
            assert_eq!(geometry.chunk_of(u64::MAX), geometry.chunks - 1);
        }
        assert!(Geometry::new(0, 1 << 20, (4 << 20) - 1).is_none());
    }

    #[test]
    fn what_is_used_again_gets_a_second_chance() {
        let geometry = Geometry::new(0, 64 << 20, 8 << 20).unwrap();
        assert_eq!((geometry.chunk_bytes, geometry.limit), (2 << 20, 4));
        let clock = Clock::new(geometry);
        let gone = std::cell::RefCell::new(Vec::new());
        let admit = |chunk| {
            clock
                .admit(chunk, |start, len| {
                    assert_eq!(len, 2 << 20);
                    gone.borrow_mut().push(start / len);
                    Ok(())
                })
                .unwrap();
        };
        for chunk in 0..4 {
            assert!(!clock.use_chunk(chunk));
            admit(chunk);
        }
        assert!(clock.use_chunk(1) && clock.use_chunk(0));
        admit(4);
        admit(5);
        assert_eq!(*gone.borrow(), [2, 3]);
        assert!(!clock.use_chunk(2) && clock.use_chunk(0));
        admit(6);
        assert_eq!(*gone.borrow(), [2, 3, 1]);
        assert_eq!((clock.admitted_bytes(), clock.evictions()), (8 << 20, 3));
        let refused = clock.admit(7, |_, _| Err(io::ErrorKind::Other.into()));
        assert!(refused.is_err() && !clock.use_chunk(7));
        assert_eq!(clock.admitted_bytes(), 8 << 20);
        clock.clear(|_, _| Ok(())).unwrap();
        assert_eq!(clock.admitted_bytes(), 0);
    }
}
