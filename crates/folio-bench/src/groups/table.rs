//! Looking keys up, reading in order and building, in this process.

mod build;
mod cdb;
mod data;
mod entrants;
mod field;
mod fst;
mod get;
mod lines;
mod lmdb;
mod memory;
mod ours;
mod redb;
mod scan;
mod share;
mod size;

pub(super) use build::{build, overhead};
pub(super) use get::{get, get_1k_values};
pub(super) use memory::build_memory;
pub(super) use scan::scan;
pub(crate) use share::hold;
pub(super) use share::share;
pub(super) use size::sizes;
