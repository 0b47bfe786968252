//! The same bytes in all the places that a row reads them from.

use std::fs::File;
use std::io::Write;

use folio::View;
use tempfile::NamedTempFile;

use crate::args::Settings;
use crate::groups::pages::{touch_slice, touch_view};
use crate::groups::random::Random;
use crate::row::Skipped;

/// The same bytes thrice: in a file mapped by folio, in the same file mapped by memmap2, and in
/// memory of our own.
pub(super) struct Fixture {
    pub(super) view: View,
    pub(super) mapped: memmap2::Mmap,
    pub(super) file: File,
    pub(super) memory: Vec<u8>,
    pub(super) path: NamedTempFile,
}

impl Fixture {
    /// As much as the rows say: 1 GiB, and 64 MiB for `--quick`.
    pub(super) fn of(settings: &Settings) -> Result<Self, Skipped> {
        Self::new(if settings.quick { 64 << 20 } else { 1 << 30 })
    }

    pub(super) fn new(len: usize) -> Result<Self, Skipped> {
        let mut random = Random::new();
        let mut memory = Vec::with_capacity(len);
        while memory.len() < len {
            memory.extend_from_slice(&random.next().to_le_bytes());
        }
        let mut path = NamedTempFile::new()?;
        path.write_all(&memory)?;
        // Nothing is left to be written back while we measure.
        path.as_file().sync_all()?;
        let file = path.reopen()?;
        Ok(Self {
            view: folio::Source::open(path.path())?.whole()?,
            mapped: map(&file)?,
            file,
            memory,
            path,
        })
    }

    pub(super) fn touch(&self) -> Result<(), Skipped> {
        touch_slice(&self.mapped);
        touch_slice(&self.memory);
        touch_view(&self.view)
    }
}

/// The peer's mapping.
#[expect(
    unsafe_code,
    reason = "memmap2 leaves to its caller that the file does not change"
)]
pub(in crate::groups) fn map(file: &File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the file is a temporary one of this process alone, unlinked when the bench ends,
    // and nobody writes to it or cuts it short after it was filled.
    unsafe { memmap2::Mmap::map(file) }
}
