//! A process as a participant, and the children that it forks.

use std::sync::OnceLock;

use folio_sys::ofd_lock::OfdLock;

use super::attach::take_slot;
use super::record::Record;
use super::slot::{Participant, vacate};
use crate::Result;
use crate::kill::kill_point;
use crate::region::Image;

/// One process as participant. A forked child has a copy of its parent's, and begins
/// a life of its own behind it.
#[derive(Debug)]
pub(super) struct Life {
    /// That of the process; a forked child has another.
    generation: u64,
    participant: Participant,
    is_abroad: bool,
    replaces_dead: bool,
    /// It ends with the process. Children that are forked have no copy.
    _lock: OfdLock,
    next: OnceLock<Box<Life>>,
}

impl Life {
    /// Takes a slot for this process; also, whether there are slots of dead processes.
    /// The caller has the [`AttachLock`](super::AttachLock).
    pub(super) fn begin(image: &Image, generation: u64) -> Result<(Self, bool)> {
        let taken = take_slot(image)?;
        let life = Self {
            generation,
            participant: taken.participant,
            is_abroad: taken.is_abroad,
            replaces_dead: taken.was_of_dead,
            _lock: taken.lock,
            next: OnceLock::new(),
        };
        Ok((life, taken.found_dead))
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn participant(&self) -> Participant {
        self.participant
    }

    /// Whether locks know the process's threads by their records.
    pub(super) fn is_abroad(&self) -> bool {
        self.is_abroad
    }

    /// Whether its slot was that of a dead participant.
    pub(super) fn replaces_dead(&self) -> bool {
        self.replaces_dead
    }

    /// The youngest life, this one or a child's.
    pub(super) fn last(&self) -> &Self {
        let mut life = self;
        while let Some(next) = life.next.get() {
            life = next;
        }
        life
    }

    /// Lets a life be the one behind this.
    pub(super) fn follow(&self, life: Self) {
        // Whoever calls has seen that there is none, and no two do at a time.
        let _ = self.next.set(Box::new(life));
    }

    /// Gives up the records of this process's threads, and its slot. What fails here is found by whoever
    /// looks for the dead.
    pub(super) fn end(&self, image: &Image) {
        Record::free_all_of(image, self.participant);
        kill_point!("detach.records_freed");
        let _ = crate::directory::forget_user(image, self.participant.slot);
        let _ = vacate(image, self.participant);
        kill_point!("detach.slot_freed");
    }
}
