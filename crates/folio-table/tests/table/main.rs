//! Tests of tables from outside, by what they test.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod differential;
mod importing;
mod random;
