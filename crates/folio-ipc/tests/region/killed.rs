//! Processes that are killed at each point of what they do.

use std::path::Path;

use folio_ipc::{Data, Region, kill_points};

use crate::Test;
use crate::child::Child;
use crate::sample::{Sample, assert_nothing_but, assert_tidy, names_in, small};

pub(crate) const TESTS: &[Test] = &[
    ("killed_at_each_point", killed_at_each_point),
    ("killed_while_making_a_region", killed_while_making_a_region),
];

/// Does everything that a process can do with a region, beginning with making it.
pub(crate) fn exercise(path: &Path) {
    let region = small().open_or_create(path).unwrap();
    let first = region.object::<Data<[u64; 9]>>("first").unwrap();
    first.set(&[1; 9]).unwrap();
    let pointer = first.adopt(region.allocate(300).unwrap()).unwrap();
    let other = first.adopt(region.allocate(300).unwrap()).unwrap();
    first.write_block(other, 3, &[1; 100]).unwrap();
    first.free_block(pointer).unwrap();
    let objects: Vec<_> = (0..6)
        .map(|number| {
            region
                .object::<Data<[u64; 200]>>(&format!("object {number}"))
                .unwrap()
        })
        .collect();
    for number in [1, 3, 2] {
        assert!(region.remove(&format!("object {number}")).unwrap());
    }
    drop(objects);
    region.grow(region.size_bytes().unwrap() + 10_000).unwrap();
    // It makes the region grow.
    drop(region.object::<Data<[u8; 100_000]>>("large").unwrap());
    assert!(region.remove("large").unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| region.object::<Data<u8>>("of a thread").map(drop).unwrap());
    });
    drop(first);
    assert!(region.remove("first").unwrap());
    let second = Region::open(path).unwrap();
    second.repair().unwrap();
    drop(region);
    assert!(second.remove("of a thread").unwrap());
}

/// The points that are passed before the region has its name.
const MAKING: [&str; 3] = ["create.allocated", "create.written", "create.linked"];

fn killed_at_each_point() {
    let mut passed = Vec::new();
    for point in kill_points() {
        if MAKING.contains(point) || is_of_locks(point) {
            continue;
        }
        for nth in [1, 2, 3, 5, 8, 13, 21] {
            let sample = Sample::new();
            let kept = sample.region.object::<Data<[u32; 5]>>("kept").unwrap();
            kept.set(&[5; 5]).unwrap();
            // Something to clean up, for those points that lie on that way.
            drop(sample.region.object::<Data<u8>>("of the dead").unwrap());
            let mut dead = Child::start("use/of the dead", &sample.path);
            dead.line();
            dead.kill();

            let (_, killed) = Child::until(point, nth, "exercise", &sample.path).wait();
            if !killed {
                break;
            }
            passed.push(*point);
            // Whoever was there goes on, and whoever comes finds all in order.
            kept.set(&[6; 5]).unwrap();
            let made = sample.region.object::<Data<[u64; 300]>>("made").unwrap();
            made.set(&[1; 300]).unwrap();
            let next = Region::open(&sample.path).unwrap();
            assert_tidy(&next);
            assert_eq!(
                next.open_object::<Data<[u32; 5]>>("kept")
                    .unwrap()
                    .get()
                    .unwrap(),
                [6; 5]
            );
            drop((next, made));
            assert!(
                !Child::start("exercise", &sample.path).wait().1,
                "{point} {nth}"
            );
            assert_nothing_but(&sample.region, "kept");
        }
    }
    // Each is a point that is passed.
    for point in kill_points() {
        let is_passed = MAKING.contains(point) || is_of_locks(point) || passed.contains(point);
        assert!(is_passed, "{point}");
    }
}

/// Points that the tests of the locks pass.
fn is_of_locks(point: &str) -> bool {
    let family = point.split('.').next().unwrap();
    ![
        "attach", "block", "commit", "create", "detach", "grow", "heap", "object", "reap",
        "record", "remove",
    ]
    .contains(&family)
}

fn killed_while_making_a_region() {
    for point in MAKING {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("region");
        assert!(
            Child::until(point, 1, "exercise", &path).wait().1,
            "{point}"
        );
        let is_there = point == "create.linked";
        assert_eq!(
            names_in(folder.path()),
            if is_there { vec!["region"] } else { vec![] },
            "{point}"
        );
        assert_eq!(Region::open(&path).is_ok(), is_there);
        assert!(!Child::start("exercise", &path).wait().1);
        assert_tidy(&Region::open(&path).unwrap());
        assert_eq!(names_in(folder.path()), ["region"]);
    }
}
