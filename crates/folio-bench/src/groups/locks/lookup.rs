//! Finding an object by name.

use std::collections::HashMap;
use std::hint::black_box;

use folio_ipc::{Data, Region};

use crate::args::Settings;
use crate::measure::{Clock, Plan, Work, interleave};
use crate::row::{Bench, Costs, Measured, Skipped, Spec};

const OBJECTS: usize = 1000;

pub(in crate::groups) fn object_lookup() -> Bench {
    Bench {
        rows: const {
            &[Spec {
                name: "locks.object_lookup_vs_hashmap",
                unit: "ns CPU",
                peer_name: "std HashMap",
                limit_name: None,
                goal: Some(10.0),
                about: "an object found by name among 1,000 and its handle given back, against the standard library's \
                        HashMap with the same names (goal 10, and 200 ns)",
            }]
        },
        measure,
    }
}

fn measure(settings: &Settings) -> Result<Vec<Measured>, Skipped> {
    let region = Region::options().size_bytes(4 << 20).anonymous()?;
    let names: Vec<_> = (0..OBJECTS)
        .map(|number| format!("object/{:03}", number * 7 % OBJECTS))
        .collect();
    // Handles that live through all of it, as a server's do.
    let mut handles = Vec::new();
    let mut map = HashMap::new();
    for (number, name) in (0_u64..).zip(&names) {
        handles.push(region.object::<Data<u64>>(name)?);
        map.insert(name.as_str(), number);
    }
    let mut one = names.iter().cycle();
    let mut other = names.iter().cycle();
    let found: Work<'_> = Box::new(|units| {
        for name in one.by_ref().take(usize::try_from(units)?) {
            black_box(&region.open_object::<Data<u64>>(black_box(name))?);
        }
        Ok(())
    });
    let in_map: Work<'_> = Box::new(|units| {
        for name in other.by_ref().take(usize::try_from(units)?) {
            black_box(map.get(black_box(name.as_str())));
        }
        Ok(())
    });
    let [folio, peer] = interleave(
        Plan::of(settings),
        Clock::ThreadCpu,
        || Ok(()),
        [found, in_map],
    )?;
    Ok(vec![Ok(Costs {
        folio,
        peer,
        limit: None,
    })])
}
