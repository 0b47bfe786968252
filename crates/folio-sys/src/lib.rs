//! folio-sys
