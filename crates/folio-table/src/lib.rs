//! folio-table
