//! Making a new generation current.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::Store;
use super::folder::{open_regular, sync_folder};
use super::incoming::Incoming;
use super::lock::StoreLock;
use super::sequence::Sequence;
use crate::{Error, Result, Table};

impl Store {
    /// Publishes a copy of a table and returns the number of its generation.
    ///
    /// The copy is verified whole, in case the original changed while it was copied. File systems that can
    /// share the blocks of two files do.
    ///
    /// # Errors
    ///
    /// What is wrong with the table; [`Error::Io`]. Nothing is published then.
    pub fn publish(&self, table: impl AsRef<Path>) -> Result<u64> {
        let table = table.as_ref();
        // What is no table is not copied.
        Table::open(table)?;
        self.publish_with(|path| {
            copy(table, path)?;
            Table::open(path)?.verify(|_| ())
        })
    }

    /// Publishes the table that `build` writes to the path that it is given, and returns the
    /// number of its generation.
    ///
    /// The path is in a folder of its own within the store's, so that the table needs no
    /// copying; `build` may have other files there. It runs while others publish: the one that
    /// ends last is current.
    ///
    /// ```
    /// use folio_table::{Builder, Store};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = Store::create(folder.path())?;
    /// let mut builder = Builder::new();
    /// builder.add(1, b"key", b"value")?;
    /// let number = store.publish_with(|path| builder.write_to(path))?;
    /// assert_eq!(store.current()?, Some(number));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `build` returns; the errors of opening the table that it should have written;
    /// [`Error::Io`]. Nothing is published then, and what `build` wrote is removed.
    pub fn publish_with<T, E: From<Error>>(
        &self,
        build: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Result<u64, E> {
        let incoming = self.prepare()?;
        let staged = incoming.path().join("table.folio");
        self.folder.step("prepared");
        build(&staged)?;
        self.folder.step("table written");
        Ok(self.take_in(&incoming, &staged)?)
    }

    /// Removes what killed publishers left, and makes a place to work at.
    fn prepare(&self) -> Result<Incoming> {
        let lock = StoreLock::take(&self.folder)?;
        self.clean(&lock)?;
        Incoming::create(&self.folder, &lock)
    }

    /// Removes what killed publishers left, and does what they could not; says how many
    /// files and folders that were.
    pub(super) fn clean(&self, lock: &StoreLock) -> Result<usize> {
        let pointer = self.folder.pointer()?;
        Sequence::open(&self.folder, lock)?.repair(pointer.change)?;
        let mut removed = Incoming::clean(&self.folder, lock)?;
        // They got their names, and no reader ever heard of them. One that stays is in nobody's way.
        for number in self.folder.numbers()? {
            let is_stray = number > pointer.last;
            if is_stray && fs::remove_file(self.folder.generation(number)).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Gives a finished table its name and makes it current.
    fn take_in(&self, incoming: &Incoming, staged: &Path) -> Result<u64> {
        Table::open(staged)?;
        let synced = File::open(staged).and_then(|file| file.sync_all());
        synced.map_err(|error| Error::io("write to disk", staged, error))?;
        self.folder.step("table synced");

        let lock = StoreLock::take(&self.folder)?;
        let next = self.folder.pointer()?.published(self.path())?;
        let target = self.folder.generation(next.current);
        fs::rename(staged, &target).map_err(|error| Error::io("make", &target, error))?;
        self.folder.step("table renamed");
        // Lest CURRENT, after a power failure, name a file that is not there.
        sync_folder(self.path())?;
        self.folder.step("table in the folder");
        self.point(&lock, incoming, &next)?;
        Ok(next.current)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = open_regular(from).map_err(|error| Error::io("open", from, error))?;
    let mut target = File::create_new(to).map_err(|error| Error::io("create", to, error))?;
    let copied = io::copy(&mut source.by_ref(), &mut target);
    copied.map_err(|error| Error::io("copy", from, error))?;
    Ok(())
}
