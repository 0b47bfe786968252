//! Values that are too long to be sorted with their keys.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A temporary file of values, in the order in which they were added.
#[derive(Debug)]
pub(super) struct Aside {
    file: File,
    len: u64,
}

impl Aside {
    pub(super) fn new(file: File) -> Self {
        Self { file, len: 0 }
    }

    /// Writes a value at the end and returns its place.
    pub(super) fn put(&mut self, value: &[u8]) -> io::Result<u64> {
        let place = self.len;
        self.file.write_all_at(value, place)?;
        self.len += value.len() as u64;
        Ok(place)
    }

    /// Fills a buffer with a part of what was put.
    pub(super) fn read_exact_at(&self, place: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, place)
    }
}
