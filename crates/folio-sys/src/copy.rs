//! Copying out of memory that may not be there.
//!
//! All ways answer the same: all bytes came, or the count of those before the first
//! one lost.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod fault_table;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod x86_64;

mod syscall;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use x86_64 as guarded;

use std::io;

use crate::fault::FaultPolicy;

/// Why bytes could not be copied out of a mapping.
#[derive(Debug)]
pub enum CopyError {
    /// A page is lost: truncated away, or its device failed.
    Fault {
        /// How many bytes were copied before the first one lost.
        copied: usize,
    },
    /// The system call that copies was refused (never by [`FaultPolicy::Handler`]).
    System(io::Error),
}

/// Copies `len` bytes from `from`, mapped memory that may fault, to `to`.
///
/// # Safety
///
/// `to` is valid for writes of `len` bytes, which nobody else accesses meanwhile and
/// which do not overlap the source. `from` to `from + len` lies in mappings that stay mapped for
/// the duration (whether their pages can be read is what is found out). `policy`
/// came from [`FaultPolicy::prepare`].
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a length that the caller knows makes this a few loads and stores"
)]
pub(crate) unsafe fn copy_out(
    to: *mut u8,
    from: *const u8,
    len: usize,
    policy: FaultPolicy,
) -> Result<(), CopyError> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if policy == FaultPolicy::Handler {
        // SAFETY: the caller's obligations are the same, and `prepare` installed the
        // handler.
        if unsafe { guarded::copy_small(to, from, len) } {
            return Ok(());
        }
        // SAFETY: as above.
        let left = unsafe { guarded::copy(to, from, len) };
        return if left == 0 {
            Ok(())
        } else {
            Err(CopyError::Fault { copied: len - left })
        };
    }
    let _ = policy;
    // SAFETY: the caller's obligations are the same.
    unsafe { syscall::copy(to, from, len) }
}
