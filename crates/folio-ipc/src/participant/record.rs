//! Thread records: what a region says of the threads that use its locks.

use std::sync::atomic::Ordering;

use super::slot::Participant;
use crate::Result;
use crate::region::Image;

/// The words of a record.
const OWNER: u64 = 0;
const TID: u64 = 8;
pub(super) const PENDING: u64 = 16;
pub(super) const WAITING_ON: u64 = 24;
pub(super) const WAITING_SINCE: u64 = 32;

/// The record of whoever cleans up behind the dead while all others are taken. Locks of objects are never
/// held by it.
const REAPERS: u32 = 0;

/// The records of a region.
#[derive(Debug)]
pub(crate) struct Record;

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordState {
    pub(crate) index: u32,
    pub(crate) owner: Option<Participant>,
    pub(crate) tid: u32,
    /// Where the lock is that the thread is taking or giving up; 0 if none.
    pub(crate) pending: u64,
    /// Where the lock is that the thread waits for; 0 if none.
    pub(crate) waiting_on: u64,
    pub(crate) waiting_since_ns: u64,
}

impl Record {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an id of a thread has 32 bits"
    )]
    pub(crate) fn load(image: &Image, record: u32) -> Result<RecordState> {
        let at = image
            .layout()
            .record(record)
            .ok_or_else(|| image.damaged(0, format!("there is no thread record {record}")))?;
        Ok(RecordState {
            index: record,
            owner: Participant::from_word(image.load(at + OWNER)?),
            tid: image.load(at + TID)? as u32,
            pending: image.load(at + PENDING)?,
            waiting_on: image.load(at + WAITING_ON)?,
            waiting_since_ns: image.load(at + WAITING_SINCE)?,
        })
    }

    /// Takes a free record for a thread; `None` if there is none.
    pub(super) fn claim(image: &Image, owner: Participant, tid: u32) -> Result<Option<u32>> {
        let count = image.layout().dimensions.threads;
        // Threads of different processes begin to look at different places.
        let first = owner.slot.wrapping_mul(31) % count;
        for step in 0..count {
            let record = (first + step) % count;
            if record != REAPERS && Self::claim_this(image, record, None, owner, tid)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Takes the record that is kept for whoever cleans up; `None` if somebody alive has it.
    pub(super) fn claim_reapers(
        image: &Image,
        owner: Participant,
        tid: u32,
        is_alive: impl Fn(Participant) -> bool,
    ) -> Result<Option<u32>> {
        let before = Self::load(image, REAPERS)?.owner;
        let is_free = !before.is_some_and(is_alive);
        let claimed = is_free && Self::claim_this(image, REAPERS, before, owner, tid)?;
        Ok(claimed.then_some(REAPERS))
    }

    fn claim_this(
        image: &Image,
        record: u32,
        before: Option<Participant>,
        owner: Participant,
        tid: u32,
    ) -> Result<bool> {
        let Some(at) = image.layout().record(record) else {
            return Ok(false);
        };
        let word = image.word(at + OWNER)?;
        let before = before.map_or(0, Participant::to_word);
        let claimed = word.load(Ordering::Relaxed) == before
            && word
                .compare_exchange(
                    before,
                    owner.to_word(),
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok();
        if claimed {
            crate::kill::kill_point!("record.claimed");
            Self::clear(image, at)?;
            image
                .word(at + TID)?
                .store(u64::from(tid), Ordering::Release);
        }
        Ok(claimed)
    }

    /// Lets others have a record.
    pub(crate) fn free(image: &Image, record: u32) -> Result<()> {
        if let Some(at) = image.layout().record(record) {
            Self::clear(image, at)?;
            image.word(at + OWNER)?.store(0, Ordering::Release);
        }
        Ok(())
    }

    /// Lets others have all records of a participant that can be read.
    pub(super) fn free_all_of(image: &Image, owner: Participant) {
        for record in 0..image.layout().dimensions.threads {
            if Self::load(image, record).is_ok_and(|state| state.owner == Some(owner)) {
                // Else whoever cleans up behind the dead finds it.
                let _ = Self::free(image, record);
            }
        }
    }

    fn clear(image: &Image, at: u64) -> Result<()> {
        for word in [TID, PENDING, WAITING_ON, WAITING_SINCE] {
            image.word(at + word)?.store(0, Ordering::Relaxed);
        }
        Ok(())
    }
}
