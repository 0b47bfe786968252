//! Regions that somebody has changed, and everything that can be done with one.
//!
//! The changes are those of `crates/folio-ipc/tests/region/patched.rs`, which is tested with random bytes as well.
//! It makes checksums right again, which no fuzzer guesses.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "its tests use more of it")]
#[path = "../../crates/folio-ipc/tests/region/patched.rs"]
mod patched;

fuzz_target!(|input: &[u8]| patched::run(input));
