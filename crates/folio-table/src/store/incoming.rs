//! Where a publisher works until there is something to publish.

use std::fs::{self, File};
use std::path::Path;

use tempfile::TempDir;

use super::folder::{Folder, INCOMING, open_at_once};
use super::lock::{self, StoreLock};
use crate::{Error, Result};

/// A folder within the store's, of one publisher alone, removed when dropped.
///
/// It is locked as long as its maker lives, so that others can tell what a killed one left
/// from what is being worked at, whatever files there are in it.
#[derive(Debug)]
pub(super) struct Incoming {
    folder: TempDir,
    _locked: File,
}

impl Incoming {
    /// Makes one. Under the store's lock, so that nobody takes it for a leftover before
    /// it is locked.
    pub(super) fn create(folder: &Folder, _lock: &StoreLock) -> Result<Self> {
        let failed = |error| Error::io("make a folder in", folder.path(), error);
        let created = tempfile::Builder::new()
            .prefix(INCOMING)
            .tempdir_in(folder.path())
            .map_err(failed)?;
        let locked = File::open(&created).map_err(failed)?;
        // It is new, so that nobody else has it.
        lock::try_own(&locked).map_err(|error| Error::io("lock", created.path(), error))?;
        Ok(Self {
            folder: created,
            _locked: locked,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes those whose makers are gone, and says how many.
    pub(super) fn clean(folder: &Folder, _lock: &StoreLock) -> Result<usize> {
        let mut removed = 0;
        for path in folder.incoming()? {
            // Its maker may be removing it just now.
            let Ok(leftover) = open_at_once(&path) else {
                continue;
            };
            if lock::try_own(&leftover).unwrap_or(false) && remove(&path, &leftover).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Removes a leftover; it may be a file, of a name that only we give, though.
fn remove(path: &Path, opened: &File) -> std::io::Result<()> {
    if opened.metadata()?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}
