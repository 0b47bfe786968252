//! Reading a file that is in memory.

mod fixture;
mod open;
mod read;
mod scan;

pub(super) use fixture::map;
pub(super) use open::open;
pub(super) use read::{frozen, get_u64, read_at_64};
pub(super) use scan::scan;
