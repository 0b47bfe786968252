//! Reading a whole file in order.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use folio::Source;

use super::fixture::{Fixture, map};
use crate::args::Settings;
use crate::measure::{Clock, Plan, Work, interleave};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

/// How much the loop of reads takes at once.
const READ_BYTES: usize = 256 << 10;

pub(in crate::groups) fn scan() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    name: "files.scan_vs_memmap2",
                    unit: "ns",
                    peer_name: "memmap2",
                    limit_name: None,
                    goal: Some(1.1),
                    about: "counting the newlines of a cached file of 1 GiB (quick: 64 MiB), opening and \
                            mapping included: for_each_chunk, against memchr over a mapping (goal 1.1)",
                },
                Spec {
                    name: "files.scan_vs_read",
                    unit: "ns",
                    peer_name: "read",
                    limit_name: None,
                    goal: Some(1.0),
                    about: "the same, against a loop of reads of 256 KiB (goal 1.0)",
                },
            ]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let fixture = Fixture::of(settings)?;
    let path = fixture.path.path();
    let expected = newlines(&fixture.memory);
    // A scan is a turn of its own: it takes milliseconds.
    let plan = Plan {
        rounds: if settings.quick { 15 } else { 31 },
        turn: Duration::ZERO,
    };
    let [folio, memmap2, read] = interleave(
        plan,
        Clock::Wall,
        || fixture.touch(),
        [
            scans(expected, || by_folio(path)),
            scans(expected, || by_memmap2(path)),
            scans(expected, || by_read(path)),
        ],
    )?;
    let row = |peer| Costs {
        folio: folio.clone(),
        peer,
        limit: None,
    };
    Ok(vec![Ok(row(memmap2)), Ok(row(read))])
}

fn scans<'a>(expected: usize, scan: impl Fn() -> Result<usize, Skipped> + 'a) -> Work<'a> {
    Box::new(move |units| {
        for _ in 0..units {
            let found = black_box(scan()?);
            if found != expected {
                return Err(Skipped(format!("{found} newlines found of {expected}")));
            }
        }
        Ok(())
    })
}

fn by_folio(path: &Path) -> Result<usize, Skipped> {
    let mut count = 0;
    Source::open(path)?.whole()?.for_each_chunk(|chunk| {
        count += newlines(chunk);
        Ok::<(), folio::Error>(())
    })?;
    Ok(count)
}

fn by_memmap2(path: &Path) -> Result<usize, Skipped> {
    Ok(newlines(&map(&File::open(path)?)?))
}

fn by_read(path: &Path) -> Result<usize, Skipped> {
    let mut file = File::open(path)?;
    let mut buf = vec![0; READ_BYTES];
    let mut count = 0;
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(count),
            filled => count += newlines(buf.get(..filled).unwrap_or_default()),
        }
    }
}

fn newlines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}
