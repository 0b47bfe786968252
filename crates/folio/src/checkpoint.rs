//! Copies of a map, taken while it is in use: a full one, and then what changed.

mod format;
mod read;
mod write;

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;

use folio_sys::mapping::ReadError;
use tempfile::NamedTempFile;

use crate::dirty_tracker::DirtyTracker;
use crate::{Error, MapMut, Result};
use format::{Header, Kind};
use read::Reader;
use write::Writer;

/// A chain of files from which a [`MapMut`]'s bytes can be restored: a full copy of them, and for each
/// checkpoint after it a delta, which holds the pages that were written to since the one before.
///
/// The map is in use all the while: nobody waits. A page that changes while a checkpoint is being written
/// comes with the next one as well. So what is restored holds, of each page that nobody wrote to while the
/// last of its checkpoints was written, the bytes that it had then; of the others, bytes from before or
/// after. Who needs all pages of one moment stops writing meanwhile, which takes as long as it takes to
/// write the pages that changed.
///
/// Which pages these are, a [`DirtyTracker`] says: what holds for that holds here, above all that writes
/// which do not come through this map are not seen.
///
/// Files are written under another name, brought to the disk and renamed, so that there is none by half.
/// All that is in them is checksummed. `docs/checkpoint.md` tells the format.
///
/// ```
/// use folio::{Checkpoint, Map};
///
/// let folder = tempfile::tempdir()?;
/// let (full, first, second) = (folder.path().join("full"), folder.path().join("1"), folder.path().join("2"));
/// let map = Map::options().anonymous(10_000_000)?;
/// map.write_all_at(0, b"one")?;
/// let mut checkpoint = Checkpoint::full(&map, &full)?;
/// map.write_all_at(5_000_000, b"two")?;
/// checkpoint.delta(&first)?;
/// map.write_all_at(0, b"six")?;
/// let summary = checkpoint.delta(&second)?;
/// assert_eq!(summary.pages, 1);
///
/// let restored = folder.path().join("restored");
/// Checkpoint::restore(&full, &[&first, &second], &restored)?;
/// let bytes = std::fs::read(&restored)?;
/// assert_eq!((&bytes[..3], &bytes[5_000_000..5_000_003]), (&b"six"[..], &b"two"[..]));
///
/// // What comes in another order is refused.
/// assert!(Checkpoint::restore(&full, &[&second, &first], &restored).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    tracker: DirtyTracker,
    /// That of the last file.
    header: Header,
    /// The last file's checksum.
    checksum: u64,
}

/// What a file of a [`Checkpoint`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointSummary {
    /// How many pages were looked at: all of a map, or those that were written to.
    pub pages: u64,
    /// How long the file is, in bytes.
    pub file_bytes: u64,
    /// 0 for the full copy, and for each delta one more than for the one before.
    pub sequence: u64,
}

impl Checkpoint {
    /// Writes all of a map to a new file at `path`, and begins to track what changes. Runs of zeros take no room.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written, or the map cannot be tracked; [`Error::Fault`] when a
    /// page of the map is lost. There is no file then.
    pub fn full(map: &MapMut, path: impl AsRef<Path>) -> Result<Self> {
        // Before anything is read, so that what changes meanwhile comes later.
        let tracker = DirtyTracker::new(map)?;
        let header = Header {
            kind: Kind::Full,
            chain: new_chain(),
            sequence: 0,
            map_len: tracker.map_len(),
            previous: 0,
        };
        let mut checkpoint = Self {
            tracker,
            header,
            checksum: 0,
        };
        let all = 0..header.map_len;
        let (checksum, _) = checkpoint.write(header, path.as_ref(), std::iter::once(all), 0)?;
        checkpoint.checksum = checksum;
        Ok(checkpoint)
    }

    /// Writes what changed since the last file of this chain to a new one at `path`.
    ///
    /// # Errors
    ///
    /// As for [`full`](Self::full). Nothing is forgotten then: the next delta has it all.
    /// [`Error::Unsupported`] in a forked child, which has the map and not the tracker.
    pub fn delta(&mut self, path: impl AsRef<Path>) -> Result<CheckpointSummary> {
        let dirty = self.tracker.checkpoint()?;
        let old = self.header;
        let header = Header {
            kind: Kind::Delta,
            sequence: old.sequence + 1,
            map_len: dirty.map_len(),
            previous: self.checksum,
            ..old
        };
        match self.write(header, path.as_ref(), dirty.ranges(), old.map_len) {
            Ok((checksum, file_bytes)) => {
                (self.header, self.checksum) = (header, checksum);
                Ok(CheckpointSummary {
                    pages: dirty.page_count(),
                    file_bytes,
                    sequence: header.sequence,
                })
            }
            Err(error) => {
                self.tracker.put_back(&dirty);
                Err(error)
            }
        }
    }

    /// Writes to `path` what a map was, by its full copy and those deltas that came after it, in their
    /// order, none left out; the last ones may be left out. A file that stands there is replaced, once all
    /// is there and on the disk; it can be read and written by its owner.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when a file is no checkpoint, of another chain, or not the one that comes
    /// next; [`Error::Checksum`] when one is damaged; [`Error::Io`] when one cannot be read, or the result
    /// cannot be written. What stood at `path` is as it was then.
    pub fn restore(
        full: impl AsRef<Path>,
        deltas: &[impl AsRef<Path>],
        path: impl AsRef<Path>,
    ) -> Result<()> {
        let path = path.as_ref();
        let target = new_file(path)?;
        let mut last = Reader::open(full.as_ref())?;
        last.expect_full()?;
        last.replay(target.as_file(), path)?;
        for delta in deltas {
            let mut next = Reader::open(delta.as_ref())?;
            next.expect_after(&last)?;
            next.replay(target.as_file(), path)?;
            last = next;
        }
        finish(target, path)
    }

    /// Writes ranges of the map; beyond `known` bytes, zeros need not be written. Returns the checksum, and
    /// how long the file is.
    fn write(
        &self,
        header: Header,
        path: &Path,
        ranges: impl Iterator<Item = std::ops::Range<u64>>,
        known: u64,
    ) -> Result<(u64, u64)> {
        let target = new_file(path)?;
        let mut writer = Writer::new(target.as_file(), path, &header)?;
        let read = |offset, buf: &mut [u8]| self.read(offset, buf);
        for range in ranges {
            let split = known.clamp(range.start, range.end);
            writer.put_all(range.start..split, read)?;
            writer.put_nonzero(split..range.end, read)?;
        }
        let written = writer.finish()?;
        finish(target, path)?;
        Ok(written)
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let map = self.tracker.whole();
        let mapping = map.span().mapping();
        let read = mapping.read_exact_at(crate::map::address_offset(offset), buf);
        read.map_err(|error| match error {
            ReadError::OutOfRange => Error::OutOfRange {
                path: map.path().to_owned(),
                offset,
                len: buf.len() as u64,
                size: mapping.len() as u64,
            },
            ReadError::Copy(error) => map.copy_failed(offset, error),
        })
    }
}

/// A number that no other chain has.
fn new_chain() -> [u8; 16] {
    // Each has keys of its own, which the system made at random.
    let word = |salt: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(salt);
        hasher.write_u32(std::process::id());
        hasher.finish()
    };
    (u128::from(word(1)) << 64 | u128::from(word(2))).to_le_bytes()
}

/// A file that is to be at `path`, under another name.
fn new_file(path: &Path) -> Result<NamedTempFile> {
    NamedTempFile::new_in(folder_of(path)).map_err(|error| Error::io("create", path, error))
}

/// Brings a file to the disk, and then to where it belongs.
fn finish(file: NamedTempFile, path: &Path) -> Result<()> {
    let synced = file.as_file().sync_all();
    synced.map_err(|error| Error::io("write to disk", path, error))?;
    let renamed = file.persist(path);
    renamed.map_err(|error| Error::io("replace", path, error.error))?;
    match File::open(folder_of(path)).and_then(|folder| folder.sync_all()) {
        // Some file systems have no such thing for folders.
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
            Err(Error::io("write to disk the folder of", path, error))
        }
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
