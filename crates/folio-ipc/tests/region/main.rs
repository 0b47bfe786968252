//! Regions: made, opened, grown, filled, damaged, and left behind by processes that are killed.
//!
//! The tests start processes of their own. If this program is told so
//! by its environment, it is one of those processes,
//! and otherwise it runs the tests, which start it again that way.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod blocks;
mod campaign;
mod child;
mod damage;
mod forked;
mod growth;
mod killed;
mod lost;
mod objects;
mod opening;
mod patched;
mod sample;

use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

/// What a test is: it panics or returns.
type Test = (&'static str, fn());

fn main() {
    if child::run_if_told() {
        return;
    }
    let tests = [
        opening::TESTS,
        damage::TESTS,
        growth::TESTS,
        objects::TESTS,
        blocks::TESTS,
        lost::TESTS,
        forked::TESTS,
        killed::TESTS,
        campaign::TESTS,
    ];
    let trials = tests.concat().into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            watched(name, test);
            Ok::<(), Failed>(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

/// Ends the program if a test hangs. No test takes a tenth of this.
fn watched(name: &'static str, test: fn()) {
    const PATIENCE: Duration = Duration::from_secs(900);
    let (done, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name}: hangs");
            process::abort();
        }
    });
    test();
    drop(done);
}
