//! Streams drained into memory, so that they have random access.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::{Error, Kind, Result, Source};

/// How much of a stream is kept, and where. Made by [`Source::spool_options`].
///
/// ```
/// use std::io::Write;
/// use folio::{Error, Source};
///
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// writer.write_all(b"hello, world")?;
/// drop(writer);
/// let error = Source::from_fd(reader)?
///     .spool_options()
///     .limit(5)
///     .spool()
///     .unwrap_err();
/// assert!(matches!(error, Error::TooLarge { limit: 5, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    source: Source,
    memory_bytes: u64,
    limit_bytes: u64,
}

impl SpoolOptions {
    /// Above this many bytes, a temporary file without a name takes the place of memory: 256 MiB.
    pub const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;
    /// Above this many bytes, spooling is an error, since some streams never end: 16 GiB.
    pub const DEFAULT_LIMIT_BYTES: u64 = 16 << 30;

    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            memory_bytes: Self::DEFAULT_MEMORY_BYTES,
            limit_bytes: Self::DEFAULT_LIMIT_BYTES,
        }
    }

    /// Keeps up to this many bytes in memory, and more in a temporary file.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Takes at most this many bytes.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit_bytes = bytes;
        self
    }

    /// Reads the source to its end and keeps what it said.
    ///
    /// What can be mapped already is given back as it is. Anything else is read from
    /// where it stands (its start, with random access) into a sealed memfd, which
    /// nobody can change or truncate; past the limit for memory, and where there is no
    /// memfd, into an unlinked file in the folder for temporary files.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] past the limit; what was read by then is lost. [`Error::Io`]
    /// when reading or keeping fails.
    pub fn spool(&self) -> Result<Source> {
        if self.source.kind() == Kind::Mapped {
            return Ok(self.source.clone());
        }
        let mut reader = self.source.reader();
        let mut kept = Kept::in_memory().map_err(|error| self.failed(error))?;
        let mut len: u64 = 0;
        loop {
            let chunk = match io::BufRead::fill_buf(&mut reader) {
                Ok([]) => break,
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", self.source.path(), error)),
            };
            let count = chunk.len();
            len += count as u64;
            if len > self.limit_bytes {
                return Err(Error::TooLarge {
                    path: self.source.path().to_owned(),
                    limit: self.limit_bytes,
                });
            }
            if len > self.memory_bytes {
                kept = kept.on_disk().map_err(|error| self.failed(error))?;
            }
            let written = kept.file().write_all(chunk);
            written.map_err(|error| self.failed(error))?;
            io::BufRead::consume(&mut reader, count);
        }
        let file = kept.finish().map_err(|error| self.failed(error))?;
        let name = format!("{} (spooled)", self.source.path().display());
        Source::options().of_file(file, name)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("spool", self.source.path(), error)
    }
}

/// Where the bytes are so far.
enum Kept {
    Memory(File),
    Disk(File),
}

impl Kept {
    #[cfg(target_os = "linux")]
    fn in_memory() -> io::Result<Self> {
        use rustix::fs::{MemfdFlags, memfd_create};
        use rustix::io::Errno;

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        match memfd_create("folio-spool", flags) {
            Ok(memory) => Ok(Self::Memory(memory.into())),
            Err(Errno::NOSYS | Errno::PERM) => tempfile::tempfile().map(Self::Disk),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn in_memory() -> io::Result<Self> {
        tempfile::tempfile().map(Self::Disk)
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Memory(file) | Self::Disk(file) => file,
        }
    }

    /// Moves what is in memory to a temporary file.
    fn on_disk(self) -> io::Result<Self> {
        let mut memory = match self {
            Self::Disk(_) => return Ok(self),
            Self::Memory(memory) => memory,
        };
        let mut disk = tempfile::tempfile()?;
        let len = memory.stream_position()?;
        memory.seek(SeekFrom::Start(0))?;
        io::copy(&mut memory.take(len), &mut disk)?;
        Ok(Self::Disk(disk))
    }

    /// Seals what can be sealed: from now on nobody writes to it, nor shrinks or grows it.
    fn finish(self) -> io::Result<File> {
        match self {
            Self::Disk(file) => Ok(file),
            Self::Memory(file) => {
                #[cfg(target_os = "linux")]
                {
                    use rustix::fs::{SealFlags, fcntl_add_seals};

                    let seals =
                        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
                    fcntl_add_seals(&file, seals)?;
                }
                Ok(file)
            }
        }
    }
}
