//! Files seen through windows.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]
#![expect(clippy::cast_possible_truncation, reason = "patterns of bytes")]

#[path = "windows/fragmented.rs"]
mod fragmented;
#[path = "windows/model.rs"]
mod model;
#[path = "windows/threads.rs"]
mod threads;

use std::fs::File;
use std::os::unix::fs::FileExt;

use folio::{Error, FaultPolicy, ReadAt, Windows};
use tempfile::NamedTempFile;

/// Numbers that look random, the same in every run (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

fn page() -> u64 {
    rustix::param::page_size() as u64
}

/// The byte that test files have at an offset: no two pages begin alike.
fn byte_at(offset: u64) -> u8 {
    (offset ^ (offset >> 8) ^ (offset >> 16)) as u8
}

fn bytes_at(offset: u64, len: u64) -> Vec<u8> {
    (offset..offset + len).map(byte_at).collect()
}

fn file_of(len: u64) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, bytes_at(0, len)).unwrap();
    file
}

#[track_caller]
fn assert_reads(windows: &Windows, offset: u64, len: u64) {
    let mut buf = vec![0; usize::try_from(len).unwrap()];
    windows.read_exact_at(offset, &mut buf).unwrap();
    assert!(buf == bytes_at(offset, len), "{len} bytes at {offset}");
}

#[test]
fn random_operations_match_a_vector() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3000 {
        let len = 20 + random.below(400);
        let input: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        model::run(&input);
    }
}

#[test]
fn a_file_that_fits_is_mapped_once() {
    let file = file_of(40 * page() + 5);
    let windows = Windows::open(&file).unwrap();
    assert_eq!(windows.stats().maps, 0, "nothing before it is asked for");
    for offset in [39 * page(), 0, 20 * page() - 3, 40 * page()] {
        assert_reads(&windows, offset, 5);
    }
    assert_reads(&windows, 0, 40 * page() + 5);
    let view = windows.view(3, 40 * page()).unwrap();
    assert!(view.to_vec().unwrap() == bytes_at(3, 40 * page()));
    let stats = windows.stats();
    assert_eq!((stats.maps, stats.windows), (1, 1));
    assert_eq!(stats.mapped_bytes, 40 * page() + 5);
}

#[test]
fn empty_files_and_ends() {
    let empty = Windows::open(file_of(0)).unwrap();
    assert_eq!(empty.read_at(0, &mut [1; 10]).unwrap(), 0);
    assert!(empty.read_exact_at(0, &mut []).is_ok());
    assert_eq!(empty.view(0, 0).unwrap().to_vec().unwrap(), []);
    assert!(empty.view(0, 1).is_err());

    let windows = Windows::open(file_of(10)).unwrap();
    let mut buf = [0; 20];
    assert_eq!(windows.read_at(4, &mut buf).unwrap(), 6);
    assert_eq!(&buf[..6], &bytes_at(4, 6));
    assert_eq!(windows.read_at(10, &mut buf).unwrap(), 0);
    assert_eq!(windows.read_at(u64::MAX, &mut buf).unwrap(), 0);
    let error = windows.read_exact_at(4, &mut buf[..7]).unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            size: 10,
            offset: 4,
            len: 7,
            ..
        }
    ));
    assert!(windows.read_exact_at(u64::MAX, &mut []).is_err());
    assert!(windows.view(11, 0).is_err());
    assert!(windows.view(u64::MAX, u64::MAX).is_err());
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        Windows::open(folder.path()),
        Err(Error::Io { .. })
    ));
    assert!(Windows::open(folder.path().join("nothing")).is_err());
    let file = file_of(100);
    let write_only = File::options().write(true).open(&file).unwrap();
    let windows = Windows::options().map(write_only, "write-only").unwrap();
    let error = windows.read_exact_at(0, &mut [0]).unwrap_err();
    assert!(matches!(error, Error::Io { action: "map", .. }), "{error}");
}

/// Windows of 8 pages over a file of 64, two of them at a time.
fn small_windows() -> (NamedTempFile, Windows) {
    let file = file_of(64 * page());
    let windows = Windows::options()
        .window_bytes(8 * page())
        .budget_bytes(16 * page())
        .open(&file)
        .unwrap();
    (file, windows)
}

#[test]
fn reading_in_order_maps_each_part_once() {
    let (_file, windows) = small_windows();
    // Runs that cross every boundary somewhere.
    let len = 100;
    for offset in (0..64 * page()).step_by(100) {
        assert_reads(&windows, offset, len.min(64 * page() - offset));
    }
    let stats = windows.stats();
    assert_eq!((stats.maps, stats.evictions), (8, 6));
    assert_eq!((stats.pread_reads, stats.mode_switches), (0, 0));
    assert_eq!(stats.peak_mapped_bytes, 16 * page());
    // A read of all goes through the same windows.
    assert_reads(&windows, 0, 64 * page());
    assert_eq!(windows.stats().peak_mapped_bytes, 16 * page());
}

#[test]
fn a_run_across_a_boundary_lies_in_one_window() {
    let (_file, windows) = small_windows();
    for boundary in (8..64).step_by(8) {
        let maps = windows.stats().maps;
        let offset = boundary * page() - 50;
        let view = windows.view(offset, 4 * page()).unwrap();
        assert!(view.to_vec().unwrap() == bytes_at(offset, 4 * page()));
        let stats = windows.stats();
        assert_eq!(stats.maps, maps + 1);
        assert!(stats.mapped_bytes <= 16 * page(), "no window of its own");
    }
}

#[test]
fn a_view_larger_than_a_window_has_its_own() {
    let (_file, windows) = small_windows();
    let view = windows.view(3, 50 * page()).unwrap();
    assert!(view.to_vec().unwrap() == bytes_at(3, 50 * page()));
    let stats = windows.stats();
    assert_eq!((stats.maps, stats.mapped_bytes), (1, 50 * page() + 3));
    // It serves others while it is there, and goes when there is no room and no view.
    assert_reads(&windows, 49 * page(), 10);
    assert_eq!(windows.stats().maps, 1);
    drop(view);
    assert_reads(&windows, 54 * page(), 10);
    let stats = windows.stats();
    assert_eq!((stats.evictions, stats.mapped_bytes), (1, 8 * page()));
}

#[test]
fn views_pin_their_windows_and_may_exceed_the_budget() {
    let (_file, windows) = small_windows();
    let views: Vec<_> = (0..6)
        .map(|i| windows.view(10 * i * page(), page()).unwrap())
        .collect();
    let stats = windows.stats();
    assert_eq!((stats.maps, stats.evictions), (6, 0));
    assert!(stats.mapped_bytes > 16 * page());
    // What no window has is read without one: no room is left, and reads make none.
    let unmapped = 17 * page();
    assert_reads(&windows, unmapped, 10);
    let stats = windows.stats();
    assert_eq!((stats.maps, stats.pread_reads), (6, 1));
    for (i, view) in (0..).zip(&views) {
        assert_eq!(view.to_vec().unwrap(), bytes_at(10 * i * page(), page()));
    }
    drop(views);
    assert_reads(&windows, unmapped, 10);
    let stats = windows.stats();
    assert_eq!(stats.maps, 7);
    assert_eq!(stats.mapped_bytes, 16 * page(), "within the budget again");
}

#[test]
fn the_least_recently_used_goes_first() {
    let (_file, windows) = small_windows();
    let [a, b, c] = [0, 20 * page(), 40 * page()];
    assert_reads(&windows, a, 1);
    assert_reads(&windows, b, 1);
    assert_reads(&windows, a, 1);
    assert_reads(&windows, c, 1); // b goes
    assert_eq!(windows.stats().hits, 1);
    assert_reads(&windows, a, 1);
    assert_eq!(windows.stats().hits, 2);
    assert_reads(&windows, b, 1);
    let stats = windows.stats();
    assert_eq!((stats.maps, stats.evictions, stats.hits), (4, 2, 2));
}

#[test]
fn no_more_windows_than_allowed() {
    let file = file_of(64 * page());
    let windows = Windows::options()
        .window_bytes(2 * page())
        .budget_bytes(64 * page())
        .max_windows(3)
        .adaptive(false)
        .open(&file)
        .unwrap();
    for i in 0..32 {
        assert_reads(&windows, (i * 37 % 32) * 2 * page(), 1);
        assert!(windows.stats().windows <= 3);
    }
    assert_eq!(windows.stats().evictions, 29);
}

#[test]
fn random_reads_give_up_mapping_until_locality_returns() {
    let (_file, windows) = small_windows();
    // Each far from the one before, and not among the last eight.
    let stray = |i: u64| (i * 29 % 64) * page() + 7;
    for i in 0..200 {
        assert_reads(&windows, stray(i), 8);
    }
    let thrashed = windows.stats();
    assert_eq!(thrashed.mode_switches, 1);
    assert!(!thrashed.mapping);
    assert!(thrashed.maps < 60, "{thrashed:?}");
    assert!(thrashed.pread_reads > 100, "{thrashed:?}");
    for i in 0..100 {
        assert_reads(&windows, stray(i), 8);
    }
    assert_eq!(windows.stats().maps, thrashed.maps, "mapping has ended");

    // Sixty-four that come back, and it begins again.
    let mut reads = 0;
    while !windows.stats().mapping {
        assert_reads(&windows, 33 * page() + reads % 1000, 8);
        reads += 1;
        assert!(reads < 1000);
    }
    // Less what the last strays had come back by chance, and one that is a stray at first.
    assert!((50..=65).contains(&reads), "{reads}");
    let returned = windows.stats();
    assert_eq!(returned.mode_switches, 2);
    assert_reads(&windows, 33 * page(), 8);
    assert_eq!(windows.stats().pread_reads, returned.pread_reads);
}

#[test]
fn not_adaptive_always_maps() {
    let file = file_of(64 * page());
    let windows = Windows::options()
        .window_bytes(8 * page())
        .budget_bytes(16 * page())
        .adaptive(false)
        .open(&file)
        .unwrap();
    for i in 0..500 {
        assert_reads(&windows, (i * 29 % 64) * page() + 7, 8);
    }
    let stats = windows.stats();
    assert_eq!((stats.pread_reads, stats.mode_switches), (0, 0));
    assert!(stats.evictions > 100);
}

#[test]
fn unmapped_at_once_nothing_stays() {
    let file = file_of(20 * page());
    let windows = Windows::options().unmap_at_once(true).open(&file).unwrap();
    for offset in [0, 5 * page() - 3, 19 * page()] {
        assert_reads(&windows, offset, 10);
    }
    assert_eq!(windows.stats().maps, 4, "one of them lies in two pages");
    let view = windows.view(3 * page() - 1, 2 * page()).unwrap();
    assert_eq!(view.to_vec().unwrap(), bytes_at(3 * page() - 1, 2 * page()));
    let stats = windows.stats();
    assert_eq!((stats.windows, stats.mapped_bytes), (0, 0));
}

#[test]
fn growth_shows_when_asked_for() {
    let file = file_of(10 * page() + 5);
    let windows = Windows::open(&file).unwrap();
    assert_reads(&windows, 10 * page(), 5);
    let more = bytes_at(10 * page() + 5, 20 * page());
    file.as_file().write_all_at(&more, 10 * page() + 5).unwrap();
    assert_eq!(windows.read_at(10 * page() + 5, &mut [0]).unwrap(), 0);
    assert_eq!(windows.refresh_len().unwrap(), 30 * page() + 5);
    assert_reads(&windows, 0, 30 * page() + 5);
}

#[test]
fn lost_bytes_are_faults_by_every_way() {
    for policy in [FaultPolicy::Handler, FaultPolicy::Syscall] {
        for adaptive in [false, true] {
            let file = file_of(64 * page());
            let windows = Windows::options()
                .window_bytes(8 * page())
                .budget_bytes(16 * page())
                .adaptive(adaptive)
                .fault_policy(policy)
                .open(&file)
                .unwrap();
            // With `adaptive`, mapping has ended after these.
            for i in 0..200 {
                assert_reads(&windows, (i * 29 % 64) * page() + 7, 8);
            }
            let view = windows.view(30 * page(), page()).unwrap();
            file.as_file().set_len(20 * page() + 100).unwrap();
            for i in 0..200 {
                let offset = (i * 29 % 64) * page() + 7;
                let read = windows.read_exact_at(offset, &mut [0; 8]);
                match read {
                    Ok(()) => assert!(offset < 21 * page()),
                    Err(Error::Fault { offset: lost, .. }) => assert!(lost >= 20 * page() + 100),
                    Err(error) => panic!("{error}"),
                }
                assert_eq!(offset + 8 <= 20 * page() + 100, offset < 20 * page() + 100);
            }
            assert!(view.to_vec().unwrap_err().is_fault());
            assert!(windows.view(50 * page(), 10).unwrap_err().is_fault());
            assert_reads(&windows, 0, 20 * page() + 100);
            assert_eq!(windows.refresh_len().unwrap(), 20 * page() + 100);
            let beyond = windows.read_exact_at(20 * page() + 100, &mut [0]);
            assert!(matches!(beyond, Err(Error::OutOfRange { .. })));
            assert_reads(&windows, 0, 20 * page() + 100);
            assert!(view.to_vec().unwrap_err().is_fault());
        }
    }
}
