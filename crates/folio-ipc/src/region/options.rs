//! How a region is made and opened.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::header::Header;
use super::layout::{Dimensions, Layout, PAGE_BYTES};
use super::{Image, Region, create, open};
use crate::{Error, Result};

/// How a region is to be made, and what is accepted when one is opened.
///
/// All but [`allow_shared_writers`](Self::allow_shared_writers) concerns regions that are made: one that is there is as it was made.
///
/// ```
/// use folio_ipc::Region;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("app");
/// let region = Region::options().size_bytes(2 << 20).participants(8).threads(64).create(&path)?;
/// let again = Region::open(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options are for one of the functions that make or open a region"]
pub struct RegionOptions {
    size_bytes: u64,
    capacity_bytes: Option<u64>,
    participants: u32,
    threads: u32,
    objects: u32,
    mode: u32,
    shared_writers: bool,
}

impl RegionOptions {
    pub(super) fn new() -> Self {
        Self {
            size_bytes: 1 << 20,
            capacity_bytes: None,
            participants: 256,
            threads: 1024,
            objects: 1024,
            mode: 0o600,
            shared_writers: false,
        }
    }

    /// How long the region is to be, all told; 1 MiB unless said otherwise. With the other options as they are, some 350 KiB
    /// of it are for names and participants.
    pub fn size_bytes(mut self, size_bytes: u64) -> Self {
        self.size_bytes = size_bytes;
        self
    }

    /// How long it may become, up to 64 TiB, and a page less than 2 GiB in 32-bit programs; unless said otherwise, no
    /// longer than it is made. Each process that opens it reserves so much address space.
    pub fn capacity_bytes(mut self, capacity_bytes: u64) -> Self {
        self.capacity_bytes = Some(capacity_bytes);
        self
    }

    /// How many processes may have it open at a time, 1 to 4,096; 256 unless said otherwise.
    pub fn participants(mut self, participants: u32) -> Self {
        self.participants = participants;
        self
    }

    /// How many threads may use its locks at a time, 2 to 65,536; 1,024 unless said otherwise. One record of
    /// them is kept for cleaning up.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// How many objects it may have, 1 to 1,048,576; 1,024 unless said otherwise.
    pub fn objects(mut self, objects: u32) -> Self {
        self.objects = objects;
        self
    }

    /// The file's permissions; 0600 unless said otherwise. Those for group and others to write take
    /// [`allow_shared_writers`](Self::allow_shared_writers) as well.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Whether users may write to the region other than the one whose process this is. Each of them can
    /// change any byte at any time, which gives wrong values and errors, and no worse.
    pub fn allow_shared_writers(mut self, allow: bool) -> Self {
        self.shared_writers = allow;
        self
    }

    /// Makes a region. It has its name once it is complete, and not before, whenever this process may end.
    ///
    /// # Errors
    ///
    /// [`Error::Options`] for what no region can be; [`Error::Io`] when the file is there, the disk is full, or the system
    /// refuses.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Region> {
        let path = path.as_ref();
        let draft = create::draft(path, &self.header()?)?;
        // A name is given to what this process can map and no sooner: what fails leaves nothing behind.
        let (image, is_private) = self.map(draft.file(path)?, path.to_owned())?;
        draft.publish(path)?;
        Region::attach(image, is_private)
    }

    /// Opens a region.
    ///
    /// # Errors
    ///
    /// [`Error::NotARegion`], [`Error::Version`], [`Error::WordSize`], [`Error::ByteOrder`], [`Error::Layout`] for
    /// what this build cannot use; [`Error::Damaged`] and [`Error::Truncated`] for what is no longer whole;
    /// [`Error::Untrusted`] for what others may write to; [`Error::TooManyParticipants`]; [`Error::Busy`];
    /// [`Error::Io`] for a symbolic link, and whatever else the system refuses.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Region> {
        let path = path.as_ref();
        let file = open::open_file(path)?;
        self.attach(file, path.to_owned())
    }

    /// Opens a region, or makes it.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(&self, path: impl AsRef<Path>) -> Result<Region> {
        /// Somebody else may make it, or remove it, just then.
        const ATTEMPTS: u32 = 100;

        let path = path.as_ref();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let is = |error: &Error, kind| matches!(error, Error::Io { source, .. } if source.kind() == kind);
            match self.open(path) {
                Err(error) if is(&error, io::ErrorKind::NotFound) && attempt < ATTEMPTS => {}
                opened => return opened,
            }
            match self.create(path) {
                Err(error) if is(&error, io::ErrorKind::AlreadyExists) && attempt < ATTEMPTS => {}
                created => return created,
            }
        }
    }

    /// Makes a region in memory that has no name (a memfd). Children have it; others can be sent its descriptor.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create); `Unsupported` on systems that have no such files.
    pub fn anonymous(&self) -> Result<Region> {
        let path = PathBuf::from("anonymous region");
        let file = create::anonymous(&path, &self.header()?)?;
        self.attach(file, path)
    }

    /// Opens the region that a descriptor stands for.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn from_fd(&self, file: OwnedFd) -> Result<Region> {
        self.attach(file, PathBuf::from(super::NAMELESS))
    }

    fn attach(&self, file: OwnedFd, path: PathBuf) -> Result<Region> {
        let (image, is_private) = self.map(file, path)?;
        Region::attach(image, is_private)
    }

    /// The region in memory, and whether nobody but this process's user may write to it.
    fn map(&self, file: OwnedFd, path: PathBuf) -> Result<(Image, bool)> {
        let is_private = open::check_trust(&file, &path, self.shared_writers)?;
        let image = open::map(file, path)?;
        Ok((image, is_private))
    }

    fn header(&self) -> Result<Header> {
        let options = |reason: String| Err(Error::Options { reason });
        if self.mode & !0o666 != 0 || self.mode & 0o600 != 0o600 {
            return options(format!("mode {:o}: 600 to 666 are possible", self.mode));
        }
        if self.mode & 0o022 != 0 && !self.shared_writers {
            return options(format!(
                "mode {:o} lets other users write, which was not allowed",
                self.mode
            ));
        }
        if self.threads < 2 {
            return options("less than 2 threads".to_owned());
        }
        let size_bytes = self.size_bytes.checked_next_multiple_of(PAGE_BYTES);
        let capacity_bytes = match self.capacity_bytes {
            Some(capacity) => capacity.checked_next_multiple_of(PAGE_BYTES),
            None => size_bytes,
        };
        let (Some(size_bytes), Some(capacity_bytes)) = (size_bytes, capacity_bytes) else {
            return options("a size beyond 64 bits".to_owned());
        };
        let layout = Layout::new(Dimensions {
            participants: self.participants,
            threads: self.threads,
            objects: self.objects,
            capacity_bytes,
        })?;
        if !(layout.least_size_bytes()..=capacity_bytes).contains(&size_bytes) {
            return options(format!(
                "a size of {size_bytes} bytes: {} to {capacity_bytes} are possible",
                layout.least_size_bytes()
            ));
        }
        Ok(Header {
            layout,
            size_bytes,
            mode: self.mode,
            shared_writers: self.mode & 0o022 != 0,
        })
    }
}
