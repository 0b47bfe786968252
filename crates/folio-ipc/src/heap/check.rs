//! Whether everything in the heap and the directory is as it must be.

use super::block::{Block, LEAST_BLOCK, Use};
use super::{GRAVES, Heap, LAST_BLOCK, LIST_COUNT, LISTS, OBJECTS, journal};
use crate::Result;
use crate::directory::{Entry, EntryState, count_more_blocks, entries};
use crate::region::Image;

/// What the heap of a region consists of.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapInfo {
    /// All of the heap, in bytes.
    pub size_bytes: u64,
    /// How many blocks it has.
    pub blocks: u64,
    /// How many of them are free.
    pub free_blocks: u64,
    /// What is in these, in bytes.
    pub free_bytes: u64,
    /// The largest of these, in bytes.
    pub largest_free_bytes: u64,
    /// How many blocks are objects.
    pub object_blocks: u64,
    /// What is in these, in bytes.
    pub object_bytes: u64,
    /// How many blocks living participants have for themselves.
    pub owned_blocks: u64,
    /// How many blocks dead participants had for themselves: they are freed when somebody cleans up.
    pub orphaned_blocks: u64,
}

/// The blocks of a heap, in the order of their places. It ends after an error.
#[derive(Debug)]
pub(crate) struct Blocks<'a> {
    image: &'a Image,
    next: Option<u64>,
    before: u64,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(image: &'a Image) -> Self {
        Self {
            image,
            next: Some(image.layout().heap),
            before: 0,
        }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Result<Block>> {
        let at = self.next.take()?;
        let block = Heap::end_of(self.image).and_then(|end| {
            if at == end {
                return Ok(None);
            }
            let block = Block::load(self.image, at)?;
            if block.before != self.before {
                let what = format!(
                    "a block of {} bytes before it, not {}",
                    block.before, self.before
                );
                return Err(self.image.damaged(at, what));
            }
            Ok(Some(block))
        });
        // Each is at least 128 bytes long, so that this ends.
        if let Ok(Some(block)) = &block {
            self.next = Some(block.end());
            self.before = block.len;
        }
        block.transpose()
    }
}

impl Heap<'_> {
    /// All blocks.
    pub(crate) fn blocks(&self) -> Blocks<'_> {
        Blocks::new(self.image())
    }

    /// Looks at everything.
    pub(crate) fn check(&self) -> Result<HeapInfo> {
        let image = self.image();
        image.check_not_lost()?;
        if !journal::pending(image)?.is_empty() {
            return Err(image.damaged(0, "a change that was not made"));
        }
        let attached = self.attached();
        let info = summarise(image, |owner| attached.is_alive(owner))?;
        self.check_blocks()?;
        self.check_lists(&info)?;
        self.check_entries(&info)?;
        image.check_not_lost()?;
        Ok(info)
    }

    fn check_blocks(&self) -> Result<()> {
        let image = self.image();
        let mut last = 0;
        for block in self.blocks() {
            let block = block?;
            last = block.at;
            if let Use::Object(index) = block.usage {
                let wrong = || image.damaged(block.at, "a block of an object that is none");
                if index >= image.layout().entries {
                    return Err(wrong());
                }
                let entry = Entry::load(image, index)?;
                let is_there =
                    matches!(entry.state(), Some(EntryState::Live | EntryState::Removed));
                if !is_there {
                    return Err(wrong());
                }
            }
        }
        if image.load(LAST_BLOCK)? != last {
            return Err(image.damaged(LAST_BLOCK, format!("the last block is at {last}")));
        }
        Ok(())
    }

    fn check_lists(&self, info: &HeapInfo) -> Result<()> {
        let image = self.image();
        let mut count = 0;
        for list in (0..LIST_COUNT).map(|list| LISTS + u64::from(list) * 8) {
            let (mut at, mut previous) = (image.load(list)?, 0);
            while at != 0 {
                let block = Block::load(image, at)?;
                count += 1;
                let is_right = block.usage == Use::Free
                    && block.previous == previous
                    && super::allocate::list_of(block.len) == list
                    && count <= info.free_blocks;
                if !is_right {
                    return Err(
                        image.damaged(at, "a block in a list of free ones where it is none of it")
                    );
                }
                (at, previous) = (block.next, at);
            }
        }
        if count != info.free_blocks {
            let what = format!(
                "{count} blocks in the lists of free ones, of {}",
                info.free_blocks
            );
            return Err(image.damaged(LISTS, what));
        }
        Ok(())
    }

    fn check_entries(&self, info: &HeapInfo) -> Result<()> {
        let image = self.image();
        let (mut live, mut removed, mut more) = (0, 0, 0);
        for entry in entries(image) {
            let entry = entry?;
            entry.load_block(image)?;
            more += count_more_blocks(image, entry.index, info.object_blocks)?;
            if entry.state() == Some(EntryState::Live) {
                live += 1;
                entry.check_name(image)?;
            } else {
                removed += 1;
            }
        }
        let counted = image.load(OBJECTS)?;
        if counted != live || live + removed + more != info.object_blocks {
            let what = format!("{counted} objects, but {live} names, and {removed} without one");
            return Err(image.damaged(OBJECTS, what));
        }
        let buried = crate::directory::graves(image)?;
        if buried != removed {
            let what = format!("{buried} removed objects, not {removed}");
            return Err(image.damaged(GRAVES, what));
        }
        Ok(())
    }
}

/// What the heap consists of.
pub(crate) fn summarise(
    image: &Image,
    is_alive: impl Fn(crate::participant::Participant) -> bool,
) -> Result<HeapInfo> {
    let mut info = HeapInfo::default();
    for block in Blocks::new(image) {
        let block = block?;
        debug_assert!(block.len >= LEAST_BLOCK);
        info.blocks += 1;
        info.size_bytes += block.len;
        match block.usage {
            Use::Free => {
                info.free_blocks += 1;
                info.free_bytes += block.len;
                info.largest_free_bytes = info.largest_free_bytes.max(block.len);
            }
            Use::Owned(owner) if is_alive(owner) => info.owned_blocks += 1,
            Use::Owned(_) => info.orphaned_blocks += 1,
            Use::Object(_) => {
                info.object_blocks += 1;
                info.object_bytes += block.len;
            }
        }
    }
    Ok(info)
}
