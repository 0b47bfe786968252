//! Bringing in, giving back, locking, and keeping within a budget.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test ends at the first surprise"
)]

use std::fs;
use std::thread;

use folio::residency::{Mapper, Prefetched, Prefetcher};
use folio::{Budgeted, Error, FaultPolicy, Map, MapMut, ReadAt, Residency};
use folio_sys::page;
use folio_sys::sandbox::{Refusable, Refusal, refuse};
use tempfile::NamedTempFile;

/// A file on a disk.
fn sample(len: usize) -> NamedTempFile {
    let file = NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let bytes: Vec<u8> = (0..len).map(|place| byte_at(place as u64)).collect();
    fs::write(&file, bytes).unwrap();
    file.as_file().sync_all().unwrap();
    file
}

fn byte_at(place: u64) -> u8 {
    (place % 251) as u8 ^ (place >> 13) as u8
}

fn rss(map: &Map) -> u64 {
    let id = map.file_id().unwrap();
    Mapper::of(std::process::id(), id)
        .unwrap()
        .unwrap()
        .rss_bytes
}

#[test]
fn prefetch_evict_and_lock_by_range() {
    let page = page::size() as u64;
    let file = sample(20 << 20);
    let map = Map::open(&file).unwrap();
    map.prefetch_ahead(5..100_000).unwrap();
    let mut told = Vec::new();
    map.prefetch_all(3 * page..(19 << 20) + 5, |done| told.push(done))
        .unwrap();
    assert_eq!(told.last(), Some(&((19 << 20) + 5 - 3 * page)));
    assert!(told.is_sorted() && told.len() > 1);
    assert!(rss(&map) >= (19 << 20) - 3 * page);
    map.evict(..).unwrap();
    assert_eq!(rss(&map), 0);
    assert_eq!(
        map.lock_within(page..5 * page, 3 * page, |_| {}).unwrap(),
        3 * page
    );
    // What is locked stays.
    assert!(map.evict(..).is_err());
    assert!(rss(&map) >= 3 * page);
    map.unlock(..).unwrap();
    map.evict(..).unwrap();
    assert_eq!(map.lock_within(.., 0, |_| unreachable!()).unwrap(), 0);
    for error in [
        map.prefetch_all(..=map.len(), |_| {}),
        map.prefetch_ahead(map.len() + 1..),
        map.evict(..=map.len()),
        map.lock_within(..=map.len(), 1, |_| {}).map(drop),
    ] {
        assert!(matches!(error.unwrap_err(), Error::OutOfRange { .. }));
    }
}

#[test]
fn a_lost_page_is_named_and_ends_nobody() {
    let page = page::size() as u64;
    for policy in [FaultPolicy::Handler, FaultPolicy::Syscall] {
        for is_refused in [false, true] {
            let file = sample(10 * page::size());
            let map = Map::options().fault_policy(policy).open(&file).unwrap();
            let writer = MapMut::open(&file).unwrap();
            file.as_file().set_len(6 * page + 1).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| {
                    if is_refused {
                        refuse(Refusable::Advice, Refusal::NotPermitted).unwrap();
                    }
                    map.prefetch_all(..7 * page, |_| {}).unwrap();
                    for error in [
                        map.populate().unwrap_err(),
                        map.prefetch_all(5 * page + 7.., |_| {}).unwrap_err(),
                        map.lock_within(.., u64::MAX, |_| {}).unwrap_err(),
                        writer.populate().unwrap_err(),
                    ] {
                        let Error::Fault { offset, .. } = error else {
                            panic!("{error}");
                        };
                        assert!((7 * page..8 * page).contains(&offset), "{offset}");
                    }
                });
            });
        }
    }
}

#[test]
fn a_budget_holds_whatever_is_read_and_all_is_read_right() {
    const BUDGET: u64 = 4 << 20;
    for drops in [false, true] {
        let file = sample((32 << 20) + 4321);
        // Anywhere in a page, and in a chunk.
        let map = Map::options().offset(4099).open(&file).unwrap();
        let map = Budgeted::new(map, BUDGET).unwrap().drop_cached(drops);
        let check = |offset: u64, len: usize| {
            let mut buf = vec![0; len];
            map.read_exact_at(offset, &mut buf).unwrap();
            let expected = (offset..).take(len).map(|place| byte_at(4099 + place));
            assert!(buf.iter().copied().eq(expected), "{len} at {offset}");
            let rss = rss(map.map());
            assert!(rss <= BUDGET, "{rss} after {len} at {offset}");
        };
        for round in 0..2 {
            for offset in (0..map.len() - 100_000).step_by(900_007) {
                check(offset + round, 100_000);
            }
        }
        check(1, usize::try_from(map.len() - 1).unwrap());
        assert!(map.evictions() > 10);
        let mut buf = [0; 8];
        assert_eq!(map.read_at(map.len() - 3, &mut buf).unwrap(), 3);
        assert_eq!(map.read_at(map.len(), &mut buf).unwrap(), 0);
        assert_eq!(map.read_at(u64::MAX, &mut buf).unwrap(), 0);
        for offset in [map.len() - 7, map.len(), u64::MAX - 3] {
            let error = map.read_exact_at(offset, &mut buf).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        }
        let mut long = vec![0; 33 << 20];
        assert!(map.read_exact_at(5, &mut long).is_err());
        map.shrink().unwrap();
        assert_eq!((rss(map.map()), map.admitted_bytes()), (0, 0));
    }
}

#[test]
fn a_budget_holds_with_threads_and_with_writes() {
    const BUDGET: u64 = 4 << 20;
    let file = sample(32 << 20);
    let map = Budgeted::new(MapMut::open(&file).unwrap(), BUDGET).unwrap();
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let map = &map;
            scope.spawn(move || {
                let mut place = thread;
                for round in 0..2000_u64 {
                    place =
                        (place.wrapping_mul(6_364_136_223_846_793_005) ^ round) % (map.len() / 8);
                    // Each thread has bytes of its own.
                    let offset = place * 8 + 2 * thread;
                    let bytes = [byte_at(offset), byte_at(offset + 1)];
                    map.write_all_at(offset, &bytes).unwrap();
                    let mut read = [0; 2];
                    map.read_exact_at(offset, &mut read).unwrap();
                    assert_eq!(read, bytes);
                }
            });
        }
    });
    let id = map.map().file_id().unwrap();
    let held = Mapper::of(std::process::id(), id).unwrap().unwrap();
    assert!(held.rss_bytes <= BUDGET, "{}", held.rss_bytes);
    let long: Vec<u8> = vec![9; 15 << 20];
    map.write_all_at(1 << 20, &long).unwrap();
    let held = Mapper::of(std::process::id(), id).unwrap().unwrap();
    assert!(held.rss_bytes <= BUDGET, "{}", held.rss_bytes);
    let map = map.into_map();
    map.flush(..).unwrap();
    let written = fs::read(&file).unwrap();
    let expected = |place: u64| match place {
        0x10_0000..0x100_0000 => 9,
        _ => byte_at(place),
    };
    assert!(
        written
            .iter()
            .enumerate()
            .all(|(place, &byte)| byte == expected(place as u64))
    );
}

#[test]
fn budgets_that_cannot_be_are_refused() {
    let file = sample(1 << 20);
    for budget in [0, 1, (4 << 20) - 1] {
        let error = Budgeted::new(Map::open(&file).unwrap(), budget).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
    let empty = sample(0);
    let map = Budgeted::new(Map::open(&empty).unwrap(), u64::MAX).unwrap();
    assert_eq!(map.read_at(0, &mut [0; 4]).unwrap(), 0);
    assert!(map.read_exact_at(0, &mut [0; 4]).is_err());
}

#[test]
fn a_prefetcher_rests_for_hits_and_wakes_for_a_miss() {
    let file = sample(4 << 20);
    let prefetcher = Prefetcher::new(Residency::open(&file).unwrap());
    let piece = 64 << 10;
    // Resident: 1, 2, 4 … calls pass between two looks, and never more than the most.
    let mut rests = Vec::new();
    let mut rested = 0;
    for call in 0..1000_u64 {
        let start = call % 60 * piece;
        match prefetcher.prefetch(start..start + piece).unwrap() {
            Prefetched::Rested => rested += 1,
            Prefetched::Resident => rests.push(std::mem::take(&mut rested)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rests[..8], [0, 1, 2, 4, 8, 16, 32, 64]);
    assert!(
        rests[8..]
            .iter()
            .all(|&rest| rest == Prefetcher::MOST_RESTED)
    );
    // Gone: noticed within the longest rest, and from then on each call asks.
    prefetcher.residency().evict(..).unwrap();
    let misses: Vec<_> = (0..200_u64)
        .map(|call| {
            prefetcher
                .prefetch(call % 2 * (1 << 20)..call % 2 * (1 << 20) + 1)
                .unwrap()
        })
        .collect();
    let woken = misses
        .iter()
        .position(|&done| done == Prefetched::Asked)
        .unwrap();
    assert!(woken <= 65, "{woken}");
    prefetcher.wake();
    assert_ne!(prefetcher.prefetch(0..1).unwrap(), Prefetched::Rested);
    prefetcher.wake();
    assert!(prefetcher.prefetch(0..u64::MAX).is_err());
}
