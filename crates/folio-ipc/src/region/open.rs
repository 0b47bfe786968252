//! Opening a region, and what is asked before.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use folio_sys::shared_memory::{Access, SharedMemory};
use rustix::fs::{FileType, Mode, OFlags};
use zerocopy::FromBytes;

use super::Image;
use super::header::{HEADER_LEN, Header, RawHeader};
use crate::{Error, Result};

/// Opens the file of a region, to be read and written.
pub(super) fn open_file(path: &Path) -> Result<OwnedFd> {
    open_with(path, OFlags::RDWR)
}

/// Opens and maps a region to look at it.
pub(super) fn observe(path: &Path) -> Result<Image> {
    let file = open_with(path, OFlags::RDONLY)?;
    map_with(file, path.to_owned(), Access::ReadOnly)
}

/// Maps a region to look at it.
pub(super) fn observe_fd(file: OwnedFd) -> Result<Image> {
    map_with(file, PathBuf::from(super::NAMELESS), Access::ReadOnly)
}

/// Nothing is followed that somebody may have put in the region's place, and nothing is waited for.
fn open_with(path: &Path, access: OFlags) -> Result<OwnedFd> {
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| Error::io("open it", path, error))
}

/// Whether nobody but this process's user may write to a file; an error if somebody may who must not.
pub(super) fn check_trust(file: &OwnedFd, path: &Path, shared_writers: bool) -> Result<bool> {
    let stat = rustix::fs::fstat(file)
        .map_err(|error| Error::io("ask who may write to it", path, error))?;
    let mode = permission_bits(stat.st_mode);
    let reason = if stat.st_uid != rustix::process::geteuid().as_raw() {
        Some("it is another user's")
    } else if mode & 0o022 != 0 {
        Some("other users may write to it")
    } else {
        None
    };
    match reason {
        Some(reason) if !shared_writers => Err(Error::Untrusted {
            path: path.to_owned(),
            mode,
            owner: stat.st_uid,
            reason,
        }),
        reason => Ok(reason.is_none()),
    }
}

/// The permissions of a mode, which has 16 bits on some systems.
fn permission_bits(mode: impl Into<u32>) -> u32 {
    mode.into() & 0o7777
}

/// Checks a region, and maps it.
pub(super) fn map(file: OwnedFd, path: PathBuf) -> Result<Image> {
    map_with(file, path, Access::ReadWrite)
}

fn map_with(file: OwnedFd, path: PathBuf, access: Access) -> Result<Image> {
    let (file, header) = read_header(file, &path)?;
    let too_long = |_| Error::Damaged {
        path: path.clone(),
        offset: 0,
        what: "it is longer than the address space of this program".to_owned(),
    };
    let size = usize::try_from(header.size_bytes).map_err(too_long)?;
    let capacity = usize::try_from(header.layout.dimensions.capacity_bytes).map_err(too_long)?;
    let memory = SharedMemory::map(file, size, capacity, access)
        .map_err(|error| Error::io("map it", &path, error))?;
    Ok(Image::new(memory, header.layout, path))
}

fn read_header(file: OwnedFd, path: &Path) -> Result<(OwnedFd, Header)> {
    let stat =
        rustix::fs::fstat(&file).map_err(|error| Error::io("ask for its length", path, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::NotARegion {
            path: path.to_owned(),
            reason: "it is no regular file",
        });
    }
    let found = u64::try_from(stat.st_size).unwrap_or(0);
    let truncated = |expected| Error::Truncated {
        path: path.to_owned(),
        expected,
        found,
    };
    let mut bytes = [0; HEADER_LEN];
    let file = File::from(file);
    let len = read_up_to(&file, &mut bytes).map_err(|error| Error::io("read it", path, error))?;
    let raw =
        RawHeader::read_from_bytes(&bytes).map_err(|_| Error::damaged(path, 0, "no header"))?;
    if len < HEADER_LEN {
        // Of a short file it can be said only whether it began as a region does.
        raw.check_magic(path)?;
        return Err(truncated(HEADER_LEN as u64));
    }
    let header = raw.check(path)?;
    if found < header.size_bytes {
        return Err(truncated(header.size_bytes));
    }
    Ok((file.into(), header))
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &File, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
