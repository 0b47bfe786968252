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
const TURN: u64 = 40;

/// The record of whoever cleans up behind the dead while all others are taken. Locks of objects are never
/// held by it.
const REAPERS: u32 = 0;

/// More than any thread's id: Linux has less than 2<sup>22</sup> (`PID_MAX_LIMIT`). All that begin with this fit
/// the words of locks, which have room for 23 bits at least.
const FIRST_ID_ABROAD: u32 = 1 << 22;
/// Behind the number of a record, in such an id: threads that have the same record one after the other have other ids.
const TURN_SHIFT: u32 = 16;
const TURN_MASK: u64 = 0x3f;

/// Whether an id is not that of a thread, but says which record a thread has.
pub(crate) fn is_id_abroad(tid: u32) -> bool {
    tid >= FIRST_ID_ABROAD
}

/// A thread that is to have a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    pub(super) owner: Participant,
    /// Its id, as it sees it itself.
    pub(super) tid: u32,
    /// Whether threads of others may have the same id.
    pub(super) is_abroad: bool,
}

impl Newcomer {
    /// The id by which locks know it, which is the so many-th that has the record: its own, or, if others may have that, one that says which record it
    /// has. Those are no ids of threads: so the kernel takes no lock from one thread when another dies.
    fn id_at(self, record: u32, turn: u64) -> u32 {
        if self.is_abroad {
            FIRST_ID_ABROAD | ((turn & TURN_MASK) as u32) << TURN_SHIFT | record
        } else {
            self.tid
        }
    }
}

/// The records of a region.
#[derive(Debug)]
pub(crate) struct Record;

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordState {
    pub(crate) index: u32,
    pub(crate) owner: Option<Participant>,
    /// The id by which locks know the thread.
    pub(crate) tid: u32,
    /// Its id, as it sees it itself.
    pub(crate) own_tid: u32,
    /// Where the lock is that the thread is taking or giving up; 0 if none.
    pub(crate) pending: u64,
    /// Where the lock is that the thread waits for; 0 if none.
    pub(crate) waiting_on: u64,
    pub(crate) waiting_since_ns: u64,
}

impl Record {
    #[expect(clippy::cast_possible_truncation, reason = "each half is an id")]
    pub(crate) fn load(image: &Image, record: u32) -> Result<RecordState> {
        let at = image
            .layout()
            .record(record)
            .ok_or_else(|| image.damaged(0, format!("there is no thread record {record}")))?;
        let owner = Participant::from_word(image.load(at + OWNER)?);
        let tids = image.load(at + TID)?;
        let (tid, own_tid) = (tids as u32, (tids >> 32) as u32);
        Ok(RecordState {
            index: record,
            owner,
            tid,
            own_tid,
            pending: image.load(at + PENDING)?,
            waiting_on: image.load(at + WAITING_ON)?,
            waiting_since_ns: image.load(at + WAITING_SINCE)?,
        })
    }

    /// Takes a free record for a thread; `None` if there is none. The record, and the id by which locks know the thread.
    pub(super) fn claim(image: &Image, thread: Newcomer) -> Result<Option<(u32, u32)>> {
        let count = image.layout().dimensions.threads;
        // Threads of different processes begin to look at different places.
        let first = thread.owner.slot.wrapping_mul(31) % count;
        for step in 0..count {
            let record = (first + step) % count;
            if record == REAPERS {
                continue;
            }
            if let Some(id) = Self::claim_this(image, record, None, thread)? {
                return Ok(Some((record, id)));
            }
        }
        Ok(None)
    }

    /// Takes the record that is kept for whoever cleans up; `None` if somebody alive has it.
    pub(super) fn claim_reapers(
        image: &Image,
        thread: Newcomer,
        is_alive: impl Fn(Participant) -> bool,
    ) -> Result<Option<(u32, u32)>> {
        let before = Self::load(image, REAPERS)?.owner;
        if before.is_some_and(is_alive) {
            return Ok(None);
        }
        let id = Self::claim_this(image, REAPERS, before, thread)?;
        Ok(id.map(|id| (REAPERS, id)))
    }

    fn claim_this(
        image: &Image,
        record: u32,
        before: Option<Participant>,
        thread: Newcomer,
    ) -> Result<Option<u32>> {
        let Some(at) = image.layout().record(record) else {
            return Ok(None);
        };
        let word = image.word(at + OWNER)?;
        let before = before.map_or(0, Participant::to_word);
        let claimed = word.load(Ordering::Relaxed) == before
            && word
                .compare_exchange(
                    before,
                    thread.owner.to_word(),
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok();
        if !claimed {
            return Ok(None);
        }
        crate::kill::kill_point!("record.claimed");
        Self::clear(image, at)?;
        let turns = image.word(at + TURN)?;
        let turn = turns.load(Ordering::Relaxed).wrapping_add(1);
        turns.store(turn, Ordering::Relaxed);
        let id = thread.id_at(record, turn);
        let ids = u64::from(thread.tid) << 32 | u64::from(id);
        image.word(at + TID)?.store(ids, Ordering::Release);
        Ok(Some(id))
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
