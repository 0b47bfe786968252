//! How a source is chosen: by trying, fastest first, and falling back on any refusal.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{Access, Kind, Source};
use crate::map_options::MapOptions;
use crate::positioned::{Positioned, size_of_file};
use crate::{Error, FaultPolicy, Result, WindowsOptions};

/// How a source is opened. Made by [`Source::options`].
///
/// ```
/// use folio::{Kind, Source};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, b"hello, world")?;
/// let source = Source::options().kind(Kind::Positioned).open(&file)?;
/// assert_eq!(source.kind(), Kind::Positioned);
/// assert_eq!(source.reason().to_string(), "asked for");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SourceOptions {
    kind: Option<Kind>,
    windows: WindowsOptions,
    fault_policy: FaultPolicy,
}

/// Why a source is of its [`Kind`].
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The caller asked for this kind.
    Asked,
    /// It could be mapped whole.
    Mappable,
    /// It is larger than the window that one mapping may be, so it has several.
    TooLarge,
    /// The address space had no room for all of it.
    NoRoom,
    /// There is nothing to map: it says that it is empty, and so it is.
    Empty,
    /// It says that it is empty, and has content, as files of `/proc` do.
    SizeUntrue,
    /// The system refused to map it, with this error number.
    MapRefused(i32),
    /// It has no random access: `pread(2)` answers ESPIPE.
    NoRandomAccess,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("asked for"),
            Self::Mappable => f.write_str("it can be mapped whole"),
            Self::TooLarge => f.write_str("it is larger than one window"),
            Self::NoRoom => f.write_str("the address space has no room for all of it"),
            Self::Empty => f.write_str("it is empty, so there is nothing to map"),
            Self::SizeUntrue => f.write_str("it says that it is empty, and has content"),
            Self::MapRefused(errno) => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(f, "mmap refused: {error}")
            }
            Self::NoRandomAccess => f.write_str("it has no random access: pread refused"),
        }
    }
}

impl SourceOptions {
    /// Insists on a kind, instead of the fastest that works.
    ///
    /// A stream cannot be [`Kind::Mapped`] or [`Kind::Positioned`]: opening it is an error
    /// then. Everything can be a [`Kind::Stream`].
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// How the file is seen through windows, if it is, and how large a file must be to be so:
    /// one that fits into a window is mapped whole.
    #[must_use]
    pub fn windows(mut self, options: WindowsOptions) -> Self {
        self.windows = options;
        self
    }

    /// How reads of mapped bytes find lost pages out. Default: [`FaultPolicy::Handler`].
    #[must_use]
    pub fn fault_policy(mut self, policy: FaultPolicy) -> Self {
        self.fault_policy = policy;
        self
    }

    /// Opens `path` for reading, as [`Source::open`] does.
    ///
    /// # Errors
    ///
    /// As for [`Source::open`]; and when it cannot be of the kind asked for.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Source> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        self.of_file(file, path.to_owned())
    }

    /// Takes an open file; `path` is its name in messages.
    ///
    /// # Errors
    ///
    /// As for [`Source::from_fd`]; and when it cannot be of the kind asked for.
    pub fn of_file(&self, file: File, path: impl Into<PathBuf>) -> Result<Source> {
        let path = path.into();
        let metadata = check_readable(&file, &path)?;
        let file = Arc::new(Positioned::new(file, path));
        let (access, reason) = match self.kind {
            None => self.try_all(&file, &metadata)?,
            Some(kind) => (self.insist(kind, &file, &metadata)?, Reason::Asked),
        };
        Ok(Source {
            file,
            access,
            reason,
            options: self.clone(),
        })
    }

    fn try_all(&self, file: &Arc<Positioned>, metadata: &Metadata) -> Result<(Access, Reason)> {
        let mut reason = Reason::SizeUntrue;
        let size = size_of_file(file.file(), metadata);
        // A file that says it is empty may be one of /proc, which is not.
        if size > 0 {
            // What is mapped in part is told from what refuses by mapping a byte of it.
            let is_large = !self.windows.is_one_window(size);
            let first = if is_large { 1 } else { size };
            match self.map(file, first, metadata).map_err(io::Error::from) {
                Ok(_) if is_large => return Ok((self.windowed(file)?, Reason::TooLarge)),
                Ok(access) => return Ok((access, Reason::Mappable)),
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    return Ok((self.windowed(file)?, Reason::NoRoom));
                }
                Err(error) => reason = Reason::MapRefused(raw_os_error(&error)),
            }
        }
        match probe(file) {
            Ok(0) if size == 0 => Ok((self.map(file, 0, metadata)?, Reason::Empty)),
            Ok(_) => Ok((Access::Positioned { len: None }, reason)),
            Err(error) if is_no_random_access(&error) => {
                Ok((Access::Stream, Reason::NoRandomAccess))
            }
            Err(error) => Err(error),
        }
    }

    fn insist(&self, kind: Kind, file: &Arc<Positioned>, metadata: &Metadata) -> Result<Access> {
        let size = size_of_file(file.file(), metadata);
        match kind {
            Kind::Mapped => self.map(file, size, metadata),
            Kind::Windowed => {
                // What refuses to be mapped at all has no windows either.
                self.map(file, size.min(1), metadata)?;
                self.windowed(file)
            }
            Kind::Stream => Ok(Access::Stream),
            Kind::Positioned => {
                probe(file)?;
                // Only for what can be mapped is the size known to be true.
                let len = self.map(file, size, metadata).is_ok().then_some(size);
                Ok(Access::Positioned { len })
            }
        }
    }

    fn windowed(&self, file: &Positioned) -> Result<Access> {
        let again = file.file().try_clone();
        let again = again.map_err(|error| Error::io("open again", file.path(), error))?;
        let options = self.windows.clone().fault_policy(self.fault_policy);
        let windows = options.map(again, file.path())?;
        Ok(Access::Windowed(Arc::new(windows)))
    }

    fn map(&self, file: &Positioned, size: u64, metadata: &Metadata) -> Result<Access> {
        MapOptions::default()
            .len(size)
            .fault_policy(self.fault_policy)
            .map_known(file.file(), file.path().to_owned(), metadata)
            .map(|map| Access::Mapped(Arc::new(map)))
    }
}

/// Reads a byte, if there is one, at a place of its own: nothing is lost to others.
fn probe(file: &Positioned) -> Result<usize> {
    file.read_at(0, &mut [0])
}

fn is_no_random_access(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => raw_os_error(source) == Errno::SPIPE.raw_os_error(),
        _ => false,
    }
}

/// The error number of the system behind an error, or 0.
fn raw_os_error(error: &io::Error) -> i32 {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(number) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return number;
        }
        cause = error.source();
    }
    0
}

/// Refuses folders and descriptors that cannot be read.
fn check_readable(file: &File, path: &Path) -> Result<Metadata> {
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
    Ok(metadata)
}
