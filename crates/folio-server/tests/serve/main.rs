//! A server as its users see it: real processes, sockets and signals.
//!
//! The supervisor forks, so it must run in a process of one thread, and the standard
//! test harness has several. This program is its own harness: run with `serve` as its
//! first argument it is a server, and otherwise it runs the tests, which start it
//! again that way.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod client;
mod limits;
mod protocol;
mod server;
mod sharing;
mod stores;
mod supervision;

use libtest_mimic::{Arguments, Failed, Trial};

/// What a test is: it panics or returns.
type Test = (&'static str, fn());

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("serve") {
        return server::serve(arguments);
    }
    let tests = [
        protocol::TESTS,
        supervision::TESTS,
        limits::TESTS,
        sharing::TESTS,
        stores::TESTS,
    ];
    let trials = tests.concat().into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
