//! The one check of a range against a length.

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

    /// A range inside this one, its offset counted from this one's start.
    pub(crate) fn part(self, offset: u64, len: u64) -> Option<Self> {
        let part = Self::within(self.len, offset, len)?;
        Some(Self {
            // No overflow: this range ends within a u64, and the part within it.
            offset: self.offset + part.offset,
            len,
        })
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
    fn clips_reads_at_the_end() {
        let range = ByteRange::within(100, 40, 20).unwrap();
        assert_eq!(range.clip(0, 5), (40, 5));
        assert_eq!(range.clip(18, 5), (58, 2));
        assert_eq!(range.clip(20, 5), (60, 0));
        assert_eq!(range.clip(u64::MAX, 5), (60, 0));
    }
}
