//! Letting go of what the dead hold, when somebody cleans up behind them.

use folio_sys::futex;
use folio_sys::robust::RobustWord;

use super::here::{mark_of, words};
use super::rwlock::Slots;
use super::semaphore::Permits;
use crate::object::ObjectKind;
use crate::participant::{Attached, Record};
use crate::raw::{mutex, rwlock, semaphore};

/// Marks the lock at an offset as its owner's legacy, and takes out readers and permits, as far
/// as they are threads of which `is_dead` says so, by their records and ids. How many they were.
pub(crate) fn recover(
    attached: &Attached,
    kind: ObjectKind,
    offset: usize,
    len: usize,
    is_dead: &dyn Fn(u32, u32) -> bool,
) -> u32 {
    let memory = attached.memory();
    match kind {
        ObjectKind::Mutex
        | ObjectKind::RwLock
        | ObjectKind::Once
        | ObjectKind::OnceValue
        | ObjectKind::Barrier => {
            let Some(robust) = memory.pin::<RobustWord>(offset) else {
                return 0;
            };
            let mut count = u32::from(recover_owner(attached, &robust, is_dead));
            if kind != ObjectKind::RwLock {
                return count;
            }
            if let Some(slots) = Slots::at(memory, offset) {
                for (word, is_waited_on) in rwlock::recover(&slots, is_dead) {
                    count += 1;
                    if is_waited_on {
                        futex::wake(word, u32::MAX);
                    }
                }
            }
            count
        }
        ObjectKind::Semaphore => {
            let Some(permits) = Permits::at(memory, offset, len) else {
                return 0;
            };
            let (count, gate) = semaphore::recover(&permits, is_dead);
            if let Some(gate) = gate {
                futex::wake(gate, u32::MAX);
            }
            count
        }
        _ => 0,
    }
}

/// Whether the owner was one that is dead.
fn recover_owner(
    attached: &Attached,
    robust: &RobustWord,
    is_dead: &dyn Fn(u32, u32) -> bool,
) -> bool {
    let is_owner_dead = |tid: u32, mark: u32| match mark_of(mark) {
        Some((record, half)) if half == tid & 0xffff => is_dead(record, tid),
        // Taken by a thread that has left no mark: one that died there, if nobody alive can be it.
        _ => {
            let image = attached.image();
            (0..image.layout().dimensions.threads)
                .filter_map(|record| Record::load(image, record).ok())
                .filter(|state| state.tid == tid && state.owner.is_some())
                .all(|state| is_dead(state.index, tid))
        }
    };
    let is_waited_for = mutex::recover(words(robust), is_owner_dead);
    if is_waited_for == Some(true) {
        futex::wake(robust.word(), 1);
    }
    is_waited_for.is_some()
}
