//! Lookups by key: every contestant in the same rounds, on the same records.

use std::fs::File;
use std::path::Path;

use super::cdb::Cdb;
use super::data::{Data, Queries, These, fold};
use super::field::{Field, Seat, asked, lookups};
use super::lmdb::{Lmdb, Put};
use super::ours::Ours;
use crate::args::Settings;
use crate::groups::files::map;
use crate::groups::pages::touch_slice;
use crate::groups::random::Random;
use crate::measure::{Clock, Plan, Work};
use crate::row::{Bench, Measured, Skipped, Spec};

pub(in crate::groups) fn get() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    name: "table.get_vs_cdb",
                    unit: "ns CPU",
                    peer_name: "tinycdb",
                    limit_name: Some("64-byte gather"),
                    goal: Some(0.5),
                    about: "a random one of 10 million keys (--keys; quick: 1 million) of 16 random hex \
                            digits looked up, and its value of 32 bytes read to the last: get_into over a \
                            mapped file, against cdb_find and cdb_get (goal 0.5)",
                },
                Spec {
                    name: "table.get_vs_lmdb",
                    unit: "ns CPU",
                    peer_name: "LMDB",
                    limit_name: Some("64-byte gather"),
                    goal: Some(0.2),
                    about: "the same, against LMDB by heed, with one long read transaction (goal 0.2)",
                },
                Spec {
                    name: "table.miss_vs_cdb",
                    unit: "ns CPU",
                    peer_name: "tinycdb",
                    limit_name: Some("64-byte gather"),
                    goal: Some(0.5),
                    about: "random keys of the same form that are not there (goal 0.5)",
                },
            ]
        },
        measure: measure_get,
    }
}

fn measure_get(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let data = Data::of(settings);
    let folder = tempfile::tempdir()?;
    let (hits, misses) = (data.hits(), data.misses());
    let ours = ours(data, folder.path())?;
    let cdb = asked(settings, "_vs_cdb", || cdb(data, folder.path()));
    let lmdb = asked(settings, "_vs_lmdb", || lmdb(data, folder.path()));
    let lines = Lines::of(&ours.path)?;

    let mut field = Field::default();
    let get_ours = ours_seat(&mut field, &ours, &hits);
    let miss_ours = ours_seat(&mut field, &ours, &misses);
    let get_cdb = cdb_seat(&mut field, &cdb, &hits);
    let miss_cdb = cdb_seat(&mut field, &cdb, &misses);
    let get_lmdb = lmdb_seat(&mut field, &lmdb, &hits);
    let limit = Ok(field.enter(lines.gather()));
    let results = field.run(Plan::of(settings), Clock::ThreadCpu, || {
        ours.touch()?;
        cdb.as_ref().map_or(Ok(()), Cdb::touch)?;
        lmdb.as_ref().map_or(Ok(()), Lmdb::touch)?;
        lines.touch();
        Ok(())
    })?;
    let limit = Some(&limit);
    Ok(vec![
        results.row(&get_ours, &get_cdb, limit),
        results.row(&get_ours, &get_lmdb, limit),
        results.row(&miss_ours, &miss_cdb, limit),
    ])
}

fn ours(data: Data, folder: &Path) -> Result<Ours, Skipped> {
    let path = folder.join("table.folio");
    Ours::make(&data, &path)?;
    Ours::open(&path)
}

fn cdb(data: Data, folder: &Path) -> Result<Cdb, Skipped> {
    let path = folder.join("table.cdb");
    Cdb::make(&data, &path)?;
    Cdb::open(&path)
}

/// Put in order, LMDB fills its pages: the fewest there can be.
fn lmdb(data: Data, folder: &Path) -> Result<Lmdb, Skipped> {
    let (ids, path) = (data.sorted_ids(), folder.join("table.lmdb"));
    Lmdb::make(&These(data, &ids), Put::Append, &path)?;
    Lmdb::open(data, &ids, &path)
}

fn ours_seat<'a>(field: &mut Field<'a>, ours: &'a Ours, queries: &'a Queries) -> Seat {
    let mut buf = Vec::new();
    let work = lookups(queries, move |key| ours.get(key, &mut buf))?;
    Ok(field.enter(work))
}

fn cdb_seat<'a>(
    field: &mut Field<'a>,
    cdb: &'a Result<Cdb, Skipped>,
    queries: &'a Queries,
) -> Seat {
    let cdb = cdb.as_ref().map_err(Clone::clone)?;
    let work = lookups(queries, |key| Ok(cdb.get(key)?.map(fold)))?;
    Ok(field.enter(work))
}

fn lmdb_seat<'a>(
    field: &mut Field<'a>,
    lmdb: &'a Result<Lmdb, Skipped>,
    queries: &'a Queries,
) -> Seat {
    let lmdb = lmdb.as_ref().map_err(Clone::clone)?;
    let work = lookups(queries, |key| Ok(lmdb.get(key)?.map(fold)))?;
    Ok(field.enter(work))
}

/// The cache lines of a file: to read one at random is the least that a lookup can cost.
struct Lines {
    mapped: memmap2::Mmap,
}

const LINE_LEN: usize = 64;

impl Lines {
    fn of(path: &Path) -> Result<Self, Skipped> {
        let mapped = map(&File::open(path)?)?;
        Ok(Self { mapped })
    }

    /// Reads that many lines, each at random.
    fn gather(&self) -> Work<'_> {
        let (lines, _) = self
            .mapped
            .split_at(self.mapped.len() / LINE_LEN * LINE_LEN);
        let mut random = Random::new();
        Box::new(move |units| {
            let count = u64::try_from(lines.len() / LINE_LEN)?;
            let mut sum = 0_u64;
            for _ in 0..units {
                let start = usize::try_from(random.below(count))? * LINE_LEN;
                let line = lines.get(start..start + LINE_LEN).unwrap_or_default();
                sum = sum.wrapping_add(fold(line));
            }
            std::hint::black_box(sum);
            Ok(())
        })
    }

    fn touch(&self) {
        touch_slice(&self.mapped);
    }
}
