//! The `folio` command as its users meet it: the program itself, files, pipes, sockets,
//! terminals, and the Redis clients of others.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bad_input;
mod build;
mod cat;
mod client;
mod clients;
mod crash;
mod debian_index;
mod dump;
mod folder;
mod get;
mod manual;
mod memory;
mod paging;
mod probe;
mod process;
mod program;
mod pty;
mod region;
mod sample;
mod scan;
mod screen;
mod serve;
mod server;
mod sharing;
mod stat;
mod store;
mod terminal;
mod verify;
