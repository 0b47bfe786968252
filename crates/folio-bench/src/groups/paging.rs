//! What of files is in memory, seen and bounded; pages that are modified: finding them, and committing them.

mod budget;
mod commit;
mod dirty;
mod sqlite;
mod stat;

pub(super) use self::budget::budget;
pub(crate) use self::budget::{ScanArgs, scan};
pub(super) use self::commit::{copy as commit_copy, size as commit_size, sqlite as commit_sqlite};
pub(super) use self::dirty::{first_write, later_write, scan as dirty_scan};
pub(super) use self::stat::stat;

const PAGE_BYTES: u64 = 4096;
