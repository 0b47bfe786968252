//! Taking blocks out of the heap, and giving them back.

use super::block::{Block, GRANULE, LEAST_BLOCK, Use};
use super::{Heap, LAST_BLOCK, LIST_COUNT, LISTS, Transaction};
use crate::participant::{Attached, Participant, reap};
use crate::region::{PAGE_BYTES, grow_file};
use crate::{Error, Result};

/// How many blocks of a list are looked at before those of another are. When there is no
/// room for more, all are.
const LOOKS: u64 = 64;

/// A block that is to become two or three: how much is in front of the middle one, and how long that one is.
#[derive(Clone, Copy, Debug)]
struct Cut {
    block: Block,
    front: u64,
    middle: u64,
}

impl Attached {
    /// Frees a block that this process has for itself. A forked child has copies of what is its
    /// parent's: there, nothing is freed.
    pub(crate) fn free_own(&self, block: &Block) -> Result<()> {
        let is_own = |owner| self.living_participant() == Some(owner);
        match block.usage {
            Use::Owned(owner) if is_own(owner) => self.heap()?.free(block.at),
            _ => Ok(()),
        }
    }
}

impl Heap<'_> {
    /// A block whose content has this length and alignment, for this participant.
    pub(crate) fn allocate(&self, len: u64, align: u64, owner: Participant) -> Result<Block> {
        let no_room = || Error::NoRoom {
            path: self.image().path().to_owned(),
            size_bytes: len,
        };
        let needed = len
            .max(1)
            .checked_next_multiple_of(GRANULE)
            .and_then(|len| len.checked_add(GRANULE))
            .ok_or_else(no_room)?;
        let align = align.max(GRANULE);
        if !align.is_power_of_two() || align > PAGE_BYTES {
            return Err(Error::Options {
                reason: format!("an alignment of {align} bytes: at most {PAGE_BYTES} are possible"),
            });
        }
        if let Some(cut) = self.find_block(needed, align, LOOKS)? {
            return self.carve(cut, len, owner);
        }
        // What the dead had comes before what the disk has.
        reap(self)?;
        if let Some(cut) = self.find_block(needed, align, LOOKS)? {
            return self.carve(cut, len, owner);
        }
        let extra = if align > GRANULE {
            align + LEAST_BLOCK
        } else {
            0
        };
        self.extend(needed.checked_add(extra).ok_or_else(no_room)?)?;
        let cut = self.find_block(needed, align, u64::MAX)?;
        self.carve(cut.ok_or_else(no_room)?, len, owner)
    }

    /// Gives a block back that is in use.
    pub(crate) fn free(&self, at: u64) -> Result<()> {
        let mut change = self.change();
        self.free_in(&mut change, at)?;
        change.commit()
    }

    /// The same as part of a change.
    pub(crate) fn free_in(&self, change: &mut Transaction<'_>, at: u64) -> Result<()> {
        let block = Block::load(change, at)?;
        if block.usage == Use::Free {
            return Err(self
                .image()
                .damaged(at, "a block that was to be freed, and is free"));
        }
        let (mut at, mut end, mut before_len) = (block.at, block.end(), block.before);
        if let Some(after) = block
            .load_after(change)?
            .filter(|after| after.usage == Use::Free)
        {
            unlink(change, &after)?;
            Block::erase(change, after.at)?;
            end = after.end();
        }
        if let Some(before) = block
            .load_before(change)?
            .filter(|before| before.usage == Use::Free)
        {
            unlink(change, &before)?;
            Block::erase(change, at)?;
            (at, before_len) = (before.at, before.before);
        }
        self.put_free(change, at, end - at, before_len)?;
        self.set_last(change, at, end)
    }

    /// Lets a block of this participant be an object's.
    pub(crate) fn give_to_object(
        change: &mut Transaction<'_>,
        block: &Block,
        entry: u32,
    ) -> Result<()> {
        Block::put(
            change,
            block.at,
            block.len,
            block.before,
            Use::Object(entry),
        )
    }

    /// Makes the region at least this long, if its capacity allows it.
    pub(crate) fn grow_to(&self, size_bytes: u64) -> Result<()> {
        grow_file(self.image(), size_bytes)?;
        self.cover()
    }

    /// A block from which so much can be cut, among the first `looks` of each list.
    fn find_block(&self, needed: u64, align: u64, looks: u64) -> Result<Option<Cut>> {
        let image = self.image();
        let most = Self::end_of(image)? / LEAST_BLOCK;
        for list in class_of(needed)..LIST_COUNT {
            let head = LISTS + u64::from(list) * 8;
            let (mut at, mut previous, mut seen) = (image.load(head)?, 0, 0);
            while at != 0 && seen < looks {
                let block = Block::load(image, at)?;
                if block.usage != Use::Free || block.previous != previous {
                    return Err(image.damaged(at, "a list of free blocks that has others in it"));
                }
                if let Some(cut) = cut(block, needed, align) {
                    return Ok(Some(cut));
                }
                seen += 1;
                if seen > most {
                    return Err(image.damaged(head, "a list of free blocks that never ends"));
                }
                (at, previous) = (block.next, at);
            }
        }
        Ok(None)
    }

    fn carve(&self, cut: Cut, used: u64, owner: Participant) -> Result<Block> {
        let Cut {
            block,
            front,
            mut middle,
        } = cut;
        let mut change = self.change();
        unlink(&mut change, &block)?;
        let mut rest = block.len - front - middle;
        if rest < LEAST_BLOCK {
            middle += rest;
            rest = 0;
        }
        let at = block.at + front;
        let mut before = block.before;
        if front > 0 {
            self.put_free(&mut change, block.at, front, before)?;
            before = front;
        }
        Block::put(&mut change, at, middle, before, Use::Owned(owner))?;
        Block::set_used(&mut change, at, used)?;
        let mut last = at;
        if rest > 0 {
            last = at + middle;
            self.put_free(&mut change, last, rest, middle)?;
        }
        self.set_last(&mut change, last, block.end())?;
        change.commit()?;
        Block::load(self.image(), at)
    }

    /// Makes room at the end for a block of this length.
    fn extend(&self, needed: u64) -> Result<()> {
        let image = self.image();
        let no_room = || Error::NoRoom {
            path: image.path().to_owned(),
            size_bytes: needed,
        };
        let capacity = image.layout().dimensions.capacity_bytes;
        let last = Block::load(image, image.load(LAST_BLOCK)?)?;
        let from = if last.usage == Use::Free {
            last.at
        } else {
            last.end()
        };
        let wanted = from
            .checked_add(needed)
            .and_then(|end| end.checked_next_multiple_of(PAGE_BYTES))
            .filter(|end| *end <= capacity)
            .ok_or_else(no_room)?;
        let size_bytes = image.size_bytes()?;
        if wanted > size_bytes {
            // Half as much again, so that a region that grows often does so seldom.
            let more = (size_bytes + size_bytes / 2)
                .next_multiple_of(PAGE_BYTES)
                .min(capacity);
            let grown = grow_file(image, wanted.max(more));
            if grown.as_ref().is_err_and(Error::is_storage_full) {
                grow_file(image, wanted)?;
            } else {
                grown?;
            }
        }
        self.cover()
    }

    /// Lets the heap end where the region does. Somebody may have died between the two.
    pub(super) fn cover(&self) -> Result<()> {
        let image = self.image();
        let (end, size_bytes) = (Self::end_of(image)?, image.size_bytes()?);
        if end >= size_bytes {
            return Ok(());
        }
        image.map_further()?;
        let mut change = self.change();
        let last = Block::load(image, image.load(LAST_BLOCK)?)?;
        if last.end() != end {
            return Err(image.damaged(LAST_BLOCK, "the last block is not at the end"));
        }
        if last.usage == Use::Free {
            unlink(&mut change, &last)?;
            self.put_free(&mut change, last.at, size_bytes - last.at, last.before)?;
        } else {
            self.put_free(&mut change, end, size_bytes - end, last.len)?;
            change.set(LAST_BLOCK, end)?;
        }
        change.set(super::END, size_bytes)?;
        change.commit()
    }

    /// Writes a free block, and puts it in front of its list.
    fn put_free(&self, change: &mut Transaction<'_>, at: u64, len: u64, before: u64) -> Result<()> {
        Block::put(change, at, len, before, Use::Free)?;
        let list = list_of(len);
        let next = change.get(list)?;
        if next != 0 {
            let block = Block::load(change, next)?;
            if block.usage != Use::Free || block.previous != 0 {
                return Err(self
                    .image()
                    .damaged(next, "no first block of a list of free ones"));
            }
            Block::set_previous(change, next, at)?;
        }
        Block::set_next(change, at, next)?;
        Block::set_previous(change, at, 0)?;
        change.set(list, at)
    }

    /// Tells what is behind a block that ends at `end` how long that block is.
    fn set_last(&self, change: &mut Transaction<'_>, at: u64, end: u64) -> Result<()> {
        if end == Self::end_of(self.image())? {
            return change.set(LAST_BLOCK, at);
        }
        let after = Block::load(self.image(), end)?;
        Block::set_before(change, after.at, end - at)
    }
}

/// Takes a free block out of its list.
fn unlink(change: &mut Transaction<'_>, block: &Block) -> Result<()> {
    let list = list_of(block.len);
    let wrong = |image: &crate::region::Image, at| {
        image.damaged(
            at,
            "a free block whose neighbours in the list do not know it",
        )
    };
    if block.previous == 0 {
        if change.get(list)? != block.at {
            return Err(wrong(change.image(), block.at));
        }
        change.set(list, block.next)?;
    } else {
        let previous = Block::load(change, block.previous)?;
        if previous.usage != Use::Free || previous.next != block.at {
            return Err(wrong(change.image(), block.at));
        }
        Block::set_next(change, previous.at, block.next)?;
    }
    if block.next != 0 {
        let next = Block::load(change, block.next)?;
        if next.usage != Use::Free || next.previous != block.at {
            return Err(wrong(change.image(), block.at));
        }
        Block::set_previous(change, next.at, block.previous)?;
    }
    Ok(())
}

/// How a block is to be cut so that the middle's content is aligned; `None` if it is too short.
fn cut(block: Block, needed: u64, align: u64) -> Option<Cut> {
    let content = block.content();
    let mut front = content.checked_next_multiple_of(align)? - content;
    while front != 0 && front < LEAST_BLOCK {
        front += align;
    }
    (front.checked_add(needed)? <= block.len).then_some(Cut {
        block,
        front,
        middle: needed,
    })
}

/// The list of free blocks of a length: the power of two, in granules, that it has reached.
fn class_of(len: u64) -> u32 {
    (len / GRANULE)
        .checked_ilog2()
        .unwrap_or(0)
        .min(LIST_COUNT - 1)
}

/// Where the first block of that list is stated.
pub(super) fn list_of(len: u64) -> u64 {
    LISTS + u64::from(class_of(len)) * 8
}
