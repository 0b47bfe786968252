//! Who has a region open.
//!
//! A process that opens a region is a participant: it has a slot in the region, and a lock of the kernel's, on one byte of
//! the file, that ends with the process and with nothing else. Ids of processes are for humans: they
//! are other ones in other namespaces, and a zombie's is in use.

mod attach;
mod life;
mod reap;
mod record;
mod slot;
mod thread;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use folio_sys::process::fork_generation;
use folio_sys::robust::RobustWord;
use folio_sys::shared_memory::{Pinned, SharedMemory};

pub(crate) use attach::AttachLock;
use life::Life;
pub(crate) use reap::{Reaped, reap, recover_objects};
pub(crate) use record::{Record, RecordState, is_id_abroad};
pub(crate) use slot::{Participant, SlotState, is_alive, participants};
pub(crate) use thread::ThreadRecord;

use crate::directory::Holds;
use crate::region::{CONTROL, Image};
use crate::{Error, Result};

/// A region that this process has open and is a participant of. All handles of one opening share it.
pub struct Attached {
    image: Image,
    /// Tells this from all else that this process ever attached to; never 0.
    id: u32,
    /// Whether nobody but the region's owner may write to it.
    is_private: bool,
    heap_lock: Pinned<RobustWord>,
    holds: Holds,
    /// This process as participant, and its parents: the last life whose generation is that of the process counts.
    first_life: Life,
    /// What was cleaned up when this was made, until somebody asks.
    reaped: Mutex<Reaped>,
    /// The generation in which somebody is beginning a life.
    beginning: AtomicU64,
    me: Weak<Self>,
}

impl Attached {
    /// Makes this process a participant, and cleans up behind those that died.
    pub(crate) fn new(image: Image, is_private: bool) -> Result<Arc<Self>> {
        static LAST_ID: AtomicU32 = AtomicU32::new(0);

        let lock_offset = usize::try_from(CONTROL).unwrap_or(usize::MAX);
        let heap_lock = image
            .memory()
            .pin::<RobustWord>(lock_offset)
            .ok_or_else(|| image.damaged(CONTROL, "no room for the heap's lock"))?;
        let attaching = AttachLock::take(&image)?;
        let (first_life, found_dead) = Life::begin(&image, fork_generation())?;
        let attached = Arc::new_cyclic(|me| Self {
            holds: Holds::new(image.layout().entries),
            image,
            id: LAST_ID.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
            is_private,
            heap_lock,
            first_life,
            reaped: Mutex::default(),
            beginning: AtomicU64::new(0),
            me: Weak::clone(me),
        });
        attached.settle(found_dead)?;
        drop(attaching);
        Ok(attached)
    }

    /// The memory that the region is mapped to.
    #[inline]
    pub(crate) fn memory(&self) -> &Arc<SharedMemory> {
        self.image.memory()
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// Tells it from all others of this process.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether nobody but the region's owner may write to it, so that what other processes put there cannot
    /// be meant to harm this one.
    #[inline]
    pub(crate) fn is_private(&self) -> bool {
        self.is_private
    }

    /// Whether pages of the region are gone.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.image.is_lost()
    }

    pub(crate) fn heap_lock(&self) -> &RobustWord {
        &self.heap_lock
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    /// This process as participant; in a forked child, that of the child, which attaches here if it did not yet.
    pub(crate) fn participant(&self) -> Result<Participant> {
        Ok(self.life()?.participant())
    }

    /// This process as participant, if it is one: a forked child that has not used the region is none.
    pub(crate) fn living_participant(&self) -> Option<Participant> {
        let last = self.first_life.last();
        (last.generation() == fork_generation()).then(|| last.participant())
    }

    fn life(&self) -> Result<&Life> {
        let generation = fork_generation();
        if self.first_life.generation() == generation {
            return Ok(&self.first_life);
        }
        self.life_after_fork(generation)
    }

    #[cold]
    fn life_after_fork(&self, generation: u64) -> Result<&Life> {
        loop {
            let last = self.first_life.last();
            if last.generation() == generation {
                return Ok(last);
            }
            // Whoever began a life in the parent is not there in the child, whose generation is another.
            let beginning = self.beginning.load(Ordering::Relaxed);
            let is_mine = beginning != generation
                && self
                    .beginning
                    .compare_exchange(beginning, generation, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok();
            if is_mine {
                let begun = self.begin_life(generation);
                self.beginning.store(0, Ordering::Release);
                begun?;
            } else {
                std::thread::yield_now();
            }
        }
    }

    fn begin_life(&self, generation: u64) -> Result<()> {
        let last = self.first_life.last();
        if last.generation() == generation {
            return Ok(());
        }
        let attaching = AttachLock::take(&self.image)?;
        let (life, _) = Life::begin(&self.image, generation)?;
        let inherited = self
            .holds
            .inherit(&self.image, life.participant(), generation);
        if inherited.is_err() {
            life.end(&self.image);
        }
        inherited?;
        last.follow(life);
        drop(attaching);
        Ok(())
    }

    /// Whether a thread that had this record, and this id, is gone: its process ended, or the thread did.
    /// It makes a system call.
    pub(crate) fn is_dead(&self, record: u32, tid: u32) -> bool {
        let Ok(state) = Record::load(&self.image, record) else {
            return true;
        };
        match state.owner {
            Some(owner) => state.tid != tid || !self.is_alive(owner),
            None => true,
        }
    }

    /// The records of threads that are about to take or give up the lock at this offset, or hold it
    /// if it is the heap's.
    pub(crate) fn records_at(&self, offset: u64) -> impl Iterator<Item = RecordState> + '_ {
        (0..self.image.layout().dimensions.threads)
            .filter_map(|record| Record::load(&self.image, record).ok())
            .filter(move |state| state.pending == offset && state.owner.is_some())
    }

    /// Whether a participant is alive. It makes a system call for any but this very process.
    pub(crate) fn is_alive(&self, participant: Participant) -> bool {
        let is_own = self
            .life()
            .is_ok_and(|life| life.participant() == participant);
        is_own || is_alive(&self.image, participant)
    }

    /// What was cleaned up behind the dead when this process attached; nothing the next time.
    pub(crate) fn reaped_when_opened(&self) -> Reaped {
        std::mem::take(&mut *self.reaped.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a newly attached process does first: the journal is applied by whoever takes the heap's lock;
    /// the dead are cleaned up behind; after a boot of the machine, everything is checked.
    fn settle(&self, found_dead: bool) -> Result<()> {
        let heap = self.heap()?;
        heap.check_boot()?;
        if found_dead {
            let mut reaped = reap(&heap)?;
            reaped.participants += u32::from(self.first_life.replaces_dead());
            *self.reaped.lock().unwrap_or_else(PoisonError::into_inner) = reaped;
        }
        heap.sweep()?;
        self.image.check_not_lost()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let last = self.first_life.last();
        // A child that never used the region is no participant; its parent is.
        if last.generation() == fork_generation() {
            last.end(&self.image);
        }
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached")
            .field("image", &self.image)
            .field("participant", &self.first_life.last().participant())
            .finish_non_exhaustive()
    }
}

fn too_many(image: &Image) -> Error {
    Error::TooManyParticipants {
        path: image.path().to_owned(),
        limit: image.layout().dimensions.participants,
    }
}
