//! Which objects this process uses, and by how many handles.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use folio_sys::process::fork_generation;

use super::entry::{EntryState, add_user, load_state, remove_user, serial_of};
use crate::heap::GRAVES;
use crate::participant::{Attached, Participant};
use crate::region::Image;
use crate::{Error, Result};

/// For each entry of the directory, how many handles this process has of its object.
///
/// The first handle sets this participant's bit in the entry, and the last one clears it. While a thread does
/// so, the entry is marked, and others wait: for no more than a few instructions, and in no case
/// for a thread that a fork left behind in the parent.
pub(crate) struct Holds {
    entries: Box<[Held]>,
}

#[derive(Default)]
struct Held {
    /// The generation of the process in the high half, a mark while the bit is being changed, and the count.
    count: AtomicU64,
    /// The state of the entry when the first handle was made.
    state_word: AtomicU64,
}

const BUSY: u64 = 1 << 31;
const COUNT_MASK: u64 = BUSY - 1;

impl Holds {
    pub(crate) fn new(entries: u32) -> Self {
        Self {
            entries: (0..entries).map(|_| Held::default()).collect(),
        }
    }

    fn get(&self, image: &Image, index: u32) -> Result<&Held> {
        let held = usize::try_from(index)
            .ok()
            .and_then(|index| self.entries.get(index));
        held.ok_or_else(|| image.damaged(0, format!("there is no entry {index}")))
    }

    /// Takes over what a forked child has from its parent, for the participant that it is now.
    pub(crate) fn inherit(
        &self,
        image: &Image,
        participant: Participant,
        generation: u64,
    ) -> Result<()> {
        for (index, held) in (0..image.layout().entries).zip(&self.entries) {
            let count = held.count.load(Ordering::Relaxed) & COUNT_MASK;
            if count > 0 {
                add_user(image, index, participant.slot)?;
                let (word, state) = load_state(image, index)?;
                let is_there = matches!(state, EntryState::Live | EntryState::Removed)
                    && serial_of(word) == serial_of(held.state_word.load(Ordering::Relaxed));
                if !is_there {
                    return Err(Error::Removed {
                        path: image.path().to_owned(),
                    });
                }
            }
            held.count
                .store(high_half(generation) | count, Ordering::Release);
        }
        Ok(())
    }
}

impl Attached {
    /// Makes one more handle of an entry's object, whichever that is: it stays as long as there is one.
    /// The caller asks afterwards which it is.
    #[inline]
    pub(super) fn hold(&self, index: u32) -> Result<()> {
        let held = self.holds().get(self.image(), index)?;
        let slot = self.participant()?.slot;
        let generation = high_half(fork_generation());
        loop {
            let before = held.count.load(Ordering::Acquire);
            let count = before & COUNT_MASK;
            if before & !(BUSY | COUNT_MASK) != generation {
                // It has never been used in this process.
                let new = generation;
                let _ =
                    held.count
                        .compare_exchange(before, new, Ordering::Relaxed, Ordering::Relaxed);
            } else if before & BUSY != 0 {
                std::thread::yield_now();
            } else if count > 0 {
                if exchange(held, before, before + 1) {
                    return Ok(());
                }
            } else if exchange(held, before, before | BUSY) {
                let added = add_user(self.image(), index, slot);
                let count = u64::from(added.is_ok());
                held.count.store(generation | count, Ordering::Release);
                return added;
            }
        }
    }

    /// Remembers which object an entry was when it was taken, for children.
    pub(super) fn held_as(&self, index: u32, state_word: u64) {
        if let Ok(held) = self.holds().get(self.image(), index) {
            held.state_word.store(state_word, Ordering::Relaxed);
        }
    }

    /// Gives up a handle.
    pub(super) fn release(&self, index: u32) {
        let Ok(held) = self.holds().get(self.image(), index) else {
            return;
        };
        let generation = high_half(fork_generation());
        loop {
            let before = held.count.load(Ordering::Acquire);
            let count = before & COUNT_MASK;
            let is_own = before & !(BUSY | COUNT_MASK) == generation;
            if count == 0 {
                return;
            }
            if is_own && before & BUSY != 0 {
                std::thread::yield_now();
            } else if count > 1 || !is_own {
                // A child that has not used the region has no bit to clear.
                if exchange(held, before, (before - 1) & !BUSY) {
                    return;
                }
            } else if exchange(held, before, before | BUSY) {
                self.release_last(held, index, generation);
                return;
            }
        }
    }

    fn release_last(&self, held: &Held, index: u32, generation: u64) {
        let image = self.image();
        if let Ok(participant) = self.participant() {
            // What fails here is done by whoever looks for the dead, after this process.
            let _ = remove_user(image, index, participant.slot);
        }
        crate::kill::kill_point!("object.unpinned");
        held.count.store(generation, Ordering::Release);
        // Whoever removes an object looks for users after he put it into the list. So either he has
        // seen this bit cleared, or this thread sees the list.
        fence(Ordering::SeqCst);
        if image.load(GRAVES).is_ok_and(|graves| graves != 0) {
            if let Ok(heap) = self.heap() {
                let _ = heap.sweep();
            }
        }
    }
}

#[inline]
fn exchange(held: &Held, before: u64, after: u64) -> bool {
    held.count
        .compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok()
}

/// A generation as the high half of a word.
#[inline]
const fn high_half(generation: u64) -> u64 {
    generation << 32
}

impl fmt::Debug for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holds")
            .field("entries", &self.entries.len())
            .finish()
    }
}
