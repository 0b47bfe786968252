//! One of the processes, which may be killed at any moment.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::ledger::Kind;
use super::shared::Shared;
use crate::failure::Outcome;

/// How long a process takes in the middle of a change now and then.
const DAWDLE: Duration = Duration::from_micros(50);

/// Adds under each lock in turn until it is over.
pub(super) fn run(region: &Path, number: u32) -> Outcome {
    let shared = Shared::open(region)?;
    let process = usize::try_from(number)?;
    while !shared.is_over()? {
        for kind in Kind::ALL {
            for _ in 0..16 {
                shared.add(kind, process, || ())?;
            }
            // So that some are killed right there.
            shared.add(kind, process, || thread::sleep(DAWDLE))?;
        }
    }
    Ok(())
}
