//! The windows that are mapped, and which of them goes when another comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use folio_sys::hazard::Key;

use super::extent::{Extent, Geometry};
use super::locality::Locality;
use super::stats::WindowStats;
use super::window::{Backing, Window};
use crate::Result;

/// Reads of more than this are no small reads, whether windows pay for them or not.
const SMALL_READ_BYTES: usize = 16 << 10;
/// How many windows that begin before an offset are looked at for one that holds it. Of those of one
/// size two can; others are of sizes from before they were halved, or of views' own.
const CANDIDATES: usize = 4;

/// How the next bytes of a read are had.
#[derive(Debug)]
pub(super) enum Piece {
    /// From this window, as far as it goes; at least one byte.
    Mapped(Arc<Window>),
    /// By a system call.
    Positioned,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) budget_bytes: u64,
    pub(super) max_windows: usize,
    pub(super) adaptive: bool,
    pub(super) unmap_at_once: bool,
}

/// The windows that are mapped.
#[derive(Debug)]
pub(super) struct Cache {
    limits: Limits,
    geometry: Geometry,
    entries: BTreeMap<Extent, Entry>,
    /// By when they were used last, the longest ago first.
    order: BTreeMap<u64, Extent>,
    clock: u64,
    /// Where the cursor is.
    current: Option<Extent>,
    /// Windows that nobody shall find any more, still read or pinned when last looked at.
    retired: Vec<Retired>,
    locality: Locality,
    /// Only what is counted; the rest is filled in on request.
    counts: WindowStats,
}

#[derive(Debug)]
struct Entry {
    window: Arc<Window>,
    key: Key,
    used: u64,
}

/// A window that nobody shall find any more.
#[derive(Debug)]
struct Retired {
    extent: Extent,
    window: Arc<Window>,
    /// Until the cursor has let go of it.
    key: Option<Key>,
}

impl Retired {
    fn is_held(&mut self, backing: &Backing) -> bool {
        self.key = self.key.filter(|&key| backing.cursor.remove(key).is_none());
        self.key.is_some() || Arc::strong_count(&self.window) > 1 || self.window.has_views()
    }
}

impl Entry {
    /// Whether a view, or a read under way, holds the window. Only ever answered no while
    /// the lock is held that they are made under, so that none can come meanwhile.
    fn is_pinned(&self) -> bool {
        // One share is the entry's, the other the cursor's.
        Arc::strong_count(&self.window) > 2 || self.window.has_views()
    }
}

impl Cache {
    pub(super) fn new(geometry: Geometry, limits: Limits) -> Self {
        Self {
            limits,
            geometry,
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            clock: 0,
            current: None,
            retired: Vec::new(),
            locality: Locality::new(),
            counts: WindowStats::default(),
        }
    }

    pub(super) fn stats(&self) -> WindowStats {
        WindowStats {
            mode_switches: self.locality.switches(),
            mapping: self.locality.is_mapping(),
            window_bytes: self.geometry.window_bytes(),
            windows: (self.entries.len() + self.retired.len()) as u64,
            ..self.counts
        }
    }

    /// Where to have the bytes from `offset` on: a read of `wanted`, all within a file of `size`.
    pub(super) fn piece(
        &mut self,
        backing: &Backing,
        size: u64,
        offset: u64,
        wanted: usize,
    ) -> Result<Piece> {
        if self.limits.unmap_at_once {
            let extent = Extent::page_of(offset, size);
            return self.map_unkept(backing, extent, offset, 1);
        }
        // Some of the bytes will do: the rest is another piece. So a file that is read in order is
        // mapped once, not every half of a window twice.
        let longest = self
            .candidates(offset)
            .filter(|extent| extent.end > offset)
            .max_by_key(|extent| extent.end);
        if let Some(window) = longest.and_then(|extent| self.hit(backing, extent)) {
            self.locality.came_back();
            return Ok(Piece::Mapped(window));
        }
        if !self.pays(size, offset, wanted) {
            self.counts.pread_reads += 1;
            return Ok(Piece::Positioned);
        }
        let mut extent = self.geometry.window_of(offset, size);
        loop {
            if !self.make_room(backing, extent.len()) {
                break;
            }
            match self.map(backing, extent, offset, 1)? {
                Mapped::Window(window) => return Ok(Piece::Mapped(window)),
                Mapped::NoRoom if self.evict_all(backing) => {}
                Mapped::NoRoom if self.halve(size) => {
                    extent = self.geometry.window_of(offset, size);
                }
                Mapped::NoRoom => break,
            }
        }
        self.counts.pread_reads += 1;
        Ok(Piece::Positioned)
    }

    /// A window with all of a range of at least a byte, all within a file of `size`. `None` when there is no
    /// room for it.
    pub(super) fn window_for_view(
        &mut self,
        backing: &Backing,
        size: u64,
        offset: u64,
        len: u64,
    ) -> Result<Option<Arc<Window>>> {
        let exact = Extent::exact(offset, len);
        if self.limits.unmap_at_once {
            return match self.map_unkept(backing, exact, offset, len)? {
                Piece::Mapped(window) => Ok(Some(window)),
                Piece::Positioned => Ok(None),
            };
        }
        let found = self
            .candidates(offset)
            .find(|extent| extent.covers(offset, len));
        if let Some(window) = found.and_then(|extent| self.hit(backing, extent)) {
            return Ok(Some(window));
        }
        // No address space holds it, so none needs to be cleared.
        let can_be = isize::try_from(exact.len()).is_ok();
        loop {
            if !can_be {
                break;
            }
            let shared = self.geometry.window_of(offset, size);
            let is_shared = shared.covers(offset, len);
            let extent = if is_shared { shared } else { exact };
            // Views may exceed the budget.
            self.make_room(backing, extent.len());
            match self.map(backing, extent, offset, len)? {
                Mapped::Window(window) => return Ok(Some(window)),
                Mapped::NoRoom if self.evict_all(backing) => {}
                Mapped::NoRoom if is_shared && self.halve(size) => {}
                Mapped::NoRoom => break,
            }
        }
        self.counts.pread_views += 1;
        Ok(None)
    }

    /// Lets go of windows that reach beyond `size`, the file's length now.
    pub(super) fn forget_beyond(&mut self, backing: &Backing, size: u64) {
        let beyond: Vec<_> = self
            .entries
            .keys()
            .filter(|e| e.end > size)
            .copied()
            .collect();
        for extent in beyond {
            if let Some(entry) = self.entries.remove(&extent) {
                self.retire(extent, entry);
            }
        }
        self.current = None;
        self.sweep(backing);
    }

    /// Windows that begin at or before an offset, the nearest ones.
    fn candidates(&self, offset: u64) -> impl Iterator<Item = Extent> {
        let last = Extent {
            start: offset,
            end: u64::MAX,
        };
        let before = self.entries.range(..=last).rev();
        before.map(|(&extent, _)| extent).take(CANDIDATES)
    }

    fn hit(&mut self, backing: &Backing, extent: Extent) -> Option<Arc<Window>> {
        self.counts.hits += 1;
        self.make_current(backing, extent)
    }

    fn make_current(&mut self, backing: &Backing, extent: Extent) -> Option<Arc<Window>> {
        // Until now the one before was used.
        let before = self
            .current
            .replace(extent)
            .filter(|&before| before != extent);
        for extent in before.into_iter().chain([extent]) {
            if let Some(entry) = self.entries.get_mut(&extent) {
                self.order.remove(&entry.used);
                self.clock += 1;
                entry.used = self.clock;
                self.order.insert(self.clock, extent);
            }
        }
        let entry = self.entries.get(&extent)?;
        backing.cursor.point_to(entry.key);
        Some(Arc::clone(&entry.window))
    }

    /// Whether a read that no window serves shall have one mapped.
    fn pays(&mut self, size: u64, offset: u64, wanted: usize) -> bool {
        let extent = self.geometry.window_of(offset, size);
        if !self.limits.adaptive || self.has_room_for(extent.len()) {
            return true;
        }
        if wanted > SMALL_READ_BYTES {
            return self.locality.is_mapping();
        }
        let half = self.geometry.half();
        let is_near = self.current.is_some_and(|current| {
            (current.start.saturating_sub(half)..current.end.saturating_add(half)).contains(&offset)
        });
        self.locality.wants_room(offset / half, is_near)
    }

    fn has_room_for(&self, len: u64) -> bool {
        self.counts.mapped_bytes.saturating_add(len) <= self.limits.budget_bytes
            && self.entries.len() + self.retired.len() < self.limits.max_windows
    }

    /// Unmaps what it takes to have room. False if what is pinned leaves none.
    fn make_room(&mut self, backing: &Backing, len: u64) -> bool {
        self.sweep(backing);
        while !self.has_room_for(len) {
            if !self.evict_one(backing) {
                return false;
            }
        }
        true
    }

    /// Unmaps the window that was used the longest ago, of those that nothing pins. False if there is none.
    fn evict_one(&mut self, backing: &Backing) -> bool {
        let evicted = self.order.iter().find_map(|(&used, extent)| {
            let entry = self.entries.get(extent)?;
            // A thread may read it at this moment without pinning it: then the next one goes.
            (!entry.is_pinned() && backing.cursor.remove(entry.key).is_some())
                .then_some((used, *extent))
        });
        let Some((used, extent)) = evicted else {
            return false;
        };
        self.order.remove(&used);
        self.entries.remove(&extent);
        self.count_unmapped(extent);
        if self.current == Some(extent) {
            self.current = None;
        }
        true
    }

    /// Unmaps all windows that nothing pins. False if there was none.
    fn evict_all(&mut self, backing: &Backing) -> bool {
        let swept = self.sweep(backing);
        let mut evicted = false;
        while self.evict_one(backing) {
            evicted = true;
        }
        swept || evicted
    }

    /// Takes a window out of sight that is out of `entries` already.
    fn retire(&mut self, extent: Extent, entry: Entry) {
        self.order.remove(&entry.used);
        self.retired.push(Retired {
            extent,
            window: entry.window,
            key: Some(entry.key),
        });
    }

    /// Unmaps those retired that nothing holds any more. False if there was none.
    fn sweep(&mut self, backing: &Backing) -> bool {
        let mut swept = false;
        for mut retired in std::mem::take(&mut self.retired) {
            if retired.is_held(backing) {
                self.retired.push(retired);
            } else {
                self.count_unmapped(retired.extent);
                swept = true;
            }
        }
        swept
    }

    fn count_unmapped(&mut self, extent: Extent) {
        self.counts.evictions += 1;
        self.counts.mapped_bytes -= extent.len();
    }

    fn halve(&mut self, size: u64) -> bool {
        let halved = self.geometry.halve(size);
        self.counts.halvings += u64::from(halved);
        halved
    }

    /// Maps an extent, of which `len` bytes from `offset` on are needed, keeps it, and makes it the most recent.
    fn map(&mut self, backing: &Backing, extent: Extent, offset: u64, len: u64) -> Result<Mapped> {
        let Some((extent, window)) = backing.map_present(extent, offset, len)? else {
            return Ok(Mapped::NoRoom);
        };
        let window = Arc::new(window);
        let key = backing.cursor.insert(Arc::clone(&window));
        self.clock += 1;
        let entry = Entry {
            window: Arc::clone(&window),
            key,
            used: self.clock,
        };
        self.order.insert(self.clock, extent);
        // It was looked for in vain, but perhaps not hard enough.
        if let Some(double) = self.entries.insert(extent, entry) {
            self.retire(extent, double);
        }
        self.count_mapped(extent);
        self.make_current(backing, extent);
        Ok(Mapped::Window(window))
    }

    fn count_mapped(&mut self, extent: Extent) {
        let counts = &mut self.counts;
        counts.maps += 1;
        counts.mapped_bytes += extent.len();
        counts.peak_mapped_bytes = counts.peak_mapped_bytes.max(counts.mapped_bytes);
    }

    /// Maps an extent that whoever asks holds alone.
    fn map_unkept(
        &mut self,
        backing: &Backing,
        extent: Extent,
        offset: u64,
        len: u64,
    ) -> Result<Piece> {
        match backing.map_present(extent, offset, len)? {
            Some((_, window)) => {
                self.counts.maps += 1;
                Ok(Piece::Mapped(Arc::new(window)))
            }
            None => Ok(Piece::Positioned),
        }
    }
}

enum Mapped {
    Window(Arc<Window>),
    NoRoom,
}
