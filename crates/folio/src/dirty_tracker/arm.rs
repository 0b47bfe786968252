//! What all trackers of a map share: the protection is there once, and whoever lifts it for
//! one lifts it for all. So what is found is noted for each.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use folio_sys::mapping::Mapping;
use folio_sys::watch::{Method, Watch};

use super::TrackingMethod;
use crate::page_set::PageSet;
use crate::{Error, Result};

/// The watch over a map, while it has trackers.
#[derive(Debug, Default)]
pub(crate) struct Arm {
    state: Mutex<State>,
}

/// A tracker's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    index: usize,
    /// Which watch it is of.
    watch: u64,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while there are no trackers.
    watch: Option<Watch>,
    /// How many watches there have been.
    watches: u64,
    /// What each tracker will be told, by seat.
    sets: Vec<Option<PageSet>>,
}

impl Arm {
    /// Adds a tracker, which is told of writes from now on, by this method if any is named. Says which it is.
    pub(super) fn enlist(
        &self,
        mapping: &Arc<Mapping>,
        method: Option<TrackingMethod>,
        path: &Path,
    ) -> Result<(Seat, TrackingMethod)> {
        let state = &mut *self.state();
        if state.of_this_process().is_some() {
            // Writes before are for those who were there.
            state.scan(path)?;
        } else {
            let failed = |error| Error::io("track writes to", path, error);
            // Those of a parent are of no use here.
            state.sets.clear();
            state.watch = Some(start(mapping, method).map_err(failed)?);
            state.watches += 1;
        }
        let in_use = match state.watch.as_ref().map(Watch::method) {
            Some(Method::Userfaultfd) => TrackingMethod::Userfaultfd,
            _ => TrackingMethod::Protection,
        };
        if method.is_some_and(|method| method != in_use) {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                reason: "the map is tracked by another method already",
            });
        }
        let index = state.sets.iter().position(Option::is_none);
        let index = index.unwrap_or(state.sets.len());
        match state.sets.get_mut(index) {
            Some(set) => *set = Some(PageSet::default()),
            None => state.sets.push(Some(PageSet::default())),
        }
        let watch = state.watches;
        Ok((Seat { index, watch }, in_use))
    }

    /// Takes a tracker out. After the last one, the map is watched no more.
    pub(super) fn discharge(&self, seat: Seat) {
        let state = &mut *self.state();
        if let Some(set) = state.set(seat) {
            *set = None;
        }
        if state.sets.iter().all(Option::is_none) {
            state.watch = None;
        }
    }

    /// Looks for writes, and shows a tracker all that it has not taken yet.
    pub(super) fn look(
        &self,
        seat: Seat,
        path: &Path,
        show: impl FnOnce(&mut PageSet) -> PageSet,
    ) -> Result<PageSet> {
        let state = &mut *self.state();
        if state.of_this_process().is_none() || state.watches != seat.watch {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                reason: "the tracker belongs to the process that this one was forked from; make another",
            });
        }
        state.scan(path)?;
        let pages = state.set(seat).and_then(Option::as_mut);
        Ok(pages.map(show).unwrap_or_default())
    }

    /// Gives a tracker pages back.
    pub(super) fn put_back(&self, seat: Seat, pages: &PageSet) {
        if let Some(Some(set)) = self.state().set(seat) {
            set.merge(pages);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding it but for lack of memory, and then the sets are whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of_this_process(&self) -> Option<&Watch> {
        let watch = self.watch.as_ref();
        watch.filter(|watch| watch.is_of_this_process())
    }

    fn set(&mut self, seat: Seat) -> Option<&mut Option<PageSet>> {
        let is_current = self.watches == seat.watch;
        self.sets.get_mut(seat.index).filter(|_| is_current)
    }

    /// Looks for writes, and notes them for all trackers. So are the pages by which the map has grown.
    fn scan(&mut self, path: &Path) -> Result<()> {
        let Self { watch, sets, .. } = self;
        let Some(watch) = watch else { return Ok(()) };
        let mut note = |pages: Range<usize>| {
            for set in sets.iter_mut().flatten() {
                set.insert(pages.clone());
            }
        };
        let failed = |error| Error::io("look for writes to", path, error);
        watch.take(&mut note).map_err(failed)?;
        note(watch.cover().map_err(failed)?);
        Ok(())
    }
}

fn start(mapping: &Arc<Mapping>, method: Option<TrackingMethod>) -> io::Result<Watch> {
    match method {
        Some(TrackingMethod::Userfaultfd) => Watch::start(mapping, Method::Userfaultfd),
        Some(TrackingMethod::Protection) => Watch::start(mapping, Method::Protection),
        None => Watch::start(mapping, Method::Userfaultfd)
            .or_else(|_| Watch::start(mapping, Method::Protection)),
    }
}
