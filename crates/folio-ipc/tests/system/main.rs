//! What takes programs of others, or rights, to be shown: system calls that are counted, namespaces of
//! process ids, a disk that is full.
//!
//! Its children are this program once more: `system --child ROLE PATH`. Where something is missing, a test says so
//! and is skipped; in CI (by the environment variable `CI`) it fails.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "the tests need Linux")
)]

mod child;
mod full_disk;
mod namespaces;
mod system_calls;

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
    let mut trials = Vec::new();
    if cfg!(target_os = "linux") {
        for (name, test) in [system_calls::TESTS, namespaces::TESTS, full_disk::TESTS].concat() {
            trials.push(Trial::test(name, move || {
                watched(name, test);
                Ok::<(), Failed>(())
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Ends the program if a test hangs. No test takes a tenth of this.
fn watched(name: &'static str, test: fn()) {
    const PATIENCE: Duration = Duration::from_secs(300);
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

/// Says why a test did not test anything. In CI that is a failure.
#[track_caller]
fn skip(reason: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "cannot be tested: {reason}"
    );
    eprintln!("skipped: {reason}");
}
