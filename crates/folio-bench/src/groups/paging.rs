//! Pages that are modified: finding them, and committing them.

mod commit;
mod dirty;
mod sqlite;

pub(super) use commit::{copy as commit_copy, size as commit_size, sqlite as commit_sqlite};
pub(super) use dirty::{first_write, later_write, scan as dirty_scan};

const PAGE_BYTES: u64 = 4096;
