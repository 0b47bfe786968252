//! What of a file the page cache holds, as the kernel counts it (`cachestat(2)`).

use std::io;
use std::os::fd::AsFd;

/// Pages of a range of a file, counted by their state.
///
/// A page may be counted in several of the fields: one that is dirty is cached as well.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct CacheStat {
    /// In the page cache.
    pub cached: u64,
    /// Changed, and not yet on their way to the file.
    pub dirty: u64,
    /// On their way to the file.
    pub write_back: u64,
    /// Once cached, dropped since, and remembered by the kernel.
    pub evicted: u64,
    /// Dropped so recently that it would tell of a lack of memory if they were read now.
    pub recently_evicted: u64,
}

/// `struct cachestat_range` (`linux/mman.h`).
#[cfg(target_os = "linux")]
#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

// The kernel's own layouts, on every architecture.
const _: () = assert!(size_of::<CacheStat>() == 40);
#[cfg(target_os = "linux")]
const _: () = assert!(size_of::<Range>() == 16);

/// Whether system calls have the numbers that all architectures of late have in common.
const HAS_COMMON_NUMBERS: bool = cfg!(all(
    target_os = "linux",
    any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "x86",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv64",
        target_arch = "powerpc64",
        target_arch = "s390x",
        target_arch = "loongarch64",
    )
));

/// The system call's number there; the C library has no function for it.
#[cfg(target_os = "linux")]
pub(crate) const NUMBER: u16 = 451;

/// Counts the pages that hold the `len` bytes of `file` from `offset_bytes` on; of no bytes there are
/// none. No page is read in or touched.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use std::io::{ErrorKind, Write};
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(&[7; 100_000])?;
/// match folio_sys::cachestat::cachestat(&file, 0, 100_000) {
///     Ok(pages) => assert!(pages.cached > 0),
///     // Before Linux 6.5, and in sandboxes that do not know it.
///     Err(error) => assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied)),
/// }
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `Unsupported` before Linux 6.5, on other systems, and for files on `hugetlbfs`;
/// `PermissionDenied` when a sandbox forbids the call, or, since Linux 6.14, the file is neither
/// this user's nor may be written by them.
pub fn cachestat(file: impl AsFd, offset_bytes: u64, len: u64) -> io::Result<CacheStat> {
    if !HAS_COMMON_NUMBERS {
        return Err(io::ErrorKind::Unsupported.into());
    }
    if len == 0 {
        // The kernel takes it for all that follows.
        return Ok(CacheStat::default());
    }
    call(file, offset_bytes, len)
}

#[cfg(target_os = "linux")]
fn call(file: impl AsFd, offset: u64, len: u64) -> io::Result<CacheStat> {
    use std::os::fd::AsRawFd;

    let range = Range { offset, len };
    let mut pages = CacheStat::default();
    let flags: libc::c_uint = 0;
    // SAFETY: the kernel reads a range and writes counts, both of its own layout, at the two
    // pointers, which are valid for the duration; it touches no other memory.
    let outcome = unsafe {
        libc::syscall(
            libc::c_long::from(NUMBER),
            file.as_fd().as_raw_fd(),
            &raw const range,
            &raw mut pages,
            flags,
        )
    };
    if outcome == 0 {
        return Ok(pages);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EOPNOTSUPP) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, error))
        }
        _ => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
fn call(_file: impl AsFd, _offset: u64, _len: u64) -> io::Result<CacheStat> {
    Err(io::ErrorKind::Unsupported.into())
}
