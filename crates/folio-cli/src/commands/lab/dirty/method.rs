//! The ways of finding the pages that were written to.

use std::collections::BTreeSet;
use std::fmt;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use folio::{DirtyTracker, Map, MapMut, ReadAt, TrackingMethod};
use xxhash_rust::xxh3::xxh3_64;

use crate::failure::Outcome;

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// By userfaultfd, with `WP_ASYNC` and `PAGEMAP_SCAN`.
    Userfaultfd,
    /// By mprotect and a handler of SIGSEGV.
    Protection,
    /// By the checksums of all pages.
    Checksums,
    /// Not at all.
    Untracked,
}

/// What was found by one of them, and the medians of what that took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// How many pages were written to, in all rounds.
    pub(super) written: u64,
    pub(super) found: u64,
    /// How many were written to and not found.
    pub(super) missed: u64,
    /// How many were found and not written to.
    pub(super) others: u64,
    pub(super) first_write: Cost,
    pub(super) later_write: Cost,
    /// `None` if nothing is looked for.
    pub(super) scan: Option<Cost>,
}

/// The time that one of many takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    picos: u64,
}

/// Does it, for one map.
#[derive(Debug)]
pub(super) struct Finder {
    map: MapMut,
    means: Means,
}

#[derive(Debug)]
enum Means {
    Tracker(DirtyTracker),
    /// Of each page, as it was when it was looked at.
    Checksums(Vec<u64>),
    None,
}

/// How often each page is written to after the first time.
const LATER_WRITES: u64 = 20;
/// Where in a page is written.
const IN_PAGE: u64 = 64;

impl Method {
    pub(super) const ALL: [Self; 4] = [
        Self::Userfaultfd,
        Self::Protection,
        Self::Checksums,
        Self::Untracked,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Userfaultfd => "userfaultfd",
            Self::Protection => "mprotect",
            Self::Checksums => "checksums",
            Self::Untracked => "untracked",
        }
    }

    pub(super) fn is_folio(self) -> bool {
        matches!(self, Self::Userfaultfd | Self::Protection)
    }
}

impl Finder {
    /// Maps the file, and follows what is written; or says why this cannot be done here.
    pub(super) fn new(method: Method, path: &Path) -> Outcome<Result<Self, String>> {
        let map = Map::options().populate(true).open_mut(path)?;
        let means = match method {
            Method::Untracked => Means::None,
            Method::Checksums => Means::Checksums(Vec::new()),
            Method::Userfaultfd => match track(&map, TrackingMethod::Userfaultfd)? {
                Ok(means) => means,
                Err(why) => return Ok(Err(why)),
            },
            Method::Protection => match track(&map, TrackingMethod::Protection)? {
                Ok(means) => means,
                Err(why) => return Ok(Err(why)),
            },
        };
        Ok(Ok(Self { map, means }))
    }

    /// Writes to so many pages, and finds them, over and over.
    pub(super) fn measure(
        mut self,
        pages: u64,
        rounds: u32,
        random: &mut Random,
    ) -> Outcome<Measured> {
        let page = folio_sys::page::size() as u64;
        let mut measured = Measured::default();
        let (mut first, mut later, mut scans) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            // What is written back is clean, and the next write to it a first one.
            self.map.flush(..)?;
            self.touch()?;
            self.scan()?;
            let written = random.distinct(pages, self.map.len() / page);
            first.push(Cost::of(self.write(&written, page, random)?, pages));
            let mut took = Duration::ZERO;
            for _ in 0..LATER_WRITES {
                took += self.write(&written, page, random)?;
            }
            later.push(Cost::of(took, pages * LATER_WRITES));
            measured.written += pages;
            let started = Instant::now();
            let Some(found) = self.scan()? else { continue };
            scans.push(Cost::of(started.elapsed(), 1));
            measured.found += found.len() as u64;
            measured.missed += written.difference(&found).count() as u64;
            measured.others += found.difference(&written).count() as u64;
        }
        Ok(Measured {
            first_write: median(first).unwrap_or_default(),
            later_write: median(later).unwrap_or_default(),
            scan: median(scans),
            ..measured
        })
    }

    /// Writes a word to each of these pages, and says how long that took.
    fn write(
        &self,
        pages: &BTreeSet<u64>,
        page_bytes: u64,
        random: &mut Random,
    ) -> Outcome<Duration> {
        let places: Vec<_> = pages
            .iter()
            .map(|page| page * page_bytes + IN_PAGE)
            .collect();
        let started = Instant::now();
        for place in places {
            self.map.put(place, &random.next())?;
        }
        Ok(started.elapsed())
    }

    /// Enters all pages in the page table.
    fn touch(&self) -> Outcome {
        for offset in (0..self.map.len()).step_by(folio_sys::page::size()) {
            black_box(self.map.get::<u8>(offset)?);
        }
        Ok(())
    }

    /// The pages that have been written to since the last time; `None` if they are not looked for.
    fn scan(&mut self) -> Outcome<Option<BTreeSet<u64>>> {
        match &mut self.means {
            Means::None => Ok(None),
            Means::Checksums(known) => changed(&self.map, known).map(Some),
            Means::Tracker(tracker) => {
                let dirty = tracker.checkpoint()?;
                let page = dirty.page_bytes();
                let pages = dirty
                    .ranges()
                    .flat_map(|range| range.start / page..range.end.div_ceil(page));
                Ok(Some(pages.collect()))
            }
        }
    }
}

/// The error is why it cannot be had, in words.
fn track(map: &MapMut, method: TrackingMethod) -> Outcome<Result<Means, String>> {
    match DirtyTracker::options().method(method).track(map) {
        Ok(tracker) => Ok(Ok(Means::Tracker(tracker))),
        Err(folio::Error::Io { source, .. }) => Ok(Err(source.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The pages whose checksums are not those that are known, which then are.
fn changed(map: &MapMut, known: &mut Vec<u64>) -> Outcome<BTreeSet<u64>> {
    let mut changed = BTreeSet::new();
    let mut page = vec![0; folio_sys::page::size()];
    let count = usize::try_from(map.len().div_ceil(page.len() as u64))?;
    known.resize(count, 0);
    for (number, known) in (0..).zip(known) {
        let len = map.read_at(number * page.len() as u64, &mut page)?;
        let checksum = xxh3_64(page.get(..len).unwrap_or_default());
        if checksum != std::mem::replace(known, checksum) {
            changed.insert(number);
        }
    }
    Ok(changed)
}

impl Cost {
    fn of(took: Duration, count: u64) -> Self {
        let picos = took.as_nanos().saturating_mul(1000) / u128::from(count.max(1));
        Self {
            picos: u64::try_from(picos).unwrap_or(u64::MAX),
        }
    }

    /// For charts.
    pub(super) fn picos(self) -> u64 {
        self.picos
    }

    #[expect(clippy::cast_precision_loss, reason = "16 digits are enough")]
    pub(super) fn nanos(self) -> f64 {
        self.picos as f64 / 1000.0
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos();
        if nanos < 1e3 {
            write!(f, "{nanos:.1}ns")
        } else if nanos < 1e6 {
            write!(f, "{:.1}µs", nanos / 1e3)
        } else {
            write!(f, "{:.1}ms", nanos / 1e6)
        }
    }
}

fn median(mut costs: Vec<Cost>) -> Option<Cost> {
    costs.sort_unstable();
    costs.get(costs.len() / 2).copied()
}

/// Marsaglia's xorshift. One for all methods: who writes what is there already changes nothing, and no
/// checksum tells.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// So many different numbers below a bound, which is no smaller (Floyd's algorithm).
    fn distinct(&mut self, count: u64, bound: u64) -> BTreeSet<u64> {
        let mut numbers = BTreeSet::new();
        for last in bound.saturating_sub(count)..bound {
            if !numbers.insert(self.next() % (last + 1)) {
                numbers.insert(last);
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_of_one() {
        let cost = Cost::of(Duration::from_micros(3), 2000);
        assert_eq!((cost.picos(), cost.to_string().as_str()), (1500, "1.5ns"));
        assert_eq!(
            Cost::of(Duration::from_micros(1500), 1).to_string(),
            "1.5ms"
        );
        assert_eq!(Cost::of(Duration::from_micros(15), 10).to_string(), "1.5µs");
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn as_many_pages_as_asked_for_are_written_to() {
        let mut random = Random::new();
        for (count, bound) in [(0, 9), (3, 9), (9, 9), (1000, 1200)] {
            let numbers = random.distinct(count, bound);
            assert_eq!(numbers.len() as u64, count);
            assert!(numbers.iter().all(|&number| number < bound));
        }
    }

    #[test]
    fn checksums_find_what_has_changed() {
        let page = folio_sys::page::size() as u64;
        // The last page is one byte.
        let map = Map::options().anonymous(4 * page + 1).unwrap();
        let mut known = Vec::new();
        assert_eq!(changed(&map, &mut known).unwrap().len(), 5);
        assert!(changed(&map, &mut known).unwrap().is_empty());
        map.put(2 * page, &1_u8).unwrap();
        map.put(4 * page, &1_u8).unwrap();
        assert_eq!(changed(&map, &mut known).unwrap(), BTreeSet::from([2, 4]));
    }
}
