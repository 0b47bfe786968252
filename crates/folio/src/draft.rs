//! Files edited in place, and changed at once or not at all.

mod journal;
mod storage;

#[cfg(test)]
mod crash;
#[cfg(test)]
mod power_loss;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{CopyError, PrivateMapping, ReadError, WriteError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::dirty_pages::{DirtyPages, Layout};
use crate::map::address_offset;
use crate::page_set::PageSet;
use crate::{Error, ReadAt, Result};
use journal::{Found, Identity};
use storage::Disk;

/// A file that is edited in memory: what is written stays in this process until
/// [`commit`](Self::commit) brings it to the file, all at once.
///
/// It is a private mapping, so that pages that nobody writes to are the page cache's, shared with all other
/// processes, and those written to are copies of this process's own. Which these are, the page table knows.
///
/// # What holds when something goes wrong
///
/// A commit writes the pages to a journal first, brings that to the disk, and then writes them to the file.
/// Whenever the process is killed or the power fails, the file is, once a draft of it has been opened
/// again, what it was before the commit or what it was to become, never a mixture. A commit that has
/// returned `Ok` is on the disk.
///
/// The journal stands beside the file and is named `NAME.draft-journal`; it is removed when the draft is
/// dropped. While one is left there, the file belongs with it: whoever copies, moves or renames the file
/// takes the journal along and opens a draft before anything else writes to the file. It is of this inode:
/// beside another file, a copy for instance, it is refused ([`Error::Journal`]). A file with several names
/// is to be opened by one of them.
///
/// # Others
///
/// One draft of a file at a time, in all processes: the second is refused ([`Error::InUse`]). The lock is
/// `flock(2)`'s, on the file itself; who may open the file may hold it. Nothing keeps other programs from
/// writing to the file. What they write shows in pages that were not written to here, and is overwritten by
/// a commit in those that were.
///
/// Processes that have the file mapped ([`Map`](crate::Map)) see a commit page by page while it happens,
/// old pages and new ones side by side, and so do those who read it. Who must see all of it or nothing
/// wants a file for each version: `folio_table::Store` has generations.
///
/// # Length
///
/// A draft is as long as its file was when it was opened, and does not grow: a commit that is found in the journal
/// must fit the file that is there. A write beyond the end is [`Error::OutOfRange`] and writes nothing; when somebody else makes the file
/// longer or shorter meanwhile, commits are refused ([`Error::Unsupported`]), and what was written stays here, to be read. Whoever needs
/// room sets the file's length first ([`File::set_len`](std::fs::File::set_len)) and opens the draft then: what a crash in between
/// leaves are zeros at the end, which the commit would have given a meaning.
///
/// ```
/// use folio::{Draft, ReadAt};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, vec![b'-'; 1_000_000])?;
/// let mut draft = Draft::open(&file)?;
/// draft.write_all_at(500_000, b"hello")?;
/// assert_eq!(draft.dirty()?.page_count(), 1);
/// assert_eq!(std::fs::read(&file)?[500_000], b'-'); // nobody else sees it yet
/// draft.commit()?;
/// assert_eq!(std::fs::read(&file)?[500_000..500_005], *b"hello");
///
/// draft.write_all_at(0, b"never mind")?;
/// draft.discard()?;
/// assert_eq!(draft.get::<u8>(0)?, b'-');
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Draft {
    mapping: PrivateMapping,
    disk: Disk,
    path: PathBuf,
    identity: Identity,
    journal: Journal,
    recovered: bool,
}

/// What stands beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journal {
    /// Nothing of ours.
    None,
    /// The journal of commits that are done, for the next one.
    Void,
    /// That of a commit which could not be finished, and is to be by the next who opens the file.
    Unfinished,
}

impl Draft {
    /// Opens the file at `path`, to be edited, and first finishes a commit that was interrupted.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] when there is a draft of it already; [`Error::Journal`] when what stands beside the
    /// file is not its journal; [`Error::Unsupported`] when it is no regular file, or one of huge pages;
    /// [`Error::Io`] when it cannot be opened for reading and writing, or mapped.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), FaultPolicy::default())
    }

    /// As [`open`](Self::open), with a say in how lost pages are found out.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_with(path: &Path, policy: FaultPolicy) -> Result<Self> {
        let (file, path) = open_locked(path)?;
        let mut disk = Disk::new(file, &path);
        let identity = Self::identify(&disk, &path)?;
        let found = journal::recover(&mut disk, identity)
            .map_err(|error| Error::io("finish what is in the journal of", &path, error))?;
        let refused = |reason| Error::Journal {
            path: disk.journal_path().to_owned(),
            reason,
        };
        match found {
            Found::Nothing | Found::Commit => {}
            Found::OfAnotherFile => {
                return Err(refused(
                    "it is another file's, or of this one when it had another length",
                ));
            }
            Found::OfAnotherVersion(_) => {
                return Err(refused("it was made by a later version of folio"));
            }
        }
        let len = address_offset(identity.len);
        let mapping = PrivateMapping::of_file(disk.file().as_fd(), len, policy)
            .map_err(|error| Error::io("map", &path, error))?;
        Ok(Self {
            mapping,
            disk,
            path,
            identity,
            journal: Journal::None,
            recovered: found == Found::Commit,
        })
    }

    /// Whether a commit that was interrupted was finished when this was opened.
    #[must_use]
    pub fn recovered(&self) -> bool {
        self.recovered
    }

    /// The path of the file, links followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of `bytes` at `offset_bytes`, for this process only.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the draft does not have all of these bytes, and then nothing was written;
    /// [`Error::Fault`] when a page is lost, and then the bytes before that one were.
    pub fn write_all_at(&self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let written = self
            .mapping
            .write_all_at(address_offset(offset_bytes), bytes);
        written.map_err(|error| match error {
            WriteError::OutOfRange => self.out_of_range(offset_bytes, bytes.len() as u64),
            WriteError::ReadOnly => self.copy_failed(0, CopyError::Fault { copied: 0 }),
            WriteError::Copy(error) => self.copy_failed(offset_bytes, error),
        })
    }

    /// Writes one plain-data value, in the machine's byte order, for this process only.
    ///
    /// # Errors
    ///
    /// As for [`write_all_at`](Self::write_all_at).
    pub fn put<T: IntoBytes + Immutable>(&self, offset_bytes: u64, value: &T) -> Result<()> {
        self.write_all_at(offset_bytes, value.as_bytes())
    }

    /// Copies out one plain-data value, in the machine's byte order.
    ///
    /// # Errors
    ///
    /// As for [`ReadAt::read_exact_at`].
    pub fn get<T: FromBytes + IntoBytes>(&self, offset_bytes: u64) -> Result<T> {
        self.get_at(offset_bytes)
    }

    /// The pages written to since the draft was opened, committed or discarded.
    ///
    /// By the page table, so that it takes no page faults, and knows pages that are swapped out. A page in
    /// which the same bytes were written again counts as well.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where there is no `/proc`, and on systems other than Linux.
    pub fn dirty(&self) -> Result<DirtyPages> {
        let mut pages = PageSet::default();
        let failed = |error| Error::io("read the page table of", &self.path, error);
        let touched = self.mapping.touched(&mut |run| pages.insert(run));
        touched.map_err(failed)?;
        let layout = Layout {
            page_bytes: folio_sys::page::size() as u64,
            skew: 0,
            len: self.identity.len,
        };
        Ok(DirtyPages { pages, layout })
    }

    /// Brings the pages written to to the file and to the disk, all or none, and says which.
    ///
    /// It costs in proportion to these pages, whatever the file's size: each is written twice, once to the
    /// journal, with two waits for the disk, and a third the first time.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file or the journal cannot be written, and [`Error::Unsupported`] in a forked
    /// child, or when the file's length has changed. The file is then as it was, and what was written is
    /// still here. When it fails later than that, the commit is recorded and not finished: then this draft
    /// commits no more ([`Error::Journal`]), and opening another finishes it.
    pub fn commit(&mut self) -> Result<DirtyPages> {
        self.check()?;
        let dirty = self.dirty()?;
        let runs: Vec<_> = dirty.ranges().collect();
        if runs.is_empty() {
            return Ok(dirty);
        }
        let (mapping, path) = (&self.mapping, &self.path);
        let read = |offset, buf: &mut [u8]| match mapping.read_at(address_offset(offset), buf) {
            Ok(count) if count == buf.len() => Ok(()),
            // A page that is private cannot be lost.
            Ok(_) | Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        match journal::commit(&mut self.disk, self.identity, &runs, read) {
            Ok(()) => self.journal = Journal::Void,
            Err(failure) => {
                if failure.is_recorded {
                    self.journal = Journal::Unfinished;
                } else {
                    // Half of a journal means nothing, and should the whole of it be there, then it must not.
                    self.journal = Journal::None;
                    let _ = journal::abandon(&mut self.disk);
                }
                return Err(Error::io(failure.action, path, failure.error));
            }
        }
        self.forget(&dirty)?;
        Ok(dirty)
    }

    /// Forgets what was written since the draft was opened or committed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses; see [`dirty`](Self::dirty).
    pub fn discard(&mut self) -> Result<()> {
        let dirty = self.dirty()?;
        self.forget(&dirty)
    }

    fn forget(&mut self, dirty: &DirtyPages) -> Result<()> {
        for run in dirty.pages.runs() {
            let forgotten = self.mapping.forget(run);
            forgotten.map_err(|error| Error::io("drop private pages of", &self.path, error))?;
        }
        Ok(())
    }

    /// Whether a commit may begin.
    fn check(&self) -> Result<()> {
        if self.journal == Journal::Unfinished {
            return Err(Error::Journal {
                path: self.disk.journal_path().to_owned(),
                reason: "a commit could not be finished; open the file anew to finish it",
            });
        }
        let unsupported = |reason| Error::Unsupported {
            path: self.path.clone(),
            reason,
        };
        if !self.mapping.is_of_this_process() {
            return Err(unsupported(
                "a draft is committed by the process that opened it",
            ));
        }
        if Self::identify(&self.disk, &self.path)? != self.identity {
            return Err(unsupported(
                "its length has changed since the draft was opened",
            ));
        }
        Ok(())
    }

    fn identify(disk: &Disk, path: &Path) -> Result<Identity> {
        let metadata = disk.file().metadata();
        let metadata = metadata.map_err(|error| Error::io("stat", path, error))?;
        let (inode, len) = (metadata.ino(), metadata.len());
        Ok(Identity { inode, len })
    }

    #[cold]
    fn copy_failed(&self, offset: u64, error: CopyError) -> Error {
        match error {
            CopyError::Fault { copied } => Error::Fault {
                path: self.path.clone(),
                offset: offset.saturating_add(copied as u64),
            },
            CopyError::System(error) => Error::io("copy mapped bytes", &self.path, error),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.mapping.is_of_this_process() {
            return;
        }
        if self.journal == Journal::Void {
            // Should this fail, it says that nothing is to be done.
            let _ = journal::remove(&mut self.disk);
        }
        // To close is not enough where a child was forked meanwhile, which has a copy.
        let _ = flock(self.disk.file(), FlockOperation::Unlock);
    }
}

impl ReadAt for Draft {
    fn len(&self) -> u64 {
        self.identity.len
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        let read = self.mapping.read_at(address_offset(offset_bytes), buf);
        read.map_err(|error| match error {
            ReadError::OutOfRange => self.out_of_range(offset_bytes, buf.len() as u64),
            ReadError::Copy(error) => self.copy_failed(offset_bytes, error),
        })
    }

    fn source_path(&self) -> &Path {
        &self.path
    }
}

/// Opens a regular file, for nobody else to have a draft of. Says where it is, too.
fn open_locked(path: &Path) -> Result<(File, PathBuf)> {
    let in_use = || Error::InUse {
        path: path.to_owned(),
    };
    // As often as somebody replaces the file at this very moment.
    for _ in 0..100 {
        let real = std::fs::canonicalize(path).map_err(|error| Error::io("open", path, error))?;
        let opened = OpenOptions::new().read(true).write(true).open(&real);
        let file = opened.map_err(|error| Error::io("open", path, error))?;
        let metadata = file
            .metadata()
            .map_err(|error| Error::io("stat", path, error))?;
        let page_bytes = folio_sys::file::page_bytes(&file, metadata.blksize())
            .map_err(|error| Error::io("stat", path, error))?;
        if !metadata.is_file() || page_bytes != folio_sys::page::size() {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                reason: "a draft is of a regular file, of ordinary pages",
            });
        }
        match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(in_use()),
            Err(error) => return Err(Error::io("lock", path, error.into())),
        }
        let is_there = std::fs::metadata(&real)
            .is_ok_and(|there| (there.dev(), there.ino()) == (metadata.dev(), metadata.ino()));
        if is_there {
            return Ok((file, real));
        }
    }
    Err(in_use())
}
