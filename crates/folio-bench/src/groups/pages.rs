//! Keeping the pages in memory that a row reads from.
//!
//! The kernel takes pages of files away when it sees fit, and a few faults would cost more than
//! all the reads of a turn: before each round every page is read once.

use std::hint::black_box;

use folio::{ReadAt, View};

use crate::row::Skipped;

const PAGE_LEN: usize = 4096;

/// Reads a byte of each page of a view.
pub(super) fn touch_view(view: &View) -> Result<(), Skipped> {
    let mut byte = [0];
    for offset in (0..view.len()).step_by(PAGE_LEN) {
        view.read_exact_at(offset, &mut byte)?;
        black_box(byte);
    }
    Ok(())
}

/// Reads a byte of each page of a slice.
pub(super) fn touch_slice(bytes: &[u8]) {
    for page in bytes.chunks(PAGE_LEN) {
        black_box(page.first().copied());
    }
}
