//! All records in the order of their keys.

use std::hint::black_box;
use std::time::Duration;

use super::data::{Data, Records, fold};
use super::entrants::Entrants;
use super::field::Field;
use crate::args::Settings;
use crate::measure::{Clock, Plan, Work};
use crate::row::{Bench, Measured, Skipped, Spec};

pub(in crate::groups) fn scan() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "table.scan_vs_lmdb",
                unit: "ns CPU",
                peer_name: "LMDB",
                limit_name: None,
                goal: Some(1.0),
                about: "all of 10 million records (--keys; quick: 1 million) in the order of their keys, read \
                        to the last byte: Table::scan, against LMDB's cursor; a record's share (goal 1.0)",
            }]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let data = Data::of(settings);
    let mut sum = 0_u64;
    data.each(|key, value| {
        sum = sum.wrapping_add(fold(key)).wrapping_add(fold(value));
        Ok(())
    })?;
    let folder = tempfile::tempdir()?;
    let entrants = Entrants::new(settings, data, folder.path())?;
    let mut field = Field::default();
    let ours = Ok(field.enter(scans(sum, || entrants.scan_ours())));
    let lmdb = Ok(field.enter(scans(sum, || entrants.scan_lmdb())));
    // A scan is a turn of its own.
    let plan = Plan {
        rounds: if settings.quick { 15 } else { 31 },
        turn: Duration::ZERO,
    };
    let results = field.run(plan, Clock::ThreadCpu, || entrants.touch())?;
    Ok(vec![
        results
            .row(&ours, &lmdb, None)
            .map(|costs| costs.shared_by(data.count)),
    ])
}

fn scans<'a>(expected: u64, scan: impl Fn() -> Result<u64, Skipped> + 'a) -> Work<'a> {
    Box::new(move |units| {
        for _ in 0..units {
            let sum = black_box(scan()?);
            if sum != expected {
                let why = format!("what was read has the sum {sum:x}, and not {expected:x}");
                return Err(Skipped(why));
            }
        }
        Ok(())
    })
}
