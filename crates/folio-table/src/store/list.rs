//! What generations there are.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use folio::Source;

use super::Store;
use super::folder::open_regular;
use super::lock::try_own;
use crate::{Error, Result, Table};

/// A generation, as [`Store::list`] finds it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationInfo {
    /// Its number, from 1.
    pub number: u64,
    /// The file of its table.
    pub path: PathBuf,
    /// How long that file is.
    pub size_bytes: u64,
    /// When its table was written.
    pub written: SystemTime,
    /// How many records it has; `None` where its header cannot be read.
    pub records: Option<u64>,
    /// Whether it is the one that readers take.
    pub is_current: bool,
    /// Whether some process holds it as a reader does, this one included; `None` where the
    /// file system has no locks.
    pub in_use: Option<bool>,
}

impl Store {
    /// All generations, the oldest first. Takes no permission to write.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn list(&self) -> Result<Vec<GenerationInfo>> {
        let pointer = self.folder.pointer()?;
        let mut numbers = self.folder.numbers()?;
        // What is being published, or was when its publisher was killed.
        numbers.split_off(&pointer.last.saturating_add(1));
        let look = |number| self.look_at(number, number == pointer.current).transpose();
        numbers.into_iter().filter_map(look).collect()
    }

    /// Looks at one generation; `None` if it is gone.
    fn look_at(&self, number: u64, is_current: bool) -> Result<Option<GenerationInfo>> {
        let path = self.folder.generation(number);
        let opened = open_regular(&path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata.len(), metadata.modified()?))
        });
        let (file, size_bytes, written) = match opened {
            Ok(opened) => opened,
            // It was pruned meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        let in_use = is_locked(&file);
        let source = Source::options().of_file(file, &path);
        let table = source.and_then(|source| source.whole());
        let table = table.map_err(Error::from);
        let table = table.and_then(|bytes| Table::from_bytes(bytes, &path));
        Ok(Some(GenerationInfo {
            number,
            path,
            size_bytes,
            written,
            records: table.ok().map(|table| table.count()),
            is_current,
            in_use,
        }))
    }
}

/// Whether anybody holds a file. To find that out is to hold it for a moment, so that a
/// second look tells others who do the same from those who stay.
fn is_locked(file: &std::fs::File) -> Option<bool> {
    const LOOKS: u32 = 3;
    for look in 0..LOOKS {
        thread::sleep(Duration::from_millis(u64::from(look)));
        if try_own(file).ok()? {
            // Dropped with the descriptor, which is this function's caller's alone; sooner is better.
            let _ = rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock);
            return Some(false);
        }
    }
    Some(true)
}
