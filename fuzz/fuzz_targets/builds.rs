//! Records, and text to import, against a map, and with little memory against enough.
//!
//! The model is the one that `crates/folio-table/tests/table/building.rs` runs with random bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/folio-table/tests/table/building/model.rs"]
mod model;

fuzz_target!(|input: &[u8]| model::run(input));
