//! Processes that are killed at any time, under load.

use std::path::Path;
use std::thread;
use std::time::Duration;

use folio_ipc::{Data, Region};

use crate::Test;
use crate::child::{Child, say};
use crate::sample::{Sample, assert_tidy, small};

pub(crate) const TESTS: &[Test] = &[("killed_at_any_time", killed_at_any_time)];

/// How many processes are at work, and how many are killed.
const WORKERS: u64 = 3;
const KILLS: u64 = 150;

/// Says otherwise, for longer campaigns.
const KILLS_VARIABLE: &str = "FOLIO_CAMPAIGN_KILLS";

/// Makes, uses and removes objects for ever.
pub(crate) fn churn(path: &Path, seed: &str) {
    let mut state = seed
        .parse::<u64>()
        .unwrap()
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut region = Region::open(path).unwrap();
    let kept = region.open_object::<Data<u64>>("kept").unwrap();
    say("at work");
    loop {
        let name = format!("name {}", random(12));
        match random(40) {
            0 => region = Region::open(path).unwrap(),
            1 => drop(region.repair().unwrap()),
            2 => drop(region.check().unwrap()),
            3 => drop(region.inspect().unwrap()),
            4 => drop(Region::observe(path).unwrap().inspect().unwrap()),
            5..=15 => drop(region.remove(&name).unwrap()),
            16..=25 => drop(
                region
                    .object::<Data<[u64; 100]>>(&format!("large {name}"))
                    .unwrap(),
            ),
            26..=30 => drop(region.remove(&format!("large {name}")).unwrap()),
            _ => {
                let object = region
                    .object_with::<Data<[u8; 40]>>(&name, || [7; 40])
                    .unwrap();
                assert_eq!(object.get().unwrap(), [7; 40]);
            }
        }
        assert_eq!(kept.get().unwrap(), 42);
    }
}

fn killed_at_any_time() {
    let sample = Sample::of(&small().capacity_bytes(1 << 20).participants(16));
    let kept = sample.region.object::<Data<u64>>("kept").unwrap();
    kept.set(&42).unwrap();
    let start = |seed: u64| {
        let mut child = Child::start(&format!("churn/{seed}"), &sample.path);
        assert_eq!(child.line(), "at work");
        child
    };
    let mut children: Vec<_> = (0..WORKERS).map(start).collect();
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().unwrap());
    for kill in 0..kills {
        thread::sleep(Duration::from_micros(kill * 7919 % 15_000));
        let victim = usize::try_from(kill % WORKERS).unwrap();
        children[victim].kill();
        // All others go on, this process among them.
        let name = format!("made after kill {kill}");
        let made = sample.region.object::<Data<u64>>(&name).unwrap();
        made.set(&kill).unwrap();
        sample.region.check().unwrap();
        assert_eq!(made.get().unwrap(), kill);
        assert!(sample.region.remove(&name).unwrap());
        children[victim] = start(WORKERS + kill);
    }
    for child in &mut children {
        child.kill();
    }
    let info = assert_tidy(&sample.region);
    let objects = sample.region.objects().unwrap();
    assert_eq!(info.object_blocks, objects.len() as u64);
    for object in objects.iter().filter(|object| object.name != "kept") {
        assert!(object.users.is_empty() && !object.is_removed, "{object:?}");
        assert!(sample.region.remove(&object.name).unwrap());
    }
    let info = assert_tidy(&sample.region);
    assert_eq!((info.object_blocks, kept.get().unwrap()), (1, 42));
}
