//! A file seen through a bounded set of mappings.

mod cache;
mod extent;
mod locality;
mod options;
mod stats;
mod window;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use folio_sys::fault::FaultPolicy;
use zerocopy::{FromBytes, IntoBytes};

pub use options::WindowsOptions;
pub use stats::WindowStats;

use crate::positioned::{Positioned, size_of_file};
use crate::range::ByteRange;
use crate::{Error, ReadAt, Result, View};
use cache::{Cache, Piece};
use window::Backing;

/// A file of any size, seen through a bounded set of mappings.
///
/// For files that are larger than the address space, than its largest hole, or than the
/// share of it that they may have. Use it like a [`Map`](crate::Map): windows are mapped as they
/// are needed and unmapped when the budget is met. It may be shared between threads.
///
/// ```
/// use folio::{ReadAt, Windows};
///
/// let file = tempfile::NamedTempFile::new()?;
/// file.as_file().set_len(100 << 30)?; // 100 GiB, sparse
/// let windows = Windows::options()
///     .window_bytes(1 << 20)
///     .budget_bytes(8 << 20)
///     .open(&file)?;
/// assert_eq!(windows.get::<u64>(99 << 30)?, 0);
/// let view = windows.view(50 << 30, 4096)?; // pins its window
/// assert_eq!(view.to_vec()?, [0; 4096]);
/// assert!(windows.stats().mapped_bytes <= 8 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Windows
///
/// A window starts at a multiple of half a window, so that neighbours overlap, and any run of
/// up to half a window lies whole in one of them: a record that crosses a boundary needs
/// no copying together. A view of more than that may get a window of its own size; a read
/// goes piece by piece. A file that fits into one window is mapped whole.
///
/// The most recent window is read without a lock, in a few nanoseconds. For the others, a lock is
/// held while the window is looked up or mapped, never while bytes are copied.
///
/// # The budget
///
/// A [`View`] pins its window. Windows that nothing pins are kept, and the least recently used
/// are unmapped as soon as a new one would exceed the budget (in bytes, or in count). Views
/// may exceed it, reads do not: where pinned windows take it all, they go by `pread(2)`.
///
/// When the kernel has no room for a window, all that nothing pins are unmapped. If that does
/// not help, windows become half as large, for good; and when they cannot become smaller,
/// reads, and views made from then on, go by `pread(2)`.
///
/// # When windows do not pay
///
/// Mapping and unmapping a window costs several times what a small read by `pread(2)` does. A
/// score between 0 and 64 tells whether reads come back to the windows that were mapped for them.
/// It changes with every read that the most recent window does not have whole:
///
/// * minus 1, when another mapped window has the bytes, or when they begin within half
///   a window of the most recent one, as they do when a file is read in order;
/// * plus 4, when a window would have to be unmapped to make room for this one, and at most
///   16 KiB are asked for.
///
/// At 64, reads stop unmapping windows: those that no mapped window serves go by
/// `pread(2)`, and now a read counts as coming back (minus 1) also when it falls into
/// one of the last 8 half windows read so. At 0, windows are mapped again. So it
/// takes 16 misses more than there is good reason for to stop mapping, and 64 reads
/// that come back to begin again; in between, five reads a window are the
/// balance. [`WindowsOptions::adaptive`] turns this off.
///
/// # Files that change
///
/// The length is the one at opening, until [`refresh_len`](Self::refresh_len). Bytes that the file has
/// lost are [`Error::Fault`], whichever way they would have been read. In the page that holds the
/// file's new end, and up to the old one, a mapping has zeros, as `mmap(2)` says, where
/// `pread(2)` reports the loss. Views that go by `pread(2)` end short.
pub struct Windows {
    backing: Backing,
    len: AtomicU64,
    cache: Mutex<Cache>,
}

impl Windows {
    /// Options: window and budget by the width of addresses, adaptive.
    #[must_use]
    pub fn options() -> WindowsOptions {
        WindowsOptions::default()
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// As for [`WindowsOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    fn new(file: File, path: PathBuf, policy: FaultPolicy, cache: Cache) -> Result<Self> {
        let windows = Self {
            backing: Backing::new(Positioned::new(file, path), policy),
            len: AtomicU64::new(0),
            cache: Mutex::new(cache),
        };
        windows.refresh_len()?;
        Ok(windows)
    }

    /// The path that the file was opened by, or a name.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.backing.file.path()
    }

    /// Copies out one plain-data value, in the machine's byte order: see [`ReadAt::get_at`].
    ///
    /// # Errors
    ///
    /// As for [`ReadAt::read_exact_at`].
    #[inline]
    pub fn get<T: FromBytes + IntoBytes>(&self, offset_bytes: u64) -> Result<T> {
        self.get_at(offset_bytes)
    }

    /// A view of a range, which pins the window that it lies in.
    ///
    /// Its bytes are mapped, or, where the kernel has no room, read when they are asked for.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the file does not have all of these bytes, as far as the length is
    /// known; [`Error::Fault`] when it has lost them since; [`Error::Io`] when the file refuses to be mapped.
    pub fn view(&self, offset_bytes: u64, len: u64) -> Result<View> {
        let size = self.len();
        let range = ByteRange::within(size, offset_bytes, len)
            .ok_or_else(|| self.out_of_range(offset_bytes, len))?;
        let window = match len {
            0 => None,
            _ => self
                .lock()
                .window_for_view(&self.backing, size, offset_bytes, len)?,
        };
        let view = window
            .and_then(|window| View::of_map(window.map(), offset_bytes - window.start(), len));
        Ok(view.unwrap_or_else(|| View::of_positioned(&self.backing.file, range)))
    }

    /// Takes note of the file's length now, and returns it.
    ///
    /// Where the file became shorter, windows beyond its end are let go; views keep theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system does not tell.
    pub fn refresh_len(&self) -> Result<u64> {
        let mut cache = self.lock();
        let metadata = self.backing.file.file().metadata();
        let metadata = metadata.map_err(|error| Error::io("stat", self.path(), error))?;
        if metadata.is_dir() {
            let error = std::io::ErrorKind::IsADirectory.into();
            return Err(Error::io("read", self.path(), error));
        }
        let len = size_of_file(self.backing.file.file(), &metadata);
        if len < self.len.swap(len, Ordering::Relaxed) {
            cache.forget_beyond(&self.backing, len);
        }
        Ok(len)
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> WindowStats {
        self.lock().stats()
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // A panic can come from a lack of memory only, and leaves the cache whole.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `buf` from the most recent window, if that takes a few loads and stores. So little
    /// is said of why not, because the saying is what the whole cost would be made of.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as for Span::read_small_at")]
    fn read_small_current(&self, offset: u64, buf: &mut [u8]) -> bool {
        match self.backing.cursor.current() {
            Some(window) => window.has_read_small(offset, buf),
            None => false,
        }
    }

    /// Fills `buf` from the most recent window. False if that does not have all of it, or has lost some:
    /// the other ways find out which.
    fn read_current(&self, offset: u64, buf: &mut [u8]) -> bool {
        match self.backing.cursor.current() {
            Some(window) => window.has_read(offset, buf),
            None => false,
        }
    }

    #[inline(never)]
    fn read_any(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if self.read_current(offset, buf) {
            return Ok(buf.len());
        }
        let size = self.len();
        let rest = size.saturating_sub(offset);
        let count = usize::try_from(rest).map_or(buf.len(), |rest| rest.min(buf.len()));
        self.read_pieces(size, offset, buf.get_mut(..count).unwrap_or_default())?;
        Ok(count)
    }

    #[inline(never)]
    fn read_exact_any(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if self.read_current(offset, buf) {
            return Ok(());
        }
        let size = self.len();
        if ByteRange::within(size, offset, buf.len() as u64).is_none() {
            return Err(self.out_of_range(offset, buf.len() as u64));
        }
        self.read_pieces(size, offset, buf)
    }

    /// Fills `buf` with bytes that the file has, as far as its length is known.
    fn read_pieces(&self, size: u64, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        while !buf.is_empty() {
            let piece = self.lock().piece(&self.backing, size, offset, buf.len())?;
            let count = match &piece {
                Piece::Mapped(window) => window.len_from(offset).min(buf.len()),
                Piece::Positioned => buf.len(),
            };
            let (head, rest) = buf.split_at_mut(count);
            match piece {
                Piece::Mapped(window) => window.read_exact_at(offset, head)?,
                Piece::Positioned => self.read_positioned(offset, head)?,
            }
            // Within the file, so within a u64.
            offset += count as u64;
            buf = rest;
        }
        Ok(())
    }

    fn read_positioned(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let count = self.backing.file.read_at(offset, buf)?;
        if count == buf.len() {
            Ok(())
        } else {
            Err(Error::Fault {
                path: self.path().to_owned(),
                offset: offset + count as u64,
            })
        }
    }
}

impl ReadAt for Windows {
    fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        if self.read_small_current(offset_bytes, buf) {
            return Ok(buf.len());
        }
        self.read_any(offset_bytes, buf)
    }

    #[inline]
    fn read_exact_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        if self.read_small_current(offset_bytes, buf) {
            return Ok(());
        }
        self.read_exact_any(offset_bytes, buf)
    }

    fn source_path(&self) -> &Path {
        self.path()
    }
}

impl fmt::Debug for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windows")
            .field("path", &self.path())
            .field("len", &self.len())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
