//! Removing generations that nobody needs.

use std::fs;
use std::io;

use super::Store;
use super::folder::{open_regular, sync_folder};
use super::lock::{StoreLock, try_own};
use crate::{Error, Result};

/// What [`Store::prune`] did.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The generations that were removed, in order.
    pub removed: Vec<u64>,
    /// Those that would have been, but that some process holds, in order.
    pub in_use: Vec<u64>,
    /// How many bytes the files had that were removed.
    pub freed_bytes: u64,
    /// How many files and folders of killed publishers were removed.
    pub leftovers: usize,
}

impl Store {
    /// Removes all generations but the `keep` newest, the current one, and those that
    /// any reader holds; and what killed publishers left.
    ///
    /// A reader that is about to open a generation either has it in time, or takes the
    /// current one instead. What reads a generation's file without a [`StoreReader`](crate::StoreReader) is
    /// not heard of; what it has mapped stays, even when the file's name is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]. Some generations may be removed by then.
    pub fn prune(&self, keep: usize) -> Result<Pruned> {
        let lock = StoreLock::take(&self.folder)?;
        let mut pruned = Pruned {
            leftovers: self.clean(&lock)?,
            ..Pruned::default()
        };
        let current = self.folder.pointer()?.current;
        let numbers = self.folder.numbers()?;
        let surplus = numbers.len().saturating_sub(keep);
        let surplus = numbers.into_iter().take(surplus);
        for number in surplus.filter(|&number| number != current) {
            match self.remove_unused(number)? {
                Some(bytes) => {
                    pruned.removed.push(number);
                    pruned.freed_bytes = pruned.freed_bytes.saturating_add(bytes);
                }
                None => pruned.in_use.push(number),
            }
        }
        sync_folder(self.path())?;
        Ok(pruned)
    }

    /// Removes a generation, unless it is in use, and says how long its file was.
    fn remove_unused(&self, number: u64) -> Result<Option<u64>> {
        let path = self.folder.generation(number);
        let file = match open_regular(&path) {
            Ok(file) => file,
            // Somebody removed it by hand.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(0)),
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        // Where there are no locks, nobody knows who uses it.
        if !try_own(&file).unwrap_or(false) {
            return Ok(None);
        }
        self.folder.step("generation locked");
        // A reader that has opened it by now cannot lock it until it has no name any more, and sees that.
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
        self.folder.step("generation removed");
        Ok(Some(len))
    }
}
