//! The peer that every C program has: a mutex of pthread's that processes share, robust or not.
#![expect(unsafe_code, reason = "the functions of the C library are called")]

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::Lock;
use super::arena::{Arena, Place};
use crate::row::Skipped;

/// A mutex in the arena.
#[derive(Debug, Clone)]
pub(super) struct PthreadMutex {
    arena: Arc<Arena>,
    place: Place,
}

/// Who had the mutex before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    FromTheLiving,
    FromTheDead,
}

impl PthreadMutex {
    /// Makes it: process-shared, and robust if it stands at `Place::Robust`.
    pub(super) fn make(arena: &Arc<Arena>, place: Place) -> Result<Self, Skipped> {
        let mutex = Self::bind(arena, place);
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: it may be written to.
        check("pthread_mutexattr_init", unsafe {
            libc::pthread_mutexattr_init(attributes)
        })?;
        // SAFETY: initialised above.
        check("pthread_mutexattr_setpshared", unsafe {
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED)
        })?;
        if matches!(place, Place::Robust) {
            // SAFETY: initialised above.
            check("pthread_mutexattr_setrobust", unsafe {
                libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST)
            })?;
        }
        // SAFETY: the place has room for a mutex, is aligned for it, and nobody uses it yet; the attributes
        // were initialised above.
        check("pthread_mutex_init", unsafe {
            libc::pthread_mutex_init(mutex.raw(), attributes)
        })?;
        Ok(mutex)
    }

    /// One that was made before, by this process or another.
    pub(super) fn bind(arena: &Arc<Arena>, place: Place) -> Self {
        let arena = Arc::clone(arena);
        Self { arena, place }
    }

    fn raw(&self) -> *mut libc::pthread_mutex_t {
        self.arena.address(self.place).cast()
    }

    #[inline]
    pub(super) fn lock(&self) -> Result<Taken, Skipped> {
        // SAFETY: made by `make`, and mapped as long as the arena lives.
        match unsafe { libc::pthread_mutex_lock(self.raw()) } {
            0 => Ok(Taken::FromTheLiving),
            libc::EOWNERDEAD => {
                // SAFETY: this thread has just got it.
                check("pthread_mutex_consistent", unsafe {
                    libc::pthread_mutex_consistent(self.raw())
                })?;
                Ok(Taken::FromTheDead)
            }
            status => Err(failed("pthread_mutex_lock", status)),
        }
    }

    #[inline]
    pub(super) fn unlock(&self) -> Result<(), Skipped> {
        // SAFETY: as for `lock`; a thread that does not have it gets an error of the robust one, and
        // has it wherever this is called.
        check("pthread_mutex_unlock", unsafe {
            libc::pthread_mutex_unlock(self.raw())
        })
    }
}

impl Lock for PthreadMutex {
    #[inline]
    fn locked(&self, inside: &mut dyn FnMut()) -> Result<(), Skipped> {
        self.lock()?;
        inside();
        self.unlock()
    }
}

#[inline]
fn check(function: &str, status: libc::c_int) -> Result<(), Skipped> {
    if status == 0 {
        return Ok(());
    }
    Err(failed(function, status))
}

#[cold]
fn failed(function: &str, status: libc::c_int) -> Skipped {
    let error = std::io::Error::from_raw_os_error(status);
    Skipped(format!("{function}: {error}"))
}
