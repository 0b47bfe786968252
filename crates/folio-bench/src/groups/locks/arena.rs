//! A file that a bench and its partner process map: the peers' locks, and what the two tell each other.
#![expect(
    unsafe_code,
    reason = "the peers' locks are C structures in shared memory, which only pointers reach"
)]

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};

use crate::row::Skipped;

const LEN: usize = 1 << 16;
/// Each thing has two cache lines of its own: processors fetch them in pairs.
const PLACE_LEN: usize = 128;

/// How long one waits for the other before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The shared file, mapped.
#[derive(Debug)]
pub(super) struct Arena {
    memory: MmapRaw,
    path: PathBuf,
}

/// What stands where.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// What the partner is to do.
    Task = 0,
    /// The task that the partner is at.
    At = 1,
    /// How many operations the partner has done of it.
    Done = 2,
    /// What the locks guard.
    Guarded = 3,
    /// The ball of the spinning floor.
    Ball = 4,
    /// A pthread mutex.
    Plain = 5,
    /// A robust pthread mutex.
    Robust = 6,
}

impl Arena {
    /// Makes the file, all zeros.
    pub(super) fn create(path: &Path) -> Result<Self, Skipped> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path)?;
        file.set_len(u64::try_from(LEN)?)?;
        Self::open(path)
    }

    pub(super) fn open(path: &Path) -> Result<Self, Skipped> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let memory = MmapOptions::new().len(LEN).map_raw(&file)?;
        Ok(Self {
            memory,
            path: path.to_owned(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a thing begins: `PLACE_LEN` bytes of its own.
    pub(super) fn address(&self, place: Place) -> *mut u8 {
        self.memory
            .as_mut_ptr()
            .wrapping_add(place as usize * PLACE_LEN)
    }

    pub(super) fn word(&self, place: Place) -> &AtomicU64 {
        // SAFETY: aligned, within the mapping, which lives as long as the reference; both processes
        // reach it as an atomic alone.
        unsafe { AtomicU64::from_ptr(self.address(place).cast()) }
    }
}

/// Waits until something holds, without taking the processor from the other for long.
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), Skipped> {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE {
            return Err(Skipped(format!("waited in vain: {what}")));
        }
        std::thread::sleep(Duration::from_micros(20));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn two_mappings_share_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arena");
        let one = Arena::create(&path).unwrap();
        let other = Arena::open(&path).unwrap();
        one.word(Place::Robust).store(7, Relaxed);
        assert_eq!(other.word(Place::Robust).load(Relaxed), 7);
        assert_eq!(other.word(Place::Plain).load(Relaxed), 0);
    }
}
