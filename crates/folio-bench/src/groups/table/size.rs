//! What a lookup costs in small tables and in large ones.

use super::data::Data;
use super::entrants::Entrants;
use super::field::Field;
use crate::args::Settings;
use crate::measure::{Clock, Plan};
use crate::row::{Bench, Measured, Skipped, Spec};

/// With `--quick`, so many times fewer keys.
const QUICK: u64 = 50;

pub(in crate::groups) fn sizes() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    about: "as table.get_vs_cdb, of 1 million keys (quick: 20,000), whatever --keys says",
                    ..at("table.get_at_1m", "tinycdb")
                },
                Spec {
                    about: "the same, against LMDB",
                    ..at("table.get_at_1m_vs_lmdb", "LMDB")
                },
                Spec {
                    about: "the same keys, 32 at once, against one after the other by cdb",
                    ..at("table.batch32_at_1m", "tinycdb")
                },
                Spec {
                    about: "the same of 10 million keys (quick: 200,000)",
                    ..at("table.get_at_10m", "tinycdb")
                },
                Spec {
                    about: "the same, against LMDB",
                    ..at("table.get_at_10m_vs_lmdb", "LMDB")
                },
                Spec {
                    about: "the same keys, 32 at once, against one after the other by cdb",
                    ..at("table.batch32_at_10m", "tinycdb")
                },
                Spec {
                    about: "the same of 50 million keys (quick: 1 million)",
                    ..at("table.get_at_50m", "tinycdb")
                },
                Spec {
                    about: "the same, against LMDB",
                    ..at("table.get_at_50m_vs_lmdb", "LMDB")
                },
                Spec {
                    about: "the same keys, 32 at once, against one after the other by cdb",
                    ..at("table.batch32_at_50m", "tinycdb")
                },
            ]
        },
        measure: |settings| {
            let mut rows = Vec::new();
            for (millions, in_name) in [(1, "_1m"), (10, "_10m"), (50, "_50m")] {
                let asked = settings.only(|row| row.name.contains(in_name));
                rows.extend(measure(&asked, 1_000_000 * millions));
            }
            Ok(rows)
        },
    }
}

const fn at(name: &'static str, peer_name: &'static str) -> Spec {
    Spec {
        name,
        unit: "ns CPU",
        peer_name,
        limit_name: Some("64-byte gather"),
        goal: None,
        about: "",
    }
}

/// The rows of one size, against each peer.
fn measure(settings: &Settings, count: u64) -> [Measured; 3] {
    if settings.rows.is_empty() {
        return [const { Err(Skipped(String::new())) }; 3];
    }
    measure_asked(settings, count).unwrap_or_else(|why| [0; 3].map(|_| Err(why.clone())))
}

fn measure_asked(settings: &Settings, count: u64) -> Result<[Measured; 3], Skipped> {
    let data = Data {
        count: if settings.quick { count / QUICK } else { count },
        value_len: 32,
    };
    let hits = data.hits();
    let folder = tempfile::tempdir()?;
    let entrants = Entrants::new(settings, data, folder.path())?;
    let mut field = Field::default();
    let ours = entrants.ours(&mut field, &hits);
    let by_32 = entrants.ours_by_32(&mut field, &hits);
    let cdb = entrants.cdb(&mut field, &hits);
    let lmdb = entrants.lmdb(&mut field, &hits);
    let limit = entrants.gather(&mut field);
    let plan = Plan::of(settings);
    let results = field.run(plan, Clock::ThreadCpu, || entrants.touch())?;
    let rows = [(&ours, &cdb), (&ours, &lmdb), (&by_32, &cdb)];
    Ok(rows.map(|(folio, peer)| results.row(folio, peer, Some(limit))))
}
