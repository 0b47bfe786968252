//! Cleaning up behind the dead.

use super::record::Record;
use super::slot::{Participant, participants, vacate};
use crate::Result;
use crate::directory::{EntryState, entries, forget_user};
use crate::heap::{Heap, Use};
use crate::kill::kill_point;

/// What was cleaned up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reaped {
    pub(crate) participants: u32,
    pub(crate) threads: u32,
    /// How often they held locks.
    pub(crate) locks: u32,
    pub(crate) blocks: u64,
    pub(crate) block_bytes: u64,
}

/// Cleans up behind all participants that are dead. Whoever dies over it leaves the rest to the next: the records
/// stay until no lock refers to them, and the slots until all else is done.
pub(crate) fn reap(heap: &Heap<'_>) -> Result<Reaped> {
    let attached = heap.attached();
    let image = heap.image();
    let mut slots = Vec::new();
    for slot in participants(image) {
        let slot = slot?;
        if slot.is_attached && !attached.is_alive(slot.participant()) {
            slots.push(slot.participant());
        }
    }
    let is_dead = |owner: Participant| slots.contains(&owner) || !attached.is_alive(owner);
    let mut records = Vec::new();
    for record in 0..image.layout().dimensions.threads {
        let state = Record::load(image, record)?;
        if state.owner.is_some_and(is_dead) {
            records.push(record);
        }
    }
    let mut locks = 0;
    if !records.is_empty() {
        locks = recover_objects(heap, &|record, _| records.contains(&record))?;
    }
    kill_point!("reap.recovered");
    let (blocks, block_bytes) = free_blocks(heap, is_dead)?;
    for participant in &slots {
        forget_user(image, participant.slot)?;
    }
    heap.sweep()?;
    for record in &records {
        Record::free(image, *record)?;
    }
    kill_point!("reap.records_freed");
    for participant in &slots {
        vacate(image, *participant)?;
    }
    kill_point!("attach.dead_reaped");
    Ok(Reaped {
        participants: u32::try_from(slots.len()).unwrap_or(u32::MAX),
        threads: u32::try_from(records.len()).unwrap_or(u32::MAX),
        locks,
        blocks,
        block_bytes,
    })
}

/// Lets go of what dead threads hold; how often they did.
pub(crate) fn recover_objects(heap: &Heap<'_>, is_dead: &dyn Fn(u32, u32) -> bool) -> Result<u32> {
    let mut locks = 0_u32;
    for entry in entries(heap.image()) {
        let entry = entry?;
        debug_assert!(matches!(
            entry.state(),
            Some(EntryState::Live | EntryState::Removed)
        ));
        entry.load_block(heap.image())?;
        if let (Ok(offset), Ok(len)) = (usize::try_from(entry.data), usize::try_from(entry.size)) {
            let more = crate::object::recover(heap.attached(), entry.kind, offset, len, is_dead);
            locks = locks.saturating_add(more);
        }
    }
    Ok(locks)
}

/// Frees the blocks that the dead had, and nobody else knows of.
fn free_blocks(heap: &Heap<'_>, is_dead: impl Fn(Participant) -> bool) -> Result<(u64, u64)> {
    let mut freed = Vec::new();
    for block in heap.blocks() {
        let block = block?;
        if let Use::Owned(owner) = block.usage {
            if is_dead(owner) {
                freed.push(block);
            }
        }
    }
    for block in &freed {
        heap.free(block.at)?;
    }
    Ok((
        freed.len() as u64,
        freed.iter().map(|block| block.len).sum(),
    ))
}
