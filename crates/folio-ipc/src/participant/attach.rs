//! Attaching: one process at a time.

use std::thread;
use std::time::{Duration, Instant};

use folio_sys::ofd_lock::OfdLock;

use super::record::Record;
use super::slot::{Participant, occupy, participants};
use super::too_many;
use crate::kill::kill_point;
use crate::region::Image;
use crate::{Error, Result};

/// The byte whose lock a process has that attaches: behind those of all slots.
const ATTACH_BYTE: u64 = 1 << 16;

/// Held by the one process that is attaching. The kernel drops it if that process dies.
#[derive(Debug)]
pub(crate) struct AttachLock {
    _lock: OfdLock,
}

impl AttachLock {
    /// Waits until nobody else is attaching. That takes a fraction of a millisecond, but for a process
    /// that was stopped: it is not waited for longer than ten seconds.
    pub(crate) fn take(image: &Image) -> Result<Self> {
        const PATIENCE: Duration = Duration::from_secs(10);
        const LONGEST_NAP: Duration = Duration::from_millis(4);

        let began = Instant::now();
        let mut nap = Duration::from_micros(50);
        loop {
            if let Some(lock) = lock_byte(image, ATTACH_BYTE)? {
                return Ok(Self { _lock: lock });
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::Busy {
                    path: image.path().to_owned(),
                    waited_ms: PATIENCE.as_secs() * 1000,
                });
            }
            thread::sleep(nap);
            nap = (nap * 2).min(LONGEST_NAP);
        }
    }
}

/// A slot that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) participant: Participant,
    pub(super) lock: OfdLock,
    /// Whether this process is in another namespace than those whose threads locks know by their ids.
    pub(super) is_abroad: bool,
    /// Whether it was a dead one's.
    pub(super) was_of_dead: bool,
    /// Whether any of the slots is.
    pub(super) found_dead: bool,
}

/// Takes a slot for this process. The caller has the [`AttachLock`].
pub(super) fn take_slot(image: &Image) -> Result<Taken> {
    let namespace = folio_sys::process::pid_namespace();
    // Who cannot say where it is, is abroad.
    let mut is_abroad = namespace == 0;
    let mut taken = None;
    let mut found_dead = false;
    for state in participants(image) {
        let state = state?;
        let is_dead = state.is_dead(image);
        found_dead |= is_dead;
        let is_at_home = state.is_attached && !is_dead && !state.is_abroad;
        is_abroad |= is_at_home && state.namespace != namespace;
        if taken.is_none() && (is_dead || !state.is_attached) {
            taken = lock_byte(image, u64::from(state.slot))?.map(|lock| (state, lock));
        }
    }
    let (state, lock) = taken.ok_or_else(|| too_many(image))?;
    kill_point!("attach.slot_taken");
    let participant = Participant {
        slot: state.slot,
        epoch: state.epoch.wrapping_add(1),
    };
    // What the one before used, it uses no longer. Of this one there can be no records yet.
    crate::directory::forget_user(image, participant.slot)?;
    Record::free_all_of(image, participant);
    occupy(image, participant, namespace, is_abroad)?;
    kill_point!("attach.attached");
    Ok(Taken {
        participant,
        lock,
        is_abroad,
        was_of_dead: state.is_attached,
        found_dead,
    })
}

fn lock_byte(image: &Image, byte: u64) -> Result<Option<OfdLock>> {
    OfdLock::take(image.file(), byte)
        .map_err(|error| Error::io("lock a byte of it", image.path(), error))
}
