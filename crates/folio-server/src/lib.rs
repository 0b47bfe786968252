//! Many worker processes serve folio tables from one copy in memory.

#![forbid(unsafe_code)]

mod config;
mod error;
mod limits;
mod resp;
pub mod sample;
mod status;

pub use config::Config;
pub use error::{Error, Result};
pub use limits::Limits;
pub use status::{Status, WorkerStatus};
