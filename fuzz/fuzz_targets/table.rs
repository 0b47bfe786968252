//! Tables that somebody has changed, and every way to read them.
//!
//! The changes, and what must hold after them, are those of `crates/folio-table/tests/table/patched.rs`, which
//! is tested with random bytes as well. It makes checksums right again, which no fuzzer
//! guesses.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/folio-table/tests/table/patched.rs"]
mod patched;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../crates/folio-table/tests/table/small.rs"]
mod small;
#[path = "../../crates/folio-table/tests/table/uses.rs"]
mod uses;

fuzz_target!(|input: &[u8]| patched::run(input));
