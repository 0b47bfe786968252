//! A counter, tallies of all processes, and what it takes to finish another's change of them.

use crate::failure::Outcome;

/// How many processes can have a tally.
pub(super) const MOST_PROCESSES: usize = 16;

/// How many words a ledger has: the counter, the journal's three, and the tallies.
pub(super) const WORDS: usize = 4 + MOST_PROCESSES;

/// The counter.
const COUNTER: usize = 0;
/// Whose tally is being changed, and one; 0: nobody's.
const JOURNAL_OWNER: usize = 1;
/// What the counter and that tally shall be.
const JOURNAL_COUNTER: usize = 2;
const JOURNAL_TALLY: usize = 3;
const TALLIES: usize = 4;

/// Which lock a ledger is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mutex,
    RwLock,
    Semaphore,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Mutex, Self::RwLock, Self::Semaphore];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwLock => "rwlock",
            Self::Semaphore => "semaphore",
        }
    }
}

/// The words of a ledger, for whoever has its lock. A process may be killed between any two calls.
pub(super) trait Ledger {
    fn get(&self, word: usize) -> Outcome<u64>;
    fn set(&self, word: usize, value: u64) -> Outcome;
}

/// Adds 1 to the counter and to a process's tally. Calls `halfway` in the middle.
pub(super) fn add(ledger: &impl Ledger, process: usize, halfway: fn()) -> Outcome {
    ledger.set(JOURNAL_COUNTER, ledger.get(COUNTER)? + 1)?;
    ledger.set(JOURNAL_TALLY, ledger.get(TALLIES + process)? + 1)?;
    // From here on, whoever comes next finishes it.
    ledger.set(JOURNAL_OWNER, process as u64 + 1)?;
    halfway();
    apply(ledger, process)
}

/// Finishes the change of somebody who died in the middle of it; whether there was one.
pub(super) fn finish(ledger: &impl Ledger) -> Outcome<bool> {
    let owner = usize::try_from(ledger.get(JOURNAL_OWNER)?)?;
    match owner.checked_sub(1) {
        Some(process) if process < MOST_PROCESSES => apply(ledger, process).map(|()| true),
        _ => Ok(false),
    }
}

fn apply(ledger: &impl Ledger, process: usize) -> Outcome {
    ledger.set(TALLIES + process, ledger.get(JOURNAL_TALLY)?)?;
    ledger.set(COUNTER, ledger.get(JOURNAL_COUNTER)?)?;
    ledger.set(JOURNAL_OWNER, 0)
}

/// Whether the counter is the sum of the tallies; and the counter.
pub(super) fn is_right(ledger: &impl Ledger) -> Outcome<(bool, u64)> {
    let mut sum = 0;
    for process in 0..MOST_PROCESSES {
        sum += ledger.get(TALLIES + process)?;
    }
    let counter = ledger.get(COUNTER)?;
    Ok((sum == counter, counter))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::failure::Failure;

    /// One whose owner dies after so many writes.
    struct Mortal {
        words: RefCell<[u64; WORDS]>,
        left: Cell<usize>,
    }

    impl Ledger for Mortal {
        fn get(&self, word: usize) -> Outcome<u64> {
            Ok(self.words.borrow().get(word).copied().unwrap_or(u64::MAX))
        }

        fn set(&self, word: usize, value: u64) -> Outcome {
            let left = self.left.get().checked_sub(1);
            self.left.set(left.ok_or_else(|| Failure::new("killed"))?);
            self.words
                .borrow_mut()
                .iter_mut()
                .skip(word)
                .take(1)
                .for_each(|place| *place = value);
            Ok(())
        }
    }

    #[test]
    fn whoever_dies_at_whichever_write_leaves_a_right_sum_behind() {
        let ledger = Mortal {
            words: RefCell::new([0; WORDS]),
            left: Cell::new(0),
        };
        let mut before = 0;
        for writes in 0..20 {
            ledger.left.set(writes);
            let outcome = add(&ledger, writes % MOST_PROCESSES, || ());
            assert_eq!(outcome.is_ok(), writes >= 6, "{writes}");
            ledger.left.set(usize::MAX);
            finish(&ledger).unwrap();
            let (is_right, counter) = is_right(&ledger).unwrap();
            assert!(is_right);
            assert!(counter == before || counter == before + 1);
            assert_eq!(counter == before + 1, writes >= 3);
            before = counter;
        }
    }
}
