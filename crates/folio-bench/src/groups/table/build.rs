//! Building: how long it takes, and how large the file becomes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use folio_table::IndexKind;

use super::cdb::Cdb;
use super::data::{Data, Held, Records, SortedFirst};
use super::field::Field;
use super::lmdb::{Lmdb, Put};
use super::ours::Ours;
use crate::args::Settings;
use crate::measure::{Clock, Plan, Work};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

pub(in crate::groups) fn build() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    name: "table.build_vs_cdb",
                    unit: "ns",
                    peer_name: "tinycdb",
                    limit_name: None,
                    goal: Some(2.5),
                    about: "a table of 10 million records (--keys; quick: 1 million) from unsorted ones in \
                            memory, brought to the disk: Builder, against cdb_make_add and fsync: wall time, a \
                            record's share (goal 2.5)",
                },
                Spec {
                    name: "table.build_vs_lmdb",
                    unit: "ns",
                    peer_name: "LMDB",
                    limit_name: None,
                    goal: Some(0.3),
                    about: "the same, against puts in one transaction of LMDB: as they come, or sorted and \
                            appended, whichever is faster (goal 0.3)",
                },
            ]
        },
        measure: measure_build,
    }
}

fn measure_build(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let held = Held::of(Data::of(settings))?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let (to_ours, to_cdb, to_lmdb) = (path("ours"), path("cdb"), path("lmdb"));
    let anyhow = || Lmdb::make(&held, Put::Anyhow, &to_lmdb);
    let append = || Lmdb::make(&SortedFirst(&held), Put::Append, &to_lmdb);

    let mut field = Field::default();
    let ours = Ok(field.enter(each_time(|| Ours::make(&held, &to_ours))));
    let cdb = settings
        .peer("tinycdb", Cdb::available)
        .map(|()| field.enter(each_time(|| Cdb::make(&held, &to_cdb))));
    let lmdb = settings.peer("LMDB", || {
        let as_they_come = time(anyhow)?;
        clear(folder.path())?;
        Ok(as_they_come < time(append)?)
    });
    let lmdb = lmdb.map(|as_they_come| {
        field.enter(if as_they_come {
            each_time(anyhow)
        } else {
            each_time(append)
        })
    });
    // A build is a turn of its own.
    let plan = Plan {
        rounds: if settings.quick { 5 } else { 7 },
        turn: Duration::ZERO,
    };
    let results = field.run(plan, Clock::Wall, || clear(folder.path()))?;
    let row = |peer| {
        let row = results.row(&ours, &peer, None);
        row.map(|costs| costs.shared_by(held.data().count))
    };
    Ok(vec![row(cdb), row(lmdb)])
}

fn each_time<'a>(make: impl Fn() -> Result<(), Skipped> + 'a) -> Work<'a> {
    Box::new(move |units| (0..units).try_for_each(|_| make()))
}

fn time(make: impl Fn() -> Result<(), Skipped>) -> Result<Duration, Skipped> {
    let start = Instant::now();
    make()?;
    Ok(start.elapsed())
}

/// Removes what was made: each makes its file where there is none, and nobody's time goes into the
/// removal.
fn clear(folder: &Path) -> Result<(), Skipped> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

pub(in crate::groups) fn overhead() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    name: "table.overhead_vs_cdb",
                    unit: "B",
                    peer_name: "tinycdb",
                    limit_name: None,
                    goal: Some(0.42),
                    about: "what a file of 10 million records (--keys; quick: 1 million) takes beside their \
                            keys and values, in bytes a key: checksums and lengths included (goal 0.42)",
                },
                Spec {
                    name: "table.overhead_perfect_vs_cdb",
                    unit: "B",
                    peer_name: "tinycdb",
                    limit_name: None,
                    goal: Some(0.125),
                    about: "the same of a file with a perfect index (goal 0.125)",
                },
            ]
        },
        measure: measure_overhead,
    }
}

fn measure_overhead(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let data = Data::of(settings);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("table");
    let overhead = |make: &dyn Fn() -> Result<(), Skipped>| -> Result<Vec<f64>, Skipped> {
        clear(folder.path())?;
        make()?;
        let beside = fs::metadata(&path)?
            .len()
            .saturating_sub(data.payload_bytes());
        Ok(vec![f64::from(u32::try_from(beside)?)])
    };
    let cdb = overhead(&|| Cdb::make(&data, &path))?;
    let row = |index| {
        let costs = Costs {
            folio: overhead(&|| Ours::make_with(index, &data, &path))?,
            peer: cdb.clone(),
            limit: None,
        };
        Ok(costs.shared_by(data.count))
    };
    Ok(vec![row(IndexKind::Hash), row(IndexKind::Perfect)])
}
