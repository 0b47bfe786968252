//! Lookups by key: all contestants in the same rounds, on the same records.

use super::data::Data;
use super::entrants::Entrants;
use super::field::Field;
use crate::args::Settings;
use crate::measure::{Clock, Plan};
use crate::row::{Bench, Measured, Skipped, Spec};

pub(in crate::groups) fn get() -> Bench {
    Bench {
        rows: const {
            &[
                Spec {
                    about: "a random one of 10 million keys (--keys; quick: 1 million) of 16 random hex \
                            digits looked up, and its value of 32 bytes read to the last: Table::get_into \
                            over a mapped file, against cdb_find and cdb_get (goal 0.5)",
                    ..get_against("table.get_vs_cdb", "tinycdb", Some(0.5))
                },
                Spec {
                    about: "the same, against LMDB by heed, with one long read transaction (goal 0.2)",
                    ..get_against("table.get_vs_lmdb", "LMDB", Some(0.2))
                },
                Spec {
                    about: "the same, against redb with all of its file cached",
                    ..get_against("table.get_vs_redb", "redb", None)
                },
                Spec {
                    about: "the same, against fst, which gives the place of the value in another file",
                    ..get_against("table.get_vs_fst", "fst", None)
                },
                Spec {
                    about: "the same, against a HashMap of this process alone",
                    ..get_against("table.get_vs_hashmap", "HashMap", None)
                },
                Spec {
                    about: "the keys of table.get_vs_cdb, 32 at once by Table::get_many, against one after \
                            the other by cdb, which has no batches (goal 0.2)",
                    ..get_against("table.batch32_vs_cdb", "tinycdb", Some(0.2))
                },
                Spec {
                    about: "the same, against one after the other by LMDB, which has none either (goal 0.066)",
                    ..get_against("table.batch32_vs_lmdb", "LMDB", Some(0.066))
                },
                Spec {
                    about: "random keys of the same form that are not there (goal 0.5)",
                    ..get_against("table.miss_vs_cdb", "tinycdb", Some(0.5))
                },
            ]
        },
        measure: measure_get,
    }
}

pub(in crate::groups) fn get_1k_values() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                about: "as table.get_vs_cdb, with values of 1 KiB: a tenth of the records, which is 1 million \
                        (quick: 100,000), or 1 GiB (goal 0.7)",
                ..get_against("table.get_1k_values_vs_cdb", "tinycdb", Some(0.7))
            }]
        },
        measure: measure_get_1k_values,
    }
}

const fn get_against(name: &'static str, peer_name: &'static str, goal: Option<f64>) -> Spec {
    Spec {
        name,
        unit: "ns CPU",
        peer_name,
        limit_name: Some("64-byte gather"),
        goal,
        about: "",
    }
}

fn measure_get(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let data = Data::of(settings);
    let (hits, misses) = (data.hits(), data.misses());
    let folder = tempfile::tempdir()?;
    let entrants = Entrants::new(settings, data, folder.path())?;
    let mut field = Field::default();
    let one = entrants.ours(&mut field, &hits);
    let by_32 = entrants.ours_by_32(&mut field, &hits);
    let cdb = entrants.cdb(&mut field, &hits);
    let lmdb = entrants.lmdb(&mut field, &hits);
    let redb = entrants.redb(&mut field, &hits);
    let fst = entrants.fst(&mut field, &hits);
    let hash_map = entrants.hash_map(&mut field, &hits);
    let none = entrants.ours(&mut field, &misses);
    let none_by_cdb = entrants.cdb(&mut field, &misses);
    let limit = entrants.gather(&mut field);

    let plan = Plan::of(settings);
    let results = field.run(plan, Clock::ThreadCpu, || entrants.touch())?;
    let rows = [
        (&one, &cdb),
        (&one, &lmdb),
        (&one, &redb),
        (&one, &fst),
        (&one, &hash_map),
        (&by_32, &cdb),
        (&by_32, &lmdb),
        (&none, &none_by_cdb),
    ];
    let row = |(folio, peer)| results.row(folio, peer, Some(limit));
    Ok(rows.map(row).into())
}

fn measure_get_1k_values(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let data = Data {
        count: Data::of(settings).count.div_ceil(10),
        value_len: 1024,
    };
    let hits = data.hits();
    let folder = tempfile::tempdir()?;
    let entrants = Entrants::new(settings, data, folder.path())?;
    let mut field = Field::default();
    let ours = entrants.ours(&mut field, &hits);
    let cdb = entrants.cdb(&mut field, &hits);
    let limit = entrants.gather(&mut field);
    let plan = Plan::of(settings);
    let results = field.run(plan, Clock::ThreadCpu, || entrants.touch())?;
    Ok(vec![results.row(&ours, &cdb, Some(limit))])
}
