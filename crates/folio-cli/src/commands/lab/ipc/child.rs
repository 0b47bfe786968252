//! One of the processes, which may be killed at any moment.

use std::path::Path;

use super::ledger::Kind;
use super::shared::Shared;
use crate::failure::Outcome;

/// Adds under each lock in turn until it is over.
pub(super) fn run(region: &Path, number: u32) -> Outcome {
    let shared = Shared::open(region)?;
    let process = usize::try_from(number)?;
    while !shared.is_over()? {
        for kind in Kind::ALL {
            for _ in 0..16 {
                shared.add(kind, process)?;
            }
        }
    }
    Ok(())
}
