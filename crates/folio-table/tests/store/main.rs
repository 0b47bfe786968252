//! Stores as processes use them that publish, read, prune, and are killed.
//!
//! This program is its own harness: told so by its environment, it is one of those processes,
//! and otherwise it runs the tests, which start it again that way.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod campaign;
mod child;
mod killed;
mod pruning;
mod publishing;
mod reading;
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
        publishing::TESTS,
        reading::TESTS,
        pruning::TESTS,
        killed::TESTS,
        campaign::TESTS,
    ];
    let trials = tests.concat().into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            watched(name, test);
            Ok::<(), Failed>(())
        })
    });
    let mut arguments = Arguments::from_args();
    // Until it becomes another program, what one test starts has copies of the descriptors of all
    // the others, and their locks.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.collect()).exit();
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
