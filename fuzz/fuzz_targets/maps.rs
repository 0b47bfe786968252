//! Sequences of operations on maps of a file that others change, against a plain vector.
//!
//! The model is the one that `crates/folio/tests/maps.rs` runs with random bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/folio/tests/maps/model.rs"]
mod model;

fuzz_target!(|input: &[u8]| model::run(input));
