//! Anything that can be opened.

mod choose;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub use choose::{Reason, SourceOptions};

use crate::map::Map;
use crate::positioned::Positioned;
use crate::range::ByteRange;
use crate::reader::Reader;
use crate::spool::SpoolOptions;
use crate::view::View;
use crate::{Error, Frozen, ReadAt, Result, Windows};

/// A file, pipe, tty, socket or `/proc` entry, opened for reading whatever it is.
///
/// What can be mapped is mapped; what refuses is read by system calls instead. The
/// kind is found by trying, since `fstat` alone is no guide: a `/proc` file says
/// that it is empty and has content, a `/sys` file says 4096 bytes, has five, and
/// refuses to be mapped.
///
/// ```
/// use std::io::Read;
/// use folio::{Kind, Source};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, b"hello, world")?;
/// let source = Source::open(&file)?;
/// assert_eq!(source.kind(), Kind::Mapped);
/// assert_eq!(source.len(), Some(12));
/// let mut word = [0; 5];
/// assert_eq!(source.read_at(7, &mut word)?, 5);
/// assert_eq!(&word, b"world");
///
/// # #[cfg(target_os = "linux")] {
/// let status = Source::open("/proc/self/status")?;
/// assert_eq!(status.kind(), Kind::Positioned);
/// let mut text = String::new();
/// status.reader().read_to_string(&mut text)?;
/// assert!(text.starts_with("Name:"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Source {
    /// Open for as long as the source lives, to look at it again, and to read what is not mapped.
    file: Arc<Positioned>,
    access: Access,
    reason: Reason,
    options: SourceOptions,
}

/// How a [`Source`] gets at its bytes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One mapping of the whole file.
    Mapped,
    /// A bounded set of mappings: the file is larger than the address space has room for.
    Windowed,
    /// Random access by `pread(2)`: the file cannot be mapped, or not whole.
    Positioned,
    /// No random access: a pipe, tty or socket, read once from front to back.
    Stream,
}

#[derive(Clone)]
enum Access {
    Mapped(Arc<Map>),
    Windowed(Arc<Windows>),
    Positioned {
        /// Unknown where the system's word for it proved wrong.
        len: Option<u64>,
    },
    Stream,
}

impl Source {
    /// Opens `path` for reading. A FIFO waits until a writer comes, as `open(2)` does.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with the system's reason; a folder is `IsADirectory`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Takes an open descriptor, named `<fd N>` in messages.
    ///
    /// For what has random access, offsets count from the start of the file, wherever the
    /// descriptor stands. A stream is read from where it stands.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when the descriptor is not open for reading; otherwise
    /// as for [`open`](Self::open).
    pub fn from_fd(fd: impl Into<OwnedFd>) -> Result<Self> {
        use std::os::fd::AsRawFd;

        let file = File::from(fd.into());
        let name = format!("<fd {}>", file.as_raw_fd());
        Self::options().of_file(file, name)
    }

    /// Standard input, whatever it is connected to, named `<stdin>` in messages.
    ///
    /// Bytes that [`std::io::stdin`] has buffered already are not seen again.
    ///
    /// # Errors
    ///
    /// As for [`from_fd`](Self::from_fd).
    pub fn stdin() -> Result<Self> {
        let name = Path::new("<stdin>");
        let fd = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::io("open", name, error))?;
        Self::options().of_file(File::from(fd), name)
    }

    /// Options: the fastest kind that works.
    #[must_use]
    pub fn options() -> SourceOptions {
        SourceOptions::default()
    }

    /// How the bytes are got at.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.access {
            Access::Mapped(_) => Kind::Mapped,
            Access::Windowed(_) => Kind::Windowed,
            Access::Positioned { .. } => Kind::Positioned,
            Access::Stream => Kind::Stream,
        }
    }

    /// The windows through which it is seen, if it is [`Kind::Windowed`].
    #[must_use]
    pub fn windows(&self) -> Option<&Windows> {
        match &self.access {
            Access::Windowed(windows) => Some(windows),
            _ => None,
        }
    }

    /// Why it is of this kind, as a line for people.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// How many bytes there were when the source was opened; `None` when nobody knows:
    /// for a stream, and for files such as those of `/proc` whose stated size is wrong.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.access {
            Access::Mapped(map) => Some(map.len()),
            Access::Windowed(windows) => Some(windows.len()),
            Access::Positioned { len } => *len,
            Access::Stream => None,
        }
    }

    /// Whether there are known to be no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The path, or a name in angle brackets such as `<stdin>`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Copies the bytes from `offset_bytes` on into `buf` and says how many: fewer than
    /// `buf.len()` only where the bytes end.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a stream; [`Error::Fault`] when a mapped page is
    /// lost; [`Error::Io`] when the system refuses.
    pub fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        match &self.access {
            Access::Mapped(map) => map.read_at(offset_bytes, buf),
            Access::Windowed(windows) => windows.read_at(offset_bytes, buf),
            Access::Positioned { .. } => self.file.read_at(offset_bytes, buf),
            Access::Stream => Err(self.no_random_access()),
        }
    }

    /// A view of a range.
    ///
    /// Through windows, it pins the window that it lies in, or one of its own if it is
    /// larger. Where the kernel has no room for that one, the bytes are read when they are
    /// asked for.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the source does not have all of these bytes;
    /// [`Error::Unsupported`] when its length is unknown, so that nobody can say.
    pub fn view(&self, offset_bytes: u64, len: u64) -> Result<View> {
        let size = self.known_len()?;
        let view = match &self.access {
            Access::Mapped(map) => View::of_map(map, offset_bytes, len),
            Access::Windowed(windows) => return windows.view(offset_bytes, len),
            Access::Positioned { .. } => ByteRange::within(size, offset_bytes, len)
                .map(|range| View::of_positioned(&self.file, range)),
            Access::Stream => return Err(self.no_random_access()),
        };
        view.ok_or_else(|| Error::OutOfRange {
            path: self.path().to_owned(),
            offset: offset_bytes,
            len,
            size,
        })
    }

    /// A view of all bytes.
    ///
    /// Where the file is seen through windows, this view goes through them as well, and
    /// pins none: it takes no address space beyond their budget.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when the length is unknown.
    pub fn whole(&self) -> Result<View> {
        let size = self.known_len()?;
        match &self.access {
            Access::Windowed(windows) => ByteRange::within(size, 0, size)
                .map(|range| View::of_windows(windows, range))
                .ok_or_else(|| windows.out_of_range(0, size)),
            _ => self.view(0, size),
        }
    }

    /// Reads the bytes in order, through a buffer; seeks where there is random access.
    ///
    /// Readers of a source with random access start at its first byte, each with a position of
    /// its own. Readers of a stream take turns at what comes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.clone())
    }

    /// A source with random access to what this one says, if need be by reading it to its
    /// end into memory: see [`SpoolOptions::spool`].
    ///
    /// ```
    /// use std::io::Write;
    /// use folio::{Kind, Source};
    ///
    /// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
    /// writer.write_all(b"hello, world")?;
    /// drop(writer);
    /// let spooled = Source::from_fd(reader)?.spool()?;
    /// assert_eq!(spooled.kind(), Kind::Mapped);
    /// assert_eq!(spooled.view(7, 5)?.to_vec()?, b"world");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`SpoolOptions::spool`].
    pub fn spool(&self) -> Result<Self> {
        self.spool_options().spool()
    }

    /// Options for [`spool`](Self::spool): how much is kept, and where.
    #[must_use]
    pub fn spool_options(&self) -> SpoolOptions {
        SpoolOptions::new(self.clone())
    }

    /// The bytes, proven immutable, as a slice: in a file in memory that is sealed against
    /// everyone.
    ///
    /// That is one copy, which any number of processes then share: pass the descriptor on
    /// ([`Frozen::send_over`]). What is sealed already is taken as it is. A stream is read to its end.
    /// Elsewhere than on Linux, the copy is this process's own.
    ///
    /// ```
    /// use folio::Source;
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, b"hello, world")?;
    /// let frozen = Source::open(&file)?.freeze()?;
    /// std::fs::write(&file, b"goodbye")?;
    /// assert_eq!(&frozen[7..], b"world");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of reading the source; [`Error::Io`] when the system refuses the memory;
    /// [`Error::TooLarge`] for a stream of more than
    /// [16 GiB](SpoolOptions::DEFAULT_LIMIT_BYTES).
    pub fn freeze(&self) -> Result<Frozen> {
        #[cfg(target_os = "linux")]
        if self.kind() == Kind::Mapped {
            let again = self.file.file().try_clone();
            let again = again.map_err(|error| Error::io("open again", self.path(), error))?;
            match Frozen::from_fd(again) {
                Err(Error::NotFrozen { .. }) => {}
                frozen => return frozen,
            }
        }
        match self.len() {
            Some(_) => Frozen::copy_of(&self.whole()?),
            None => {
                // Spooled, it has a length.
                self.spool()?.freeze()
            }
        }
    }

    /// The same file, looked at again: a source with its length of now.
    ///
    /// Views and readers of this one stay as they are. A stream gives itself.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn refresh(&self) -> Result<Self> {
        if self.len().is_none() {
            return Ok(self.clone());
        }
        let file = self.file.file();
        let file = file
            .try_clone()
            .map_err(|error| Error::io("open again", self.path(), error))?;
        self.options.of_file(file, self.path())
    }

    /// Waits until the file has at least `len` bytes, as those do that others append to, and
    /// gives a source that has them.
    ///
    /// The size is looked at again and again, up to 20 times a second: unlike notification,
    /// that works on every file system.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the file is still shorter after `timeout` (never, if that
    /// is `None`); [`Error::Unsupported`] for a source whose length is unknown; otherwise
    /// as for [`open`](Self::open).
    pub fn wait_for_len(&self, len: u64, timeout: Option<Duration>) -> Result<Self> {
        const FIRST_PAUSE: Duration = Duration::from_millis(1);
        const LONGEST_PAUSE: Duration = Duration::from_millis(50);

        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut size = self.known_len()?;
        loop {
            if size >= len {
                return if self.len() == Some(size) {
                    Ok(self.clone())
                } else {
                    self.refresh()
                };
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            if left == Some(Duration::ZERO) {
                return Err(Error::OutOfRange {
                    path: self.path().to_owned(),
                    offset: 0,
                    len,
                    size,
                });
            }
            thread::sleep(left.map_or(pause, |left| left.min(pause)));
            pause = (pause * 2).min(LONGEST_PAUSE);
            let metadata = self.file.file().metadata();
            size = metadata
                .map_err(|error| Error::io("stat", self.path(), error))?
                .len();
        }
    }

    /// Reads from a stream what is there, at least a byte unless it has ended.
    pub(crate) fn read_stream(&self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        match &self.access {
            Access::Stream => Some(io::Read::read(&mut self.file.file(), buf)),
            Access::Mapped(_) | Access::Windowed(_) | Access::Positioned { .. } => None,
        }
    }

    fn known_len(&self) -> Result<u64> {
        if let Access::Stream = self.access {
            return Err(self.no_random_access());
        }
        self.len().ok_or_else(|| Error::Unsupported {
            path: self.path().to_owned(),
            reason: "its length is unknown, so it has no views; read it in order",
        })
    }

    #[cold]
    fn no_random_access(&self) -> Error {
        Error::Unsupported {
            path: self.path().to_owned(),
            reason: "a stream has no random access; read it in order",
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path())
            .field("kind", &self.kind())
            .field("len", &self.len())
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
