//! Reading a file through windows.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use folio::{Map, ReadAt, View, Windows};
use tempfile::NamedTempFile;

use super::pages::touch_view;
use super::random::Random;
use crate::args::Settings;
use crate::measure::{Clock, Plan, Work, interleave};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

/// How much the rows of random reads read at once.
const READ_LEN: usize = 64;
/// How much the row that reads in order reads at once: what a copy takes stays in the cache.
const CHUNK_LEN: usize = 64 << 10;
/// The window that the first row stays in.
const HOT_BYTES: u64 = 32 << 20;

pub(super) fn hot() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "windows.hot_vs_map",
                unit: "ns CPU",
                peer_name: "whole Map",
                limit_name: Some("pread"),
                goal: Some(2.0),
                about: "64 bytes at a random offset in the most recent window, of 32 MiB: \
                        Windows::read_exact_at, against that of a Map (goal 2)",
            }]
        },
        measure: measure_hot,
    }
}

pub(super) fn sequential() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "windows.sequential_vs_map",
                unit: "ns",
                peer_name: "whole Map",
                limit_name: None,
                goal: Some(1.15),
                about: "a cached file of 1 GiB (quick: 256 MiB) once from front to end, 64 KiB at a time: \
                        through a budget of 64 MiB, against a Map; both open and map it (goal 1.15)",
            }]
        },
        measure: measure_sequential,
    }
}

pub(super) fn thrash() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "windows.thrash_vs_pread",
                unit: "ns CPU",
                peer_name: "pread",
                limit_name: None,
                goal: Some(1.3),
                about: "64 bytes at a random offset of a cached file of 16 times the budget of 64 MiB \
                        (quick: of 4 MiB): Windows::read_exact_at, against the system call (goal 1.3)",
            }]
        },
        measure: measure_thrash,
    }
}

fn measure_hot(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let fixture = Fixture::new(4 * HOT_BYTES)?;
    let map = Map::open(fixture.path.path())?;
    let windows = Windows::options()
        .window_bytes(HOT_BYTES)
        .budget_bytes(2 * HOT_BYTES)
        .open(fixture.path.path())?;
    let last = HOT_BYTES - u64::try_from(READ_LEN)?;
    let through_windows = reads(last, |offset, buf| Ok(windows.read_exact_at(offset, buf)?));
    let through_map = reads(last, |offset, buf| Ok(map.read_exact_at(offset, buf)?));
    let pread = reads(last, |offset, buf| {
        Ok(fixture.file.read_exact_at(buf, offset)?)
    });
    let [folio, peer, limit] = interleave(
        Plan::of(settings),
        Clock::ThreadCpu,
        || {
            fixture.touch()?;
            touch(&windows, HOT_BYTES)?;
            touch(&map, HOT_BYTES)
        },
        [through_windows, through_map, pread],
    )?;
    let limit = Some(limit);
    Ok(vec![Ok(Costs { folio, peer, limit })])
}

fn measure_sequential(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let len = if settings.quick { 256 << 20 } else { 1 << 30 };
    let fixture = Fixture::new(len)?;
    let path = fixture.path.path();
    let mut options = Windows::options();
    options = options.budget_bytes(64 << 20);
    let mut buf = vec![0; CHUNK_LEN];
    let mut other = vec![0; CHUNK_LEN];
    let through_windows: Work<'_> = Box::new(|units| {
        for _ in 0..units {
            read_in_order(&options.open(path)?, &mut buf)?;
        }
        Ok(())
    });
    let through_map: Work<'_> = Box::new(|units| {
        for _ in 0..units {
            read_in_order(&Map::open(path)?, &mut other)?;
        }
        Ok(())
    });
    // Each turn is a whole file or more.
    let plan = Plan {
        rounds: if settings.quick { 11 } else { 31 },
        turn: Duration::from_millis(1),
    };
    let [folio, peer] = interleave(
        plan,
        Clock::Wall,
        || fixture.touch(),
        [through_windows, through_map],
    )?;
    let limit = None;
    Ok(vec![Ok(Costs { folio, peer, limit })])
}

fn measure_thrash(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let budget: u64 = if settings.quick { 4 << 20 } else { 64 << 20 };
    let fixture = Fixture::new(16 * budget)?;
    let windows = Windows::options()
        .budget_bytes(budget)
        .open(fixture.path.path())?;
    let last = 16 * budget - u64::try_from(READ_LEN)?;
    let through_windows = reads(last, |offset, buf| Ok(windows.read_exact_at(offset, buf)?));
    let pread = reads(last, |offset, buf| {
        Ok(fixture.file.read_exact_at(buf, offset)?)
    });
    let [folio, peer] = interleave(
        Plan::of(settings),
        Clock::ThreadCpu,
        || fixture.touch(),
        [through_windows, pread],
    )?;
    let limit = None;
    Ok(vec![Ok(Costs { folio, peer, limit })])
}

/// The work of one contestant: that many reads, each at an offset of its own.
fn reads<'a>(
    last: u64,
    read: impl Fn(u64, &mut [u8; READ_LEN]) -> Result<(), Skipped> + 'a,
) -> Work<'a> {
    let mut random = Random::new();
    let mut buf = [0; READ_LEN];
    Box::new(move |units| {
        for _ in 0..units {
            read(random.below(last), black_box(&mut buf))?;
            black_box(&buf);
        }
        Ok(())
    })
}

fn read_in_order(bytes: &impl ReadAt, buf: &mut [u8]) -> Result<(), Skipped> {
    let mut offset = 0;
    loop {
        let count = bytes.read_at(offset, buf)?;
        if count == 0 {
            return Ok(());
        }
        black_box(&buf);
        offset += u64::try_from(count)?;
    }
}

/// Reads a byte of each page, so that none is faulted in while we measure.
fn touch(bytes: &impl ReadAt, len: u64) -> Result<(), Skipped> {
    for offset in (0..len).step_by(4096) {
        black_box(bytes.get_at::<u8>(offset)?);
    }
    Ok(())
}

/// A file in memory, and a view that keeps it there.
struct Fixture {
    view: View,
    file: File,
    path: NamedTempFile,
}

impl Fixture {
    fn new(len: u64) -> Result<Self, Skipped> {
        let mut random = Random::new();
        let mut path = NamedTempFile::new()?;
        let mut block = vec![0; 1 << 20];
        for _ in 0..len / (1 << 20) {
            for word in block.chunks_exact_mut(8) {
                word.copy_from_slice(&random.next().to_le_bytes());
            }
            path.write_all(&block)?;
        }
        // Nothing is left to be written back while we measure.
        path.as_file().sync_all()?;
        Ok(Self {
            view: folio::Source::open(path.path())?.whole()?,
            file: path.reopen()?,
            path,
        })
    }

    fn touch(&self) -> Result<(), Skipped> {
        touch_view(&self.view)
    }
}
