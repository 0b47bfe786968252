//! Files that are read at an offset, without a mapping.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// An open file and its name.
#[derive(Debug)]
pub(crate) struct Positioned {
    file: File,
    path: PathBuf,
}

impl Positioned {
    pub(crate) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads until `buf` is full or the file ends: one `pread(2)` may return less, as those
    /// of `/proc` do.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(position) = offset.checked_add(done as u64) else {
                break;
            };
            if i64::try_from(position).is_err() {
                // Beyond what a file offset can be, so beyond every end.
                break;
            }
            match self.file.read_at(rest, position) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &self.path, error)),
            }
        }
        Ok(done)
    }
}
