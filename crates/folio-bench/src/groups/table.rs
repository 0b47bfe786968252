//! Looking keys up, reading in order and building, in this process.

mod build;
mod cdb;
mod data;
mod field;
mod get;
mod hashmap;
mod lmdb;
mod ours;

pub(super) use build::{build, overhead};
pub(super) use get::get;
pub(super) use hashmap::get as get_vs_hashmap;
