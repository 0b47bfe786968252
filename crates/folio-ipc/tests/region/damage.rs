//! Regions that are not as they were.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};

use folio_ipc::{Data, Error, LockError, Mutex, Region, RwLock, Semaphore};

use crate::Test;
use crate::child::Child;
use crate::opening::open_file;
use crate::patched::{image, run, tag, use_all};
use crate::sample::{Sample, assert_tidy};

pub(crate) const TESTS: &[Test] = &[
    ("as_it_is_left_by_the_dead", as_it_is_left_by_the_dead),
    ("each_byte_of_the_header", each_byte_of_the_header),
    ("what_the_header_says", what_the_header_says),
    (
        "each_byte_of_the_control_page",
        each_byte_of_the_control_page,
    ),
    ("lists_that_loop", lists_that_loop),
    ("random_changes", random_changes),
    ("a_lock_of_nobody", a_lock_of_nobody),
    ("locks_of_nobody_are_repaired", locks_of_nobody_are_repaired),
];

const CONTROL: usize = 4096;
const HEAP: usize = 12288;

#[track_caller]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn with(words: &[(usize, u64)]) -> Vec<u8> {
    let mut bytes = image().to_vec();
    for (at, value) in words {
        bytes[*at..*at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

fn as_it_is_left_by_the_dead() {
    use_all(image()).unwrap();
}

fn each_byte_of_the_header() {
    for at in 0..4096 {
        let mut bytes = image().to_vec();
        bytes[at] ^= 1 << (at % 8);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("region");
        fs::write(&path, &bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Region::open(&path).is_err(), "byte {at}");
        assert!(Region::observe(&path).is_err(), "byte {at}");
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

fn what_the_header_says() {
    let error = |at: usize, change: fn(u64) -> u64| {
        let bytes = with(&[(at, change(word(image(), at)))]);
        use_all(&bytes).unwrap_err()
    };
    assert!(matches!(error(0, |_| 0), Error::NotARegion { .. }));
    let swapped = error(8, |word| (word & !0xffff_ffff) | 0x0403_0201);
    assert!(matches!(swapped, Error::ByteOrder { .. }), "{swapped}");
    let version = error(8, |word| word + (1 << 32));
    assert!(
        matches!(
            version,
            Error::Version {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{version}"
    );
    let bits = error(16, |word| word ^ 0x60);
    assert!(matches!(bits, Error::WordSize { .. }), "{bits}");
    let layout = error(24, |word| word + 1);
    assert!(matches!(layout, Error::Layout { .. }), "{layout}");
    let checksum = error(32, |word| word + 4096);
    assert!(
        matches!(checksum, Error::Damaged { offset: 0, .. }),
        "{checksum}"
    );
    let size = error(4056, |word| word + 1);
    assert!(
        matches!(size, Error::Damaged { offset: 4056, .. }),
        "{size}"
    );
    let boot = error(4064, |word| word + 1);
    assert!(
        matches!(boot, Error::Damaged { offset: 4064, .. }),
        "{boot}"
    );
    let cut = use_all(&image()[..20 << 10]).unwrap_err();
    assert!(matches!(cut, Error::Truncated { .. }), "{cut}");
}

fn each_byte_of_the_control_page() {
    for at in CONTROL..CONTROL + 1024 {
        let mut bytes = image().to_vec();
        bytes[at] ^= 0x41;
        let outcome = use_all(&bytes);
        // The lock is taken from whoever cannot have it, and the rest is not read, or wrong. Which block is the
        // last is written anew when what the dead had is freed; and any serial number will do.
        match at - CONTROL {
            72..80 | 88..96 => {}
            64..104 | 128..456 => assert!(outcome.is_err(), "byte {at}"),
            _ => outcome.unwrap(),
        }
    }
}

/// The offsets of free blocks, and the list that each is in.
fn free_blocks() -> Vec<(usize, usize)> {
    let lists = (0..41).map(|list| CONTROL + 128 + list * 8);
    let mut found = Vec::new();
    for list in lists {
        let mut at = usize::try_from(word(image(), list)).unwrap();
        while at != 0 {
            found.push((at, list));
            at = usize::try_from(word(image(), at + 24)).unwrap();
        }
    }
    found
}

fn lists_that_loop() {
    let free = free_blocks();
    assert!(!free.is_empty());
    for (at, list) in free {
        let at_word = at as u64;
        for words in [
            // A block that is its own successor; one that is its own predecessor; both.
            vec![(at + 24, at_word)],
            vec![(at + 32, at_word)],
            vec![(at + 24, at_word), (at + 32, at_word)],
            // A list that leads into the directory, beyond the end, between two blocks, to an object.
            vec![(list, 8704)],
            vec![(list, 24 << 10)],
            vec![(list, u64::MAX)],
            vec![(list, at_word + 64)],
            vec![(list, HEAP as u64)],
            vec![(list, 0)],
            // A block that is another one's as well; that is longer than the heap; that is of no length.
            vec![(at, tag(at_word, 2, 1))],
            vec![(at, tag(at_word, 5000, 1))],
            vec![(at, tag(at_word, 0, 1))],
            vec![(at, tag(at_word, 1, 1))],
        ] {
            let before = with(&[]);
            let bytes = with(&words);
            if bytes != before {
                assert!(use_all(&bytes).is_err(), "{words:?}");
            }
        }
    }
    // The list of removed objects.
    let graves = CONTROL + 80;
    let removed = word(image(), graves);
    assert_ne!(removed, 0);
    let entry = |index: u64| 8576 + usize::try_from(index).unwrap() * 128;
    for words in [
        vec![(entry(removed - 1) + 64, removed)],
        vec![(graves, 9)],
        vec![(graves, u64::MAX)],
        vec![(graves, 0)],
    ] {
        assert!(use_all(&with(&words)).is_err(), "{words:?}");
    }
}

fn random_changes() {
    let mut state = 0x1234_5678_9abc_def0_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..3000 {
        let patches = 1 + random() % 4;
        let mut input = Vec::new();
        for _ in 0..patches {
            input.extend(&random().to_le_bytes()[..4]);
            let value = random() >> (random() % 64);
            input.extend(value.to_le_bytes());
        }
        run(&input);
    }
}

fn a_lock_of_nobody() {
    // The heap's lock is held by a thread that is not there: taken from it.
    let bytes = with(&[(CONTROL, (1 << 32) + 12345)]);
    use_all(&bytes).unwrap();
    // Also while others are at work, one of whom dies with it.
    let sample = Sample::new();
    let _kept = sample.region.object::<Data<u8>>("kept").unwrap();
    for point in ["heap.locked", "heap.owned", "heap.unlocked"] {
        for nth in 1..6 {
            let (_, killed) = Child::until(point, nth, "exercise", &sample.path).wait();
            assert!(killed);
            sample.region.object::<Data<u8>>("kept").unwrap();
            assert_tidy(&sample.region);
        }
    }
}

fn locks_of_nobody_are_repaired() {
    let sample = Sample::new();
    let region = &sample.region;
    let mutex = region.object::<Mutex<u64>>("mutex").unwrap();
    let held = region.object::<Mutex<u64>>("held").unwrap();
    let rwlock = region.object::<RwLock<u64>>("rwlock").unwrap();
    let semaphore = region.object_with::<Semaphore>("semaphore", || 3).unwrap();
    // One that is held, by this thread; readers and permits of it as well.
    let guard = held.lock().unwrap();
    let permit = semaphore.acquire().unwrap();
    let reading = rwlock.read().unwrap();
    let seen = region.inspect().unwrap();
    assert_eq!(
        unknown(region),
        [
            ("", 0),
            ("held", 0),
            ("mutex", 0),
            ("rwlock", 0),
            ("semaphore", 0)
        ]
    );
    let lock = |name: &str| seen.locks.iter().find(|lock| lock.name == name).unwrap();
    let own = seen
        .threads
        .iter()
        .find(|thread| Some(thread.tid) == lock("held").owner_tid)
        .unwrap();
    assert_eq!(lock("held").owner_record, Some(own.record));
    for name in ["rwlock", "semaphore"] {
        let holders = &lock(name).holders;
        assert_eq!(holders.len(), 1);
        assert_eq!((holders[0].record, holders[0].tid), (own.record, own.tid));
    }

    // Words that name nobody.
    let file = open_file(&sample.path);
    let at = |name: &str| {
        let objects = region.objects().unwrap();
        objects
            .into_iter()
            .find(|object| object.name == name)
            .unwrap()
            .offset_bytes
    };
    for (at, word) in [
        (at("mutex"), 4_000_000_u64),
        (at("rwlock"), (20 << 48) + (2305 << 32) + 4_000_001),
        (at("semaphore") + 64 + 8, (7 << 32) + 4_000_002),
        (at("semaphore") + 64 + 16, u64::MAX),
    ] {
        file.write_all_at(zerocopy::IntoBytes::as_bytes(&word), at)
            .unwrap();
    }
    let before = unknown(region);
    assert_eq!(before[2..4], [("mutex", 1), ("rwlock", 1)]);
    assert!(before[4].1 >= 1, "{before:?}");
    assert_eq!(unknown(region)[1], ("held", 0));
    let repaired = region.repair().unwrap();
    assert!(repaired.locks >= 3, "{repaired:?}");
    assert!(unknown(region).iter().all(|(_, count)| *count == 0));

    // What was held is held; what was not is free, and what it protects is doubtful.
    assert!(matches!(mutex.lock(), Err(LockError::OwnerDied(_))));
    assert!(matches!(held.try_lock(), Err(LockError::Deadlock)));
    drop((guard, reading, permit));
    assert!(matches!(rwlock.write(), Err(LockError::OwnerDied(_))));
    let permits = [(); 3].map(|()| semaphore.try_acquire().unwrap());
    drop(permits);
    drop(held.try_lock().unwrap());
    assert_tidy(region);
}

/// How many of those that hold each lock are nobody.
fn unknown(region: &Region) -> Vec<(&'static str, usize)> {
    let locks = region.inspect().unwrap().locks;
    let names = ["", "held", "mutex", "rwlock", "semaphore"];
    let count = |name: &'static str| {
        let lock = locks.iter().find(|lock| lock.name == name).unwrap();
        let holders = lock.holders.iter().filter(|holder| holder.is_unknown);
        (name, usize::from(lock.is_owner_unknown) + holders.count())
    };
    names.into_iter().map(count).collect()
}
