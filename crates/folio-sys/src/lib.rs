//! folio's only door to the kernel.
//!
//! Everything in folio that needs `unsafe` lives here, behind functions that are
//! safe to call: mappings whose lost pages are errors instead of signals, memory
//! shared with child processes, and `fork` for programs of one thread. The crates
//! above, [`folio`](https://docs.rs/folio) first, are where to begin as a user.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mapping`] | [`Mapping`](mapping::Mapping): bytes of a file in memory, copied out under guard |
//! | [`fault`] | the handler of SIGBUS and SIGSEGV, and how a fault becomes an error |
//! | [`advice`] | what the kernel is told about pages |
//! | [`cachestat`](mod@cachestat) | what of a file the page cache holds |
//! | [`file`](mod@file) | what files are made of, and making them longer |
//! | [`frozen`] | bytes proven immutable, as slices |
//! | [`page`] | page size and page arithmetic |
//! | `memfd` | files in memory, of ordinary or of huge pages (Linux) |
//! | `pass` | descriptors sent to other processes (Linux) |
//! | [`hazard`] | reading what is current without a lock |
//! | [`page`] | page size and page arithmetic |
//! | [`reservation`] | address space set aside |
//! | [`shared`] | counters that a process and its children share |
//! | [`prefetch`] | what will be read soon |
//! | `sandbox` | system calls refused, for tests (Linux) |
//! | [`process`] | `fork`, and children that end with their parent |

#![expect(
    unsafe_code,
    reason = "this crate is where folio meets the kernel; every other crate denies unsafe"
)]

pub mod advice;
pub mod cachestat;
mod copy;
pub mod fault;
pub mod file;
pub mod frozen;
pub mod hazard;
pub mod mapping;
#[cfg(target_os = "linux")]
pub mod memfd;
pub mod page;
#[cfg(target_os = "linux")]
pub mod pass;
pub mod prefetch;
pub mod process;
pub mod reservation;
#[cfg(target_os = "linux")]
pub mod sandbox;
pub mod shared;
mod survive;
