//! An immutable, ordered, checksummed lookup table in one file.
//!
//! A table is built once, from keys and values in any order, and then looked up
//! by any number of processes, each through a mapping of the same file (or
//! through whatever else implements [`folio::ReadAt`]). A lookup reads one cache
//! line of the hash index, and then the record; with a [perfect index](IndexKind::Perfect),
//! which is a tenth of the size, somewhat more. Every byte of the file is
//! covered by a checksum. The format is specified in `docs/format.md`.
//!
//! ```
//! use folio_table::{Builder, Table};
//!
//! let mut builder = Builder::new();
//! builder.add(1, b"ape", b"climbs")?;
//! builder.add(2, b"bee", b"flies")?;
//! let table = Table::from_bytes(builder.to_vec()?, "animals")?;
//!
//! assert_eq!(table.count(), 2);
//! assert_eq!(table.get(b"bee")?.as_deref(), Some(b"flies".as_slice()));
//! assert_eq!(table.get(b"cow")?, None);
//! # Ok::<(), folio_table::Error>(())
//! ```
//!
//! Nothing in a file is trusted: a damaged or hostile table gives an [`Error`],
//! never a panic, an endless loop, or an allocation beyond the file's length.
//! That its records are the ones that were written is what [`Table::verify`]
//! checks; opening checks the header and the footer. [`Table::options`] opens a table
//! whose pages are checked as they are read.
#![forbid(unsafe_code)]

mod builder;
mod checked;
mod chunk;
mod error;
pub mod export;
mod format;
pub mod import;
mod info;
mod iter;
mod lookup;
mod options;
mod order;
mod records;
mod store;
mod table;
mod values;
mod verify;

pub use builder::{Builder, OnDuplicate, remove_temporary_files};
pub use checked::{Checked, Verify};
pub use error::{Error, Result};
pub use format::{FORMAT_VERSION, MAX_KEY_LEN, MAX_VALUE_LEN};
pub use info::{IndexKind, Info, Section, SectionKind};
pub use iter::Iter;
pub use lookup::{Value, ValueRange};
pub use options::TableOptions;
pub use order::{Cursor, KeyRange, Scan};
pub use store::{Generation, GenerationInfo, Pruned, Store, StoreReader};
pub use table::Table;
pub use verify::{Damage, Findings};
