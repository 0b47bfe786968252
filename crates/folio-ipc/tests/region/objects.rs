//! Objects: found, made, removed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use folio_ipc::{Data, Error, ObjectKind, Payload, Region};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Test;
use crate::child::{Child, say, until_told};
use crate::sample::{Sample, assert_nothing_but, assert_tidy, small};

pub(crate) const TESTS: &[Test] = &[
    ("found_by_name", found_by_name),
    ("of_another_type", of_another_type),
    ("names_that_cannot_be", names_that_cannot_be),
    ("made_with_a_value", made_with_a_value),
    ("a_thousand", a_thousand),
    ("removed_while_in_use", removed_while_in_use),
    (
        "removed_while_the_dead_use_it",
        removed_while_the_dead_use_it,
    ),
    ("entries_are_used_again", entries_are_used_again),
    ("many_make_the_same", many_make_the_same),
    ("found_and_removed_by_many", found_and_removed_by_many),
    ("aligned", aligned),
];

fn found_by_name() {
    let sample = Sample::new();
    let region = &sample.region;
    assert!(matches!(
        region.open_object::<Data<u64>>("x"),
        Err(Error::NoSuchObject { .. })
    ));
    let x = region.object::<Data<u64>>("x").unwrap();
    assert_eq!(x.get().unwrap(), 0);
    x.set(&9).unwrap();
    assert_eq!(region.object::<Data<u64>>("x").unwrap().get().unwrap(), 9);
    assert_eq!(x.try_clone().unwrap().get().unwrap(), 9);
    let other = Region::open(&sample.path).unwrap();
    let same = other.open_object::<Data<u64>>("x").unwrap();
    same.set(&10).unwrap();
    assert_eq!(x.get().unwrap(), 10);
    let info = &region.objects().unwrap()[0];
    assert_eq!(
        (info.name.as_str(), info.kind, info.size_bytes),
        ("x", ObjectKind::Data, 8)
    );
    assert_eq!(
        (info.users.as_slice(), info.is_removed),
        (&[0, 1][..], false)
    );
    drop(x);
    drop(same);
    assert!(region.objects().unwrap()[0].users.is_empty());
    assert!(region.remove("x").unwrap());
    assert!(!region.remove("x").unwrap());
    assert!(region.objects().unwrap().is_empty());
    let info = assert_tidy(region);
    assert_eq!((info.object_blocks, info.free_blocks), (0, 1));
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Pair(u32, u32);

impl Payload for Pair {
    const NAME: &'static str = "Pair";
    const VERSION: u32 = 2;
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct OldPair(u32, u32);

impl Payload for OldPair {
    const NAME: &'static str = "Pair";
}

fn of_another_type() {
    let sample = Sample::new();
    let region = &sample.region;
    region.object::<Data<Pair>>("it").unwrap();
    region.object::<Data<Pair>>("it").unwrap();
    let text = region
        .object::<Data<OldPair>>("it")
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "object \"it\" is Data<Pair> version 2 (8 bytes, aligned to 4), \
         not Data<Pair> version 1 (8 bytes, aligned to 4)"
    );
    for error in [
        region.object::<Data<u64>>("it").unwrap_err(),
        region.open_object::<Data<[Pair; 2]>>("it").unwrap_err(),
        region.object_with::<Data<u8>>("it", || 1).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Fingerprint { .. }), "{error}");
    }
    assert!(region.objects().unwrap()[0].users.is_empty());
}

fn names_that_cannot_be() {
    let sample = Sample::new();
    let region = &sample.region;
    for name in ["", &"x".repeat(256), &"x".repeat(100_000)] {
        let len = name.len();
        let is_name = |error| matches!(error, Error::Name { len: found } if found == len);
        assert!(is_name(region.object::<Data<u8>>(name).unwrap_err()));
        assert!(is_name(region.open_object::<Data<u8>>(name).unwrap_err()));
        assert!(is_name(region.remove(name).unwrap_err()));
    }
    for name in ["\0", "a/b", "ä", &"y".repeat(255), "\n\"'"] {
        region.object::<Data<u8>>(name).unwrap().set(&1).unwrap();
        assert_eq!(
            region.open_object::<Data<u8>>(name).unwrap().get().unwrap(),
            1
        );
    }
    assert_eq!(assert_tidy(region).object_blocks, 5);
    let error = region.open_object::<Data<u8>>("new\nline").unwrap_err();
    assert_eq!(error.to_string(), "no object \"new\\nline\"");
}

fn made_with_a_value() {
    let sample = Sample::new();
    let make = |value| {
        sample
            .region
            .object_with::<Data<u32>>("v", || value)
            .unwrap()
    };
    assert_eq!(make(5).get().unwrap(), 5);
    assert_eq!(make(6).get().unwrap(), 5);
    // Memory that was used before is zero again.
    let large = sample.region.object::<Data<[u8; 9000]>>("large").unwrap();
    large.set(&[0xee; 9000]).unwrap();
    drop(large);
    assert!(sample.region.remove("large").unwrap());
    let again = sample.region.object::<Data<[u8; 9000]>>("again").unwrap();
    assert!(again.get().unwrap() == [0; 9000]);
}

fn a_thousand() {
    let sample = Sample::of(&Region::options());
    let region = &sample.region;
    let name = |number: u64| format!("service/{number}/requests");
    for number in 0..1000 {
        let made = region.object::<Data<u64>>(&name(number)).unwrap();
        made.set(&number).unwrap();
    }
    let other = Region::open(&sample.path).unwrap();
    for number in 0..1000 {
        assert_eq!(
            other
                .open_object::<Data<u64>>(&name(number))
                .unwrap()
                .get()
                .unwrap(),
            number
        );
    }
    assert!(other.open_object::<Data<u64>>(&name(1000)).is_err());
    let names: HashSet<_> = region
        .objects()
        .unwrap()
        .into_iter()
        .map(|object| object.name)
        .collect();
    assert_eq!(names.len(), 1000);
    for number in 1000..1024 {
        region.object::<Data<u64>>(&name(number)).unwrap();
    }
    let error = region.object::<Data<u64>>(&name(1024)).unwrap_err();
    assert!(
        matches!(error, Error::TooManyObjects { limit: 1024, .. }),
        "{error}"
    );
    assert_eq!(assert_tidy(region).object_blocks, 1024);
    for number in 0..1024 {
        assert!(other.remove(&name(number)).unwrap());
    }
    assert_eq!(assert_tidy(region).free_blocks, 1);
}

/// What runs in a process that uses an object until it is told to end.
pub(crate) fn use_until_told(path: &Path, name: &str) {
    let region = Region::open(path).unwrap();
    let object = region.open_object::<Data<u8>>(name).unwrap();
    let more = object.try_clone().unwrap();
    say("in use");
    until_told();
    assert_eq!(more.get().unwrap(), object.get().unwrap());
    say(&object.get().unwrap().to_string());
}

fn removed_while_in_use() {
    let sample = Sample::new();
    let region = &sample.region;
    let first = region.object::<Data<u8>>("it").unwrap();
    first.set(&1).unwrap();
    let mut child = Child::start("use/it", &sample.path);
    assert_eq!(child.line(), "in use");
    assert!(region.remove("it").unwrap());
    assert!(region.open_object::<Data<u8>>("it").is_err());
    // Another of the same name is another.
    let second = region.object::<Data<u8>>("it").unwrap();
    second.set(&2).unwrap();
    assert_eq!(first.get().unwrap(), 1);
    let mut objects = region.objects().unwrap();
    objects.sort_by_key(|object| object.is_removed);
    assert_eq!(objects[0].users, [0]);
    assert_eq!(
        (objects[1].users.as_slice(), objects[1].is_removed),
        (&[0, 1][..], true)
    );
    drop(first);
    assert_eq!(assert_tidy(region).object_blocks, 2);
    assert_eq!(child.finish(), ["1"]);
    assert_nothing_but(region, "it");
    assert_eq!(second.get().unwrap(), 2);
}

fn removed_while_the_dead_use_it() {
    let sample = Sample::new();
    let region = &sample.region;
    region.object::<Data<u8>>("kept").unwrap();
    for clean_up in [true, false] {
        region.object::<Data<u8>>("it").unwrap();
        let mut child = Child::start("use/it", &sample.path);
        child.line();
        if clean_up {
            child.kill();
            assert!(region.remove("it").unwrap());
        } else {
            assert!(region.remove("it").unwrap());
            child.kill();
        }
        assert_nothing_but(region, "kept");
    }
}

fn entries_are_used_again() {
    let sample = Sample::of(&small().objects(4));
    let region = &sample.region;
    for round in 0..2000_u64 {
        let name = format!("name {round}");
        region
            .object::<Data<u64>>(&name)
            .unwrap()
            .set(&round)
            .unwrap();
        if let Some(old) = round.checked_sub(3) {
            let old = format!("name {old}");
            assert_eq!(
                region
                    .open_object::<Data<u64>>(&old)
                    .unwrap()
                    .get()
                    .unwrap(),
                round - 3
            );
            assert!(region.remove(&old).unwrap());
            assert!(region.open_object::<Data<u64>>(&old).is_err());
        }
    }
    assert_eq!(assert_tidy(region).object_blocks, 3);
}

fn many_make_the_same() {
    let sample = Sample::new();
    let made = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (path, made) = (&sample.path, &made);
            scope.spawn(move || {
                let region = Region::open(path).unwrap();
                for round in 0..50_u64 {
                    let initial = || 1000 + made.fetch_add(1, Ordering::Relaxed);
                    let name = format!("round {round}");
                    let object = region.object_with::<Data<u64>>(&name, initial).unwrap();
                    let value = object.get().unwrap();
                    assert!(value >= 1000);
                    let again = region.open_object::<Data<u64>>(&name).unwrap();
                    assert_eq!(again.get().unwrap(), value);
                }
            });
        }
    });
    assert_eq!(assert_tidy(&sample.region).object_blocks, 50);
}

fn found_and_removed_by_many() {
    let sample = Sample::new();
    let shared = sample.region.clone();
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (path, shared) = (&sample.path, &shared);
            scope.spawn(move || {
                let own = Region::open(path).unwrap();
                // Two of the threads share a participant.
                let region = if thread < 2 { shared } else { &own };
                for round in 0..1000_u64 {
                    let name = format!("name {}", round % 5);
                    let object = region.object_with::<Data<[u64; 2]>>(&name, || [round % 5; 2]);
                    let object = object.unwrap();
                    // It stays what it is as long as it is used.
                    assert_eq!(object.get().unwrap(), [round % 5; 2]);
                    if round % 7 == thread {
                        region.remove(&name).unwrap();
                        assert_eq!(object.get().unwrap(), [round % 5; 2]);
                    }
                    drop(object);
                }
            });
        }
    });
    for object in sample.region.objects().unwrap() {
        assert!(object.users.is_empty() && !object.is_removed, "{object:?}");
    }
    assert_tidy(&sample.region);
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(1024))]
struct Aligned([u8; 1024]);

impl Payload for Aligned {
    const NAME: &'static str = "Aligned";
}

fn aligned() {
    let sample = Sample::new();
    let region = &sample.region;
    for number in 0..20 {
        region
            .object::<Data<u8>>(&format!("small {number}"))
            .unwrap();
        region
            .object::<Data<Aligned>>(&format!("aligned {number}"))
            .unwrap();
    }
    for object in region.objects().unwrap() {
        assert_eq!(object.offset_bytes % 64, 0);
        if object.name.starts_with('a') {
            assert_eq!(object.offset_bytes % 1024, 0);
        }
    }
    assert_tidy(region);
    for number in 0..20 {
        assert!(region.remove(&format!("aligned {number}")).unwrap());
        assert_tidy(region);
    }
}
