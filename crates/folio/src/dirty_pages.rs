//! Pages found to be modified, as ranges of bytes.

use std::ops::Range;

use crate::page_set::PageSet;

/// Pages of a map that were written to, as ranges of its bytes.
///
/// ```
/// use folio::{DirtyTracker, Map};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, vec![0; 1_000_000])?;
/// let map = Map::options().open_mut(&file)?;
/// let mut tracker = DirtyTracker::new(&map)?;
/// map.write_all_at(500_000, b"hello")?;
/// let dirty = tracker.checkpoint()?;
/// assert_eq!(dirty.page_count(), 1);
/// for range in dirty.ranges() {
///     assert!(range.contains(&500_000)); // whole pages, but for the map's ends
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyPages {
    pub(crate) pages: PageSet,
    pub(crate) layout: Layout,
}

/// Where the bytes of a map lie in its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) page_bytes: u64,
    /// How far into the first page the first byte is.
    pub(crate) skew: u64,
    pub(crate) len: u64,
}

impl DirtyPages {
    /// How many pages.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        self.pages.count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges().next().is_none()
    }

    /// The size of a page in bytes: the system's, but for huge pages.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.layout.page_bytes
    }

    /// How many bytes the map had when the pages were looked for.
    #[must_use]
    pub fn map_len(&self) -> u64 {
        self.layout.len
    }

    /// The bytes of the map that the pages hold, in order, adjacent pages as one range.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.pages
            .runs()
            .map(|run| self.layout.bytes_of(run))
            .filter(|range| !range.is_empty())
    }

    /// How many bytes of the map the pages hold.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.ranges().map(|range| range.end - range.start).sum()
    }
}

impl Layout {
    fn bytes_of(self, pages: Range<usize>) -> Range<u64> {
        let at = |page: usize| {
            (page as u64)
                .saturating_mul(self.page_bytes)
                .saturating_sub(self.skew)
                .min(self.len)
        };
        at(pages.start)..at(pages.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_end_where_the_map_does() {
        let mut pages = PageSet::default();
        pages.insert(0..1);
        pages.insert(2..9);
        let layout = Layout {
            page_bytes: 100,
            skew: 30,
            len: 250,
        };
        let dirty = DirtyPages { pages, layout };
        assert_eq!(dirty.ranges().collect::<Vec<_>>(), [0..70, 170..250]);
        assert_eq!(dirty.bytes(), 150);
        assert_eq!(dirty.page_count(), 8);
    }
}
