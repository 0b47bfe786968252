//! Builds a table from records in any order.

mod aside;
mod budget;
mod chunk;
#[cfg(test)]
mod crash;
mod equations;
mod hashes;
mod index;
mod item;
mod merge;
mod output;
mod pages;
mod perfect;
mod records;
mod run;
mod sorter;
mod spool;
mod target;
mod temporary;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::format::{
    FOOTER_LEN, FORMAT_VERSION, Footer, MAX_KEY_LEN, MAX_VALUE_LEN, PAGE_LEN, RawHeader,
    offset_bits_for,
};
use crate::info::{IndexKind, Info, Section, SectionKind};
use crate::{Error, Result};
use budget::Budget;
use hashes::{Hashing, Keys};
use output::Output;
use pages::PageWriter;
use perfect::Groups;
use records::{RecordsWriter, Written};
use sorter::Sorter;
use spool::Spool;
use target::Target;

pub use temporary::remove_temporary_files;

/// Collects records in any order, and writes them as a table.
///
/// The same records give the same file, byte for byte, in whatever order they
/// are added and with whatever memory.
///
/// They may be more than memory holds. Up to a limit they are kept there, sorted in pieces by other threads while
/// more are added; beyond it they go, sorted, to temporary files. The limit is 1 GiB (256 MiB on 32-bit
/// machines) unless [`memory_bytes`](Self::memory_bytes) sets it.
///
/// ```
/// use folio_table::{Builder, OnDuplicate, Table};
///
/// let mut builder = Builder::new().on_duplicate(OnDuplicate::Last);
/// builder.add(1, b"colour", b"red")?;
/// builder.add(2, b"colour", b"green")?;
/// let table = Table::from_bytes(builder.to_vec()?, "example")?;
/// assert_eq!(table.get(b"colour")?.as_deref(), Some(b"green".as_slice()));
/// # Ok::<(), folio_table::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    sorter: Sorter,
    index: IndexKind,
}

/// What to do with a key that is given more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Refuse to build, and name both lines.
    #[default]
    Error,
    /// Keep the record that was added first.
    First,
    /// Keep the record that was added last.
    Last,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            sorter: Sorter::new(Budget::new(budget::DEFAULT_MEMORY)),
            index: IndexKind::default(),
        }
    }
}

impl Builder {
    /// A builder without records, which refuses duplicate keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what to do with a key that is given more than once, before any is.
    #[must_use]
    pub fn on_duplicate(mut self, on_duplicate: OnDuplicate) -> Self {
        self.sorter.on_duplicate = on_duplicate;
        self
    }

    /// Sets which index the table gets.
    ///
    /// ```
    /// use folio_table::{Builder, IndexKind, Table};
    ///
    /// let mut builder = Builder::new().index(IndexKind::Perfect);
    /// builder.add(1, b"key", b"value")?;
    /// let table = Table::from_bytes(builder.to_vec()?, "example")?;
    /// assert_eq!(table.info().index, IndexKind::Perfect);
    /// assert_eq!(table.get(b"key")?.as_deref(), Some(b"value".as_slice()));
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    #[must_use]
    pub fn index(mut self, index: IndexKind) -> Self {
        self.index = index;
        self
    }

    /// Sets how much memory to use, before records are added.
    ///
    /// It is kept to but for what does not depend on the input (stacks of threads, and the like: some MiB), and
    /// for a record that is longer than the limit's share for one: those of some hundred KiB, of which there may
    /// be some at once. Any limit works; the less it is, the more often records are written and
    /// read before they come to their place. At 256 MiB that is once for some 20 GiB of records.
    ///
    /// ```
    /// # use folio_table::Builder;
    /// let mut builder = Builder::new().memory_bytes(64 << 20);
    /// # builder.add(1, b"key", b"value")?;
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    #[must_use]
    pub fn memory_bytes(mut self, memory: u64) -> Self {
        self.sorter.budget = Budget::new(memory);
        self
    }

    /// Sets the folder for temporary files, before records are added: the one that the table will be in is a good choice.
    ///
    /// By default it is the system's ([`std::env::temp_dir`]) for what is spilled while records are added, and
    /// that of the table for what comes later. As long as the records fit into the memory, there are
    /// no temporary files. Those that there are have no names, where the file system can do that.
    #[must_use]
    pub fn temporary_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.sorter.folder = Some(folder.into());
        self
    }

    /// Adds a record. `line` says where it came from: it is quoted in errors,
    /// and may be any number that helps to find the record.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`], [`Error::ValueLength`], [`Error::OutOfMemory`], and [`Error::Io`] with temporary
    /// files. The builder is as before then, but for the last, after which records may be missing.
    #[inline]
    pub fn add(&mut self, line: u64, key: &[u8], value: &[u8]) -> Result<()> {
        if key.is_empty() || key.len() > MAX_KEY_LEN {
            let len = key.len() as u64;
            return Err(Error::KeyLength { line, len });
        }
        let len = value.len() as u64;
        if len > MAX_VALUE_LEN {
            return Err(Error::ValueLength { line, len });
        }
        self.sorter.add(line, key, value)
    }

    /// How many records were added, those included that others will take the place of.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.sorter.added()
    }

    /// Writes the table to a file, whole or not at all, and says what was written.
    ///
    /// It is written to a temporary file in the same folder, which is brought to
    /// the disk, given the name `path`, and the folder is brought to the disk
    /// as well: whatever happens, what stands under the name is the old file or the
    /// new one. On an error the temporary file is removed; what a killed process left of one is
    /// removed by the next build in that folder. The file's mode is what
    /// the umask leaves of 0666, as for any file that a program creates. Where
    /// `path` is a symbolic link to a file, that file is replaced and the link stays.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateKey`] names the earliest line that repeats a key.
    /// [`Error::Target`]: the path is a folder, a device or the like.
    /// [`Error::Io`], [`Error::OutOfMemory`], [`Error::TooLarge`] and [`Error::NoSeed`].
    pub fn write_to(self, path: &Path) -> Result<Info> {
        self.write_with_progress(path, |_| ())
    }

    /// The same, and tells now and then how many of the records that were [added](Self::added) are
    /// written. What comes after the last takes about as long as a quarter of them.
    ///
    /// # Errors
    ///
    /// Those of [`write_to`](Self::write_to).
    pub fn write_with_progress(self, path: &Path, progress: impl FnMut(u64)) -> Result<Info> {
        let target = Target::create(path)?;
        let output = Output::File(Arc::new(target.file()?));
        let folder = target::folder_of(target.path());
        let info = self.build(&output, path, folder, progress)?;
        target.commit()?;
        Ok(info)
    }

    /// Makes the table in a file without a name, which takes space in `folder`'s file system for as long
    /// as somebody has it open or mapped, however the processes that do so end. `progress` is
    /// told what [`write_with_progress`](Self::write_with_progress) tells. The file is not brought to the
    /// disk, since nobody could find it there.
    ///
    /// On file systems on which each file has a name it has one for a moment, before the first
    /// record is written.
    ///
    /// ```
    /// use folio_table::{Builder, Table};
    ///
    /// let mut builder = Builder::new();
    /// builder.add(1, b"colour", b"red")?;
    /// let file = builder.write_unnamed(&std::env::temp_dir(), |_| ())?;
    /// let table = Table::from_bytes(folio::Source::from_fd(file)?.whole()?, "<made here>")?;
    /// assert_eq!(table.count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`write_to`](Self::write_to), but for [`Error::Target`].
    pub fn write_unnamed(self, folder: &Path, progress: impl FnMut(u64)) -> Result<File> {
        temporary::remove_abandoned(folder);
        let file = temporary::scratch(folder);
        let file = Arc::new(file.map_err(|error| Error::io("create a file in", folder, error))?);
        self.build(&Output::File(Arc::clone(&file)), folder, folder, progress)?;
        let file = file.try_clone();
        file.map_err(|error| Error::io("open a file in", folder, error))
    }

    /// Makes the table in memory.
    ///
    /// # Errors
    ///
    /// As for [`write_to`](Self::write_to), but for those of the file.
    pub fn to_vec(self) -> Result<Vec<u8>> {
        let bytes = Arc::new(RwLock::new(Vec::new()));
        let output = Output::Memory(Arc::clone(&bytes));
        let folder = std::env::temp_dir();
        self.build(&output, Path::new("<memory>"), &folder, |_| ())?;
        let mut bytes = bytes.write().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut bytes))
    }

    fn build(
        mut self,
        output: &Output,
        path: &Path,
        folder: &Path,
        progress: impl FnMut(u64),
    ) -> Result<Info> {
        reached("added");
        let merging = self.sorter.finish(folder)?;
        let budget = self.sorter.budget;
        let folder = self.sorter.folder.as_deref().unwrap_or(folder);
        let write_error = |error| Error::io("write", path, error);
        let spool = || Spool::new(budget.spool_len, folder.to_owned());

        let mut pages = PageWriter::new(output.clone(), spool(), budget.pages_len);
        let writer = RecordsWriter::new(&mut pages, spool(), path);
        let written = writer.write_all(merging, progress)?;
        let mut sections = Sections::new();
        sections
            .end(SectionKind::Records, &mut pages)
            .map_err(write_error)?;

        // All records are in the output now, and the seed, which depends on them, is known.
        reached("records");
        let digest = pages.settle().map_err(write_error)?.digest();
        let synced_ahead = (written.len >= SYNC_AHEAD_LEN).then(|| output.sync_ahead());
        let keys = Keys {
            output,
            start: PAGE_LEN,
            len: written.len,
            count: written.count,
            order: &written.order,
        };
        let written_index = match self.index {
            IndexKind::Hash => {
                let hashing = Hashing::new(keys, &budget, folder);
                write_hash_index(&hashing, keys, digest, &mut pages, &mut sections)
            }
            IndexKind::Perfect => {
                let last_offset = written.last_offset;
                let groups = Groups::new(keys, last_offset, spool());
                write_perfect_index(groups, digest, &mut pages, &mut sections)
            }
        };
        let index = written_index.map_err(write_error)?.ok_or(Error::NoSeed {
            attempts: MAX_ATTEMPTS,
        })?;

        reached("index");
        let order = written.order.for_each_part(|part| pages.write_all(part));
        order.map_err(write_error)?;
        sections
            .end(SectionKind::Order, &mut pages)
            .map_err(write_error)?;
        let info = finish(&written, index, sections, pages).map_err(write_error)?;
        if let Some(synced) = synced_ahead {
            let sync_error = |error| Error::io("write to disk", path, error);
            synced.wait().map_err(sync_error)?;
        }
        Ok(info)
    }
}

/// From this length on, records are brought to the disk while the index is made.
const SYNC_AHEAD_LEN: u64 = 16 << 20;
/// How many hash seeds are tried. One is enough for any keys but chosen ones.
const MAX_ATTEMPTS: u64 = 32;

/// The seed for the given attempt at an index.
///
/// It comes from the records themselves, so that the same records give the same
/// file, and nobody can choose keys for a seed known beforehand.
fn seed_for(records_digest: u64, attempt: u64) -> u64 {
    xxh3_64_with_seed(&records_digest.to_le_bytes(), attempt)
}

/// What the header will say of the index.
#[derive(Clone, Copy, Debug)]
enum Indexed {
    Hash(index::Shape),
    Perfect(perfect::Shape),
}

/// `None` if no seed will do, as for the other index.
fn write_hash_index(
    hashing: &Hashing<'_>,
    keys: Keys<'_>,
    digest: u64,
    pages: &mut PageWriter,
    sections: &mut Sections,
) -> io::Result<Option<Indexed>> {
    let shape = index::write(
        hashing,
        keys.count,
        digest,
        offset_bits_for(keys.len),
        pages,
    )?;
    sections.end(SectionKind::HashIndex, pages)?;
    Ok(shape.map(Indexed::Hash))
}

fn write_perfect_index(
    mut groups: Groups<'_>,
    digest: u64,
    pages: &mut PageWriter,
    sections: &mut Sections,
) -> io::Result<Option<Indexed>> {
    let shape = groups.write(digest, pages)?;
    sections.end(SectionKind::Groups, pages)?;
    if let Some(shape) = &shape {
        groups.write_fences(shape.words, pages)?;
        sections.end(SectionKind::Fences, pages)?;
    }
    Ok(shape.map(Indexed::Perfect))
}

/// A moment at which tests end the process.
#[cfg(not(test))]
fn reached(_: &'static str) {}

#[cfg(test)]
use crash::reached;

/// The sections that were written.
#[derive(Debug)]
struct Sections {
    ended: Vec<Section>,
    /// Where the next one begins.
    start: u64,
}

impl Sections {
    fn new() -> Self {
        Self {
            ended: Vec::new(),
            start: PAGE_LEN,
        }
    }

    /// Notes the section that ends here, and brings the writer to the next page.
    fn end(&mut self, kind: SectionKind, pages: &mut PageWriter) -> io::Result<()> {
        self.push(kind, pages.position() - self.start);
        pages.pad()?;
        self.start = pages.position();
        Ok(())
    }

    fn push(&mut self, kind: SectionKind, len: u64) {
        self.ended.push(Section {
            kind,
            offset_bytes: self.start,
            len,
        });
    }
}

/// Writes the checksums section, the footer and, at last, the header.
fn finish(
    written: &Written,
    index: Indexed,
    mut sections: Sections,
    mut pages: PageWriter,
) -> io::Result<Info> {
    let summed = pages.settle()?;
    let (sums_len, sums_checksum) = (summed.sums_len(), summed.digest());
    sections.push(SectionKind::Checksums, sums_len);
    let mut info = Info {
        version: FORMAT_VERSION,
        file_len: sections.start + sums_len + FOOTER_LEN,
        count: written.count,
        key_bytes: written.key_bytes,
        value_bytes: written.value_bytes,
        seed: 0,
        index: IndexKind::Hash,
        home_lines: 0,
        longest_probe: 1,
        fence_prefix_len: 0,
        fence_words: 0,
        sections: sections.ended,
    };
    match index {
        Indexed::Hash(shape) => {
            info.seed = shape.seed;
            info.home_lines = shape.home_lines;
            info.longest_probe = shape.longest_probe();
        }
        Indexed::Perfect(shape) => {
            info.index = IndexKind::Perfect;
            info.seed = shape.seed;
            info.fence_prefix_len = shape.prefix_len;
            info.fence_words = shape.words;
        }
    }
    let header = RawHeader::new(&info);
    let footer = Footer::new(info.file_len, info.count, header.checksum(), sums_checksum);
    pages.finish(&header, &footer)?;
    Ok(info)
}
