//! Tables that somebody has changed, and every way to read them.
//!
//! The changes, and what must hold after them, are those of `crates/folio-table/tests/table/patched.rs`, which
//! is tested with random bytes as well. It makes checksums right again, which no fuzzer
//! guesses.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "its tests are run elsewhere")]
#[path = "../../crates/folio-table/tests/table/damage.rs"]
mod damage;
#[path = "../../crates/folio-table/tests/table/patched.rs"]
mod patched;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../crates/folio-table/tests/table/small.rs"]
mod small;

fuzz_target!(|input: &[u8]| patched::run(input));
