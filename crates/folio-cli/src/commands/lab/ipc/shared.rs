//! What the processes of the experiment share.

use std::path::Path;

use folio_ipc::{
    Data, LockError, Mutex, MutexGuard, Region, RwLock, Semaphore, Shared as Object, WriteGuard,
};

use super::ledger::{Kind, Ledger, WORDS, add, finish, is_right};
use crate::failure::Outcome;

type Words = [u64; WORDS];

/// How often an owner was said to have died with a lock, how often a half-done change was finished, and how often a sum was wrong.
pub(super) type Notes = [u64; 3];

/// The region and its objects.
pub(super) struct Shared {
    mutex: Object<Mutex<Words>>,
    rwlock: Object<RwLock<Words>>,
    semaphore: Object<Semaphore>,
    /// What the semaphore guards: a permit guards nothing by itself.
    guarded: Vec<Object<Data<u64>>>,
    over: Object<Data<u64>>,
    notes: Vec<Object<Mutex<Notes>>>,
    _region: Region,
}

impl Shared {
    pub(super) fn create(path: &Path) -> Outcome<Self> {
        Self::of(Region::options().create(path)?)
    }

    pub(super) fn open(path: &Path) -> Outcome<Self> {
        Self::of(Region::open(path)?)
    }

    fn of(region: Region) -> Outcome<Self> {
        let guarded = (0..WORDS).map(|word| region.object(&format!("guarded-{word}")));
        let notes = Kind::ALL.map(|kind| region.object(&format!("notes-{}", kind.name())));
        Ok(Self {
            mutex: region.object("mutex")?,
            rwlock: region.object("rwlock")?,
            semaphore: region.object_with("semaphore", || 1)?,
            guarded: guarded.collect::<Result<_, _>>()?,
            over: region.object("over")?,
            notes: notes.into_iter().collect::<Result<_, _>>()?,
            _region: region,
        })
    }

    /// Says that it is over.
    pub(super) fn say_over(&self) -> Outcome {
        Ok(self.over.set(&1)?)
    }

    pub(super) fn is_over(&self) -> Outcome<bool> {
        Ok(self.over.get()? != 0)
    }

    /// Adds 1 under a lock, after finishing what the last owner may have left. Calls `halfway` in the middle.
    pub(super) fn add(&self, kind: Kind, process: usize, halfway: fn()) -> Outcome {
        self.under(kind, |ledger| ledger.add(process, halfway))
    }

    /// Finishes what the last owner may have left, and looks whether the sum is right; and the counter.
    pub(super) fn settle(&self, kind: Kind) -> Outcome<(bool, u64)> {
        let mut found = (false, 0);
        self.under(kind, |ledger| {
            found = ledger.is_right()?;
            Ok(())
        })?;
        Ok(found)
    }

    pub(super) fn notes(&self, kind: Kind) -> Outcome<Notes> {
        self.note(kind, |_| ())
    }

    fn under(&self, kind: Kind, work: impl FnOnce(&dyn Work) -> Outcome) -> Outcome {
        match kind {
            Kind::Mutex => {
                let (guard, died) = match self.mutex.lock() {
                    Ok(guard) => (guard, false),
                    Err(LockError::OwnerDied(guard)) => (guard, true),
                    Err(error) => return Err(error.without_guard().into()),
                };
                self.look(kind, &guard, died)?;
                if died {
                    self.note(kind, |[deaths, ..]| *deaths += 1)?;
                    guard.recovered();
                }
                work(&guard)
            }
            Kind::RwLock => {
                let (guard, died) = match self.rwlock.write() {
                    Ok(guard) => (guard, false),
                    Err(LockError::OwnerDied(guard)) => (guard, true),
                    Err(error) => return Err(error.without_guard().into()),
                };
                self.look(kind, &guard, died)?;
                if died {
                    self.note(kind, |[deaths, ..]| *deaths += 1)?;
                    guard.recovered();
                }
                work(&guard)
            }
            Kind::Semaphore => {
                // The permit of a dead process comes back, without a word.
                let permit = self.semaphore.acquire();
                let _permit = permit.map_err(LockError::without_guard)?;
                self.look(kind, &Guarded(&self.guarded), true)?;
                work(&Guarded(&self.guarded))
            }
        }
    }

    /// Finishes what the last owner left. One that gave the lock back leaves nothing.
    fn look(&self, kind: Kind, ledger: &impl Ledger, may_be_left: bool) -> Outcome {
        if finish(ledger)? {
            let wrong = u64::from(!may_be_left);
            self.note(kind, |[_, recoveries, wrong_seen]| {
                *recoveries += 1;
                *wrong_seen += wrong;
            })?;
        } else if !is_right(ledger)?.0 {
            self.note(kind, |[_, _, wrong_seen]| *wrong_seen += 1)?;
        }
        Ok(())
    }

    fn note(&self, kind: Kind, change: impl FnOnce(&mut Notes)) -> Outcome<Notes> {
        let Some(notes) = self.notes.get(kind as usize) else {
            return Ok([0; 3]);
        };
        // A note whose writer died is half written at worst: the figure is one too low then.
        let guard = match notes.lock() {
            Ok(guard) => guard,
            Err(error) => {
                let guard = error.into_guard()?;
                guard.recovered();
                guard
            }
        };
        Ok(guard.update(|note| {
            change(note);
            *note
        }))
    }
}

/// What is done under a lock, whichever.
trait Work {
    fn add(&self, process: usize, halfway: fn()) -> Outcome;
    fn is_right(&self) -> Outcome<(bool, u64)>;
}

impl<L: Ledger> Work for L {
    fn add(&self, process: usize, halfway: fn()) -> Outcome {
        add(self, process, halfway)
    }

    fn is_right(&self) -> Outcome<(bool, u64)> {
        is_right(self)
    }
}

/// The words that the semaphore guards.
struct Guarded<'a>(&'a [Object<Data<u64>>]);

impl Ledger for Guarded<'_> {
    fn get(&self, word: usize) -> Outcome<u64> {
        Ok(self.0.get(word).map_or(Ok(0), |word| word.get())?)
    }

    fn set(&self, word: usize, value: u64) -> Outcome {
        Ok(self.0.get(word).map_or(Ok(()), |word| word.set(&value))?)
    }
}

macro_rules! ledger {
    ($guard:ident) => {
        impl Ledger for $guard<'_, Words> {
            fn get(&self, word: usize) -> Outcome<u64> {
                let mut bytes = [0; 8];
                self.read_at(8 * word, &mut bytes)?;
                Ok(u64::from_le_bytes(bytes))
            }

            fn set(&self, word: usize, value: u64) -> Outcome {
                Ok(self.write_at(8 * word, &value.to_le_bytes())?)
            }
        }
    };
}

ledger!(MutexGuard);
ledger!(WriteGuard);
