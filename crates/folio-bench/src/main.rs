//! folio-bench
fn main() {}
