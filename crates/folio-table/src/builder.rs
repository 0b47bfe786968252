//! Builds a table from records in any order.

mod arena;
mod equations;
mod index;
mod pages;
mod perfect;
mod target;

use std::io::{self, Cursor, Read, Seek, Write};
use std::path::Path;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};
use zerocopy::IntoBytes;

use crate::format::{
    FOOTER_LEN, FORMAT_VERSION, Footer, MAX_KEY_LEN, MAX_RECORDS_LEN, MAX_VALUE_LEN, OrderEntry,
    PAGE_LEN, RawHeader, offset_bits_for,
};
use crate::info::{IndexKind, Info, Section, SectionKind};
use crate::{Error, Result};
use arena::{Added, Arena};
use index::{Entry, Index};
use pages::PageWriter;
use perfect::{PerfectIndex, RecordsSection};
use target::Target;

/// Collects records in any order, and writes them as a table.
///
/// The same records give the same file, byte for byte, in whatever order they
/// are added. They are kept in memory until then: their bytes, and 24 bytes a record.
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
#[derive(Debug, Default)]
pub struct Builder {
    arena: Arena,
    added: Vec<Added>,
    on_duplicate: OnDuplicate,
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

impl Builder {
    /// A builder without records, which refuses duplicate keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what to do with a key that is given more than once.
    #[must_use]
    pub fn on_duplicate(mut self, on_duplicate: OnDuplicate) -> Self {
        self.on_duplicate = on_duplicate;
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

    /// Adds a record. `line` says where it came from: it is quoted in errors,
    /// and may be any number that helps to find the record.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`], [`Error::ValueLength`] and [`Error::OutOfMemory`].
    /// The builder is as before then.
    pub fn add(&mut self, line: u64, key: &[u8], value: &[u8]) -> Result<()> {
        let (key_len, value_len) = (key.len() as u64, value.len() as u64);
        if key.is_empty() || key.len() > MAX_KEY_LEN {
            return Err(Error::KeyLength { line, len: key_len });
        }
        if value_len > MAX_VALUE_LEN {
            return Err(Error::ValueLength {
                line,
                len: value_len,
            });
        }
        let no_memory = |_| Error::OutOfMemory {
            len: key_len + value_len,
        };
        self.added.try_reserve(1).map_err(no_memory)?;
        let place = self.arena.push(key, value).map_err(no_memory)?;
        self.added.push(Added::new(place, line, key));
        Ok(())
    }

    /// Writes the table to a file, whole or not at all, and says what was written.
    ///
    /// It is written to a temporary file in the same folder, which is brought to
    /// the disk, given the name `path`, and the folder is brought to the disk
    /// as well: whatever happens, what stands under the name is the old file or the
    /// new one. On an error the temporary file is removed. The file's mode is what
    /// the umask leaves of 0666, as for any file that a program creates. Where
    /// `path` is a symbolic link to a file, that file is replaced and the link stays.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateKey`] names the earliest line that repeats a key.
    /// [`Error::Target`]: the path is a folder, a device or the like.
    /// [`Error::Io`], [`Error::TooLarge`] and [`Error::NoSeed`].
    pub fn write_to(self, path: &Path) -> Result<Info> {
        let mut target = Target::create(path)?;
        let info = self.build(target.file(), path)?;
        target.commit()?;
        Ok(info)
    }

    /// Makes the table in memory.
    ///
    /// # Errors
    ///
    /// As for [`write_to`](Self::write_to), but for those of the file.
    pub fn to_vec(self) -> Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        self.build(&mut bytes, Path::new("<memory>"))?;
        Ok(bytes.into_inner())
    }

    fn build(mut self, out: impl Read + Write + Seek, path: &Path) -> Result<Info> {
        self.arena.sort(&mut self.added, self.on_duplicate)?;
        let Self {
            arena,
            added,
            index: index_kind,
            ..
        } = self;
        let write_error = |error| Error::io("write", path, error);

        let mut pages = PageWriter::new(out).map_err(write_error)?;
        let mut sizes = Sizes::measure(&arena, &added)?;
        let (mut entries, order) = write_records(&arena, added, &mut pages).map_err(write_error)?;
        sizes
            .end_section(SectionKind::Records, &mut pages)
            .map_err(write_error)?;

        let digest = xxh3_64(pages.sums().as_bytes());
        let shape = match index_kind {
            IndexKind::Hash => {
                let offset_bits = offset_bits_for(sizes.records_len);
                let index = Index::place(&mut entries, &arena, digest, offset_bits)?;
                index.write(&entries, &mut pages).map_err(write_error)?;
                sizes
                    .end_section(SectionKind::HashIndex, &mut pages)
                    .map_err(write_error)?;
                Shape::Hash(index)
            }
            IndexKind::Perfect => {
                let records = RecordsSection {
                    len: sizes.records_len,
                    last_offset: entries.last().map_or(0, |entry| entry.offset()),
                    digest,
                    path,
                };
                let index = PerfectIndex::write_groups(records, &mut pages)?;
                sizes
                    .end_section(SectionKind::Groups, &mut pages)
                    .map_err(write_error)?;
                index.write_fences(&mut pages).map_err(write_error)?;
                sizes
                    .end_section(SectionKind::Fences, &mut pages)
                    .map_err(write_error)?;
                Shape::Perfect(index)
            }
        };

        pages.write_all(order.as_bytes()).map_err(write_error)?;
        sizes
            .end_section(SectionKind::Order, &mut pages)
            .map_err(write_error)?;
        sizes.finish(&shape, pages).map_err(write_error)
    }
}

/// Writes the records in the order in which they were sorted. Returns where each
/// one stands, and the order section.
fn write_records<W: Write + Seek>(
    arena: &Arena,
    added: Vec<Added>,
    pages: &mut PageWriter<W>,
) -> io::Result<(Vec<Entry>, Vec<OrderEntry>)> {
    let mut order = Vec::new();
    let (mut rank, mut offset) = (0_u64, 0_u64);
    let mut add_order = |rank: u64, offset: u64, limit: u64| {
        while (order.len() as u64) * PAGE_LEN < limit {
            order.push(OrderEntry {
                rank: rank.into(),
                offset: offset.into(),
            });
        }
    };
    // The two kinds of entry have the same size, so that the vector is reused.
    let place = |added: Added| {
        add_order(rank, offset, offset + 1);
        let record = arena.record(added.place());
        pages.write_all(record)?;
        let entry = Entry::new(added.place(), offset);
        rank += 1;
        offset += record.len() as u64;
        Ok(entry)
    };
    let entries = added
        .into_iter()
        .map(place)
        .collect::<io::Result<Vec<_>>>()?;
    add_order(rank, offset, offset);
    Ok((entries, order))
}

/// What the header will state of the index.
enum Shape {
    Hash(Index),
    Perfect(PerfectIndex),
}

/// What the header will state, as far as it is known.
struct Sizes {
    count: u64,
    key_bytes: u64,
    value_bytes: u64,
    records_len: u64,
    sections: Vec<Section>,
    section_start: u64,
}

impl Sizes {
    fn measure(arena: &Arena, added: &[Added]) -> Result<Self> {
        let mut sizes = Self {
            count: added.len() as u64,
            key_bytes: 0,
            value_bytes: 0,
            records_len: 0,
            sections: Vec::new(),
            section_start: PAGE_LEN,
        };
        for added in added {
            let (key, value) = arena.key_and_value(added.place());
            sizes.key_bytes += key.len() as u64;
            sizes.value_bytes += value.len() as u64;
            sizes.records_len += arena.record(added.place()).len() as u64;
        }
        if sizes.records_len > MAX_RECORDS_LEN {
            return Err(Error::TooLarge {
                len: sizes.records_len,
            });
        }
        Ok(sizes)
    }

    /// Notes the section that ends here, and brings the writer to the next page.
    fn end_section<W: Write + Seek>(
        &mut self,
        kind: SectionKind,
        pages: &mut PageWriter<W>,
    ) -> io::Result<()> {
        self.sections.push(Section {
            kind,
            offset_bytes: self.section_start,
            len: pages.position() - self.section_start,
        });
        pages.pad()?;
        self.section_start = pages.position();
        Ok(())
    }

    /// Writes the checksums section, the footer and, at last, the header.
    fn finish<W: Write + Seek>(mut self, shape: &Shape, pages: PageWriter<W>) -> io::Result<Info> {
        let sums = pages.sums();
        let sums_len = size_of_val(sums) as u64;
        self.sections.push(Section {
            kind: SectionKind::Checksums,
            offset_bytes: self.section_start,
            len: sums_len,
        });
        let mut info = Info {
            version: FORMAT_VERSION,
            file_len: self.section_start + sums_len + FOOTER_LEN,
            count: self.count,
            key_bytes: self.key_bytes,
            value_bytes: self.value_bytes,
            seed: 0,
            index: IndexKind::Hash,
            home_lines: 0,
            longest_probe: 1,
            fence_prefix_len: 0,
            fence_words: 0,
            sections: self.sections,
        };
        match shape {
            Shape::Hash(index) => {
                info.seed = index.seed();
                info.home_lines = index.home_lines();
                info.longest_probe = index.longest_probe();
            }
            Shape::Perfect(index) => {
                info.index = IndexKind::Perfect;
                info.seed = index.seed;
                info.fence_prefix_len = index.prefix_len;
                info.fence_words = index.words;
            }
        }
        let header = RawHeader::new(&info);
        let sums_checksum = xxh3_64(sums.as_bytes());
        let footer = Footer::new(info.file_len, info.count, header.checksum(), sums_checksum);
        pages.finish(&header, &footer)?;
        Ok(info)
    }
}

/// The seed for the given attempt at placing keys.
///
/// It comes from the records themselves, so that the same records give the same
/// file, and nobody can choose keys for a seed known beforehand.
fn seed_for(records_digest: u64, attempt: u64) -> u64 {
    xxh3_64_with_seed(&records_digest.to_le_bytes(), attempt)
}
