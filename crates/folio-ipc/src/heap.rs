//! Memory of a region, in blocks.
//!
//! Blocks tile the heap. Each knows how long the one before it is, so that neighbours that are free become one;
//! free blocks are in lists, one for each power of two of their length. All changes go through the
//! [journal](journal), under one lock.

mod allocate;
mod block;
mod check;
mod journal;
mod lock;

use std::fmt;

pub(crate) use block::{Block, GRANULE, Use, Words};
pub use check::HeapInfo;
pub(crate) use check::summarise;
pub(crate) use journal::{JOURNAL_LEN, Transaction};

use crate::Result;
use crate::participant::Attached;
use crate::region::{BOOT_WORD, CONTROL, Image, boot_to_word};
use lock::HeapLock;

/// The words of the heap, behind its lock.
const END: u64 = CONTROL + 64;
const LAST_BLOCK: u64 = CONTROL + 72;
const LISTS: u64 = CONTROL + 128;

/// The words of the directory.
pub(crate) const GRAVES: u64 = CONTROL + 80;
pub(crate) const SERIAL: u64 = CONTROL + 88;
pub(crate) const OBJECTS: u64 = CONTROL + 96;

/// How many lists of free blocks there are: the last is for blocks of 2^46 bytes.
const LIST_COUNT: u32 = 41;

/// The heap and the directory of a region, while nobody else can change them.
pub(crate) struct Heap<'a> {
    attached: &'a Attached,
    _lock: HeapLock<'a>,
}

impl<'a> Heap<'a> {
    fn new(attached: &'a Attached, lock: HeapLock<'a>) -> Self {
        Self {
            attached,
            _lock: lock,
        }
    }

    pub(crate) fn attached(&self) -> &'a Attached {
        self.attached
    }

    pub(crate) fn image(&self) -> &'a Image {
        self.attached.image()
    }

    /// The beginning of a change.
    pub(crate) fn change(&self) -> Transaction<'a> {
        Transaction::new(self.image())
    }

    /// Where the heap ends.
    fn end_of(words: &impl Words) -> Result<u64> {
        let image = words.image();
        let end = words.get(END)?;
        let start = image.layout().heap;
        if end % block::GRANULE != 0
            || end <= start
            || end > image.layout().dimensions.capacity_bytes
        {
            return Err(image.damaged(END, format!("the heap cannot end at {end}")));
        }
        Ok(end)
    }

    /// Checks everything, if this is the first time since the machine was booted that somebody has the
    /// region: a machine that lost its power may have kept any of the last changes and lost any.
    pub(crate) fn check_boot(&self) -> Result<()> {
        let Ok(boot_id) = folio_sys::process::boot_id() else {
            return Ok(());
        };
        let word = self.image().word(BOOT_WORD)?;
        let (before, now) = (
            word.load(std::sync::atomic::Ordering::Relaxed),
            boot_to_word(boot_id),
        );
        if before != now {
            self.check()?;
            word.store(now, std::sync::atomic::Ordering::Release);
        }
        Ok(())
    }
}

/// What is in the words of a new region's heap, of one free block that ends with the region: offsets and values.
pub(crate) fn first_words(heap: u64, end: u64) -> Vec<(u64, u64)> {
    let mut words = vec![
        (END, end),
        (LAST_BLOCK, heap),
        (allocate::list_of(end - heap), heap),
    ];
    words.extend((heap..).step_by(8).zip(Block::first(heap, end - heap)));
    words
}

impl fmt::Debug for Heap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("image", self.image())
            .finish_non_exhaustive()
    }
}
