//! One window, and the mapping of it.

use std::io;
use std::sync::Arc;

use folio_sys::fault::FaultPolicy;
use folio_sys::hazard::Cursor;
use folio_sys::mapping::Span;

use super::extent::Extent;
use crate::map::{Map, address_offset};
use crate::positioned::Positioned;
use crate::{Error, Result};

/// What needs no lock: the file, and the cursor at the most recent window.
#[derive(Debug)]
pub(super) struct Backing {
    pub(super) file: Arc<Positioned>,
    pub(super) cursor: Cursor<Window>,
    policy: FaultPolicy,
}

impl Backing {
    pub(super) fn new(file: Positioned, policy: FaultPolicy) -> Self {
        Self {
            file: Arc::new(file),
            cursor: Cursor::new(),
            policy,
        }
    }

    /// Maps an extent, or as much of it as the file still has, if the `len` bytes from `offset` on are among that.
    /// Says what was mapped; `None` when the kernel has no room.
    pub(super) fn map_present(
        &self,
        mut extent: Extent,
        offset: u64,
        len: u64,
    ) -> Result<Option<(Extent, Window)>> {
        loop {
            let map = Map::options()
                .offset(extent.start)
                .len(extent.len())
                .fault_policy(self.policy)
                .map(self.file.file(), self.file.path());
            match map {
                Ok(map) => return Ok(Some((extent, Window::new(extent, map)))),
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::OutOfMemory => {
                    return Ok(None);
                }
                // It became shorter. Each time round the extent does, too.
                Err(Error::OutOfRange { path, size, .. }) => {
                    let lost = size.max(offset);
                    extent.end = extent.end.min(size).max(extent.start);
                    if !extent.covers(offset, len) {
                        return Err(Error::Fault { path, offset: lost });
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A mapped extent of the file.
#[derive(Debug)]
pub(super) struct Window {
    start: u64,
    /// The map's, at hand without a detour.
    span: Span,
    /// Views hold shares of it, and pin the window.
    map: Arc<Map>,
}

impl Window {
    fn new(extent: Extent, map: Map) -> Self {
        Self {
            start: extent.start,
            span: map.span().clone(),
            map: Arc::new(map),
        }
    }

    pub(super) fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Whether views have shares of the map.
    pub(super) fn has_views(&self) -> bool {
        Arc::strong_count(&self.map) > 1
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes there are from `offset` on.
    pub(super) fn len_from(&self, offset: u64) -> usize {
        let before = address_offset(offset.wrapping_sub(self.start));
        self.span.len().saturating_sub(before)
    }

    /// Fills `buf`, if that takes a few loads and stores: see [`Span::read_small_at`].
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as for Span::read_small_at")]
    pub(super) fn has_read_small(&self, offset: u64, buf: &mut [u8]) -> bool {
        // An offset before the start wraps around to one beyond every end.
        let within = address_offset(offset.wrapping_sub(self.start));
        self.span.read_small_at(within, buf)
    }

    /// Fills `buf`, if the window has all of it.
    pub(super) fn has_read(&self, offset: u64, buf: &mut [u8]) -> bool {
        let within = address_offset(offset.wrapping_sub(self.start));
        self.span.read_exact_at(within, buf).is_ok()
    }

    /// Fills `buf`.
    pub(super) fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let within = offset.wrapping_sub(self.start);
        let read = self.span.read_exact_at(address_offset(within), buf);
        read.map_err(|error| self.map.failed(&self.span, within, buf.len(), error))
    }
}
