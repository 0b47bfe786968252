//! Where windows lie.

use folio_sys::page;

/// Windows do not become smaller than this for a lack of room: below it, mapping pays for
/// hardly any pattern of reads.
const LEAST_HALVED_BYTES: u64 = 64 << 10;

/// A run of a file's bytes, `end` not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Extent {
    pub(super) fn len(self) -> u64 {
        self.end - self.start
    }

    pub(super) fn covers(self, offset: u64, len: u64) -> bool {
        self.start <= offset && offset <= self.end && len <= self.end - offset
    }

    /// These bytes, from their page's start on.
    pub(super) fn exact(offset: u64, len: u64) -> Self {
        Self {
            start: page::split(offset).0,
            end: offset + len,
        }
    }

    /// The page that holds a byte, or as much of it as there is in a file of `size`.
    pub(super) fn page_of(offset: u64, size: u64) -> Self {
        let start = page::split(offset).0;
        Self {
            start,
            end: start.saturating_add(page::size() as u64).min(size),
        }
    }
}

/// How large windows are, and so where they start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    /// A multiple of two pages.
    window_bytes: u64,
}

impl Geometry {
    /// Windows of this size, rounded up to whole pairs of pages.
    pub(super) fn new(window_bytes: u64) -> Self {
        let pair = 2 * page::size() as u64;
        let most = (isize::MAX as u64 / pair) * pair;
        Self {
            window_bytes: window_bytes.clamp(1, most).next_multiple_of(pair),
        }
    }

    pub(super) fn window_bytes(self) -> u64 {
        self.window_bytes
    }

    pub(super) fn half(self) -> u64 {
        self.window_bytes / 2
    }

    /// The window for what begins at `offset`: half a window from there is in it, or all that a file of
    /// `size` has.
    pub(super) fn window_of(self, offset: u64, size: u64) -> Extent {
        if size <= self.window_bytes {
            return Extent {
                start: 0,
                end: size,
            };
        }
        let start = offset - offset % self.half();
        Extent {
            start,
            end: start.saturating_add(self.window_bytes).min(size),
        }
    }

    /// Makes windows half as large. False if they are as small as they get.
    pub(super) fn halve(&mut self, size: u64) -> bool {
        // A window larger than the file is as large as the file.
        let smaller = Self::new(self.window_bytes.min(size) / 2);
        let halves =
            smaller.window_bytes < self.window_bytes && smaller.window_bytes >= LEAST_HALVED_BYTES;
        if halves {
            *self = smaller;
        }
        halves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_window_from_anywhere_is_in_one() {
        let page = page::size() as u64;
        for window_bytes in [1, 2 * page, 2 * page + 1, 32 << 20, u64::MAX] {
            let geometry = Geometry::new(window_bytes);
            assert_eq!(geometry.half() % page, 0);
            for size in [1, page, 100 * page + 5, 1 << 40, u64::MAX] {
                for offset in [0, 1, page - 1, page, 3 * page + 7, size / 2, size - 1] {
                    let offset = offset.min(size - 1);
                    let window = geometry.window_of(offset, size);
                    let len = geometry.half().min(size - offset);
                    assert!(window.covers(offset, len), "{window:?} {offset} {size}");
                    assert!(window.len() <= geometry.window_bytes());
                    assert!(window.end <= size);
                }
            }
        }
    }

    #[test]
    fn halving_ends() {
        // A window larger than the file counts as one of the file's size.
        let mut geometry = Geometry::new(1 << 30);
        let mut sizes = Vec::new();
        while geometry.halve(64 << 20) {
            sizes.push(geometry.window_bytes());
        }
        assert_eq!(sizes.first(), Some(&(32 << 20)));
        assert_eq!(sizes.last(), Some(&(64 << 10)));
        assert!(!Geometry::new(1 << 30).halve(100));
    }
}
