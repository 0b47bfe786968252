//! What the file has at each moment, so that those who read meanwhile can be judged.

use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// The phases that a file goes through: whole, being cut, cut, being restored, whole again, …
pub(crate) struct Stage {
    phases: Vec<Phase>,
    now: AtomicUsize,
    page: u64,
}

#[derive(Clone, Copy)]
struct Phase {
    /// Before this byte, the file is as it should be.
    end: u64,
    /// Whether what comes after is changing, and not just lost.
    is_changing: bool,
}

/// What held while something was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Bytes before this one were there all the time.
    pub(crate) end: u64,
    /// Bytes from this one on were lost all the time.
    pub(crate) lost_from: u64,
    /// Bytes from `end` on may have been the file's, as well as zeros or lost.
    pub(crate) is_changing: bool,
}

impl Stage {
    pub(crate) fn new(len: u64, cuts: &[u64], page: u64) -> Self {
        let phase = |end, is_changing| Phase { end, is_changing };
        let mut phases = vec![phase(len, false)];
        for &cut in cuts {
            let during = [(cut, true), (cut, false), (cut, true), (len, false)];
            phases.extend(during.map(|(end, is_changing)| phase(end, is_changing)));
        }
        Self {
            phases,
            now: AtomicUsize::new(0),
            page,
        }
    }

    /// Goes on to the next phase: before the file begins to change, after it has.
    pub(crate) fn advance(&self) {
        self.now.fetch_add(1, Ordering::SeqCst);
    }

    /// Does something, and says what held meanwhile.
    pub(crate) fn watch<T>(&self, read: impl FnOnce() -> T) -> (T, Facts) {
        let first = self.now.load(Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let outcome = read();
        fence(Ordering::SeqCst);
        let last = self.now.load(Ordering::SeqCst);
        let seen = &self.phases[first..=last];
        let end = seen.iter().map(|phase| phase.end).min().unwrap();
        let is_changing = seen.len() > 1 || seen[0].is_changing;
        let lost_from = match is_changing {
            true => u64::MAX,
            false => end.next_multiple_of(self.page),
        };
        let facts = Facts {
            end,
            lost_from,
            is_changing,
        };
        (outcome, facts)
    }
}
