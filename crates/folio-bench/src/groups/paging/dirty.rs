//! What it costs to know which pages were written to.

use std::hint::black_box;
use std::io::Write;

use folio::{DirtyTracker, Map, MapMut, ReadAt, TrackingMethod};
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::xxh3_64;

use super::PAGE_BYTES;
use crate::args::Settings;
use crate::groups::random::Random;
use crate::measure::{Clock, Plan, Work, interleave, order, timed};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

/// How many pages are dirty when they are looked for.
const DIRTY_PAGES: u64 = 100;

pub(in crate::groups) fn scan() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "paging.dirty_scan_vs_checksums",
                unit: "ns CPU",
                peer_name: "checksums",
                limit_name: None,
                goal: Some(0.05),
                about: "finding 100 dirty pages in 256 MiB (quick: 64 MiB): DirtyTracker::checkpoint, which also \
                        begins anew, against XXH3 of each page and of what it was (goal 0.05, and 5 ms)",
            }]
        },
        measure: measure_scan,
    }
}

pub(in crate::groups) fn first_write() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "paging.first_write_vs_untracked",
                unit: "ns CPU",
                peer_name: "untracked",
                limit_name: None,
                goal: Some(1.3),
                about: "the first write to a clean page of a shared map of a file, with a tracker by userfaultfd, \
                        against a map without one (goal 1.3)",
            }]
        },
        measure: measure_first_write,
    }
}

pub(in crate::groups) fn later_write() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "paging.later_write_vs_untracked",
                unit: "ns CPU",
                peer_name: "untracked",
                limit_name: None,
                goal: Some(1.05),
                about: "writes of 8 bytes to pages that are dirty already, with a tracker by userfaultfd, \
                        against a map without one (goal 1.05)",
            }]
        },
        measure: measure_later_write,
    }
}

fn measure_scan(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let len: u64 = if settings.quick { 64 << 20 } else { 256 << 20 };
    let fixture = Fixture::new(len)?;
    let map = &fixture.map;
    let mut tracker = track(map)?;
    let mut random = Random::new();
    // The peer reads where the bytes are, as whoever has a slice of them would.
    let file = fixture.file.as_file();
    let bytes = memmap2::MmapOptions::new().map_raw_read_only(file)?;
    let mut checksums = Checksums::new(&bytes);
    checksums.changed();
    let plan = rounds(settings);
    let (mut folio, mut peer) = (Vec::new(), Vec::new());
    for round in 0..plan {
        let mut pages: Vec<u64> = Vec::new();
        while pages.len() as u64 != DIRTY_PAGES {
            let page = random.below(len / PAGE_BYTES);
            if !pages.contains(&page) {
                pages.push(page);
                map.put(page * PAGE_BYTES + 64, &random.next())?;
            }
        }
        for turn in order(round, 2) {
            let (found, costs) = if turn == 0 {
                let mut found = 0;
                let cost = timed(Clock::ThreadCpu, || {
                    found = tracker.checkpoint()?.page_count();
                    Ok(())
                })?;
                (found, (&mut folio, cost))
            } else {
                let mut found = 0;
                let cost = timed(Clock::ThreadCpu, || {
                    found = checksums.changed();
                    Ok(())
                })?;
                (found, (&mut peer, cost))
            };
            if found != DIRTY_PAGES {
                return Err(Skipped(format!(
                    "{found} dirty pages found of {DIRTY_PAGES}"
                )));
            }
            costs.0.push(costs.1);
        }
    }
    let limit = None;
    Ok(vec![Ok(Costs { folio, peer, limit })])
}

fn measure_first_write(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let pages: u64 = if settings.quick { 2_000 } else { 8_000 };
    let (with, without) = (
        Fixture::new(pages * PAGE_BYTES)?,
        Fixture::new(pages * PAGE_BYTES)?,
    );
    let mut tracker = track(&with.map)?;
    let (mut folio, mut peer) = (Vec::new(), Vec::new());
    for round in 0..rounds(settings) {
        // What is written back is clean, and its next write takes a fault.
        for fixture in [&with, &without] {
            fixture.map.flush(..)?;
            fixture.touch()?;
        }
        tracker.checkpoint()?;
        for turn in order(round, 2) {
            let (fixture, costs) = if turn == 0 {
                (&with, &mut folio)
            } else {
                (&without, &mut peer)
            };
            costs.push(timed(Clock::ThreadCpu, || {
                for page in 0..pages {
                    fixture.map.put(page * PAGE_BYTES, &round)?;
                }
                Ok(())
            })?);
        }
        let found = tracker.checkpoint()?.page_count();
        if found != pages {
            return Err(Skipped(format!("{found} dirty pages found of {pages}")));
        }
    }
    let costs = Costs {
        folio,
        peer,
        limit: None,
    };
    Ok(vec![Ok(costs.shared_by(pages))])
}

fn measure_later_write(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    const PAGES: u64 = 2_000;
    let (with, without) = (
        Fixture::new(PAGES * PAGE_BYTES)?,
        Fixture::new(PAGES * PAGE_BYTES)?,
    );
    let tracker = track(&with.map)?;
    let writes = |map: &MapMut, units: u32| -> Result<(), Skipped> {
        for unit in 0..u64::from(units) {
            // All pages in turn, at another place in each.
            let offset = unit % PAGES * PAGE_BYTES + unit % 500 * 8;
            map.put(offset, black_box(&unit))?;
        }
        Ok(())
    };
    let followed: Work<'_> = Box::new(|units| writes(&with.map, units));
    let alone: Work<'_> = Box::new(|units| writes(&without.map, units));
    let [folio, peer] = interleave(
        Plan::of(settings),
        Clock::ThreadCpu,
        || {
            // The system writes dirty pages back when it sees fit, and they are clean then.
            for fixture in [&with, &without] {
                for page in 0..PAGES {
                    fixture.map.put(page * PAGE_BYTES, &page)?;
                }
            }
            Ok(())
        },
        [followed, alone],
    )?;
    drop(tracker);
    let limit = None;
    Ok(vec![Ok(Costs { folio, peer, limit })])
}

fn rounds(settings: &Settings) -> usize {
    if settings.quick { 15 } else { 51 }
}

/// By the kernel, or not at all: the rows are about that.
fn track(map: &MapMut) -> Result<DirtyTracker, Skipped> {
    let options = DirtyTracker::options().method(TrackingMethod::Userfaultfd);
    Ok(options.track(map)?)
}

/// The checksums of all pages, as they were when they were last looked at.
struct Checksums<'a> {
    bytes: &'a memmap2::MmapRaw,
    known: Vec<u64>,
}

impl<'a> Checksums<'a> {
    fn new(bytes: &'a memmap2::MmapRaw) -> Self {
        Self {
            bytes,
            known: Vec::new(),
        }
    }

    /// How many pages have changed.
    #[expect(
        unsafe_code,
        reason = "the peer's way to read a map is a slice of what nobody writes to meanwhile"
    )]
    fn changed(&mut self) -> u64 {
        // SAFETY: the map has so many bytes, and this thread alone writes to the file, at other times.
        let bytes = unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), self.bytes.len()) };
        let pages = bytes.chunks(4096);
        self.known.resize(pages.len(), 0);
        let mut changed = 0;
        for (page, known) in pages.zip(&mut self.known) {
            let checksum = xxh3_64(page);
            changed += u64::from(checksum != std::mem::replace(known, checksum));
        }
        changed
    }
}

/// A file in memory, on a file system that has a disk, and mapped.
struct Fixture {
    map: MapMut,
    file: NamedTempFile,
}

impl Fixture {
    fn new(len: u64) -> Result<Self, Skipped> {
        let mut file = NamedTempFile::new()?;
        let mut random = Random::new();
        let mut block = vec![0; 4096];
        for _ in 0..len / PAGE_BYTES {
            for word in block.chunks_exact_mut(8) {
                word.copy_from_slice(&random.next().to_le_bytes());
            }
            file.write_all(&block)?;
        }
        file.as_file().sync_all()?;
        let map = Map::options().populate(true).open_mut(&file)?;
        Ok(Self { map, file })
    }

    fn touch(&self) -> Result<(), Skipped> {
        for offset in (0..self.map.len()).step_by(4096) {
            black_box(self.map.get::<u8>(offset)?);
        }
        Ok(())
    }
}
