//! Tests of tables from outside, by what they test.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod adversarial;
mod batches;
mod building;
mod damage;
mod differential;
mod exporting;
mod fixture;
mod hostile;
mod importing;
mod ordered;
mod out_of_core;
mod patched;
mod perfect;
mod quick;
mod random;
mod small;
mod uses;
mod verifying;
mod windowed;
