//! The contestant: a region with a lock of each kind.

use std::path::Path;

use folio_ipc::{LockError, Mutex, MutexGuard, Region, RwLock, Semaphore, Shared};

use super::Lock;
use super::pthread::Taken;
use crate::row::Skipped;

/// A region, and the locks in it.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) mutex: Shared<Mutex<u64>>,
    pub(super) rwlock: Shared<RwLock<u64>>,
    pub(super) semaphore: Shared<Semaphore>,
    _region: Region,
}

impl Ours {
    /// Makes the region.
    pub(super) fn create(path: &Path) -> Result<Self, Skipped> {
        Self::of(Region::options().create(path)?)
    }

    pub(super) fn open(path: &Path) -> Result<Self, Skipped> {
        Self::of(Region::open(path)?)
    }

    fn of(region: Region) -> Result<Self, Skipped> {
        Ok(Self {
            mutex: region.object("mutex")?,
            rwlock: region.object("rwlock")?,
            semaphore: region.object_with("semaphore", || 1)?,
            _region: region,
        })
    }

    /// Takes the mutex, puts it in order if need be, and gives it back.
    pub(super) fn lock_and_repair(&self) -> Result<Taken, Skipped> {
        match self.mutex.lock() {
            Ok(_guard) => Ok(Taken::FromTheLiving),
            Err(LockError::OwnerDied(guard)) => {
                guard.recovered();
                Ok(Taken::FromTheDead)
            }
            Err(error) => Err(error.without_guard().into()),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, u64>, Skipped> {
        self.mutex
            .lock()
            .map_err(|error| error.without_guard().into())
    }
}

impl Lock for Ours {
    #[inline]
    fn locked(&self, inside: &mut dyn FnMut()) -> Result<(), Skipped> {
        let guard = self.lock()?;
        inside();
        drop(guard);
        Ok(())
    }
}
