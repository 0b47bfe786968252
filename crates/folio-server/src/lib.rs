//! folio-server
