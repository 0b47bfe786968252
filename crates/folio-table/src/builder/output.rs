//! Where a table is written to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError, RwLock};

/// A file, or memory. A clone is the same one.
#[derive(Clone, Debug)]
pub(super) enum Output {
    File(Arc<File>),
    Memory(Arc<RwLock<Vec<u8>>>),
}

impl Output {
    /// Writes at an offset: one within what there is, or at its end.
    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all_at(bytes, offset),
            Self::Memory(memory) => {
                let mut memory = memory.write().unwrap_or_else(PoisonError::into_inner);
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(bytes.len());
                if let Some(more) = end.checked_sub(memory.len()) {
                    memory.try_reserve(more)?;
                    memory.resize(end, 0);
                }
                if let Some(to) = memory.get_mut(start..end) {
                    to.copy_from_slice(bytes);
                }
                Ok(())
            }
        }
    }

    /// Reads what was written.
    pub(super) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buf, offset),
            Self::Memory(memory) => {
                let memory = memory.read().unwrap_or_else(PoisonError::into_inner);
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let from = memory.get(start..).and_then(|rest| rest.get(..buf.len()));
                let from = from.ok_or(io::ErrorKind::UnexpectedEof)?;
                buf.copy_from_slice(from);
                Ok(())
            }
        }
    }

    /// Forgets what stands from here on.
    pub(super) fn truncate(&self, len: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.set_len(len),
            Self::Memory(memory) => {
                let mut memory = memory.write().unwrap_or_else(PoisonError::into_inner);
                memory.truncate(usize::try_from(len).unwrap_or(usize::MAX));
                Ok(())
            }
        }
    }
}
