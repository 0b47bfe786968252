//! Ranges of mappings, which keep them mapped.

use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use super::Mapping;
use crate::copy::{CopyError, copy_out, copy_out_small, copy_out_up_to_64, equals_small};
use crate::fault::FaultPolicy;
use crate::prefetch::prefetch_range;

/// A range of a [`Mapping`], which it keeps mapped, and from which bytes are copied.
///
/// ```
/// use std::io::Write;
/// use std::sync::Arc;
/// use folio_sys::{fault::FaultPolicy, mapping::{Mapping, Span}};
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(b"hello, world")?;
/// let mapping = Mapping::of_file(&file, 7, 5, FaultPolicy::Handler)?;
/// let span = Span::of(Arc::new(mapping));
/// let mut word = [0; 5];
/// span.read_exact_at(0, &mut word).unwrap();
/// assert_eq!(&word, b"world");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Span {
    /// The first byte. With the length and the policy it stands here, not behind the
    /// pointer to the mapping, so that a read takes no detour.
    start: NonNull<u8>,
    len: usize,
    /// At how many offsets, from 0 on, as many bytes follow as a small read may have: one
    /// comparison then tells that a small read is in range, and may be made. 0 without
    /// the handler.
    small: usize,
    policy: FaultPolicy,
    mapping: Arc<Mapping>,
}

// SAFETY: the pointer is into the mapping, which the span owns a share of, and which belongs to no thread.
unsafe impl Send for Span {}
// SAFETY: a shared Span only copies bytes out, by routines that tolerate that
// anyone changes the bytes meanwhile.
unsafe impl Sync for Span {}

/// Why bytes of a [`Span`] could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The span does not have all of these bytes.
    OutOfRange,
    /// They could not be copied.
    Copy(CopyError),
}

impl Span {
    /// All of a mapping, as long as it is now.
    #[must_use]
    pub fn of(mapping: Arc<Mapping>) -> Self {
        Self {
            start: mapping.start,
            len: mapping.len(),
            small: small_offsets(mapping.len(), mapping.policy),
            policy: mapping.policy,
            mapping,
        }
    }

    /// A span of no bytes, of no file.
    #[must_use]
    pub fn nothing() -> Self {
        static NOTHING: OnceLock<Arc<Mapping>> = OnceLock::new();

        let mapping = NOTHING.get_or_init(|| Arc::new(Mapping::nothing()));
        Self::of(Arc::clone(mapping))
    }

    /// The mapping that the span is a range of.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The address of the first byte, to look the mapping up in `/proc/self/maps` and its
    /// like. Dangling when empty.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// How many bytes there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes as a slice, for those who know more than folio can.
    ///
    /// # Safety
    ///
    /// For as long as the slice, or a reference made from it, lives:
    ///
    /// 1. Nobody changes the bytes: no process writes to this range of the file, by a mapping, by
    ///    `write(2)` or otherwise, and no thread of this one by a
    ///    [`MappingMut`](super::MappingMut). The compiler takes bytes behind a `&[u8]` for constant, so a
    ///    change is undefined behaviour, not a wrong byte.
    /// 2. Nobody cuts the file short within the range, and the range was all in the file to begin
    ///    with. A lost page raises SIGBUS, which ends the process; with
    ///    [`survive_truncation`](Mapping::survive_truncation) it turns into zeros instead, and
    ///    that is a change as in 1. for whoever has read bytes of that page before.
    ///
    /// The same holds for the device: when it fails, a page that was not in memory is lost.
    ///
    /// A system call that is handed the slice (`write(2)`) answers EFAULT for a lost page, always.
    #[must_use]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the bytes are mapped for as long as the span is borrowed, and fewer than
        // isize::MAX; that they are there and stay as they are is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// A range of this span, `offset` counted from its start; `None` if the span does
    /// not have all of it.
    #[must_use]
    pub fn part(&self, offset: usize, len: usize) -> Option<Self> {
        if len > self.len.checked_sub(offset)? {
            return None;
        }
        // In bounds of the mapping, or one past its end; so it is not null.
        let start = NonNull::new(self.start.as_ptr().wrapping_add(offset))?;
        Some(Self {
            start,
            len,
            small: small_offsets(len, self.policy),
            policy: self.policy,
            mapping: Arc::clone(&self.mapping),
        })
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// When others write to the same bytes meanwhile, each byte is one that was there
    /// at some moment, and no more is promised.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`] when the span ends before, and then `buf` is as it was;
    /// [`CopyError::Fault`] when a page is lost, and then `buf` holds the bytes before it.
    #[inline]
    pub fn read_exact_at(&self, offset: usize, buf: &mut [u8]) -> Result<(), ReadError> {
        // SAFETY: the span's bytes are mapped while it holds its share of the mapping. The
        // policy came from `prepare`.
        unsafe { read_exact(self.start, self.len, self.policy, offset, buf) }
    }

    /// Fills `buf` with the bytes from `offset` on, if that takes a few loads and stores.
    ///
    /// False for any other reason, and then `buf` is as it was: the span does not have 64
    /// bytes more, a page is lost, `buf` has 3 bytes or none or more than 64, or there is no
    /// handler. Then [`read_exact_at`](Self::read_exact_at) tells. This is the path to
    /// be inlined, that is not.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a length that the caller knows makes this a few loads and stores"
    )]
    #[must_use]
    pub fn read_small_at(&self, offset: usize, buf: &mut [u8]) -> bool {
        if offset >= self.small {
            return false;
        }
        let from = self.start.as_ptr().wrapping_add(offset);
        // SAFETY: as in `read_exact_at`: 64 bytes from here on are within the span, and no more
        // are read, and `buf` is ours alone. There is a handler, or else `small` were 0.
        unsafe { copy_out_small(buf.as_mut_ptr(), from, buf.len()) }
    }

    /// Whether the bytes from `offset` on are these, if that takes a few loads; they are compared in registers.
    ///
    /// `None` for any other reason: the span does not have 64 bytes more, a page is lost, there
    /// are no bytes to compare with or more than 64, or there is no handler.
    /// Then [`read_exact_at`](Self::read_exact_at) tells.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as for read_small_at")]
    #[must_use]
    pub fn equals_small_at(&self, offset: usize, bytes: &[u8]) -> Option<bool> {
        if offset >= self.small {
            return None;
        }
        let from = self.start.as_ptr().wrapping_add(offset);
        // SAFETY: as in `read_small_at`; `bytes` are borrowed, and overlap no mapping.
        unsafe { equals_small(from, bytes.as_ptr(), bytes.len()) }
    }

    /// Appends the `len` bytes from `offset` on to `out`, if that takes a few loads and stores.
    ///
    /// False, and `out` is as it was, for any other reason: the span does not have 64 bytes more, a
    /// page is lost, they are more than 64, there is no handler, or `out` has no room for them. Then
    /// [`append_exact_at`](Self::append_exact_at) does it, or tells.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as for read_small_at")]
    #[must_use]
    pub fn append_small_at(&self, offset: usize, len: usize, out: &mut Vec<u8>) -> bool {
        let end = out.len();
        // A vector's length is at most its capacity.
        if offset >= self.small || len > out.capacity().wrapping_sub(end) {
            return false;
        }
        let from = self.start.as_ptr().wrapping_add(offset);
        let to = out.as_mut_ptr().wrapping_add(end);
        // SAFETY: as in `read_small_at`; `out` has room for as many bytes from here on, and is
        // ours alone.
        if !unsafe { copy_out_up_to_64(to, from, len) } {
            return false;
        }
        // SAFETY: within the capacity, and the bytes up to there were just written.
        unsafe { out.set_len(end.wrapping_add(len)) };
        true
    }

    /// Appends the `len` bytes from `offset` on to `out`, which makes room where it has none.
    ///
    /// # Errors
    ///
    /// As for [`read_exact_at`](Self::read_exact_at), and then `out` is as it was. No room is made for
    /// bytes that the span does not have.
    ///
    /// # Panics
    ///
    /// As [`Vec::reserve`]: those who would rather be told reserve before.
    pub fn append_exact_at(
        &self,
        offset: usize,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        if offset > self.len || len > self.len - offset {
            return Err(ReadError::OutOfRange);
        }
        out.reserve(len);
        let from = self.start.as_ptr().wrapping_add(offset);
        let end = out.len();
        let to = out.as_mut_ptr().wrapping_add(end);
        // SAFETY: `out` has room for as many bytes from here on, is ours alone and overlaps no
        // mapping. The bytes are the span's, which are mapped while it holds its share of the
        // mapping. The policy came from `prepare`.
        unsafe { copy_out(to, from, len, self.policy) }.map_err(ReadError::Copy)?;
        // SAFETY: within the capacity, and the bytes up to there were just written.
        unsafe { out.set_len(end + len) };
        Ok(())
    }

    /// Has those of the `len` bytes from `offset` on that the span has brought into the
    /// processor's cache, without waiting. It never faults.
    #[inline]
    pub fn prefetch(&self, offset: usize, len: usize) {
        if let Some(room) = self.len.checked_sub(offset) {
            prefetch_range(self.start.as_ptr().wrapping_add(offset), len.min(room));
        }
    }

    /// Copies bytes from `offset` on into `buf`, as many as both have, and says how many.
    ///
    /// # Errors
    ///
    /// As for [`read_exact_at`](Self::read_exact_at), but never out of range.
    #[inline]
    pub fn read_at(&self, offset: usize, buf: &mut [u8]) -> Result<usize, ReadError> {
        let count = self.len.saturating_sub(offset).min(buf.len());
        match buf.get_mut(..count) {
            None | Some([]) => Ok(0),
            Some(buf) => self.read_exact_at(offset, buf).map(|()| count),
        }
    }
}

/// The most that is read without a call, in bytes.
const SMALL_BYTES: usize = 64;

/// At how many offsets of `len` bytes as many follow as a small read may have.
fn small_offsets(len: usize, policy: FaultPolicy) -> usize {
    match policy {
        FaultPolicy::Handler => len.saturating_sub(SMALL_BYTES - 1),
        FaultPolicy::Syscall => 0,
    }
}

/// Fills `buf` with the bytes from `offset` on, of `len` that begin at `start`.
///
/// # Safety
///
/// The `len` bytes lie in a mapping that stays mapped for the duration. `policy` came
/// from [`FaultPolicy::prepare`].
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a length that the caller knows makes this a few loads and stores"
)]
pub(crate) unsafe fn read_exact(
    start: NonNull<u8>,
    len: usize,
    policy: FaultPolicy,
    offset: usize,
    buf: &mut [u8],
) -> Result<(), ReadError> {
    if offset > len || buf.len() > len - offset {
        return Err(ReadError::OutOfRange);
    }
    let from = start.as_ptr().wrapping_add(offset);
    // SAFETY: `buf` is ours alone, and overlaps no mapping made here, since no
    // mutable reference to bytes of one is ever given out. The source is buf.len() bytes from `offset`
    // on, which were just seen to be within the mapping; the rest is the caller's word.
    unsafe { copy_out(buf.as_mut_ptr(), from, buf.len(), policy) }.map_err(ReadError::Copy)
}
