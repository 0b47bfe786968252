//! A large file, little address space, and that in small pieces.
//!
//! Each in a process of its own: this test's program, run again for this one test.
#![cfg(target_os = "linux")]

use std::os::unix::fs::FileExt;
use std::process::Command;

use folio::{Error, Map, Windows};
use folio_sys::reservation::{Fragmented, address_space_in_use, largest_hole};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::NamedTempFile;

use super::Random;

/// Set in the process that is short of address space.
const INSIDE: &str = "FOLIO_TEST_FRAGMENTED";
const DONE: &str = "read all marks";
const FILE_BYTES: u64 = 10 << 30;
const MARKS: usize = 300;

/// Runs one test of this program again, and sees it through to its end.
fn in_a_process_of_its_own(name: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains(DONE),
        "{}: {printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn mark(offset: u64) -> u64 {
    offset.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A sparse file with marks in it, most of them beyond 4 GiB.
fn marked_file() -> (NamedTempFile, Vec<u64>) {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(FILE_BYTES).unwrap();
    let mut random = Random(0x5851_f42d_4c95_7f2d);
    let mut offsets: Vec<u64> = (0..MARKS)
        .map(|_| (4 << 30) + random.below((6 << 30) - 8))
        .collect();
    offsets.extend([0, (4 << 30) - 4, (4 << 30) + 100, FILE_BYTES - 8]);
    for &offset in &offsets {
        let bytes = mark(offset).to_le_bytes();
        file.as_file().write_all_at(&bytes, offset).unwrap();
    }
    (file, offsets)
}

fn read_all_marks(windows: &Windows, offsets: &[u64]) {
    for (i, &offset) in offsets.iter().enumerate() {
        let bytes: [u8; 8] = if i % 3 == 0 {
            windows.view(offset, 8).unwrap().get(0).unwrap()
        } else {
            windows.get(offset).unwrap()
        };
        assert_eq!(u64::from_le_bytes(bytes), mark(offset), "at {offset}");
        // Where there is no mark there is nothing.
        let beside = (offset + (1 << 20)).min(FILE_BYTES - 8);
        if offsets.iter().all(|other| other.abs_diff(beside) >= 8) {
            assert_eq!(windows.get::<u64>(beside).unwrap(), 0);
        }
    }
}

/// All holes but a few small ones are gone, and the largest is `hole_bytes`.
fn fragment(holes: usize, hole_bytes: usize) -> Fragmented {
    let fragmented = Fragmented::new(holes, hole_bytes).unwrap();
    let largest = largest_hole();
    assert!(
        largest <= hole_bytes && largest > hole_bytes / 2,
        "{largest}"
    );
    fragmented
}

#[test]
fn no_hole_above_48_mib() {
    if std::env::var_os(INSIDE).is_none() {
        return in_a_process_of_its_own("fragmented::no_hole_above_48_mib");
    }
    let (file, offsets) = marked_file();
    let fragmented = fragment(6, 48 << 20);
    let whole = Map::open(&file).unwrap_err();
    assert!(matches!(whole, Error::Io { action: "map", .. }), "{whole}");
    let windows = Windows::open(&file).unwrap();
    read_all_marks(&windows, &offsets);
    let counts = windows.stats();
    assert!(counts.window_bytes <= 48 << 20, "{counts:?}");
    assert!(counts.maps > 0 && counts.evictions > 0, "{counts:?}");

    // A view that no hole holds is read when it is asked for.
    let large = windows.view(5 << 30, 100 << 20).unwrap();
    let mut offsets = offsets.into_iter();
    let within = offsets
        .find(|o| (5 << 30..(5 << 30) + (99 << 20)).contains(o))
        .unwrap();
    let bytes: [u8; 8] = large.get(within - (5 << 30)).unwrap();
    assert_eq!(u64::from_le_bytes(bytes), mark(within));
    assert_eq!(windows.stats().pread_views, 1);
    drop(fragmented);
    println!("{DONE}");
}

#[test]
fn little_address_space_by_limit() {
    if std::env::var_os(INSIDE).is_none() {
        return in_a_process_of_its_own("fragmented::little_address_space_by_limit");
    }
    let (file, offsets) = marked_file();
    let limit = Rlimit {
        current: Some(address_space_in_use().unwrap() + (256 << 20)),
        maximum: getrlimit(Resource::As).maximum,
    };
    setrlimit(Resource::As, limit).unwrap();
    assert!(Map::open(&file).is_err());
    let windows = Windows::open(&file).unwrap();
    read_all_marks(&windows, &offsets);
    let counts = windows.stats();
    assert!(counts.peak_mapped_bytes <= 64 << 20, "{counts:?}");

    // A budget of more than there is: windows come and go as the kernel says.
    let greedy = Windows::options()
        .window_bytes(64 << 20)
        .budget_bytes(1 << 30)
        .adaptive(false)
        .open(&file)
        .unwrap();
    drop(windows);
    read_all_marks(&greedy, &offsets);
    let counts = greedy.stats();
    assert!(counts.evictions > 0, "{counts:?}");
    assert!(counts.peak_mapped_bytes <= 256 << 20, "{counts:?}");
    println!("{DONE}");
}

#[test]
fn no_address_space_at_all() {
    if std::env::var_os(INSIDE).is_none() {
        return in_a_process_of_its_own("fragmented::no_address_space_at_all");
    }
    let (file, offsets) = marked_file();
    let windows = Windows::options()
        .window_bytes(32 << 20)
        .budget_bytes(256 << 20)
        .open(&file)
        .unwrap();
    // No hole is left that holds even the smallest window.
    let fragmented = fragment(1, 16 << 10);
    read_all_marks(&windows, &offsets);
    let counts = windows.stats();
    assert_eq!(counts.maps, 0);
    assert!(counts.halvings > 5 && counts.pread_reads > 0 && counts.pread_views > 0);
    // And when there is some again, it is used.
    drop(fragmented);
    read_all_marks(&windows, &offsets);
    assert!(windows.stats().maps > 0);
    println!("{DONE}");
}
