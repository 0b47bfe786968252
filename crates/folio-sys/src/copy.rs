//! Copying out of memory that may not be there, and into it.
//!
//! All ways answer the same: all bytes came, or the count of those before the first
//! one lost.

#[cfg(guarded)]
mod fault_table;
#[cfg(guarded)]
pub(crate) mod guarded;

#[cfg(not(guarded))]
#[path = "copy/unguarded.rs"]
mod guarded;

mod syscall;

use std::io;

use crate::fault::FaultPolicy;

/// Why bytes could not be copied out of a mapping, or into it.
#[derive(Debug)]
pub enum CopyError {
    /// A page is lost: truncated away, protected, its device failed, or, for a write, its
    /// file system is full.
    Fault {
        /// How many bytes were copied before the first one lost.
        copied: usize,
    },
    /// The system call that copies was refused (never by [`FaultPolicy::Handler`]).
    System(io::Error),
}

/// Copies `len` bytes from `from`, mapped memory that may fault, to `to`.
///
/// After a fault, the bytes of `to` from the first one lost on may have any value.
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
    // SAFETY: the caller's obligations are the same, and `prepare` installed the handler.
    if policy == FaultPolicy::Handler && unsafe { guarded::load_small(to, from, len) } {
        return Ok(());
    }
    // SAFETY: the caller's obligations are the same.
    unsafe { copy_out_any(to, from, len, policy) }
}

/// [`copy_out`] for any length: a call, so that what is inlined stays small.
///
/// # Safety
///
/// As for [`copy_out`].
#[inline(never)]
unsafe fn copy_out_any(
    to: *mut u8,
    from: *const u8,
    len: usize,
    policy: FaultPolicy,
) -> Result<(), CopyError> {
    if policy == FaultPolicy::Syscall {
        // SAFETY: the caller's obligations are the same.
        return unsafe { syscall::copy_out(to, from, len) };
    }
    // SAFETY: the caller's obligations are the same, and `prepare` installed the handler.
    outcome(len, unsafe { guarded::copy(to, from, len) })
}

/// Copies 1, 2 or 4 to 64 bytes as [`copy_out`] does. False for another length, and after a fault.
///
/// # Safety
///
/// As for [`copy_out`], under [`FaultPolicy::Handler`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for copy_out")]
pub(crate) unsafe fn copy_out_small(to: *mut u8, from: *const u8, len: usize) -> bool {
    // SAFETY: the caller's obligations are the same.
    unsafe { guarded::load_small(to, from, len) }
}

/// Copies up to 64 bytes as [`copy_out`] does, for lengths that the compiler does not know. False for more,
/// and after a fault.
///
/// # Safety
///
/// As for [`copy_out`], under [`FaultPolicy::Handler`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for copy_out")]
pub(crate) unsafe fn copy_out_up_to_64(to: *mut u8, from: *const u8, len: usize) -> bool {
    // SAFETY: the caller's obligations are the same.
    unsafe { guarded::load_up_to_64(to, from, len) }
}

/// Compares 1 to 64 bytes of mapped memory that may fault with those from `with` on. `None` for another length,
/// and after a fault.
///
/// # Safety
///
/// `with` is valid for reads of `len` bytes, which nobody writes to meanwhile. `from` is as for
/// [`copy_out`], under [`FaultPolicy::Handler`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for copy_out")]
pub(crate) unsafe fn equals_small(from: *const u8, with: *const u8, len: usize) -> Option<bool> {
    // SAFETY: the caller's obligations are the same.
    unsafe { guarded::equals_small(from, with, len) }
}

/// Copies `len` bytes from `from` to `to`, mapped memory that may fault.
///
/// After a fault, the bytes of `to` from the first one lost on are what they were or
/// what they were to become.
///
/// # Safety
///
/// `from` is valid for reads of `len` bytes, which nobody writes to meanwhile and which do
/// not overlap the target. `to` to `to + len` lies in mappings that stay mapped for the
/// duration (whether their pages can be written to is what is found out), and to
/// whose bytes there is no reference but to atomics, in this process or by folio in any other. `policy` came from
/// [`FaultPolicy::prepare`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for copy_out")]
pub(crate) unsafe fn copy_in(
    to: *mut u8,
    from: *const u8,
    len: usize,
    policy: FaultPolicy,
) -> Result<(), CopyError> {
    // SAFETY: the caller's obligations are the same, and `prepare` installed the handler.
    if policy == FaultPolicy::Handler && unsafe { guarded::store_small(to, from, len) } {
        return Ok(());
    }
    // SAFETY: the caller's obligations are the same.
    unsafe { copy_in_any(to, from, len, policy) }
}

/// [`copy_in`] for any length: a call, so that what is inlined stays small.
///
/// # Safety
///
/// As for [`copy_in`].
#[inline(never)]
unsafe fn copy_in_any(
    to: *mut u8,
    from: *const u8,
    len: usize,
    policy: FaultPolicy,
) -> Result<(), CopyError> {
    if policy == FaultPolicy::Syscall {
        // SAFETY: the caller's obligations are the same.
        return unsafe { syscall::copy_in(to, from, len) };
    }
    // SAFETY: the caller's obligations are the same, and `prepare` installed the handler.
    outcome(len, unsafe { guarded::copy(to, from, len) })
}

fn outcome(len: usize, left: usize) -> Result<(), CopyError> {
    match left {
        0 => Ok(()),
        _ => Err(CopyError::Fault { copied: len - left }),
    }
}

#[cfg(test)]
mod tests;
