//! Bytes that are wanted later: in memory as long as they are few, else in a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::temporary::scratch;

/// Bytes that are written in order, and read at random.
#[derive(Debug)]
pub(super) struct Spool {
    /// The beginning, where it did not fit into memory.
    file: Option<File>,
    file_len: u64,
    /// The end.
    memory: Vec<u8>,
    memory_limit: usize,
    folder: PathBuf,
}

impl Spool {
    /// The file, if it comes to one, is in `folder`.
    pub(super) fn new(memory_limit: usize, folder: PathBuf) -> Self {
        Self {
            file: None,
            file_len: 0,
            memory: Vec::new(),
            memory_limit,
            folder,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.file_len + self.memory.len() as u64
    }

    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.memory.len() + bytes.len() > self.memory_limit {
            self.flush()?;
        }
        self.memory.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let in_file = self.file_len.saturating_sub(offset);
        let in_file = usize::try_from(in_file).unwrap_or(usize::MAX);
        let (first, second) = buf.split_at_mut(in_file.min(buf.len()));
        if let Some(file) = self.file.as_ref().filter(|_| !first.is_empty()) {
            file.read_exact_at(first, offset)?;
        }
        let start = (offset + first.len() as u64).saturating_sub(self.file_len);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let from = self.memory.get(start..);
        let from = from.and_then(|rest| rest.get(..second.len()));
        second.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Gives all bytes, in order, in parts.
    pub(super) fn for_each_part(
        &self,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buf = Vec::new();
        let mut done = 0;
        while let Some(left @ 1..) = self.file_len.checked_sub(done) {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            buf.resize(left.min(self.memory_limit), 0);
            self.read_exact_at(&mut buf, done)?;
            take(&buf)?;
            done += buf.len() as u64;
        }
        take(&self.memory)
    }

    /// Forgets what was pushed after the first `len` bytes.
    pub(super) fn truncate(&mut self, len: u64) {
        let in_memory = len.saturating_sub(self.file_len);
        self.memory
            .truncate(usize::try_from(in_memory).unwrap_or(usize::MAX));
        self.file_len = self.file_len.min(len);
    }

    #[cold]
    fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(scratch(&self.folder)?),
        };
        file.write_all_at(&self.memory, self.file_len)?;
        self.file_len += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }
}
