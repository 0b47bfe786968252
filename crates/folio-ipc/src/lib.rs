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
//! | `raw` | the algorithms of the locks, which loom tries |
//! | `locks` | the locks, with types |
//! | `inspect` | what a region says of itself |
#![forbid(unsafe_code)]

#[cfg(not(loom))]
mod allocation;
#[cfg(not(loom))]
mod data;
#[cfg(not(loom))]
mod directory;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod fingerprint;
#[cfg(not(loom))]
mod heap;
#[cfg(not(loom))]
mod inspect;
#[cfg(not(loom))]
mod kill;
#[cfg(not(loom))]
mod locks;
#[cfg(not(loom))]
mod object;
#[cfg(not(loom))]
mod participant;
#[cfg(not(loom))]
mod payload;
mod raw;
#[cfg(not(loom))]
mod region;

#[cfg(not(loom))]
pub use allocation::{Allocation, Pointer};
#[cfg(not(loom))]
pub use data::Data;
#[cfg(not(loom))]
pub use directory::{ObjectInfo, Shared};
#[cfg(not(loom))]
pub use error::{Error, Result};
#[cfg(not(loom))]
pub use fingerprint::Fingerprint;
/// Implements [`Payload`] for a type without parameters, by its name, as version 1;
/// `#[payload(name = "...", version = 2)]` says otherwise.
#[cfg(not(loom))]
pub use folio_ipc_derive::Payload;
#[cfg(not(loom))]
pub use heap::HeapInfo;
#[cfg(not(loom))]
pub use inspect::{
    HolderInfo, Inspection, LockInfo, ParticipantInfo, RegionInfo, Repaired, ThreadInfo,
};
#[cfg(not(loom))]
pub use kill::kill_points;
#[cfg(not(loom))]
pub use locks::{
    Barrier, BarrierOutcome, Condvar, Event, EventReset, LockError, LockResult, Mutex, MutexGuard,
    Once, OnceValue, Permit, ReadGuard, RwLock, Semaphore, Wakeup, WriteGuard,
};
#[cfg(not(loom))]
pub use object::{Object, ObjectKind};
#[cfg(not(loom))]
pub use payload::Payload;
#[cfg(not(loom))]
pub use region::{Observer, Region, RegionOptions};
