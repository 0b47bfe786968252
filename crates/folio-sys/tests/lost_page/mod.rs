//! Files, and mappings of them, whose pages can be lost.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{Mapping, Span};

pub(crate) fn file_of(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

pub(crate) fn span_of(file: &File, offset: u64, len: usize, policy: FaultPolicy) -> Span {
    Span::of(Arc::new(
        Mapping::of_file(file, offset, len, policy).unwrap(),
    ))
}
