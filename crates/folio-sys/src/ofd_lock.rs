//! Locks that the kernel drops when their holder dies, however it does: open-file-description
//! locks (`fcntl(2)`), one byte each.
//!
//! They belong to an open file, not to a process. The descriptor of each is its own, and nobody
//! else's: it is closed by exec, and in forked children. So the lock is gone as soon as
//! the process that took it has no more threads, whether or not somebody has waited for it since: also
//! while it is a zombie; and it is seen from any PID namespace.

mod inherited;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

pub(crate) use inherited::{close_all, fork_begins, fork_ends};

use inherited::Entry;

/// Where in the file the bytes begin: far beyond any data, which locks have nothing to do with.
pub const LOCK_BASE: u64 = 1 << 62;

/// A byte of a file, locked until this is dropped or the process ends.
///
/// In a forked child it holds nothing.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use folio_sys::ofd_lock::{OfdLock, is_held};
/// use std::os::fd::AsFd;
///
/// let file = tempfile::tempfile()?;
/// let lock = OfdLock::take(file.as_fd(), 7)?.expect("nobody else has it");
/// assert!(is_held(file.as_fd(), 7)?);
/// assert!(OfdLock::take(file.as_fd(), 7)?.is_none());
/// drop(lock);
/// assert!(!is_held(file.as_fd(), 7)?);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct OfdLock {
    entry: &'static Entry,
}

impl OfdLock {
    /// Locks byte `byte` of those from [`LOCK_BASE`] on; `None` if somebody else has it, in this process
    /// or another.
    ///
    /// The file is opened anew for it, to be read and written, by `/proc/self/fd`.
    ///
    /// # Errors
    ///
    /// The system's: EACCES for a file that this process could not open by itself, even if it was handed
    /// an open one; ENOENT where there is no `/proc`; ENOLCK when there are too many locks. `InvalidInput` for a byte
    /// that no file has; `Unsupported` on systems other than Linux.
    pub fn take(file: BorrowedFd<'_>, byte: u64) -> io::Result<Option<Self>> {
        let range = system::Range::of(byte)?;
        let entry = inherited::keep(|| system::reopen(file).map(IntoRawFd::into_raw_fd))?;
        let lock = Self { entry };
        let Some(descriptor) = entry.descriptor() else {
            // This is a child that a signal handler forked in the middle of this.
            return Ok(None);
        };
        // Dropped on any other outcome.
        Ok(system::lock(descriptor, range)?.then_some(lock))
    }
}

impl Drop for OfdLock {
    fn drop(&mut self) {
        if let Some(descriptor) = self.entry.descriptor() {
            // Closing alone would not do at once: a child that is being forked or started at this moment has a copy
            // of the descriptor, until it gets to close it. An error means that there is no lock.
            let _ = system::unlock(descriptor);
        }
        self.entry.release();
    }
}

/// Whether any open file but `file` itself has the byte locked.
///
/// # Errors
///
/// The system's; `InvalidInput` for a byte that no file has; `Unsupported` on systems other than Linux.
pub fn is_held(file: BorrowedFd<'_>, byte: u64) -> io::Result<bool> {
    system::is_locked(file.as_raw_fd(), system::Range::of(byte)?)
}

/// Closes a descriptor.
///
/// # Safety
///
/// It is open, and nobody else's.
unsafe fn close(descriptor: i32) {
    // SAFETY: the caller's word.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

    use rustix::fs::{Mode, OFlags};

    use super::LOCK_BASE;

    /// One byte, as the system calls want it.
    #[derive(Clone, Copy)]
    pub(super) struct Range(libc::flock64);

    impl Range {
        pub(super) fn of(byte: u64) -> io::Result<Self> {
            let start = LOCK_BASE
                .checked_add(byte)
                .and_then(|start| i64::try_from(start).ok())
                .ok_or(io::ErrorKind::InvalidInput)?;
            // SAFETY: a structure of integers, of which zeros are values. The process id must be 0.
            let mut range = unsafe { std::mem::zeroed::<libc::flock64>() };
            range.l_type = F_WRLCK;
            range.l_whence = SEEK_SET;
            range.l_start = start;
            range.l_len = 1;
            Ok(Self(range))
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "small numbers, that the structure has as shorts"
    )]
    const F_WRLCK: libc::c_short = libc::F_WRLCK as libc::c_short;
    #[expect(clippy::cast_possible_truncation, reason = "as above")]
    const F_UNLCK: libc::c_short = libc::F_UNLCK as libc::c_short;
    #[expect(clippy::cast_possible_truncation, reason = "as above")]
    const SEEK_SET: libc::c_short = libc::SEEK_SET as libc::c_short;

    /// Another open file of the same file, whatever its name is, or if it has none.
    pub(super) fn reopen(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // What it is was found out when it was opened first; a terminal or a pipe shall be no trap.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    }

    /// Whether the byte could be locked.
    pub(super) fn lock(descriptor: RawFd, range: Range) -> io::Result<bool> {
        match call(descriptor, libc::F_OFD_SETLK, range) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up all bytes that the open file has locked.
    pub(super) fn unlock(descriptor: RawFd) -> io::Result<()> {
        let mut range = Range::of(0)?;
        range.0.l_type = F_UNLCK;
        range.0.l_start = 0;
        range.0.l_len = 0;
        call(descriptor, libc::F_OFD_SETLK, range).map(drop)
    }

    pub(super) fn is_locked(descriptor: RawFd, range: Range) -> io::Result<bool> {
        let found = call(descriptor, libc::F_OFD_GETLK, range)?;
        Ok(found.l_type != F_UNLCK)
    }

    /// The range as the call leaves it.
    fn call(descriptor: RawFd, command: libc::c_int, range: Range) -> io::Result<libc::flock64> {
        // The libc's function takes another structure on some 32-bit machines.
        #[cfg(target_pointer_width = "64")]
        const SYS_FCNTL: libc::c_long = libc::SYS_fcntl;
        #[cfg(target_pointer_width = "32")]
        const SYS_FCNTL: libc::c_long = libc::SYS_fcntl64;

        let mut range = range.0;
        // SAFETY: for these commands the kernel takes a flock64, on any machine, and changes it at most.
        let status = unsafe { libc::syscall(SYS_FCNTL, descriptor, command, &raw mut range) };
        match status {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(range),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

    #[derive(Clone, Copy)]
    pub(super) struct Range;

    impl Range {
        pub(super) fn of(_byte: u64) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    pub(super) fn reopen(_file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn lock(_descriptor: RawFd, _range: Range) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn unlock(_descriptor: RawFd) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_locked(_descriptor: RawFd, _range: Range) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
