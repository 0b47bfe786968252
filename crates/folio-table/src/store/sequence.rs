//! How readers learn in nanoseconds that nothing changed.
//!
//! SEQUENCE holds one number, which readers have mapped and publishers write in place. It
//! decides nothing: it tells readers when to look at CURRENT. Twice the count of changes is written
//! when all is settled, and the odd number before it while CURRENT is being replaced. A
//! reader that finds the even number which it found before it last looked at CURRENT has
//! nothing to look at. So what matters is that the number differs: whether the 8 bytes
//! change at once, or reach the disk, does not.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use folio::{Kind, ReadAt, Source, View};

use super::folder::{Folder, open_regular};
use super::lock::StoreLock;
use crate::{Error, Result};

/// How long the file is: a cache line, which is what folio reads fastest, and begins with the number.
const LEN: u64 = 64;

/// The number, for the process that holds the lock.
#[derive(Debug)]
pub(super) struct Sequence {
    file: File,
    path: PathBuf,
}

impl Sequence {
    /// Opens the file, or makes it.
    pub(super) fn open(folder: &Folder, _lock: &StoreLock) -> Result<Self> {
        let path = folder.sequence();
        let mode = 0o444 | folder.writers_mode()?;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            .open(&path);
        let file = opened.map_err(|error| Error::io("open", &path, error))?;
        let failed = |error| Error::io("lengthen", &path, error);
        if file.metadata().map_err(failed)?.len() < LEN {
            // It is new, or was cut short.
            file.set_len(LEN).map_err(failed)?;
            // Where this is refused, its maker's umask decides.
            let _ = file.set_permissions(Permissions::from_mode(mode));
        }
        Ok(Self { file, path })
    }

    /// Says that CURRENT is about to be replaced for the `change`th time.
    pub(super) fn announce(&self, change: u64) -> Result<()> {
        self.write(settled(change).wrapping_sub(1))
    }

    /// Says that CURRENT is what it is to be after that many changes.
    pub(super) fn settle(&self, change: u64) -> Result<()> {
        self.write(settled(change))
    }

    /// Says so if a process that ended on the way could not.
    pub(super) fn repair(&self, change: u64) -> Result<()> {
        if self.read() == Some(settled(change)) {
            return Ok(());
        }
        self.settle(change)
    }

    fn read(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    fn write(&self, number: u64) -> Result<()> {
        let written = self.file.write_all_at(&number.to_le_bytes(), 0);
        written.map_err(|error| Error::io("write", &self.path, error))
    }
}

fn settled(change: u64) -> u64 {
    change.wrapping_mul(2)
}

/// The number, for readers: mapped, and not theirs to write.
#[derive(Debug, Clone)]
pub(super) struct Hint {
    view: Option<View>,
}

/// The hint that CURRENT has to be looked at in any case. It equals no hint that was remembered.
pub(super) const UNSETTLED: u64 = u64::MAX;

/// What to remember where there is nothing to compare the next hint with: no hint equals it.
pub(super) const NOTHING: u64 = 1;

impl Hint {
    /// Maps the file. Without it (lost, not permitted, on a file system that maps nothing) all
    /// works, by looking at CURRENT each time.
    pub(super) fn open(folder: &Folder) -> Self {
        let path = folder.sequence();
        let source = open_regular(&path).ok();
        let source = source.and_then(|file| Source::options().of_file(file, path).ok());
        let mapped = source.filter(|source| source.kind() == Kind::Mapped);
        Self {
            view: mapped.and_then(|source| source.view(0, LEN).ok()),
        }
    }

    /// The number now, if it is settled; else [`UNSETTLED`].
    #[inline]
    pub(super) fn load(&self) -> u64 {
        let mut bytes = [0; 8];
        let Some(view) = &self.view else {
            return UNSETTLED;
        };
        // It fails where the file has become shorter.
        let read = view.read_exact_at(0, &mut bytes);
        let number = u64::from_le_bytes(bytes);
        if read.is_ok() && number % 2 == 0 {
            number
        } else {
            UNSETTLED
        }
    }

    /// Whether there is a number at all.
    pub(super) fn is_mapped(&self) -> bool {
        self.view.is_some()
    }
}
