//! The one check of a range against a length.

use std::ops::{Bound, RangeBounds};

/// A run of bytes that lies inside some larger run: checked once, trusted after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteRange {
    offset: u64,
    len: u64,
}

impl ByteRange {
    /// The range from `offset` on, if all of it lies within `size` bytes.
    pub(crate) fn within(size: u64, offset: u64, len: u64) -> Option<Self> {
        // `offset + len > size` would overflow for hostile values.
        (len <= size.checked_sub(offset)?).then_some(Self { offset, len })
    }

    /// The range that bounds such as `3..7` or `..` mean, if all of it lies within `size` bytes.
    ///
    /// What was asked for comes back where it does not: its offset and length, for a message.
    pub(crate) fn of_bounds(size: u64, bounds: &impl RangeBounds<u64>) -> Result<Self, (u64, u64)> {
        let start = match bounds.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match bounds.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => size.max(start),
        };
        let asked = (start, end.saturating_sub(start));
        let in_order = end.checked_sub(start);
        in_order
            .and_then(|len| Self::within(size, start, len))
            .ok_or(asked)
    }

    /// Offset and length for a mapping, which lies in the address space.
    pub(crate) fn in_memory(self) -> (usize, usize) {
        let narrow = |word: u64| usize::try_from(word).unwrap_or(usize::MAX);
        (narrow(self.offset), narrow(self.len))
    }

    /// A range inside this one, its offset counted from this one's start.
    pub(crate) fn part(self, offset: u64, len: u64) -> Option<Self> {
        let part = Self::within(self.len, offset, len)?;
        Some(Self {
            // No overflow: this range ends within a u64, and the part within it.
            offset: self.offset + part.offset,
            len,
        })
    }

    /// Where it begins.
    pub(crate) fn offset(self) -> u64 {
        self.offset
    }

    /// How many bytes.
    pub(crate) fn len(self) -> u64 {
        self.len
    }

    /// Where a read at `offset`, counted from this range's start, begins, and how many of `wanted`
    /// bytes there are.
    #[inline]
    pub(crate) fn clip(self, offset: u64, wanted: usize) -> (u64, usize) {
        let rest = self.len.saturating_sub(offset);
        let count = usize::try_from(rest).map_or(wanted, |rest| rest.min(wanted));
        (self.offset + offset.min(self.len), count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_hostile_offsets_and_lengths() {
        assert!(ByteRange::within(10, 0, 10).is_some());
        assert!(ByteRange::within(10, 10, 0).is_some());
        assert!(ByteRange::within(10, 11, 0).is_none());
        assert!(ByteRange::within(10, 1, 10).is_none());
        assert!(ByteRange::within(10, u64::MAX, 2).is_none());
        assert!(ByteRange::within(10, 2, u64::MAX).is_none());
        let inner = ByteRange::within(100, 40, 20).unwrap();
        assert!(inner.part(15, 6).is_none());
        assert_eq!(inner.part(15, 5), ByteRange::within(60, 55, 5));
    }

    #[test]
    fn bounds_mean_what_they_mean_for_slices() {
        let whole = ByteRange::within(10, 0, 10).unwrap();
        assert_eq!(ByteRange::of_bounds(10, &(..)), Ok(whole));
        assert_eq!(ByteRange::of_bounds(10, &(0..=9)), Ok(whole));
        let some = ByteRange::within(10, 3, 4).unwrap();
        assert_eq!(ByteRange::of_bounds(10, &(3..7)), Ok(some));
        assert_eq!(ByteRange::of_bounds(10, &(3..=6)), Ok(some));
        let bounds = (Bound::Excluded(2), Bound::Included(6));
        assert_eq!(ByteRange::of_bounds(10, &bounds), Ok(some));
        assert!(ByteRange::of_bounds(10, &(10..)).is_ok());
        assert_eq!(ByteRange::of_bounds(10, &(11..)), Err((11, 0)));
        assert_eq!(ByteRange::of_bounds(10, &(3..11)), Err((3, 8)));
        #[expect(clippy::reversed_empty_ranges, reason = "hostile bounds")]
        let reversed = 7..3;
        assert_eq!(ByteRange::of_bounds(10, &reversed), Err((7, 0)));
        assert!(
            ByteRange::of_bounds(u64::MAX, &(0..=u64::MAX)).is_ok_and(|all| all.len() == u64::MAX)
        );
        assert!(ByteRange::of_bounds(10, &(u64::MAX..=u64::MAX)).is_err());
    }

    #[test]
    fn clips_reads_at_the_end() {
        let range = ByteRange::within(100, 40, 20).unwrap();
        assert_eq!(range.clip(0, 5), (40, 5));
        assert_eq!(range.clip(18, 5), (58, 2));
        assert_eq!(range.clip(20, 5), (60, 0));
        assert_eq!(range.clip(u64::MAX, 5), (60, 0));
    }
}
