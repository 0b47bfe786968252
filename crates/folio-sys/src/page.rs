//! Page size and page arithmetic.

/// The size of a page in bytes, a power of two.
///
/// ```
/// assert!(folio_sys::page::size().is_power_of_two());
/// ```
#[must_use]
pub fn size() -> usize {
    // Not by rustix, which looks into the vDSO on the way; under valgrind there is none where
    // it should be.
    // SAFETY: sysconf has no obligations.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // POSIX has it at 1 at the least, so there is no error to see.
    usize::try_from(size).unwrap_or(4096)
}

/// Splits an offset into the start of its page and what is left over.
///
/// Mappings start on a page (`mmap(2)`: EINVAL otherwise), so an arbitrary offset
/// is mapped from its page's start and read from what is left over.
///
/// ```
/// let page = folio_sys::page::size() as u64;
/// assert_eq!(folio_sys::page::split(3 * page + 7), (3 * page, 7));
/// ```
#[must_use]
pub fn split(offset_bytes: u64) -> (u64, usize) {
    let mask = size() as u64 - 1;
    let within = offset_bytes & mask;
    // Below a page's size, which is a usize.
    #[expect(clippy::cast_possible_truncation, reason = "within < page size")]
    let skew = within as usize;
    (offset_bytes - within, skew)
}
