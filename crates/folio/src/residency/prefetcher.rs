//! Prefetching that costs little where it is of no use.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Residency;
use crate::Result;

/// Asks for ranges of a file before they are read, and rests while they are in memory anyway.
///
/// To ask for what is there already costs a system call, which for a file that is all in
/// memory is more than the reads themselves. So each range is looked up first; one that is there
/// makes the prefetcher let the next few calls pass, twice as many each time. One that is not ends the rest at once,
/// and is asked for. It never rests for more than [`MOST_RESTED`](Self::MOST_RESTED) calls: a file that leaves
/// memory is noticed after that many, where a rest that grows without bound would leave all of
/// them waiting for the device.
///
/// ```
/// use folio::Residency;
/// use folio::residency::{Prefetched, Prefetcher};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, vec![1; 1 << 20])?;
/// # #[cfg(target_os = "linux")] {
/// let prefetcher = Prefetcher::new(Residency::open(&file)?);
/// assert_eq!(prefetcher.prefetch(0..65536)?, Prefetched::Resident);
/// assert_eq!(prefetcher.prefetch(65536..131_072)?, Prefetched::Rested);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Prefetcher {
    residency: Residency,
    /// How many calls are still to be let pass.
    resting: AtomicU32,
    /// How many were let pass after the last range that was there.
    last_rest: AtomicU32,
}

/// What a [`Prefetcher`] did.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefetched {
    /// Nothing: it rests.
    Rested,
    /// It looked, and all of the range is in memory.
    Resident,
    /// It looked, and asked for the range to be read.
    Asked,
}

impl Prefetcher {
    /// The most calls in a row that are let pass.
    pub const MOST_RESTED: u32 = 64;

    /// A prefetcher that does not rest yet.
    #[must_use]
    pub fn new(residency: Residency) -> Self {
        Self {
            residency,
            resting: AtomicU32::new(0),
            last_rest: AtomicU32::new(0),
        }
    }

    /// Begins to read a range, unless it is there, or rests. It does not wait.
    ///
    /// Where the system does not tell what is in memory, each call asks.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) when the file does not have all of the range, unless it
    /// rests; [`Error::Io`](crate::Error::Io) when the system refuses.
    pub fn prefetch(&self, range: Range<u64>) -> Result<Prefetched> {
        let resting = self.resting.load(Ordering::Relaxed);
        if resting > 0 {
            // When two threads do this at one time, the rest is a call longer: no harm.
            self.resting.store(resting - 1, Ordering::Relaxed);
            return Ok(Prefetched::Rested);
        }
        let pages = self.residency.pages(range.clone())?;
        if pages.resident == Some(pages.pages) {
            let last_rest = self.last_rest.load(Ordering::Relaxed);
            let rest = last_rest.saturating_mul(2).clamp(1, Self::MOST_RESTED);
            self.last_rest.store(rest, Ordering::Relaxed);
            self.resting.store(rest, Ordering::Relaxed);
            return Ok(Prefetched::Resident);
        }
        self.wake();
        self.residency.load_ahead(range)?;
        Ok(Prefetched::Asked)
    }

    /// Ends the rest: for those who see that a read had to wait.
    pub fn wake(&self) {
        self.last_rest.store(0, Ordering::Relaxed);
        self.resting.store(0, Ordering::Relaxed);
    }

    /// The file.
    #[must_use]
    pub fn residency(&self) -> &Residency {
        &self.residency
    }
}
