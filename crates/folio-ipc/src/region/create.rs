//! Making a region so that nobody sees it half made.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawMode};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::header::Header;
use super::reserve::reserve;
use crate::kill::kill_point;
use crate::{Error, Result};

/// A new file that has no name until it is a region.
pub(super) struct Draft {
    file: OwnedFd,
    /// The name that it had to have all the same; removed when this is dropped.
    name: Option<PathBuf>,
}

/// Makes a region that has no name yet, to be [published](Draft::publish) under one that nobody has.
pub(super) fn draft(path: &Path, header: &Header) -> Result<Draft> {
    let draft = Draft::new(path).map_err(|error| Error::io("create it", path, error))?;
    write(&draft.file, path, header)?;
    kill_point!("create.written");
    Ok(draft)
}

/// Makes a region that has no name at all.
#[cfg(target_os = "linux")]
pub(super) fn anonymous(path: &Path, header: &Header) -> Result<OwnedFd> {
    let failed = |error: io::Error| Error::io("create it", path, error);
    let file = folio_sys::memfd::create("folio-region").map_err(failed)?;
    write(&file, path, header)?;
    // Nobody who has it can take pages away from the others.
    rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::SHRINK)
        .map_err(|error| failed(error.into()))?;
    Ok(file)
}

/// Makes a region that has no name at all, which this system cannot.
#[cfg(not(target_os = "linux"))]
pub(super) fn anonymous(path: &Path, _: &Header) -> Result<OwnedFd> {
    Err(Error::io("create it", path, io::ErrorKind::Unsupported))
}

fn write(file: &OwnedFd, path: &Path, header: &Header) -> Result<()> {
    let failed = |error: io::Error| Error::io("create it", path, error);
    // What the process's umask says is for files whose maker did not say otherwise.
    let mode = Mode::from_bits_truncate(header.mode as RawMode);
    rustix::fs::fchmod(file, mode).map_err(|error| failed(error.into()))?;
    reserve(file.as_fd(), 0, header.size_bytes)
        .map_err(|error| Error::io("reserve space for it", path, error))?;
    kill_point!("create.allocated");
    let file = File::from(file.try_clone().map_err(failed)?);
    // Another boot than this one, where that cannot be told: whoever can will check the region.
    let boot_id = folio_sys::process::boot_id().unwrap_or(0);
    file.write_all_at(header.to_raw(boot_id).as_bytes(), 0)
        .map_err(failed)?;
    for (offset, value) in crate::heap::first_words(header.layout.heap, header.size_bytes) {
        file.write_all_at(value.as_bytes(), offset)
            .map_err(failed)?;
    }
    Ok(())
}

impl Draft {
    fn new(path: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            match rustix::fs::openat(CWD, folder_of(path), flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(Self { file, name: None }),
                // A file system that knows no such files, or a kernel.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::named(path)
    }

    /// A file with a name that nobody looks for.
    fn named(path: &Path) -> io::Result<Self> {
        let pid = std::process::id();
        for attempt in 0_u32.. {
            let mut name = OsString::from(".");
            name.push(path.file_name().unwrap_or_default());
            name.push(format!(".{pid}.{attempt}.folio-tmp"));
            let name = folder_of(path).join(name);
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
            match rustix::fs::openat(CWD, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    let name = Some(name);
                    return Ok(Self { file, name });
                }
                Err(Errno::EXIST) if attempt < 1000 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The file, under a descriptor of its own.
    pub(super) fn file(&self, path: &Path) -> Result<OwnedFd> {
        let file = self.file.try_clone();
        file.map_err(|error| Error::io("create it", path, error))
    }

    /// Gives the file its name, if nobody has it.
    pub(super) fn publish(self, path: &Path) -> Result<()> {
        let linked = if let Some(name) = &self.name {
            rustix::fs::link(name, path)
        } else {
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)
        };
        linked.map_err(|error| Error::io("create it", path, error))?;
        kill_point!("create.linked");
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = rustix::fs::unlink(name);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
