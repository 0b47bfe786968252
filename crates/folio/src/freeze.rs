//! Making [`Frozen`] bytes, and passing them from process to process.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use folio_sys::frozen::{FreezeError, FrozenBytes, Missing};
use folio_sys::{memfd, pass};

use crate::frozen::not_frozen;
use crate::map_options::HugePages;
use crate::{Error, Frozen, MapMut, MapOptions, ReadAt, Result};

/// How much is copied at a time: enough that the cost of a call vanishes.
const CHUNK_BYTES: usize = 64 << 10;

/// What a descriptor of frozen bytes travels with: a mark, and which bytes they are.
const MARK: [u8; 8] = *b"frozen\x01\n";

/// How to make [`Frozen`] bytes. Made by [`Frozen::options`].
#[derive(Debug, Clone)]
pub struct FrozenOptions {
    name: String,
    huge_pages: HugePages,
    limit: u64,
}

impl Frozen {
    /// Options: ordinary pages, no limit.
    #[must_use]
    pub fn options() -> FrozenOptions {
        FrozenOptions {
            name: "frozen".to_owned(),
            huge_pages: HugePages::None,
            limit: u64::MAX,
        }
    }

    /// Takes a file whose bytes are proven immutable, wherever the descriptor came from: the
    /// seals are checked, not believed.
    ///
    /// Files in memory must be sealed against writing, shrinking and growing. Files under
    /// fs-verity are read, verified, and locked in memory; above the limit of locked
    /// memory (`ulimit -l`), they are copied.
    ///
    /// The memory is the sender's to size, and the first touch of a page of it may take some: look at
    /// the length before reading what strangers send.
    ///
    /// # Errors
    ///
    /// [`Error::NotFrozen`] says which proof is missing: then [`copy_of`](Self::copy_of)
    /// makes a frozen copy. [`Error::Io`] when the system refuses, or a page of a verity file is damaged.
    pub fn from_fd(fd: impl Into<OwnedFd>) -> Result<Self> {
        Self::from_named_fd(fd.into(), Path::new("<descriptor>"))
    }

    /// Opens a file and takes it as [`from_fd`](Self::from_fd) does. `/dev/fd/5` is how
    /// a program takes a descriptor that it inherited: see
    /// [`inheritable_fd`](Self::inheritable_fd).
    ///
    /// # Errors
    ///
    /// As for [`from_fd`](Self::from_fd).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        Self::from_named_fd(file.into(), path)
    }

    fn from_named_fd(fd: OwnedFd, path: &Path) -> Result<Self> {
        let for_verity = fd
            .try_clone()
            .map_err(|error| Error::io("freeze", path, error))?;
        match FrozenBytes::of_sealed(fd) {
            Err(FreezeError::NotFrozen(Missing::Proof)) => {}
            outcome => {
                return outcome
                    .map(|bytes| Self::new(bytes, path))
                    .map_err(|error| not_frozen(path, error));
            }
        }
        let to_copy = for_verity
            .try_clone()
            .map_err(|error| Error::io("freeze", path, error))?;
        match FrozenBytes::of_verity(for_verity) {
            Ok(bytes) => Ok(Self::new(bytes, path)),
            Err(FreezeError::System(error)) if is_about_locking(&error) => {
                Self::copy_of(&MapOptions::default().map(&to_copy.into(), path)?)
            }
            Err(error) => Err(not_frozen(path, error)),
        }
    }

    /// These bytes in a sealed file in memory, which can be passed on: themselves, or, where they
    /// belong to this process alone or are a file's under fs-verity, a copy.
    ///
    /// # Errors
    ///
    /// As for [`copy_of`](Self::copy_of).
    pub fn shareable(&self) -> Result<Self> {
        if self.bytes().is_sealed() {
            return Ok(self.clone());
        }
        Self::copy_of(self)
    }

    /// Sends the bytes to another process, which takes them with
    /// [`receive_from`](Self::receive_from): it gets the same memory, not a copy.
    ///
    /// Bytes that are not in a sealed file in memory are copied first: see
    /// [`shareable`](Self::shareable).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the peer has gone or the system refuses.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use folio::Frozen;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// Frozen::copy_of(b"for you".as_slice())?.send_over(&ours)?;
    /// let received = Frozen::receive_from(&theirs)?; // in the other process
    /// assert_eq!(&*received, b"for you");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_over(&self, socket: &UnixStream) -> Result<()> {
        let shareable = self.shareable()?;
        let failed = |error| Error::io("send", self.path(), error);
        let fd = shareable
            .as_fd()
            .ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        let mut letter = Vec::with_capacity(Letter::SIZE_BYTES);
        letter.extend(MARK);
        letter.extend((shareable.bytes().offset() as u64).to_le_bytes());
        letter.extend((shareable.len() as u64).to_le_bytes());
        pass::send(socket, fd, &letter).map_err(failed)
    }

    /// Takes bytes that another process sends with [`send_over`](Self::send_over), having checked
    /// that they are sealed. Waits for them, as long as the socket's read timeout allows.
    ///
    /// Nothing but sealed files in memory is taken: to look closer at a file that a hostile peer sends
    /// may mean to wait for an answer of that peer's own file system.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the peer has gone, takes too long, or sends something else;
    /// [`Error::NotFrozen`] when its file is not sealed; [`Error::OutOfRange`] when it does
    /// not have the bytes that the peer says.
    pub fn receive_from(socket: &UnixStream) -> Result<Self> {
        let path = Path::new("<received>");
        let failed = |error| Error::io("receive", path, error);
        let mut letter = [0; Letter::SIZE_BYTES];
        let fd = pass::receive(socket, &mut letter).map_err(failed)?;
        let Letter { offset, len } = Letter::parse(&letter)
            .ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidData)))?;
        let all = FrozenBytes::of_sealed(fd).map_err(|error| not_frozen(path, error))?;
        let all = Self::new(all, path);
        let end = offset.saturating_add(len);
        all.part(offset..end)
    }

    /// A descriptor that programs inherit which this process starts from now on, until it
    /// is dropped: any of them. Tell the program its number, and let it open
    /// `/dev/fd/` with that number by [`Frozen::open`].
    ///
    /// For one program alone, and no number, hand it over as its standard input:
    /// `Command::stdin(frozen.inheritable_fd()?)`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when there are too many descriptors; as for [`shareable`](Self::shareable).
    pub fn inheritable_fd(&self) -> Result<OwnedFd> {
        let shareable = self.shareable()?;
        let failed = |error| Error::io("duplicate the descriptor of", self.path(), error);
        let fd = shareable
            .as_fd()
            .ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        // Unlike `try_clone`, dup(2) leaves the close-on-exec flag off.
        rustix::io::dup(fd).map_err(|error| failed(error.into()))
    }
}

/// Which bytes of a file are sent.
struct Letter {
    offset: u64,
    len: u64,
}

impl Letter {
    const SIZE_BYTES: usize = 24;

    fn parse(letter: &[u8; Self::SIZE_BYTES]) -> Option<Self> {
        let (mark, rest) = letter.split_first_chunk::<8>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let len = rest.first_chunk::<8>()?;
        (*mark == MARK).then_some(Self {
            offset: u64::from_le_bytes(*offset),
            len: u64::from_le_bytes(*len),
        })
    }
}

impl FrozenOptions {
    /// The name for humans, who see it in `/proc/PID/maps`; at most 249 bytes. Default: `frozen`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Asks for huge pages, for [copies](Self::copy_of) of bytes whose number is known.
    /// Where they cannot be had, the next best are taken. Default: [`HugePages::None`].
    #[must_use]
    pub fn huge_pages(mut self, wanted: HugePages) -> Self {
        self.huge_pages = wanted;
        self
    }

    /// Refuses to hold more than this many bytes. Default: no limit.
    #[must_use]
    pub fn limit(mut self, limit_bytes: u64) -> Self {
        self.limit = limit_bytes;
        self
    }

    /// Copies bytes of any kind into a file in memory, and seals it.
    ///
    /// # Errors
    ///
    /// Those of reading the bytes; [`Error::TooLarge`] above the limit; [`Error::Io`] when
    /// the system refuses.
    pub fn copy_of(&self, bytes: &(impl ReadAt + ?Sized)) -> Result<Frozen> {
        let len = bytes.len();
        if len > self.limit {
            return Err(self.too_large());
        }
        let map = MapOptions::default()
            .huge_pages(self.huge_pages)
            .memfd(&self.name, len)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < len {
            let count = bytes.read_at(offset, &mut chunk)?;
            // No more than there were at first: some kinds of bytes grow.
            let count = count.min(usize::try_from(len - offset).unwrap_or(count));
            match chunk.as_slice().get(..count) {
                None | Some([]) => return Err(bytes.out_of_range(offset, len - offset)),
                Some(chunk) => map.write_all_at(offset, chunk)?,
            }
            offset += count as u64;
        }
        // A file from the pool of huge pages is longer than asked.
        map.freeze()?.part(..len)
    }

    /// Reads to the end, into a file in memory, and seals it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when reading fails or the system refuses; [`Error::TooLarge`] above
    /// the limit, when one byte more was read.
    pub fn read_from(&self, mut reader: impl Read) -> Result<Frozen> {
        let path = self.path();
        let failed = |error| Error::io("read into memory", &path, error);
        let mut file = File::from(memfd::create(&self.name).map_err(failed)?);
        let mut limited = reader.by_ref().take(self.limit);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match limited.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => file
                    .write_all(chunk.as_slice().get(..count).unwrap_or_default())
                    .map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let is_at_limit = limited.limit() == 0;
        if is_at_limit && self.limit != u64::MAX && has_more(&mut reader).map_err(failed)? {
            return Err(self.too_large());
        }
        FrozenBytes::seal(file.into())
            .map(|bytes| Frozen::new(bytes, path.clone()))
            .map_err(|error| not_frozen(&path, error))
    }

    fn path(&self) -> PathBuf {
        format!("<memfd:{}>", self.name).into()
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            path: self.path(),
            limit: self.limit,
        }
    }
}

/// Whether a reader has another byte, which is then lost.
fn has_more(reader: &mut impl Read) -> io::Result<bool> {
    loop {
        match reader.read(&mut [0]) {
            Ok(count) => return Ok(count > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl MapMut {
    /// Seals a [file in memory](MapOptions::memfd) for ever, and gives its bytes as a slice: what was built in place is
    /// frozen without a copy.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with EBUSY while views of the map, here, or other writable maps of the file,
    /// anywhere, are still there, and with EINVAL or EPERM for what cannot be sealed: ordinary files.
    /// [`Error::Unsupported`] for memory of no file.
    pub fn freeze(self) -> Result<Frozen> {
        let path = self.path().to_owned();
        let Some(file) = self.into_file() else {
            return Err(Error::Unsupported {
                path,
                reason: "memory of no file cannot be sealed; use a memfd map",
            });
        };
        FrozenBytes::seal(file)
            .map(|bytes| Frozen::new(bytes, path.as_path()))
            .map_err(|error| not_frozen(&path, error))
    }
}

/// Whether it is that too much would be locked, not that a page is damaged.
fn is_about_locking(error: &io::Error) -> bool {
    use rustix::io::Errno;

    let code = error.raw_os_error();
    [Errno::NOMEM, Errno::PERM, Errno::AGAIN]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}
