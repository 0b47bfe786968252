//! Slots: what a region says of its participants.

use std::sync::atomic::Ordering;

use folio_sys::ofd_lock;

use crate::Result;
use crate::region::Image;

/// The words of a slot.
const STATE: u64 = 0;
const PID: u64 = 8;
const START_TIME: u64 = 16;
const NAMESPACE: u64 = 24;
const SINCE: u64 = 32;

/// In the word of the namespace, of a participant that is abroad.
const ABROAD: u64 = 1 << 63;

/// In the state's low half, while a process has the slot. The high half counts those that had it.
const ATTACHED: u64 = 1;

/// A process that has a region open: which slot, and which of all that ever had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Participant {
    pub(crate) slot: u32,
    pub(crate) epoch: u32,
}

impl Participant {
    /// As a word that is not 0.
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.epoch) << 32 | (u64::from(self.slot) + 1)
    }

    /// The participant in a word; `None` if there is none.
    #[expect(clippy::cast_possible_truncation, reason = "each half is cut off")]
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let slot = (word as u32).checked_sub(1)?;
        let epoch = (word >> 32) as u32;
        Some(Self { slot, epoch })
    }
}

/// What a slot says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotState {
    pub(crate) slot: u32,
    pub(crate) epoch: u32,
    pub(crate) is_attached: bool,
    pub(crate) pid: u32,
    pub(crate) start_time: u64,
    pub(crate) namespace: u64,
    /// Whether locks have the ids of its threads' records instead of those of its threads, which
    /// may be those of others as well: in another namespace.
    pub(crate) is_abroad: bool,
    pub(crate) since_ns: u64,
}

impl SlotState {
    #[expect(clippy::cast_possible_truncation, reason = "halves are cut off")]
    pub(crate) fn load(image: &Image, slot: u32) -> Result<Self> {
        let at = image.layout().slot(slot);
        let state = image.load(at + STATE)?;
        let namespace = image.load(at + NAMESPACE)?;
        Ok(Self {
            slot,
            epoch: (state >> 32) as u32,
            is_attached: state & ATTACHED != 0,
            pid: image.load(at + PID)? as u32,
            start_time: image.load(at + START_TIME)?,
            namespace: namespace & !ABROAD,
            is_abroad: namespace & ABROAD != 0,
            since_ns: image.load(at + SINCE)?,
        })
    }

    pub(crate) fn participant(&self) -> Participant {
        Participant {
            slot: self.slot,
            epoch: self.epoch,
        }
    }

    /// Whether somebody has the slot and is alive.
    pub(crate) fn is_alive(&self, image: &Image) -> bool {
        self.is_attached && is_held(image, self.slot)
    }

    /// Whether somebody had the slot who died.
    pub(crate) fn is_dead(&self, image: &Image) -> bool {
        self.is_attached && !is_held(image, self.slot)
    }
}

/// All slots.
pub(crate) fn participants(image: &Image) -> impl Iterator<Item = Result<SlotState>> + '_ {
    (0..image.layout().dimensions.participants).map(|slot| SlotState::load(image, slot))
}

/// Whether a participant is alive. It makes a system call.
pub(crate) fn is_alive(image: &Image, participant: Participant) -> bool {
    let Participant { slot, epoch } = participant;
    slot < image.layout().dimensions.participants
        && SlotState::load(image, slot)
            .is_ok_and(|state| state.epoch == epoch && state.is_alive(image))
}

/// Whether any process holds the lock of a slot. One that cannot be asked for is taken to be
/// held: nothing is taken from whoever may be alive.
fn is_held(image: &Image, slot: u32) -> bool {
    ofd_lock::is_held(image.file(), u64::from(slot)).unwrap_or(true)
}

/// Writes this process into a slot whose lock it has.
pub(super) fn occupy(
    image: &Image,
    participant: Participant,
    namespace: u64,
    is_abroad: bool,
) -> Result<()> {
    let at = image.layout().slot(participant.slot);
    let epoch = participant.epoch;
    let pid = std::process::id();
    // It is never vacant from here on: if this process dies, the next one cleans up behind both.
    let state = image.word(at + STATE)?;
    state.store(u64::from(epoch) << 32 | ATTACHED, Ordering::Release);
    crate::kill::kill_point!("attach.epoch_stored");
    for (offset, value) in [
        (PID, u64::from(pid)),
        (START_TIME, folio_sys::process::start_time(pid).unwrap_or(0)),
        (NAMESPACE, namespace | if is_abroad { ABROAD } else { 0 }),
        (SINCE, folio_sys::futex::now_ns()),
    ] {
        image.word(at + offset)?.store(value, Ordering::Relaxed);
    }
    Ok(())
}

/// Says that nobody has a slot, if it is this participant's.
pub(super) fn vacate(image: &Image, participant: Participant) -> Result<()> {
    let state = image.word(image.layout().slot(participant.slot) + STATE)?;
    let epoch = u64::from(participant.epoch) << 32;
    // Whoever took it meanwhile has another epoch.
    let _ = state.compare_exchange(
        epoch | ATTACHED,
        epoch,
        Ordering::Release,
        Ordering::Relaxed,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participant_fits_a_word() {
        for (slot, epoch) in [(0, 0), (7, 1), (u32::MAX - 1, u32::MAX)] {
            let participant = Participant { slot, epoch };
            assert_ne!(participant.to_word(), 0);
            assert_eq!(
                Participant::from_word(participant.to_word()),
                Some(participant)
            );
        }
        assert_eq!(Participant::from_word(0), None);
    }
}
