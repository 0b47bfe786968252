//! Maps that take no more memory than they are given.

mod clock;

use std::io;
use std::path::Path;

use folio_sys::advice::Advice;

use self::clock::{Clock, Geometry};
use crate::{Error, Map, MapMut, ReadAt, Result};

/// A map whose resident set is kept within a budget: when more of it is read, what was read longest ago
/// is given back.
///
/// The kernel takes memory back when the machine is short of it, from whom it sees fit. This is for
/// those who want to take less before that: a process that reads a large file beside others, whose memory it
/// would otherwise drive out.
///
/// The map is seen as chunks of 2 MiB, since Linux may map that much at one page fault. A chunk is let in when it is
/// first read or written, and one is given back for it: the first in a round in which each that was used since the last round gets another
/// (the "clock", or "second chance", of page replacement). For a chunk that is there already, a read
/// costs two loads more than without a budget, so it can be left on.
///
/// The bound is for this map's pages in this process's page table (its RSS), and holds at each moment but for
/// what the other threads that read are just bringing in, a chunk each. (Where pages are larger than 4 KiB,
/// Linux may map more at one fault, and go past it by that.) [`View`](crate::View)s and slices of the map go past
/// it; so do other maps of the file.
///
/// What is given back stays in the page cache, where it is the kernel's to keep or drop, and costs a
/// short page fault when it is read again, unless [`drop_cached`](Self::drop_cached) says otherwise.
///
/// ```
/// use folio::{Budgeted, Map, ReadAt};
///
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, vec![7; 16 << 20])?;
/// let map = Budgeted::new(Map::open(&file)?, 4 << 20)?;
/// let mut buf = vec![0; 64 << 10];
/// for offset in (0..map.len()).step_by(buf.len()) {
///     map.read_exact_at(offset, &mut buf)?;
///     assert!(map.admitted_bytes() <= 4 << 20);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Budgeted<M: Budgetable = Map> {
    map: M,
    clock: Clock,
    budget_bytes: u64,
    drops_cached: bool,
}

/// What a [`Budgeted`] is made of: [`Map`] and [`MapMut`].
pub trait Budgetable: ReadAt + sealed::Pages {}

impl Budgetable for Map {}
impl Budgetable for MapMut {}

pub(crate) mod sealed {
    use crate::{Map, MapMut};

    /// A mapping whose pages can be given back.
    pub trait Pages {
        /// The mapping, to be read.
        fn pages(&self) -> &Map;
        /// How long it can become.
        fn most_bytes(&self) -> u64;
    }

    impl Pages for Map {
        fn pages(&self) -> &Map {
            self
        }

        fn most_bytes(&self) -> u64 {
            self.span().len() as u64
        }
    }

    impl Pages for MapMut {
        fn pages(&self) -> &Map {
            self.map()
        }

        fn most_bytes(&self) -> u64 {
            self.capacity()
        }
    }
}

impl<M: Budgetable> Budgeted<M> {
    /// Keeps a map within `budget_bytes`. What of it is resident now is given back.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a budget below 4 MiB, which is two chunks, and for a map of huge
    /// pages; [`Error::Io`] when the system refuses, as it does for what is locked.
    pub fn new(map: M, budget_bytes: u64) -> Result<Self> {
        let pages = map.pages();
        let unsupported = |reason| Error::Unsupported {
            path: pages.path().to_owned(),
            reason,
        };
        if pages.span().mapping().page_bytes() != folio_sys::page::size() {
            return Err(unsupported("a map of huge pages cannot have a budget"));
        }
        let address = pages.span().as_ptr().addr();
        let geometry = Geometry::new(address, map.most_bytes(), budget_bytes)
            .ok_or_else(|| unsupported("a budget must be 4 MiB at least"))?;
        pages.advise(.., Advice::DontNeed)?;
        Ok(Self {
            clock: Clock::new(geometry),
            map,
            budget_bytes,
            drops_cached: false,
        })
    }

    /// Has what is given back leave the page cache as well, as far as the kernel lets it go: from those who
    /// own the file or may write it, and as long as no other process maps it. To read it again then
    /// takes the device. Default: no.
    #[must_use]
    pub fn drop_cached(mut self, drops: bool) -> Self {
        self.drops_cached = drops;
        self
    }

    /// The budget, in bytes.
    #[must_use]
    pub fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    /// How much is let in now: the resident set is this or less.
    #[must_use]
    pub fn admitted_bytes(&self) -> u64 {
        self.clock.admitted_bytes()
    }

    /// How many times something was given back so far.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.clock.evictions()
    }

    /// Gives all back.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system refuses.
    pub fn shrink(&self) -> Result<()> {
        self.clock
            .clear(|start, len| self.give_back(start, len))
            .map_err(|error| self.failed(error))
    }

    /// The map. Reads of it go past the budget.
    #[must_use]
    pub fn map(&self) -> &M {
        &self.map
    }

    /// The map, without a budget.
    #[must_use]
    pub fn into_map(self) -> M {
        self.map
    }

    /// Does something with a range of bytes, its chunks let in.
    #[inline]
    fn within<T>(&self, offset: u64, len: usize, run: impl FnOnce() -> Result<T>) -> Result<T> {
        if len == 0 {
            return run();
        }
        self.let_in(offset, len)?;
        let outcome = run();
        // Given back meanwhile, it has come in again past the clock: then it is let in now.
        self.let_in(offset, len)?;
        outcome
    }

    #[inline]
    fn let_in(&self, offset: u64, len: usize) -> Result<()> {
        for chunk in self.clock.chunks(offset, len) {
            if !self.clock.use_chunk(chunk) {
                self.admit(chunk)?;
            }
        }
        Ok(())
    }

    #[cold]
    fn admit(&self, chunk: usize) -> Result<()> {
        self.clock
            .admit(chunk, |start, len| self.give_back(start, len))
            .map_err(|error| self.failed(error))
    }

    fn give_back(&self, start: u64, len: u64) -> io::Result<()> {
        let mapping = self.map.pages().span().mapping();
        let narrow = |word: u64| usize::try_from(word).unwrap_or(usize::MAX);
        // The chunk at the end may reach past what is mapped now.
        let start = narrow(start).min(mapping.len());
        let len = narrow(len).min(mapping.len() - start);
        if self.drops_cached {
            // A hint: it may be that the kernel does not let them go.
            let _ = mapping.advise(start, len, Advice::PageOut);
        }
        mapping.advise(start, len, Advice::DontNeed)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("give back pages of", self.map.pages().path(), error)
    }
}

impl Budgeted<MapMut> {
    /// Writes all of `bytes` at `offset_bytes`: see [`MapMut::write_all_at`].
    ///
    /// # Errors
    ///
    /// As for [`MapMut::write_all_at`], and [`Error::Io`] when nothing can be given back.
    pub fn write_all_at(&self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        for (offset, bytes) in
            pieces(offset_bytes, bytes.len(), &self.clock).scan(bytes, |rest, (offset, len)| {
                let (piece, after) = rest.split_at_checked(len)?;
                *rest = after;
                Some((offset, piece))
            })
        {
            self.within(offset, bytes.len(), || self.map.write_all_at(offset, bytes))?;
        }
        Ok(())
    }
}

impl<M: Budgetable> ReadAt for Budgeted<M> {
    fn len(&self) -> u64 {
        self.map.len()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize> {
        let rest = self.map.len().saturating_sub(offset_bytes);
        let len = usize::try_from(rest).map_or(buf.len(), |rest| rest.min(buf.len()));
        match buf.get_mut(..len) {
            None | Some([]) => Ok(0),
            Some(buf) => self.read_exact_at(offset_bytes, buf).map(|()| len),
        }
    }

    #[inline]
    fn read_exact_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        let len = buf.len();
        if self.clock.is_in_one_chunk(offset_bytes, len) {
            return self.within(offset_bytes, len, || {
                self.map.read_exact_at(offset_bytes, buf)
            });
        }
        self.read_pieces(offset_bytes, buf)
    }

    fn source_path(&self) -> &Path {
        self.map.source_path()
    }
}

impl<M: Budgetable> Budgeted<M> {
    /// Chunk by chunk: a long read must not bring in more than the budget at once.
    #[inline(never)]
    fn read_pieces(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        // All or nothing, as far as the range goes.
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.map.len()) {
            return self.map.read_exact_at(offset, buf);
        }
        let mut rest = buf;
        for (offset, len) in pieces(offset, rest.len(), &self.clock) {
            let Some((piece, after)) = std::mem::take(&mut rest).split_at_mut_checked(len) else {
                break;
            };
            rest = after;
            self.within(offset, len, || self.map.read_exact_at(offset, piece))?;
        }
        Ok(())
    }
}

/// The parts of a range that lie in one chunk each.
fn pieces(offset: u64, len: usize, clock: &Clock) -> impl Iterator<Item = (u64, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let offset = offset.checked_add(done as u64)?;
        let len = (len - done).min(clock.rest_of_chunk(offset));
        done += len;
        (len > 0).then_some((offset, len))
    })
}
