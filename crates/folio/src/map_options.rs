//! What to map, and how.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use folio_sys::advice::Advice;
pub use folio_sys::advice::HugePages;
use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{Extent, Mapping, MappingMut};

use crate::map_mut::{MapMut, OnGrowth};
use crate::positioned::size_of_file;
use crate::range::ByteRange;
use crate::{Error, Map, Result};

/// What to map, and how. Made by [`Map::options`].
///
/// ```
/// use folio::{Advice, Map, ReadAt};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, b"hello, world")?;
/// let map = Map::options()
///     .offset(7)
///     .advice(Advice::Random)
///     .populate(true)
///     .open(&file)?;
/// assert_eq!(map.get::<[u8; 5]>(0)?, *b"world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options that are on or off, none of which excludes another"
)]
pub struct MapOptions {
    offset: u64,
    len: Option<u64>,
    reserve: u64,
    past_end: bool,
    survive_truncation: bool,
    populate: bool,
    lock: bool,
    huge_pages: HugePages,
    advice: Option<Advice>,
    fault_policy: FaultPolicy,
}

impl MapOptions {
    /// Begins the map at this byte of the file. Any offset will do, although
    /// mappings start on a page. Default: 0.
    #[must_use]
    pub fn offset(mut self, offset_bytes: u64) -> Self {
        self.offset = offset_bytes;
        self
    }

    /// Maps this many bytes. Default: from the offset to the end of the file.
    #[must_use]
    pub fn len(mut self, len_bytes: u64) -> Self {
        self.len = Some(len_bytes);
        self
    }

    /// Lets the map reach past the end of the file: the bytes there are lost ones
    /// ([`Error::Fault`]) until the file grows, but those in the page of the file's end, which read as
    /// zeros. For files that others are writing. Default: no, that is an error.
    #[must_use]
    pub fn past_end(mut self, past_end: bool) -> Self {
        self.past_end = past_end;
        self
    }

    /// Sets address space aside, so that a [`MapMut`] can [grow](MapMut::grow) in place to
    /// this many bytes. It takes no memory. Read-only maps do not grow, and reserve nothing.
    /// Default: none.
    #[must_use]
    pub fn reserve(mut self, size_bytes: u64) -> Self {
        self.reserve = size_bytes;
        self
    }

    /// Brings all pages into memory before the map is handed over: see [`Map::populate`].
    /// A page that cannot be had is then an error. Default: no.
    #[must_use]
    pub fn populate(mut self, populate: bool) -> Self {
        self.populate = populate;
        self
    }

    /// Locks all pages in memory: see [`Map::lock`]. What a map grows by is locked too.
    /// Default: no.
    #[must_use]
    pub fn lock(mut self, lock: bool) -> Self {
        self.lock = lock;
        self
    }

    /// Asks for huge pages. Where they cannot be had, the next best are taken: see
    /// [`Map::huge_pages`] for what was got. [`HugePages::Pool`] is for
    /// [`anonymous`](Self::anonymous) and [`memfd`](Self::memfd) maps without a reserve; files have it that are
    /// on a `hugetlbfs`. Default: [`HugePages::None`].
    #[must_use]
    pub fn huge_pages(mut self, wanted: HugePages) -> Self {
        self.huge_pages = wanted;
        self
    }

    /// Says how all of the map will be used: see [`Map::advise`]. A kernel that does not know
    /// the advice goes without it. Default: none.
    #[must_use]
    pub fn advice(mut self, advice: Advice) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Replaces pages that the file has lost by zeros when a [slice](Map::as_slice) of them is read,
    /// instead of ending the process by SIGBUS: see [`Map::torn`]. Reads through
    /// [`ReadAt`](crate::ReadAt) and [`View`](crate::View)s are errors all the same, unless the page was replaced before.
    ///
    /// For read-only maps, and where folio has a fault handler. Default: no.
    #[must_use]
    pub fn survive_truncation(mut self, survive: bool) -> Self {
        self.survive_truncation = survive;
        self
    }

    /// How reads find lost pages out. Default: [`FaultPolicy::Handler`].
    #[must_use]
    pub fn fault_policy(mut self, policy: FaultPolicy) -> Self {
        self.fault_policy = policy;
        self
    }

    /// Opens the file at `path` and maps it, to be read.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be opened or refuses to be mapped;
    /// [`Error::OutOfRange`] when the range is not all in the file.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Map> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        self.map(&file, path)
    }

    /// Maps an open file, to be read; `path` is its name in messages.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn map(&self, file: &File, path: impl Into<PathBuf>) -> Result<Map> {
        let path = path.into();
        let metadata = metadata_of(file, &path)?;
        self.map_known(file, path, &metadata)
    }

    /// As [`map`](Self::map), for a caller who has asked for the metadata already.
    pub(crate) fn map_known(&self, file: &File, path: PathBuf, metadata: &Metadata) -> Result<Map> {
        let extent = self.extent(file, &path, metadata)?;
        let mapping = extent
            .and_then(|extent| Mapping::of_extent(file, extent, self.fault_policy))
            .and_then(|mapping| {
                if self.survive_truncation {
                    mapping.survive_truncation()
                } else {
                    Ok(mapping)
                }
            })
            .map_err(|error| Error::io("map", &path, error))?;
        let huge_pages = self.settle(&mapping, &path)?;
        Ok(Map::new(Arc::new(mapping), self.offset, path, huge_pages))
    }

    /// Opens the file at `path` and maps it, to be read and written.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_mut(&self, path: impl AsRef<Path>) -> Result<MapMut> {
        let path = path.as_ref();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| Error::io("open", path, error))?;
        self.map_mut(&file, path)
    }

    /// Maps an open file, to be read and written; `path` is its name in messages.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open); [`Error::Unsupported`] for a map
    /// [past the end](Self::past_end): what is written to the page of the file's end,
    /// but past that, is lost without an error. Let it [grow](MapMut::grow) instead.
    pub fn map_mut(&self, file: &File, path: impl Into<PathBuf>) -> Result<MapMut> {
        let path = path.into();
        if self.past_end {
            return Err(Error::Unsupported {
                path,
                reason: "a writable map cannot reach past the end of the file; let it grow instead",
            });
        }
        let extent = self.extent(file, &path, &metadata_of(file, &path)?)?;
        let mapping = extent
            .and_then(|extent| {
                MappingMut::of_file(file.try_clone()?.into(), extent, self.fault_policy)
            })
            .map_err(|error| Error::io("map for writing", &path, error))?;
        let huge_pages = self.settle(mapping.mapping(), &path)?;
        Ok(self.finish(mapping, self.offset, path, huge_pages))
    }

    /// Memory of no file, all zero, shared with the children that this process
    /// forks. Offset, length and past-end options are of no consequence.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses.
    pub fn anonymous(&self, len: u64) -> Result<MapMut> {
        let path = PathBuf::from("<anonymous>");
        #[cfg(target_os = "linux")]
        if self.huge_pages == HugePages::Pool {
            return self.in_memory("anonymous", len, path);
        }
        let mapping = self
            .extent_of_memory(len)
            .and_then(|extent| MappingMut::anonymous(extent, self.fault_policy))
            .map_err(|error| Error::io("map", &path, error))?;
        let huge_pages = self.settle(mapping.mapping(), &path)?;
        Ok(self.finish(mapping, 0, path, huge_pages))
    }

    /// A new file in memory (`memfd_create(2)`), all zero, mapped. Its descriptor
    /// ([`MapMut::file`]) can be passed to other processes. The name is for humans, who see it in
    /// `/proc/PID/maps`. Offset, length and past-end options are of no consequence.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses; also for names above 249 bytes.
    #[cfg(target_os = "linux")]
    pub fn memfd(&self, name: &str, len: u64) -> Result<MapMut> {
        self.in_memory(name, len, format!("<memfd:{name}>").into())
    }

    #[cfg(target_os = "linux")]
    fn in_memory(&self, name: &str, len: u64, path: PathBuf) -> Result<MapMut> {
        let (mapping, huge_pages) = self
            .extent_of_memory(len)
            .and_then(|extent| {
                folio_sys::memfd::map(name, extent, self.huge_pages, self.fault_policy)
            })
            .map_err(|error| Error::io("map", &path, error))?;
        self.settle(mapping.mapping(), &path)?;
        Ok(self.finish(mapping, 0, path, huge_pages))
    }

    fn finish(
        &self,
        mapping: MappingMut,
        offset: u64,
        path: PathBuf,
        huge_pages: HugePages,
    ) -> MapMut {
        let on_growth = OnGrowth {
            lock: self.lock,
            advice: self.advice,
            huge_pages,
        };
        let map = Map::new(Arc::clone(mapping.mapping()), offset, path, huge_pages);
        MapMut::new(mapping, map, on_growth)
    }

    /// The bytes of the file to map. The outer error is that they are not there; the inner
    /// one, that no mapping can hold them.
    fn extent(&self, file: &File, path: &Path, metadata: &Metadata) -> Result<io::Result<Extent>> {
        let size = size_of_file(file, metadata);
        let len = self.len.unwrap_or(size.saturating_sub(self.offset));
        let limit = if self.past_end { u64::MAX } else { size };
        if ByteRange::within(limit, self.offset, len).is_none() {
            return Err(Error::OutOfRange {
                path: path.to_owned(),
                offset: self.offset,
                len,
                size,
            });
        }
        let page_bytes = folio_sys::file::page_bytes(file, metadata.blksize())
            .map_err(|error| Error::io("stat", path, error))?;
        Ok(address_space(len).and_then(|len| {
            let reserve = address_space(self.reserve)?;
            let extent = Extent::new(self.offset, len);
            Ok(extent.reserve(reserve).page_bytes(page_bytes))
        }))
    }

    fn extent_of_memory(&self, len: u64) -> io::Result<Extent> {
        let reserve = address_space(self.reserve)?;
        Ok(Extent::new(0, address_space(len)?).reserve(reserve))
    }

    /// Does to a new mapping what was asked for. Says which pages it has.
    fn settle(&self, mapping: &Mapping, path: &Path) -> Result<HugePages> {
        let len = mapping.len();
        let mut huge_pages = HugePages::None;
        if mapping.page_bytes() > folio_sys::page::size() {
            huge_pages = HugePages::Pool;
        } else if self.huge_pages != HugePages::None
            && mapping.advise(0, len, Advice::HugePage).is_ok()
        {
            huge_pages = HugePages::Transparent;
        }
        if let Some(advice) = self.advice {
            match mapping.advise(0, len, advice) {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                    return Err(Error::io("advise the kernel about", path, error));
                }
                _ => {}
            }
        }
        if self.populate {
            mapping
                .populate()
                .map_err(|error| Error::io("populate the mapping", path, error))?;
        }
        if self.lock {
            mapping
                .lock(0, len)
                .map_err(|error| Error::io("lock the mapping", path, error))?;
        }
        Ok(huge_pages)
    }
}

fn metadata_of(file: &File, path: &Path) -> Result<Metadata> {
    file.metadata()
        .map_err(|error| Error::io("stat", path, error))
}

/// A length that the address space may have; as the kernel says it, for one that it has not.
fn address_space(len: u64) -> io::Result<usize> {
    usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory.into())
}
