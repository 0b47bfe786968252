//! Blocks: the heap is tiled by them, from its first byte to its end.

use super::{Heap, Transaction};
use crate::Result;
use crate::participant::Participant;
use crate::region::Image;

/// What sizes and places of blocks are multiples of, and how long a block's header is.
pub(crate) const GRANULE: u64 = 64;

/// The least block: a header, and something behind it.
pub(crate) const LEAST_BLOCK: u64 = 2 * GRANULE;

/// The words of a block's header.
const TAG: u64 = 0;
const BEFORE: u64 = 8;
const OWNER: u64 = 16;
/// In the list of free blocks, or of those of an object.
const NEXT: u64 = 24;
const PREVIOUS: u64 = 32;
const USED: u64 = 40;

/// What a block is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is in the list of free blocks of its class.
    Free,
    /// A participant has it, and nobody else knows of it.
    Owned(Participant),
    /// It is an object's: that of the directory entry of this index.
    Object(u32),
}

const FREE: u64 = 1;
const OWNED: u64 = 2;
const OBJECT: u64 = 3;

/// A block, as its header states it: within the heap, and no longer than that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) at: u64,
    pub(crate) len: u64,
    /// How long the block before it is; 0 for the first.
    pub(crate) before: u64,
    pub(crate) usage: Use,
    /// The next block of the list that it is in, and the one before it; 0 where there is none.
    pub(crate) next: u64,
    pub(crate) previous: u64,
    /// How many of its bytes were asked for.
    pub(crate) used: u64,
}

/// What blocks are read through: the region, or a change of it.
pub(crate) trait Words {
    fn image(&self) -> &Image;
    fn get(&self, offset: u64) -> Result<u64>;
}

impl Words for Image {
    fn image(&self) -> &Image {
        self
    }

    fn get(&self, offset: u64) -> Result<u64> {
        self.load(offset)
    }
}

impl Words for Transaction<'_> {
    fn image(&self) -> &Image {
        Transaction::image(self)
    }

    fn get(&self, offset: u64) -> Result<u64> {
        Transaction::get(self, offset)
    }
}

impl Block {
    /// The block at an offset, if there can be one.
    pub(crate) fn load(words: &impl Words, at: u64) -> Result<Self> {
        let image = words.image();
        let start = image.layout().heap;
        let end = Heap::end_of(words)?;
        if at % GRANULE != 0 || !(start..end).contains(&at) {
            return Err(image.damaged(
                at,
                format!("no block can be there: the heap is {start} to {end}"),
            ));
        }
        let tag = words.get(at + TAG)?;
        let Some((len, state)) = open_tag(at, tag) else {
            return Err(image.damaged(at, format!("{tag:016x} is no header of a block")));
        };
        if len < LEAST_BLOCK || len > end - at {
            return Err(image.damaged(
                at,
                format!("a block of {len} bytes, of {} in the heap", end - at),
            ));
        }
        let owner = words.get(at + OWNER)?;
        let usage = match state {
            FREE => Some(Use::Free),
            OWNED => Participant::from_word(owner).map(Use::Owned),
            OBJECT => u32::try_from(owner).ok().map(Use::Object),
            _ => None,
        };
        let Some(usage) = usage else {
            return Err(image.damaged(at, format!("a block of use {state}, owner {owner:x}")));
        };
        Ok(Self {
            at,
            len,
            before: words.get(at + BEFORE)?,
            usage,
            next: words.get(at + NEXT)?,
            previous: words.get(at + PREVIOUS)?,
            used: words.get(at + USED)?,
        })
    }

    /// Where the next block begins; the heap's end for the last one.
    pub(crate) fn end(&self) -> u64 {
        self.at + self.len
    }

    /// Where its content begins.
    pub(crate) fn content(&self) -> u64 {
        self.at + GRANULE
    }

    /// Where so many bytes of its content are, from `offset` on.
    pub(crate) fn place(&self, image: &Image, offset: u64, len: usize) -> Result<u64> {
        let end = offset.checked_add(len as u64);
        if end.is_some_and(|end| end <= self.used && end <= self.len - GRANULE) {
            return Ok(self.content() + offset);
        }
        let what = format!("{len} bytes at {offset}, of {} in the block", self.used);
        Err(image.damaged(self.at, what))
    }

    /// The block before it; `None` for the first.
    pub(crate) fn load_before(&self, words: &impl Words) -> Result<Option<Self>> {
        if self.before == 0 {
            return Ok(None);
        }
        let wrong = || {
            words.image().damaged(
                self.at,
                format!("a block of {} bytes before it", self.before),
            )
        };
        let at = self.at.checked_sub(self.before).ok_or_else(wrong)?;
        let before = Self::load(words, at)?;
        if before.end() == self.at {
            Ok(Some(before))
        } else {
            Err(wrong())
        }
    }

    /// The block behind it; `None` for the last.
    pub(crate) fn load_after(&self, words: &impl Words) -> Result<Option<Self>> {
        if self.end() == Heap::end_of(words)? {
            return Ok(None);
        }
        let after = Self::load(words, self.end())?;
        if after.before == self.len {
            return Ok(Some(after));
        }
        let what = format!(
            "a block of {} bytes before it, not {}",
            after.before, self.len
        );
        Err(words.image().damaged(after.at, what))
    }

    /// Writes the header of a block that is in no list.
    pub(super) fn put(
        change: &mut Transaction<'_>,
        at: u64,
        len: u64,
        before: u64,
        usage: Use,
    ) -> Result<()> {
        let (state, owner) = match usage {
            Use::Free => (FREE, 0),
            Use::Owned(participant) => (OWNED, participant.to_word()),
            Use::Object(entry) => (OBJECT, u64::from(entry)),
        };
        change.set(at + TAG, tag(at, len, state))?;
        change.set(at + BEFORE, before)?;
        change.set(at + OWNER, owner)
    }

    pub(super) fn set_before(change: &mut Transaction<'_>, at: u64, before: u64) -> Result<()> {
        change.set(at + BEFORE, before)
    }

    /// Lets no header be where one was, so that nobody who remembers it takes it for one.
    pub(super) fn erase(change: &mut Transaction<'_>, at: u64) -> Result<()> {
        change.set(at + TAG, 0)
    }

    pub(crate) fn set_next(change: &mut Transaction<'_>, at: u64, next: u64) -> Result<()> {
        change.set(at + NEXT, next)
    }

    pub(crate) fn set_previous(change: &mut Transaction<'_>, at: u64, previous: u64) -> Result<()> {
        change.set(at + PREVIOUS, previous)
    }

    pub(super) fn set_used(change: &mut Transaction<'_>, at: u64, used: u64) -> Result<()> {
        change.set(at + USED, used)
    }

    /// The words of the header of a free block that is alone in its list, for a new region.
    pub(crate) fn first(at: u64, len: u64) -> [u64; 1] {
        [tag(at, len, FREE)]
    }
}

/// Length, state and a check of them and the place, in one word.
fn tag(at: u64, len: u64, state: u64) -> u64 {
    let value = (len / GRANULE) | (state << STATE_SHIFT);
    value | check_of(at, value) << CHECK_SHIFT
}

fn open_tag(at: u64, tag: u64) -> Option<(u64, u64)> {
    let value = tag & VALUE_MASK;
    let len = (value & LEN_MASK) * GRANULE;
    (tag >> CHECK_SHIFT == check_of(at, value)).then_some((len, value >> STATE_SHIFT))
}

const STATE_SHIFT: u32 = 42;
const CHECK_SHIFT: u32 = 44;
const LEN_MASK: u64 = (1 << STATE_SHIFT) - 1;
const VALUE_MASK: u64 = (1 << CHECK_SHIFT) - 1;

fn check_of(at: u64, value: u64) -> u64 {
    let mixed = (at.rotate_left(32) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> CHECK_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_place_length_and_state() {
        for (at, len, state) in [
            (4096, 128, FREE),
            (1 << 40, (1 << 46) - 64, OBJECT),
            (64, 192, OWNED),
        ] {
            let word = tag(at, len, state);
            assert_eq!(open_tag(at, word), Some((len, state)));
            assert_eq!(open_tag(at + 64, word), None);
            let turned = (0..64).filter(|bit| open_tag(at, word ^ 1 << bit).is_some());
            assert_eq!(turned.count(), 0);
        }
    }
}
