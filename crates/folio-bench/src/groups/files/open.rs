//! What it costs to begin.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;

use folio::Source;
use tempfile::NamedTempFile;

use super::fixture::map;
use crate::args::Settings;
use crate::measure::{Clock, Plan, Work, interleave};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

pub(in crate::groups) fn open() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "files.open_vs_memmap2",
                unit: "ns",
                peer_name: "memmap2",
                limit_name: None,
                goal: Some(1.2),
                about: "open a cached file of 4 KiB, map it, read a byte, drop it: Source, against \
                        File and Mmap (goal 1.2)",
            }]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let mut file = NamedTempFile::new()?;
    file.write_all(&[7; 4096])?;
    file.as_file().sync_all()?;
    let path = file.path();
    let folio: Work<'_> = Box::new(|units| {
        for _ in 0..units {
            let byte: u8 = Source::open(path)?.view(1000, 1)?.get(0)?;
            black_box(byte);
        }
        Ok(())
    });
    let memmap2: Work<'_> = Box::new(|units| {
        for _ in 0..units {
            let mapped = map(&File::open(path)?)?;
            black_box(mapped.get(1000).copied());
        }
        Ok(())
    });
    let [folio, peer] = interleave(Plan::of(settings), Clock::Wall, || Ok(()), [folio, memmap2])?;
    Ok(vec![Ok(Costs {
        folio,
        peer,
        limit: None,
    })])
}
