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

mod raw;

#[cfg(not(loom))]
pub use all::*;

/// All but the algorithms, whose models have no place for it: loom's atomics live in no region.
///
/// As if it were not there, the files are beside this one, and the modules are found as the crate's.
#[cfg(not(loom))]
#[path = "."]
mod all {
    pub(crate) mod allocation;
    pub(crate) mod data;
    pub(crate) mod directory;
    pub(crate) mod error;
    pub(crate) mod fingerprint;
    pub(crate) mod heap;
    pub(crate) mod inspect;
    pub(crate) mod kill;
    pub(crate) mod locks;
    pub(crate) mod object;
    pub(crate) mod participant;
    pub(crate) mod payload;
    pub(crate) mod region;

    pub use allocation::{Allocation, Pointer};
    pub use data::Data;
    pub use directory::{ObjectInfo, Shared};
    pub use error::{Error, Result};
    pub use fingerprint::Fingerprint;
    /// Implements [`Payload`] for a type without parameters, by its name, as version 1;
    /// `#[payload(name = "...", version = 2)]` says otherwise.
    pub use folio_ipc_derive::Payload;
    pub use heap::HeapInfo;
    pub use inspect::{
        HolderInfo, Inspection, LockInfo, ParticipantInfo, RegionInfo, Repaired, ThreadInfo,
    };
    pub use kill::kill_points;
    pub use locks::{
        Barrier, BarrierOutcome, Condvar, Event, EventReset, LockError, LockResult, Mutex,
        MutexGuard, Once, OnceValue, Permit, ReadGuard, RwLock, Semaphore, Wakeup, WriteGuard,
    };
    pub use object::{Object, ObjectKind};
    pub use payload::Payload;
    pub use region::{Observer, Region, RegionOptions};
}
