//! folio-cli
fn main() {}
