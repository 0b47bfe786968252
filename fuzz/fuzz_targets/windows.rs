//! Sequences of operations on windows, against a plain vector.
//!
//! The model is the one that `crates/folio/tests/windows.rs` runs with random bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/folio/tests/windows/model.rs"]
mod model;

fuzz_target!(|input: &[u8]| model::run(input));
