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
mod debian_index;
mod folder;
mod get;
mod manual;
mod probe;
mod process;
mod program;
mod pty;
mod sample;
mod screen;
mod serve;
mod server;
mod sharing;
mod stat;
mod terminal;
mod verify;
