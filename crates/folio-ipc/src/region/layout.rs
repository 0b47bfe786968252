//! Where the parts of a region are.

use crate::directory::ENTRY_WORDS;
use crate::{Error, Result};

/// Where the words are that change, beside the header: the lock of the heap, its lists, the journal.
pub(crate) const CONTROL: u64 = 4096;

/// Where the participant slots begin.
const PARTICIPANTS: u64 = 8192;

/// The bytes of a participant slot and of a thread record.
pub(crate) const SLOT_BYTES: u64 = 64;
pub(crate) const RECORD_BYTES: u64 = 64;

/// What blocks and the file's size are multiples of.
pub(crate) const PAGE_BYTES: u64 = 4096;

const MAX_PARTICIPANTS: u32 = 4096;
const MAX_THREADS: u32 = 65_536;
const MAX_OBJECTS: u32 = 1 << 20;

/// The most bytes that a region can have: what the word can state that holds its size, and, in 32-bit
/// programs, what may be one piece of their address space: `isize::MAX` bytes, in whole pages.
const MAX_CAPACITY_BYTES: u64 = if usize::BITS < 64 {
    (1 << 31) - PAGE_BYTES
} else {
    1 << 46
};

/// What the layout of a region follows from, as its header states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dimensions {
    pub(crate) participants: u32,
    pub(crate) threads: u32,
    pub(crate) objects: u32,
    pub(crate) capacity_bytes: u64,
}

/// Where the parts of a region are: nothing here overflows, or is beyond the capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) dimensions: Dimensions,
    /// How many entries the directory has: a power of two, and more than `objects`.
    pub(crate) entries: u32,
    pub(crate) entry_bytes: u64,
    threads: u64,
    directory: u64,
    /// Where the heap begins.
    pub(crate) heap: u64,
}

impl Layout {
    pub(crate) fn new(dimensions: Dimensions) -> Result<Self> {
        let Dimensions {
            participants,
            threads,
            objects,
            capacity_bytes,
        } = dimensions;
        for (name, value, most) in [
            ("participants", participants, MAX_PARTICIPANTS),
            ("threads", threads, MAX_THREADS),
            ("objects", objects, MAX_OBJECTS),
        ] {
            if value == 0 || value > most {
                let reason = format!("{value} {name}: 1 to {most} are possible");
                return Err(Error::Options { reason });
            }
        }
        let entries = (objects + objects / 3 + 1).next_power_of_two();
        let bitmap_words = u64::from(participants).div_ceil(64);
        let entry_bytes = ((ENTRY_WORDS + bitmap_words) * 8).next_multiple_of(64);
        // None of these can overflow, given the limits above.
        let threads_start = PARTICIPANTS + u64::from(participants) * SLOT_BYTES;
        let directory = threads_start + u64::from(threads) * RECORD_BYTES;
        let heap = (directory + u64::from(entries) * entry_bytes).next_multiple_of(PAGE_BYTES);
        if !(heap + PAGE_BYTES..=MAX_CAPACITY_BYTES).contains(&capacity_bytes)
            || capacity_bytes % PAGE_BYTES != 0
        {
            let reason = format!(
                "a capacity of {capacity_bytes} bytes: {} to {MAX_CAPACITY_BYTES} are possible, in steps of {PAGE_BYTES}",
                heap + PAGE_BYTES
            );
            return Err(Error::Options { reason });
        }
        Ok(Self {
            dimensions,
            entries,
            entry_bytes,
            threads: threads_start,
            directory,
            heap,
        })
    }

    /// The fewest bytes that a region of these dimensions has.
    pub(crate) fn least_size_bytes(&self) -> u64 {
        self.heap + PAGE_BYTES
    }

    /// Where a participant slot is.
    pub(crate) fn slot(&self, slot: u32) -> u64 {
        debug_assert!(slot < self.dimensions.participants);
        PARTICIPANTS + u64::from(slot) * SLOT_BYTES
    }

    /// Where a thread record is; `None` if there is no such record.
    pub(crate) fn record(&self, record: u32) -> Option<u64> {
        (record < self.dimensions.threads).then(|| self.threads + u64::from(record) * RECORD_BYTES)
    }

    /// Where an entry of the directory is.
    pub(crate) fn entry(&self, entry: u32) -> u64 {
        debug_assert!(entry < self.entries);
        self.directory + u64::from(entry) * self.entry_bytes
    }

    /// What a committed journal may change: everything behind the header that threads
    /// do not change by themselves.
    pub(crate) fn is_journalled(&self, offset: u64) -> bool {
        offset % 8 == 0 && ((CONTROL..PARTICIPANTS).contains(&offset) || offset >= self.directory)
    }
}
