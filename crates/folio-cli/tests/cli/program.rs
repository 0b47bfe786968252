//! Programs of others that tests speak to folio with.

use std::env;
use std::fs;
use std::io::{Write, stderr};

/// Says something on the terminal, past the test harness, which keeps quiet about tests
/// that pass.
pub(crate) fn report(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// Says why a test did not test anything. In CI that is a failure.
#[track_caller]
pub(crate) fn skip(reason: &str) {
    assert!(env::var_os("CI").is_none(), "cannot be tested: {reason}");
    report(&format!("skipped: {reason}"));
}

/// Whether these programs are there; the test is skipped if not.
#[track_caller]
pub(crate) fn have(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !is_in_path(program));
    if let Some(program) = missing {
        skip(&format!("there is no {program}"));
    }
    missing.is_none()
}

fn is_in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| fs::metadata(folder.join(program)).is_ok())
}
