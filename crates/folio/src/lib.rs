//! Files as memory.
//!
//! A [`Source`] opens whatever there is to open: a regular file, a pipe, a tty, a
//! socket, an entry of `/proc`. What can be mapped is mapped, so that all processes
//! that read it share one copy in physical memory; what cannot is read. A [`View`]
//! is a range of its bytes.
//!
//! ```
//! use folio::{ReadAt, Source};
//!
//! let file = tempfile::NamedTempFile::new()?;
//! std::fs::write(&file, b"hello, world")?;
//!
//! let source = Source::open(&file)?;
//! let view = source.view(7, 5)?; // any offset, any length
//! assert_eq!(view.to_vec()?, b"world");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Soundness
//!
//! No safe function here gives out a reference to bytes that another process can
//! change or truncate. Bytes are copied out, by routines for which a page that the file
//! has lost is an [`Error::Fault`]; with `mmap` alone it would end the process by
//! SIGBUS. The copy tolerates concurrent writers: each byte is one that was there at
//! some moment.
//!
//! # Platforms
//!
//! Linux first. On x86-64, 32-bit x86 and aarch64 the copies are a few instructions, and a
//! signal handler finds lost pages out; on other architectures, and where
//! [`FaultPolicy::Syscall`] is asked for, they are system calls.

mod budgeted;
mod checkpoint;
mod dirty_pages;
mod dirty_tracker;
mod draft;
mod error;
mod freeze;
mod frozen;
mod map;
mod map_mut;
mod map_options;
mod page_set;
mod paging;
mod positioned;
mod range;
mod read_at;
mod reader;
pub mod residency;
mod search;
mod slice;
mod source;
mod spool;
mod unsafe_advice;
mod view;
mod windows;

pub use budgeted::{Budgetable, Budgeted};
pub use checkpoint::{Checkpoint, CheckpointSummary};
pub use dirty_pages::DirtyPages;
pub use dirty_tracker::{DirtyTracker, DirtyTrackerOptions, TrackingMethod};
pub use draft::Draft;
pub use error::{Error, Result};
pub use folio_sys::advice::{Advice, UnsafeAdvice};
pub use folio_sys::fault::FaultPolicy;
pub use folio_sys::frozen::Missing;
pub use folio_sys::shared::SharedWords;
#[cfg(target_os = "linux")]
pub use freeze::FrozenOptions;
pub use frozen::Frozen;
pub use map::Map;
pub use map_mut::{MapMut, Protection};
pub use map_options::{HugePages, MapOptions};
pub use read_at::ReadAt;
pub use reader::Reader;
pub use residency::Residency;
pub use source::{Kind, Reason, Source, SourceOptions};
pub use spool::SpoolOptions;
pub use view::View;
pub use windows::{WindowStats, Windows, WindowsOptions};
