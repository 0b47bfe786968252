//! Copying into memory that may not be there.

use crate::copy::CopyError;
use crate::fault::FaultPolicy;

/// Copies `len` bytes from `from` to `to`, mapped memory that may fault.
///
/// # Safety
///
/// `from` is valid for reads of `len` bytes, which nobody changes meanwhile and which do
/// not overlap the target. `to` to `to + len` lies in writable mappings that stay mapped for
/// the duration. `policy` came from [`FaultPolicy::prepare`].
#[inline]
pub(super) unsafe fn copy_in(
    to: *mut u8,
    from: *const u8,
    len: usize,
    policy: FaultPolicy,
) -> Result<(), CopyError> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if policy == FaultPolicy::Handler {
        // SAFETY: the routine's fault table covers its stores as well as its loads, the
        // handler is installed, and the caller vouches for the rest.
        let left = unsafe { crate::copy::guarded::copy(to, from, len) };
        return if left == 0 {
            Ok(())
        } else {
            Err(CopyError::Fault { copied: len - left })
        };
    }
    let _ = policy;
    // SAFETY: the caller's obligations are the same.
    unsafe { through_pipe(to, from, len) }
}

/// Writes each piece into a pipe and reads it back to where it belongs: `read(2)` answers
/// EFAULT for a page that is lost.
unsafe fn through_pipe(to: *mut u8, from: *const u8, len: usize) -> Result<(), CopyError> {
    use std::io;
    use std::os::fd::AsRawFd;

    use crate::page;

    let (read_end, write_end) =
        rustix::pipe::pipe().map_err(|error| CopyError::System(error.into()))?;
    let mut copied = 0;
    while copied < len {
        let (to, from) = (to.wrapping_add(copied), from.wrapping_add(copied));
        let to_page_end = page::size() - (to.addr() & (page::size() - 1));
        // The pipe is empty, and takes PIPE_BUF bytes without blocking.
        let count = to_page_end.min(len - copied).min(libc::PIPE_BUF);
        // SAFETY: `count` of the bytes that the caller vouches for.
        let written = unsafe { libc::write(write_end.as_raw_fd(), from.cast(), count) };
        let Ok(written) = usize::try_from(written) else {
            return Err(CopyError::System(io::Error::last_os_error()));
        };
        // SAFETY: the kernel checks the target itself, and `written` <= count bytes of it
        // are in the mapping.
        let read = unsafe { libc::read(read_end.as_raw_fd(), to.cast(), written) };
        let Ok(read) = usize::try_from(read) else {
            let error = io::Error::last_os_error();
            return Err(if error.raw_os_error() == Some(libc::EFAULT) {
                CopyError::Fault { copied }
            } else {
                CopyError::System(error)
            });
        };
        copied += read;
    }
    Ok(())
}
