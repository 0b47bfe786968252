//! The mapped region, as words and bytes at offsets that are checked.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use folio_sys::shared_memory::{Access, SharedMemory};

use super::header::{SIZE_WORD, size_from_word};
use super::layout::Layout;
use crate::{Error, Result};

/// A region in memory. What is beyond what is mapped is mapped when it is asked for, if the region has
/// grown meanwhile.
pub(crate) struct Image {
    memory: Arc<SharedMemory>,
    layout: Layout,
    path: PathBuf,
}

impl Image {
    pub(crate) fn new(memory: SharedMemory, layout: Layout, path: PathBuf) -> Self {
        Self {
            memory: Arc::new(memory),
            layout,
            path,
        }
    }

    #[inline]
    pub(crate) fn memory(&self) -> &Arc<SharedMemory> {
        &self.memory
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.memory.file()
    }

    /// The size that the header states now.
    pub(crate) fn size_bytes(&self) -> Result<u64> {
        let word = self.load(SIZE_WORD)?;
        let layout = &self.layout;
        size_from_word(word)
            .filter(|size| {
                (layout.least_size_bytes()..=layout.dimensions.capacity_bytes).contains(size)
            })
            .ok_or_else(|| self.damaged(SIZE_WORD, format!("the word {word:016x} is no size")))
    }

    /// A word to be changed.
    #[inline]
    pub(crate) fn word(&self, offset: u64) -> Result<&AtomicU64> {
        let word = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.memory.u64_at(offset));
        match word {
            Some(word) => Ok(word),
            None => self.word_slow(offset),
        }
    }

    #[cold]
    fn word_slow(&self, offset: u64) -> Result<&AtomicU64> {
        self.map_further()?;
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.memory.u64_at(offset))
            .ok_or_else(|| self.outside(offset))
    }

    /// What is in a word, also where nothing may be changed.
    #[inline]
    pub(crate) fn load(&self, offset: u64) -> Result<u64> {
        if matches!(self.memory.access(), Access::ReadWrite) {
            return Ok(self.word(offset)?.load(Ordering::Acquire));
        }
        let mut bytes = [0; 8];
        self.read(offset, &mut bytes)?;
        #[expect(clippy::host_endian_bytes, reason = "a region is of one machine")]
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Copies bytes out.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let at = usize::try_from(offset).map_err(|_| self.outside(offset))?;
        if self.memory.read_at(at, bytes).is_ok() {
            return Ok(());
        }
        // The size is read by this function, too: no further than it is mapped in any case.
        if offset == SIZE_WORD {
            return Err(self.lost());
        }
        self.map_further()?;
        self.memory
            .read_at(at, bytes)
            .map_err(|_| self.outside(offset))
    }

    /// Copies bytes in.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let at = usize::try_from(offset).map_err(|_| self.outside(offset))?;
        if self.memory.write_at(at, bytes).is_ok() {
            return Ok(());
        }
        self.map_further()?;
        self.memory
            .write_at(at, bytes)
            .map_err(|_| self.outside(offset))
    }

    /// Maps what the region has grown by.
    #[cold]
    pub(crate) fn map_further(&self) -> Result<()> {
        let size_bytes = self.size_bytes()?;
        let size = usize::try_from(size_bytes).map_err(|_| self.outside(size_bytes))?;
        if size <= self.memory.len() {
            return Ok(());
        }
        // A file that was cut short meanwhile can be mapped all the same.
        self.check_length(size_bytes)?;
        self.memory
            .grow(size)
            .map_err(|error| Error::io("map what it has grown by", &self.path, error))
    }

    /// An error if the file is shorter than this.
    pub(super) fn check_length(&self, expected: u64) -> Result<()> {
        let stat = rustix::fs::fstat(self.file())
            .map_err(|error| Error::io("ask for its length", &self.path, error))?;
        let found = u64::try_from(stat.st_size).unwrap_or(0);
        if found < expected {
            return Err(Error::Truncated {
                path: self.path.clone(),
                expected,
                found,
            });
        }
        Ok(())
    }

    /// Whether pages of the region are gone.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.memory.lost_pages() > 0
    }

    /// An error if pages of the region are gone.
    pub(crate) fn check_not_lost(&self) -> Result<()> {
        if self.is_lost() {
            Err(self.lost())
        } else {
            Ok(())
        }
    }

    /// The region itself once pages are gone; else the place in it that is wrong.
    #[cold]
    pub(crate) fn damaged(&self, offset: u64, what: impl Into<String>) -> Error {
        if self.is_lost() {
            return self.lost();
        }
        Error::damaged(&self.path, offset, what)
    }

    #[cold]
    fn outside(&self, offset: u64) -> Error {
        self.damaged(offset, format!("it has {} bytes", self.memory.len()))
    }

    fn lost(&self) -> Error {
        Error::Lost {
            path: self.path.clone(),
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("path", &self.path)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}
