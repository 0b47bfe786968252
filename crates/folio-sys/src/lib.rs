//! folio's only door to the kernel.
//!
//! Everything in folio that needs `unsafe` lives here, behind functions that are
//! safe to call: mappings whose lost pages are errors instead of signals, memory
//! that processes share and what they wait by in it, and `fork` for programs of one thread. The crates
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
//! | [`reservation`] | address space set aside |
//! | [`shared_memory`] | atomics in files that processes share |
//! | [`futex`] | waiting for a word to change |
//! | [`robust`] | words that the kernel marks when their owner dies |
//! | [`ofd_lock`] | locks that the kernel drops when their holder dies |
//! | [`shared`] | counters that a process and its children share |
//! | [`prefetch`] | what will be read soon |
//! | [`watch`] | which pages of a mapping were written to |
//! | `sandbox` | system calls refused, for tests (Linux) |
//! | [`process`] | `fork`, children that end with their parent, and which process this is |

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
pub mod futex;
pub mod hazard;
pub mod mapping;
#[cfg(target_os = "linux")]
pub mod memfd;
pub mod ofd_lock;
pub mod page;
#[cfg(target_os = "linux")]
mod pagemap;
#[cfg(target_os = "linux")]
pub mod pass;
pub mod prefetch;
pub mod process;
mod process_mark;
pub mod reservation;
pub mod robust;
#[cfg(target_os = "linux")]
pub mod sandbox;
pub mod shared;
pub mod shared_memory;
mod survive;
pub mod watch;
