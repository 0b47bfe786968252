//! A folder of tables, of which one is current.

mod folder;
mod incoming;
mod list;
mod lock;
mod pointer;
mod prune;
mod publish;
mod reader;
mod sequence;

use std::fs::{self, File};
use std::io;
use std::path::Path;

pub use list::GenerationInfo;
pub use prune::Pruned;
pub use reader::{Generation, StoreReader};

use crate::{Error, Result};
use folder::{CURRENT, Folder, sync_folder};
use incoming::Incoming;
use lock::StoreLock;
use pointer::Pointer;
use sequence::Sequence;

/// A folder of generations: tables that replace each other while they are read.
///
/// Each table that is published becomes a generation, with a number that no other one ever
/// has, and is current from then on. Readers follow at moments of their choice, and keep
/// what they hold. Everything that changes a store is atomic, durable, and done by one process at a
/// time; a process that is killed on the way leaves the old generation current or the new
/// one, and what else it left is removed by the next that publishes or prunes.
///
/// Reading takes no permission to write, not to any file; `docs/store.md` specifies the
/// folder.
///
/// ```
/// use folio_table::{Builder, Store};
///
/// let folder = tempfile::tempdir()?;
/// let store = Store::create(folder.path().join("prices"))?;
/// let mut builder = Builder::new();
/// builder.add(1, b"apple", b"7")?;
/// store.publish_with(|path| builder.write_to(path))?;
///
/// let mut reader = store.reader()?;
/// let old = reader.current().clone();
/// assert_eq!(old.table().get(b"apple")?.as_deref(), Some(b"7".as_slice()));
///
/// let mut builder = Builder::new();
/// builder.add(1, b"apple", b"8")?;
/// store.publish_with(|path| builder.write_to(path))?;
///
/// assert!(reader.refresh()?); // some nanoseconds where nothing changed
/// let new = reader.current();
/// assert_eq!(new.table().get(b"apple")?.as_deref(), Some(b"8".as_slice()));
/// assert_eq!(old.table().get(b"apple")?.as_deref(), Some(b"7".as_slice()));
/// assert_eq!((old.number(), new.number()), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    folder: Folder,
}

impl Store {
    /// Opens the store in a folder.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] for any other folder; [`Error::Io`] when it cannot be read;
    /// [`Error::Version`], [`Error::Checksum`] and [`Error::Damaged`] when it says of itself what
    /// cannot be understood.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = Folder::new(folder.as_ref());
        folder.pointer()?;
        Ok(Self::over(folder))
    }

    /// Makes an empty store, and its folder if need be (but not the folder's own); opens
    /// the store that is there already.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] for a folder with other files in it; otherwise as for
    /// [`open`](Self::open).
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        Self::over(Folder::new(folder.as_ref())).make()
    }

    /// As [`create`](Self::create), step by step: see [`on_step`](Self::on_step).
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create).
    #[doc(hidden)]
    pub fn create_step_by_step(folder: impl AsRef<Path>, hook: fn(&'static str)) -> Result<Self> {
        let store = Self::over(Folder::new(folder.as_ref()));
        store.on_step(hook).make()
    }

    fn make(self) -> Result<Self> {
        let store = self;
        let path = store.path();
        match fs::create_dir(path) {
            Ok(()) => sync_folder(path.parent().unwrap_or(path))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make the folder", path, error)),
        }
        if !store.folder.has_pointer()? {
            store.folder.refuse_strangers()?;
            let lock = StoreLock::take(&store.folder)?;
            // Another may have made it meanwhile.
            if !store.folder.has_pointer()? {
                let incoming = Incoming::create(&store.folder, &lock)?;
                store.point(&lock, &incoming, &Pointer::EMPTY)?;
            }
        }
        store.folder.pointer()?;
        Ok(store)
    }

    /// Whether there is a store at this path, whole or not. A path that cannot be looked at
    /// is none.
    #[must_use]
    pub fn is_at(folder: impl AsRef<Path>) -> bool {
        Folder::new(folder.as_ref()).has_pointer().unwrap_or(false)
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The number of the current generation; `None` before the first one.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn current(&self) -> Result<Option<u64>> {
        let current = self.folder.pointer()?.current;
        Ok((current > 0).then_some(current))
    }

    /// Makes an earlier (or later) generation current again and returns its number.
    ///
    /// Without a number that is the one that was current when the current one was
    /// published; where that is gone or not known, since the last change was no publishing, it is the one with the
    /// next smaller number. The generation that is given up stays, until it is pruned.
    ///
    /// # Errors
    ///
    /// [`Error::NoGeneration`] when there is none to go back to, or none with that number; the
    /// errors of opening its table, which must be one; [`Error::Io`].
    pub fn rollback(&self, to: Option<u64>) -> Result<u64> {
        let lock = StoreLock::take(&self.folder)?;
        let pointer = self.folder.pointer()?;
        let numbers = self.folder.numbers()?;
        let is_there = |number: &u64| *number <= pointer.last && numbers.contains(number);
        let before = || {
            let previous = Some(pointer.previous).filter(is_there);
            let smaller = numbers.range(..pointer.current).next_back().copied();
            previous.or(smaller)
        };
        let wanted = to.or_else(before);
        let Some(number) = wanted.filter(is_there) else {
            return Err(Error::NoGeneration {
                path: self.path().to_owned(),
                generation: wanted,
            });
        };
        if number != pointer.current {
            crate::Table::open(self.folder.generation(number))?;
            let next = pointer.rolled_back_to(number, self.path())?;
            let incoming = Incoming::create(&self.folder, &lock)?;
            self.point(&lock, &incoming, &next)?;
        }
        Ok(number)
    }

    /// Calls `hook` with the name of each step on the way, so that a test can end the process
    /// there, or do what another process would.
    #[doc(hidden)]
    #[must_use]
    pub fn on_step(mut self, hook: fn(&'static str)) -> Self {
        self.folder.on_step = Some(hook);
        self
    }

    fn over(folder: Folder) -> Self {
        Self { folder }
    }

    /// Replaces CURRENT, durably, and tells the readers.
    ///
    /// Readers look at CURRENT whenever the sequence is odd or has changed. So it is odd while CURRENT may
    /// change: should this process end in between, readers look each time, until the next one
    /// that takes the lock settles it.
    fn point(&self, lock: &StoreLock, incoming: &Incoming, next: &Pointer) -> Result<()> {
        let staged = incoming.path().join(CURRENT);
        let target = self.folder.current();
        write_synced(&staged, next.to_text().as_bytes())?;
        self.folder.step("pointer written");
        let sequence = Sequence::open(&self.folder, lock)?;
        sequence.announce(next.change)?;
        self.folder.step("change announced");
        fs::rename(&staged, &target).map_err(|error| Error::io("replace", &target, error))?;
        self.folder.step("pointer renamed");
        sync_folder(self.path())?;
        self.folder.step("folder synced");
        sequence.settle(next.change)?;
        self.folder.step("change settled");
        Ok(())
    }
}

/// Writes a new file and brings it to the disk.
fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = File::create_new(path).and_then(|mut file| {
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    });
    written.map_err(|error| Error::io("write", path, error))
}
