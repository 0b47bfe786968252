//! What of files is in memory: seen, and bounded.

mod budget;
mod stat;

pub(super) use self::budget::budget;
pub(crate) use self::budget::{ScanArgs, scan};
pub(super) use self::stat::stat;
