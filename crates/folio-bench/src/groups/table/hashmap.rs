//! Looking keys up in this process.

use std::collections::HashMap;
use std::hint::black_box;

use folio_table::{Builder, Table};

use crate::args::Settings;
use crate::groups::pages::touch_view;
use crate::groups::random::Random;
use crate::groups::sample;
use crate::measure::{Clock, Plan, Work, interleave};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

pub(in crate::groups) fn get() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "table.get_vs_hashmap",
                unit: "ns CPU",
                peer_name: "HashMap",
                limit_name: None,
                goal: None,
                about: "a random one of 1,000,000 keys (quick: 100,000) looked up and its value of \
                        some 100 bytes copied out: Table::get_into, against a HashMap",
            }]
        },
        measure: measure_get,
    }
}

fn measure_get(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let keys: u64 = if settings.quick { 100_000 } else { 1_000_000 };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sample.folio");
    let mut builder = Builder::new();
    let mut map = HashMap::<Vec<u8>, Vec<u8>>::new();
    for number in 0..keys {
        let (key, value) = (sample::key(number), sample::value(number));
        builder.add(number + 1, &key, &value)?;
        map.insert(key.to_vec(), value);
    }
    builder.write_to(&path)?;
    let table = Table::from_bytes(folio::Source::open(&path)?.whole()?, &path)?;
    let mut value = Vec::new();
    for number in 0..keys {
        let key = sample::key(number);
        value.clear();
        if !table.get_into(&key, &mut value)? || map.get(key.as_slice()) != Some(&value) {
            return Err(Skipped(format!(
                "key {number} is not found as it was stored"
            )));
        }
    }

    let folio = lookups(keys, |key, out| Ok(table.get_into(key, out)?));
    let hash_map = lookups(keys, |key, out| {
        let value = map.get(key.as_slice());
        out.extend_from_slice(value.map(Vec::as_slice).unwrap_or_default());
        Ok(value.is_some())
    });
    let [folio, peer] = interleave(
        Plan::of(settings),
        Clock::ThreadCpu,
        || touch_view(table.bytes()),
        [folio, hash_map],
    )?;
    Ok(vec![Ok(Costs {
        folio,
        peer,
        limit: None,
    })])
}

/// The work of one contestant: that many keys looked up, all of which are there.
fn lookups<'a>(
    keys: u64,
    look_up: impl Fn(&[u8; sample::KEY_LEN], &mut Vec<u8>) -> Result<bool, Skipped> + 'a,
) -> Work<'a> {
    let mut random = Random::new();
    let mut value = Vec::new();
    Box::new(move |units| {
        for _ in 0..units {
            value.clear();
            let key = black_box(sample::key(random.below(keys)));
            if !look_up(&key, &mut value)? {
                return Err(Skipped("a key was not found".into()));
            }
            black_box(&value);
        }
        Ok(())
    })
}
