//! Changes that happen as a whole, or not at all.
//!
//! A change is a list of words and what they are to be. It is written down beside the heap; one store says that it
//! is complete; then the words are changed, and another store says that they are. Whoever takes the heap's lock
//! after an owner who died does the change again if it is complete, and forgets it if it is
//! not. That needs no sync: all of this is for processes that die, whose stores stay. (A machine
//! that dies ends all participants, and the region is checked as a whole.)

use std::sync::atomic::Ordering;

use crate::kill::kill_point;
use crate::region::{CONTROL, Image};
use crate::{Error, Result};

/// How many words one change can have. The largest is to free an object's block between two free ones.
pub(crate) const JOURNAL_LEN: u64 = 40;

/// How many that is, as a length.
#[expect(clippy::cast_possible_truncation, reason = "it is 40")]
const CAPACITY: usize = JOURNAL_LEN as usize;

/// The word that is not 0 while a change is complete and not yet made: how many words, and a check.
const COMMITTED: u64 = CONTROL + 1024;

/// The words: offset and value of each.
const WRITES: u64 = COMMITTED + 64;

/// A change that is being put together. Dropped, it is forgotten.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    image: &'a Image,
    writes: [(u64, u64); CAPACITY],
    len: usize,
}

impl<'a> Transaction<'a> {
    /// A change of nothing yet. The caller has the heap's lock, as its `Heap` shows.
    pub(super) fn new(image: &'a Image) -> Self {
        Self {
            image,
            writes: [(0, 0); CAPACITY],
            len: 0,
        }
    }

    pub(super) fn image(&self) -> &'a Image {
        self.image
    }

    /// A word as it will be.
    pub(crate) fn get(&self, offset: u64) -> Result<u64> {
        let written = self.writes.iter().take(self.len);
        match written.clone().find(|(at, _)| *at == offset) {
            Some((_, value)) => Ok(*value),
            None => self.image.load(offset),
        }
    }

    /// Changes a word.
    pub(crate) fn set(&mut self, offset: u64, value: u64) -> Result<()> {
        if !self.image.layout().is_journalled(offset) {
            return Err(self
                .image
                .damaged(offset, "a change of what is no part of the heap"));
        }
        // It is there to be changed.
        self.image.word(offset)?;
        let before = self
            .writes
            .iter_mut()
            .take(self.len)
            .find(|(at, _)| *at == offset);
        if let Some((_, before)) = before {
            *before = value;
            return Ok(());
        }
        match self.writes.get_mut(self.len) {
            Some(write) => *write = (offset, value),
            None => return Err(self.image.damaged(offset, "a change of too many words")),
        }
        self.len += 1;
        Ok(())
    }

    /// Makes the change.
    pub(crate) fn commit(self) -> Result<()> {
        let writes = self.writes.get(..self.len).unwrap_or_default();
        for (at, (offset, value)) in (WRITES..).step_by(16).zip(writes) {
            self.image.word(at)?.store(*offset, Ordering::Relaxed);
            self.image.word(at + 8)?.store(*value, Ordering::Relaxed);
        }
        kill_point!("commit.written");
        let committed = self.image.word(COMMITTED)?;
        committed.store(commit_word(writes), Ordering::Release);
        kill_point!("commit.committed");
        apply(self.image, writes)?;
        kill_point!("commit.applied");
        committed.store(0, Ordering::Release);
        Ok(())
    }
}

/// Makes a change that somebody died over, if it was complete. The caller has the heap's lock.
pub(super) fn recover(image: &Image) -> Result<()> {
    let committed = image.word(COMMITTED)?;
    let word = committed.load(Ordering::Acquire);
    if word == 0 {
        return Ok(());
    }
    let writes = read(image, word)?;
    apply(image, writes.iter().as_slice())?;
    committed.store(0, Ordering::Release);
    Ok(())
}

/// The words of a complete change that was not made.
pub(super) fn pending(image: &Image) -> Result<Vec<(u64, u64)>> {
    match image.load(COMMITTED)? {
        0 => Ok(Vec::new()),
        word => read(image, word),
    }
}

fn read(image: &Image, word: u64) -> Result<Vec<(u64, u64)>> {
    let count = word & COUNT_MASK;
    let wrong = |what: &str| -> Error { image.damaged(COMMITTED, what) };
    if count > JOURNAL_LEN {
        return Err(wrong("a journal of too many words"));
    }
    let writes = (0..count)
        .map(|index| {
            let at = WRITES + 16 * index;
            Ok((image.load(at)?, image.load(at + 8)?))
        })
        .collect::<Result<Vec<_>>>()?;
    if commit_word(&writes) != word {
        return Err(wrong("a journal whose check is wrong"));
    }
    if let Some((at, _)) = writes
        .iter()
        .find(|(at, _)| !image.layout().is_journalled(*at))
    {
        return Err(image.damaged(*at, "a journal that changes what is no part of the heap"));
    }
    Ok(writes)
}

fn apply(image: &Image, writes: &[(u64, u64)]) -> Result<()> {
    for (index, (offset, value)) in writes.iter().enumerate() {
        image.word(*offset)?.store(*value, Ordering::Release);
        if index == 0 {
            kill_point!("commit.applied_first");
        }
    }
    Ok(())
}

const COUNT_MASK: u64 = 0xff;

/// How many words, and a check of them, which is never 0.
fn commit_word(writes: &[(u64, u64)]) -> u64 {
    let mix = |sum: u64, word: u64| {
        (sum ^ word)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    };
    let sum = writes
        .iter()
        .fold(1, |sum, (offset, value)| mix(mix(sum, *offset), *value));
    (sum | 1 << 8) & !COUNT_MASK | (writes.len() as u64 & COUNT_MASK)
}
