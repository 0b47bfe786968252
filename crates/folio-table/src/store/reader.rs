//! Reading what is current.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread;
use std::time::Duration;

use folio::{Source, View};

use super::Store;
use super::folder::{Folder, open_regular};
use super::lock;
use super::sequence::{Hint, NOTHING, UNSETTLED};
use crate::{Checked, Error, Result, Table, Verify};

/// Follows the generations of a store.
///
/// A reader holds one generation, and changes it in [`refresh`](Self::refresh) alone, so
/// that whatever is done between two calls sees one table. Each thread has a reader of its own:
/// clones share what they hold. Children made by `fork` go on with theirs.
///
/// ```
/// # use folio_table::{Builder, Store};
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path())?;
/// # store.publish_with(|path| Builder::new().write_to(path))?;
/// let mut reader = store.reader()?;
/// for request in [b"apple", b"grape"] {
///     // Nothing was published, so that this is a load and a comparison.
///     assert!(!reader.refresh()?);
///     assert_eq!(reader.current().table().get(request)?, None);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StoreReader<B = View> {
    /// The last hint before CURRENT was last looked at.
    seen: u64,
    /// How many times CURRENT is not looked at where the hint stays.
    trust: u32,
    hint: Hint,
    current: Arc<Generation<B>>,
    folder: Folder,
    open: Arc<Open<B>>,
}

/// A generation that is open, and is not pruned as long as it is.
#[derive(Debug)]
pub struct Generation<B = View> {
    table: Table<B>,
    number: u64,
    /// Has the lock that says so. It is the last to go.
    _file: File,
}

type Open<B> = dyn Fn(File, &Path) -> Result<Table<B>> + Send + Sync;

impl Store {
    /// Opens the current generation, mapped, for reading.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyStore`] before the first generation; what is wrong with its table;
    /// otherwise as for [`open`](Self::open).
    pub fn reader(&self) -> Result<StoreReader> {
        self.reader_with(open_mapped)
    }

    /// As [`reader`](Self::reader), with the checksums of pages checked when `verify` says.
    ///
    /// # Errors
    ///
    /// As for [`reader`](Self::reader), and those of [`TableOptions::open`](crate::TableOptions::open).
    pub fn checked_reader(&self, verify: Verify) -> Result<StoreReader<Checked<View>>> {
        self.reader_with(move |file, path| open_mapped(file, path)?.checked(verify))
    }

    /// As [`reader`](Self::reader), with tables opened by a function of the caller's, which is
    /// given the file and its path: over other bytes than views, verified first, and so on.
    ///
    /// ```
    /// # use folio_table::{Builder, Store};
    /// use folio::Windows;
    /// use folio_table::Table;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Store::create(folder.path())?;
    /// # store.publish_with(|path| Builder::new().write_to(path))?;
    /// let reader = store.reader_with(|file, path| {
    ///     let windows = Windows::options().budget_bytes(64 << 20);
    ///     Table::from_bytes(windows.map(file, path)?, path)
    /// })?;
    /// assert_eq!(reader.current().table().count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`reader`](Self::reader), and those of `open`.
    pub fn reader_with<B>(
        &self,
        open: impl Fn(File, &Path) -> Result<Table<B>> + Send + Sync + 'static,
    ) -> Result<StoreReader<B>> {
        let hint = Hint::open(&self.folder);
        let seen = hint.load();
        fence(Ordering::SeqCst);
        let current = open_current(&self.folder, &open)?;
        Ok(StoreReader {
            seen: if seen == UNSETTLED { NOTHING } else { seen },
            trust: TRUST,
            hint,
            current: Arc::new(current),
            folder: self.folder.clone(),
            open: Arc::new(open),
        })
    }
}

/// The table in a generation's file, mapped where the file can be mapped.
fn open_mapped(file: File, path: &Path) -> Result<Table<View>> {
    let bytes = Source::options().of_file(file, path)?.whole()?;
    Table::from_bytes(bytes, path)
}

/// How often in a row the hint is believed that nothing changed. CURRENT says so for certain; a
/// hint may be of another file than that which is written to, where the store was
/// replaced by a copy, or another machine's memory, on a network file system.
const TRUST: u32 = 4096;

impl<B> StoreReader<B> {
    /// The generation that it holds.
    #[inline]
    #[must_use]
    pub fn current(&self) -> &Arc<Generation<B>> {
        &self.current
    }

    /// Goes on to the current generation, and says whether that is another one than before.
    ///
    /// Where nothing changed this takes some nanoseconds: it is a load from memory that all readers
    /// share. While the store is being changed, and until it is repaired after a publisher was killed at that, it
    /// takes some microseconds.
    ///
    /// # Errors
    ///
    /// As for [`Store::reader`]. The reader holds what it held, and the next call tries
    /// again.
    #[inline]
    pub fn refresh(&mut self) -> Result<bool> {
        let hint = self.hint.load();
        if hint == self.seen && self.trust > 0 {
            self.trust -= 1;
            return Ok(false);
        }
        self.look(hint)
    }

    /// As [`refresh`](Self::refresh), but without relying on the memory that is shared, at the cost of some
    /// microseconds: also for stores that were replaced by a copy, or that another machine
    /// publishes to.
    ///
    /// # Errors
    ///
    /// As for [`refresh`](Self::refresh).
    pub fn recheck(&mut self) -> Result<bool> {
        self.look(self.hint.load())
    }

    #[cold]
    fn look(&mut self, hint: u64) -> Result<bool> {
        // The hint was loaded before CURRENT is: what is published after that changes it again.
        fence(Ordering::SeqCst);
        let current = self.folder.pointer()?.current;
        let is_new = current != self.current.number;
        if is_new {
            self.current = Arc::new(open_current(&self.folder, self.open.as_ref())?);
        }
        let is_deaf = is_new && hint == self.seen;
        if is_deaf || !self.hint.is_mapped() {
            self.hint = Hint::open(&self.folder);
            self.seen = NOTHING;
        } else {
            self.seen = if hint == UNSETTLED { NOTHING } else { hint };
        }
        self.trust = TRUST;
        Ok(is_new)
    }
}

impl<B> Clone for StoreReader<B> {
    fn clone(&self) -> Self {
        Self {
            seen: self.seen,
            trust: self.trust,
            hint: self.hint.clone(),
            current: Arc::clone(&self.current),
            folder: self.folder.clone(),
            open: Arc::clone(&self.open),
        }
    }
}

impl<B> fmt::Debug for StoreReader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader")
            .field("folder", &self.folder.path())
            .field("generation", &self.current.number)
            .finish_non_exhaustive()
    }
}

impl<B> Generation<B> {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its table.
    #[inline]
    #[must_use]
    pub fn table(&self) -> &Table<B> {
        &self.table
    }
}

/// Times that CURRENT is read anew, since what it named was gone when it was to be opened.
const ATTEMPTS: u32 = 1000;
/// Times to wait for whoever has the current generation to himself.
const PATIENCE: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// Opens what is current now, or becomes so meanwhile.
fn open_current<B>(folder: &Folder, open: &Open<B>) -> Result<Generation<B>> {
    let mut before = None;
    let mut patience = PATIENCE;
    for _ in 0..ATTEMPTS {
        let number = folder.pointer()?.current;
        if number == 0 {
            return Err(Error::EmptyStore {
                path: folder.path().to_owned(),
            });
        }
        let is_same = before.replace(number) == Some(number);
        match open_locked(folder, number, patience > 0)? {
            Opened::Ours(file) => return open_table(folder, number, file, open),
            // It was current before it was looked for, and still is: nobody pruned it.
            Opened::Gone if is_same => break,
            Opened::Taken if is_same => {
                patience = patience.saturating_sub(1);
                thread::sleep(PAUSE);
            }
            Opened::Gone | Opened::Taken => {}
        }
    }
    Err(Error::NoGeneration {
        path: folder.path().to_owned(),
        generation: before,
    })
}

/// What became of the opening of a generation's file.
enum Opened {
    /// It is open, and will not be pruned.
    Ours(File),
    /// It has no name any more.
    Gone,
    /// Somebody has it to himself, perhaps to remove it.
    Taken,
}

/// Opens the file of a generation, and sees to it that it is not pruned.
fn open_locked(folder: &Folder, number: u64, patient: bool) -> Result<Opened> {
    let path = folder.generation(number);
    let file = match open_regular(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
        Err(error) => return Err(Error::io("open", &path, error)),
    };
    folder.step("generation opened");
    // Nobody removes what is current. Whoever has it and lets not go is no part of folio, and
    // cannot keep others from reading, since what is mapped stays even when it is removed.
    if !lock::share(&file) && patient {
        return Ok(Opened::Taken);
    }
    // Removed between the opening and the lock?
    let links = file.metadata().map(|metadata| metadata.nlink());
    let links = links.map_err(|error| Error::io("look at", &path, error))?;
    Ok(if links > 0 {
        Opened::Ours(file)
    } else {
        Opened::Gone
    })
}

fn open_table<B>(
    folder: &Folder,
    number: u64,
    file: File,
    open: &Open<B>,
) -> Result<Generation<B>> {
    let path = folder.generation(number);
    // Both have the lock: it belongs to what was opened, not to the descriptor.
    let again = file.try_clone();
    let again = again.map_err(|error| Error::io("open again", &path, error))?;
    Ok(Generation {
        table: open(again, &path)?,
        number,
        _file: file,
    })
}
