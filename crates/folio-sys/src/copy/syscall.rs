//! The copy by system calls, which answer EFAULT where an instruction would raise a
//! signal. Some hundreds of nanoseconds a call; the same on every architecture.

use std::io;
use std::os::fd::AsRawFd;

use super::CopyError;
use crate::page;

/// Which of the two addresses is of a mapping, whose pages may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    OutOfMapping,
    IntoMapping,
}

/// Copies `len` bytes out of a mapping.
///
/// # Safety
///
/// As for [`copy_out`](super::copy_out).
pub(crate) unsafe fn copy_out(to: *mut u8, from: *const u8, len: usize) -> Result<(), CopyError> {
    // SAFETY: the caller's obligations are the same.
    unsafe { copy(to, from, len, Direction::OutOfMapping) }
}

/// Copies `len` bytes into a mapping.
///
/// # Safety
///
/// As for [`copy_in`](super::copy_in).
pub(crate) unsafe fn copy_in(to: *mut u8, from: *const u8, len: usize) -> Result<(), CopyError> {
    // SAFETY: the caller's obligations are the same.
    unsafe { copy(to, from, len, Direction::IntoMapping) }
}

/// # Safety
///
/// As for [`copy_out`] or for [`copy_in`], whichever the direction says.
unsafe fn copy(
    to: *mut u8,
    from: *const u8,
    len: usize,
    direction: Direction,
) -> Result<(), CopyError> {
    let mut copied = 0;
    while copied < len {
        let (to, from) = (to.wrapping_add(copied), from.wrapping_add(copied));
        // SAFETY: copied < len, so this is what is left of what the caller vouches for.
        match unsafe { copy_some(to, from, len - copied, direction) } {
            Ok(0) => return Err(CopyError::Fault { copied }),
            Ok(count) => copied += count,
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => {
                return Err(CopyError::Fault { copied });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::System(error)),
        }
    }
    Ok(())
}

/// How many pages one system call is asked for: the array that names them
/// stays within a kilobyte of stack.
#[cfg(target_os = "linux")]
const PAGES_PER_CALL: usize = 64;

/// Copies the first of `len` bytes, at least one, and says how many.
///
/// # Safety
///
/// As for [`copy`].
#[cfg(target_os = "linux")]
unsafe fn copy_some(
    to: *mut u8,
    from: *const u8,
    len: usize,
    direction: Direction,
) -> io::Result<usize> {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A sandbox that refuses the call once refuses it for good.
    static REFUSED: AtomicBool = AtomicBool::new(false);

    if !REFUSED.load(Ordering::Relaxed) {
        // SAFETY: the caller's obligations are the same.
        match unsafe { in_own_memory(to, from, len, direction) } {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => {
                REFUSED.store(true, Ordering::Relaxed);
            }
            outcome => return outcome,
        }
    }
    // SAFETY: the caller's obligations are the same.
    unsafe { through_pipe(to, from, len) }
}

/// As on Linux, by the one way that every Unix has.
#[cfg(not(target_os = "linux"))]
unsafe fn copy_some(
    to: *mut u8,
    from: *const u8,
    len: usize,
    _direction: Direction,
) -> io::Result<usize> {
    // SAFETY: the caller's obligations are the same.
    unsafe { through_pipe(to, from, len) }
}

/// `process_vm_readv(2)` or `process_vm_writev(2)` on this very process, which need no privilege.
///
/// A partial transfer never splits an element of the remote array (their man page), so
/// each page of the mapping is an element of its own: the count is then exact to the
/// page, which is how memory is lost.
#[cfg(target_os = "linux")]
unsafe fn in_own_memory(
    to: *mut u8,
    from: *const u8,
    len: usize,
    direction: Direction,
) -> io::Result<usize> {
    const NOWHERE: libc::iovec = libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    };
    let (mapped, own): (*mut u8, *mut u8) = match direction {
        Direction::OutOfMapping => (from.cast_mut(), to),
        Direction::IntoMapping => (to, from.cast_mut()),
    };
    let mut remote = [NOWHERE; PAGES_PER_CALL];
    let mut pages = 0;
    let mut planned = 0;
    for element in &mut remote {
        if planned == len {
            break;
        }
        let start = mapped.wrapping_add(planned);
        let count = to_page_end(start).min(len - planned);
        *element = libc::iovec {
            iov_base: start.cast(),
            iov_len: count,
        };
        planned += count;
        pages += 1;
    }
    let local = libc::iovec {
        iov_base: own.cast(),
        iov_len: planned,
    };
    // SAFETY: getpid has no obligations.
    let this_process = unsafe { libc::getpid() };
    let count = match direction {
        // SAFETY: the kernel writes to `local` alone, at most `planned` <= len bytes of
        // it, which the caller vouches for. It checks the remote addresses itself. Both
        // arrays have as many elements as is said (1, and `pages` <= 64).
        Direction::OutOfMapping => unsafe {
            libc::process_vm_readv(this_process, &raw const local, 1, remote.as_ptr(), pages, 0)
        },
        // SAFETY: the kernel only reads `local`, and writes to the remote elements alone, which
        // are of the mapping that the caller vouches for. The arrays are as above.
        Direction::IntoMapping => unsafe {
            libc::process_vm_writev(this_process, &raw const local, 1, remote.as_ptr(), pages, 0)
        },
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Writes up to the end of a page into a pipe and reads it back, both of which answer EFAULT for
/// a page that is lost. The pipe is made for the occasion: one kept
/// would be shared with every forked child.
unsafe fn through_pipe(to: *mut u8, from: *const u8, len: usize) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    let (read_end, write_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    #[cfg(not(target_os = "linux"))]
    let (read_end, write_end) = rustix::pipe::pipe()?;
    // Up to the nearer end, whichever of the two is the mapping's: the count is then that page's,
    // and all of it is lost or none.
    let in_page = to_page_end(from).min(to_page_end(to));
    // A pipe takes PIPE_BUF bytes, at least 512, without blocking when it is empty.
    let count = in_page.min(len).min(libc::PIPE_BUF);
    // SAFETY: write(2) checks the source itself and answers EFAULT.
    let written = unsafe { libc::write(write_end.as_raw_fd(), from.cast(), count) };
    let written = usize::try_from(written).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: written <= count <= len bytes, which the caller vouches for; read(2)
    // checks the target itself and answers EFAULT.
    let read = unsafe { libc::read(read_end.as_raw_fd(), to.cast(), written) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// How many bytes lie between an address and the end of its page.
fn to_page_end(address: *const u8) -> usize {
    page::size() - (address.addr() & (page::size() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_copy_every_byte() {
        let from: Vec<u8> = (0..700_001_u32).map(|i| (i % 253) as u8).collect();
        for len in [0, 1, 4095, 4096, 4097, 262_145, from.len()] {
            let mut to = vec![0; len];
            for direction in [Direction::OutOfMapping, Direction::IntoMapping] {
                to.fill(0);
                // SAFETY: both have `len` bytes.
                unsafe { copy(to.as_mut_ptr(), from.as_ptr(), len, direction) }.unwrap();
                assert_eq!(to, from[..len]);
            }
        }
        let mut to = vec![0; 5000];
        let mut copied = 0;
        while copied < to.len() {
            let rest = to.len() - copied;
            let to = to.as_mut_ptr().wrapping_add(copied);
            let from = from.as_ptr().wrapping_add(copied);
            // SAFETY: both have `rest` bytes from here.
            copied += unsafe { through_pipe(to, from, rest) }.unwrap();
        }
        assert_eq!(to, from[..5000]);
    }

    #[test]
    fn an_address_without_memory_is_a_fault() {
        let mut to = [0; 8];
        // SAFETY: `to` has 8 bytes; the source's page is what is found out.
        let outcome = unsafe { copy_out(to.as_mut_ptr(), std::ptr::without_provenance(16), 8) };
        assert!(matches!(outcome, Err(CopyError::Fault { copied: 0 })));
        // SAFETY: `to` has 8 bytes; the target's page is what is found out.
        let outcome = unsafe { copy_in(std::ptr::without_provenance_mut(16), to.as_ptr(), 8) };
        assert!(matches!(outcome, Err(CopyError::Fault { copied: 0 })));
        // SAFETY: as above.
        let outcome = unsafe { through_pipe(to.as_mut_ptr(), std::ptr::without_provenance(16), 8) };
        assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::EFAULT));
        // SAFETY: as above.
        let outcome = unsafe { through_pipe(std::ptr::without_provenance_mut(16), to.as_ptr(), 8) };
        assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }
}
