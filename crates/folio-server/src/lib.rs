//! Many worker processes serve folio tables from one copy in memory.
//!
//! A [`Supervisor`] takes tables and stores, opens sockets, forks the workers, and starts those
//! again that die. The workers inherit the mappings of the tables, so that all of
//! them read the same pages of physical memory, and speak the Redis serialization
//! protocol (RESP2 and RESP3): `redis-cli`, `redis-benchmark` and client libraries
//! connect as they do to a Redis server. Tables are read-only, and so is the server.
//!
//! ```no_run
//! use folio_server::{Config, Event, Supervisor};
//! use folio_table::Table;
//!
//! let table = Table::options().open("users.folio")?;
//! let supervisor = Supervisor::bind(Config::default(), vec![table])?;
//! supervisor.run(|event| match event {
//!     Event::Ready(status) => println!("{} workers serve", status.workers.len()),
//!     Event::Log(line) => eprintln!("{line}"),
//!     _ => {}
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod command;
mod config;
mod connection;
mod counters;
mod database;
mod error;
mod event;
mod limits;
mod listen;
mod log;
mod populate;
mod resp;
pub mod sample;
mod signals;
mod status;
mod supervisor;
mod worker;

pub use config::Config;
pub use database::Database;
pub use error::{Error, Result};
pub use event::Event;
pub use limits::Limits;
pub use populate::Populate;
pub use status::{Status, WorkerStatus};
pub use supervisor::Supervisor;
