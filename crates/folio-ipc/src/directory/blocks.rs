//! Blocks that an object has beside its own.
//!
//! They are in a list, which begins in the object's entry, so that they go with the object.

use super::entry::FIRST_BLOCK;
use crate::Result;
use crate::heap::{Block, Heap, Use, Words};
use crate::region::Image;

impl Heap<'_> {
    /// Lets a block of a participant be one of an object's.
    pub(crate) fn adopt(&self, index: u32, at: u64) -> Result<()> {
        let first = self.image().layout().entry(index) + FIRST_BLOCK;
        let mut change = self.change();
        let block = Block::load(&change, at)?;
        if !matches!(block.usage, Use::Owned(_)) {
            return Err(self
                .image()
                .damaged(at, "a block that was to be an object's, and is in use"));
        }
        Self::give_to_object(&mut change, &block, index)?;
        let next = change.get(first)?;
        Block::set_next(&mut change, at, next)?;
        Block::set_previous(&mut change, at, 0)?;
        if next != 0 {
            let next = member(&change, index, next, 0)?;
            Block::set_previous(&mut change, next.at, at)?;
        }
        change.set(first, at)?;
        change.commit()
    }

    /// Frees one of them.
    pub(crate) fn free_block_of(&self, index: u32, at: u64) -> Result<()> {
        let first = self.image().layout().entry(index) + FIRST_BLOCK;
        let mut change = self.change();
        let block = Block::load(&change, at)?;
        let is_first = change.get(first)? == at;
        let is_in_list = block.usage == Use::Object(index) && is_first == (block.previous == 0);
        if !is_in_list {
            return Err(self.image().damaged(at, "no block of that object"));
        }
        if is_first {
            change.set(first, block.next)?;
        } else {
            let previous = Block::load(&change, block.previous)?;
            if previous.usage != Use::Object(index) || previous.next != at {
                return Err(wrong(self.image(), at));
            }
            Block::set_next(&mut change, previous.at, block.next)?;
        }
        if block.next != 0 {
            let next = member(&change, index, block.next, at)?;
            Block::set_previous(&mut change, next.at, block.previous)?;
        }
        self.free_in(&mut change, at)?;
        change.commit()
    }

    /// Frees all of them.
    pub(super) fn free_more_blocks(&self, index: u32) -> Result<()> {
        let first = self.image().layout().entry(index) + FIRST_BLOCK;
        loop {
            let at = self.image().load(first)?;
            if at == 0 {
                return Ok(());
            }
            // A list that leads back comes to a block that is free.
            let mut change = self.change();
            let block = member(&change, index, at, 0)?;
            change.set(first, block.next)?;
            if block.next != 0 {
                let next = member(&change, index, block.next, at)?;
                Block::set_previous(&mut change, next.at, 0)?;
            }
            self.free_in(&mut change, at)?;
            change.commit()?;
        }
    }
}

/// How many there are, of at most `most`.
pub(crate) fn count_more_blocks(image: &Image, index: u32, most: u64) -> Result<u64> {
    let first = image.layout().entry(index) + FIRST_BLOCK;
    let (mut at, mut previous, mut count) = (image.load(first)?, 0, 0);
    while at != 0 {
        count += 1;
        if count > most {
            return Err(image.damaged(first, "a list of an object's blocks that never ends"));
        }
        let block = member(image, index, at, previous)?;
        (at, previous) = (block.next, at);
    }
    Ok(count)
}

/// Whether an object has this block beside its own, as far as the block says.
pub(crate) fn load_block_of(image: &Image, index: u32, at: u64) -> Result<Block> {
    let block = Block::load(image, at)?;
    if block.usage == Use::Object(index) {
        Ok(block)
    } else {
        Err(wrong(image, at))
    }
}

/// The block at an offset, which is this object's, and behind that one.
fn member(words: &impl Words, index: u32, at: u64, previous: u64) -> Result<Block> {
    let block = Block::load(words, at)?;
    if block.usage == Use::Object(index) && block.previous == previous {
        return Ok(block);
    }
    Err(wrong(words.image(), at))
}

fn wrong(image: &Image, at: u64) -> crate::Error {
    image.damaged(at, "a block in the list of an object whose it is not")
}
