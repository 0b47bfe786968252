//! Memory that processes share: a file of named objects, with locks in it that survive the death
//! of their owner.
//!
//! A [`Region`] is a mapped file. Any number of processes open it, find objects in it by
//! name, and talk through them. A process may end at any instruction, by SIGKILL too: what it held is found out
//! and given back, the heap and the directory are as before its last change or after it, and nobody waits for the dead.
//!
//! ```
//! use folio_ipc::Region;
//!
//! let folder = tempfile::tempdir()?;
//! let region = Region::options().size_bytes(2 << 20).open_or_create(folder.path().join("app"))?;
//! assert!(region.objects()?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module of the source | what it holds |
//! |---|---|
//! | `region` | the file: its header, how it is made, opened, grown |
//! | `participant` | who is attached, from which threads, and who of them is dead |
//! | `heap` | blocks of the region, and the journal that keeps every change of them whole |
//! | `directory` | names of objects, found without a lock |
//! | `inspect` | what a region says of itself |
#![forbid(unsafe_code)]

mod allocation;
mod data;
mod directory;
mod error;
mod fingerprint;
mod heap;
mod inspect;
mod kill;
mod object;
mod participant;
mod payload;
mod region;

pub use allocation::{Allocation, Pointer};
pub use data::Data;
pub use directory::{ObjectInfo, Shared};
pub use error::{Error, Result};
pub use fingerprint::Fingerprint;
/// Implements [`Payload`] for a type without parameters, by its name, as version 1;
/// `#[payload(name = "...", version = 2)]` says otherwise.
pub use folio_ipc_derive::Payload;
pub use heap::HeapInfo;
pub use inspect::{Inspection, LockInfo, ParticipantInfo, RegionInfo, Repaired, ThreadInfo};
pub use kill::kill_points;
pub use object::{Object, ObjectKind};
pub use payload::Payload;
pub use region::{Observer, Region, RegionOptions};
