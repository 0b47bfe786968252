//! Files that are read at an offset, without a mapping.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
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

/// The size that the system states. A block device states it only to those who seek.
pub(crate) fn size_of_file(mut device: &File, metadata: &Metadata) -> u64 {
    if !metadata.file_type().is_block_device() {
        return metadata.len();
    }
    let sought = device.stream_position().and_then(|before| {
        let size = device.seek(SeekFrom::End(0))?;
        device.seek(SeekFrom::Start(before))?;
        Ok(size)
    });
    sought.unwrap_or(0)
}
