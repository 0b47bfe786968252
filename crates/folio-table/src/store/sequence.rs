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

use folio::{Kind, Source, View};
use zerocopy::little_endian::U64;

use super::folder::{Folder, open_regular};
use super::lock::StoreLock;
use crate::{Error, Result};

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
        let sequence = Self { file, path };
        if sequence.read().is_none() {
            // It is new, or was cut short. Where this is refused, its maker's umask decides.
            let _ = sequence.file.set_permissions(Permissions::from_mode(mode));
        }
        Ok(sequence)
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
            view: mapped.and_then(|source| source.view(0, 8).ok()),
        }
    }

    /// The number now, if it is settled; else [`UNSETTLED`].
    #[inline]
    pub(super) fn load(&self) -> u64 {
        let number = self.view.as_ref().map(|view| view.get::<U64>(0));
        match number {
            Some(Ok(number)) if number.get() % 2 == 0 => number.get(),
            // Odd, or the file has become shorter.
            _ => UNSETTLED,
        }
    }

    /// Whether there is a number at all.
    pub(super) fn is_mapped(&self) -> bool {
        self.view.is_some()
    }
}
