//! Anything that can be opened.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::map::Map;
use crate::map_options::MapOptions;
use crate::positioned::Positioned;
use crate::range::ByteRange;
use crate::reader::Reader;
use crate::view::View;
use crate::{Error, ReadAt, Result};

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
    access: Access,
    path: Arc<Path>,
}

/// How a [`Source`] gets at its bytes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One mapping of the whole file.
    Mapped,
    /// Random access by `pread(2)`: the file cannot be mapped, or not whole.
    Positioned,
    /// No random access: a pipe, tty or socket, read once from front to back.
    Stream,
}

#[derive(Clone)]
enum Access {
    Mapped(Arc<Map>),
    Positioned {
        file: Arc<Positioned>,
        /// Unknown where the system's word for it proved wrong.
        len: Option<u64>,
    },
    Stream(Arc<File>),
}

impl Source {
    /// Opens `path` for reading. A FIFO waits until a writer comes, as `open(2)` does.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with the system's reason; a folder is `IsADirectory`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        Self::choose(file, path.to_owned())
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
        Self::choose(file, PathBuf::from(name))
    }

    /// Standard input, whatever it is connected to, named `<stdin>` in messages.
    ///
    /// Bytes that [`std::io::stdin`] has buffered already are not seen again.
    ///
    /// # Errors
    ///
    /// As for [`from_fd`](Self::from_fd).
    pub fn stdin() -> Result<Self> {
        let path = PathBuf::from("<stdin>");
        let fd = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::io("open", &path, error))?;
        Self::choose(File::from(fd), path)
    }

    /// How the bytes are got at.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.access {
            Access::Mapped(_) => Kind::Mapped,
            Access::Positioned { .. } => Kind::Positioned,
            Access::Stream(_) => Kind::Stream,
        }
    }

    /// How many bytes there were when the source was opened; `None` when nobody knows:
    /// for a stream, and for files such as those of `/proc` whose stated size is wrong.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.access {
            Access::Mapped(map) => Some(map.len()),
            Access::Positioned { len, .. } => *len,
            Access::Stream(_) => None,
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
        &self.path
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
            Access::Positioned { file, .. } => file.read_at(offset_bytes, buf),
            Access::Stream(_) => Err(self.no_random_access()),
        }
    }

    /// A view of a range.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the source does not have all of these bytes;
    /// [`Error::Unsupported`] when its length is unknown, so that nobody can say.
    pub fn view(&self, offset_bytes: u64, len: u64) -> Result<View> {
        let size = self.known_len()?;
        let view = match &self.access {
            Access::Mapped(map) => View::of_map(map, offset_bytes, len),
            Access::Positioned { file, .. } => ByteRange::within(size, offset_bytes, len)
                .map(|range| View::of_positioned(file, range)),
            Access::Stream(_) => return Err(self.no_random_access()),
        };
        view.ok_or_else(|| Error::OutOfRange {
            path: self.path.to_path_buf(),
            offset: offset_bytes,
            len,
            size,
        })
    }

    /// A view of all bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when the length is unknown.
    pub fn whole(&self) -> Result<View> {
        self.view(0, self.known_len()?)
    }

    /// Reads the bytes in order, through a buffer; seeks where there is random access.
    ///
    /// Readers of a source with random access start at its first byte, each with a position of
    /// its own. Readers of a stream take turns at what comes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.clone())
    }

    /// Reads from a stream what is there, at least a byte unless it has ended.
    pub(crate) fn read_stream(&self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        match &self.access {
            Access::Stream(file) => Some(io::Read::read(&mut &**file, buf)),
            Access::Mapped(_) | Access::Positioned { .. } => None,
        }
    }

    fn known_len(&self) -> Result<u64> {
        if let Access::Stream(_) = self.access {
            return Err(self.no_random_access());
        }
        self.len().ok_or_else(|| Error::Unsupported {
            path: self.path.to_path_buf(),
            reason: "its length is unknown, so it has no views; read it in order",
        })
    }

    #[cold]
    fn no_random_access(&self) -> Error {
        Error::Unsupported {
            path: self.path.to_path_buf(),
            reason: "a stream has no random access; read it in order",
        }
    }

    /// Tries what is fastest first, and falls back on any refusal.
    fn choose(file: File, path: PathBuf) -> Result<Self> {
        let size = check_readable(&file, &path)?;
        let shared_path: Arc<Path> = path.as_path().into();
        let with = |access| Self {
            access,
            path: shared_path,
        };
        let mut len = None;
        // A file that says it is empty may be one of /proc, which is not.
        if size > 0 {
            match MapOptions::default().map(&file, path.as_path()) {
                Ok(map) => return Ok(with(Access::Mapped(Arc::new(map)))),
                // It can be mapped, but not here: its size is to be believed.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::OutOfMemory => {
                    len = Some(size);
                }
                Err(_) => {}
            }
        }
        let positioned = Positioned::new(file, path);
        match positioned.read_at(0, &mut [0]) {
            Ok(0) if size == 0 => {
                let map = MapOptions::default()
                    .len(0)
                    .map(positioned.file(), positioned.path())?;
                Ok(with(Access::Mapped(Arc::new(map))))
            }
            Ok(_) => Ok(with(Access::Positioned {
                file: Arc::new(positioned),
                len,
            })),
            Err(Error::Io { source, .. })
                if source.raw_os_error() == Some(rustix::io::Errno::SPIPE.raw_os_error()) =>
            {
                Ok(with(Access::Stream(Arc::new(positioned.into_file()))))
            }
            Err(error) => Err(error),
        }
    }
}

/// Refuses folders and descriptors that cannot be read; returns the stated size.
fn check_readable(file: &File, path: &Path) -> Result<u64> {
    let metadata = file
        .metadata()
        .map_err(|error| Error::io("stat", path, error))?;
    if metadata.is_dir() {
        let error = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(Error::io("read", path, error));
    }
    let flags =
        rustix::fs::fcntl_getfl(file).map_err(|error| Error::io("stat", path, error.into()))?;
    #[cfg(target_os = "linux")]
    let is_path_only = flags.contains(OFlags::PATH);
    #[cfg(not(target_os = "linux"))]
    let is_path_only = false;
    if is_path_only || flags & OFlags::RWMODE == OFlags::WRONLY {
        return Err(Error::Unsupported {
            path: path.to_owned(),
            reason: "the descriptor is not open for reading",
        });
    }
    Ok(metadata.len())
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .field("kind", &self.kind())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
