//! A disk that is full: making and growing a region are errors then, and leave nothing behind.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use folio_ipc::{Data, Mutex, Region, RegionOptions};

use crate::child::{Child, say, under};
use crate::{Test, skip};

pub(crate) const TESTS: &[Test] = &[
    ("a_full_disk_is_an_error", a_full_disk_is_an_error),
    (
        "a_full_disk_with_ext4_is_an_error",
        a_full_disk_with_ext4_is_an_error,
    ),
];

/// How large the file system is.
const DISK: u64 = 4 << 20;
const REGION: u64 = 256 << 10;
/// Less than what anything here asks for.
const LEFT: u64 = 32 << 10;

fn a_full_disk_is_an_error() {
    // As root, and as anybody where anybody may.
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    if !ways.iter().any(|way| fills("fill tmpfs", way)) {
        skip("there is no unshare and no mount that may make a small file system");
    }
}

/// When ext4 has no room for all, it keeps what it had room for.
fn a_full_disk_with_ext4_is_an_error() {
    if !fills("fill ext4", &["--mount"]) {
        // No failure in CI either: a container of root's has no such devices.
        eprintln!("skipped: there is no mkfs.ext4, or no loop device that may be mounted");
    }
}

/// Has a child fill a disk in a mount namespace of its own, which ends with it; false if it cannot mount one.
fn fills(role: &str, way: &[&str]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let mut child = Child::of(&mut under("unshare", way, role, folder.path()));
    let is_mounted = child.try_line().as_deref() == Some("mounted");
    if is_mounted {
        assert_eq!(child.finish(), ["has filled it"]);
    }
    assert_eq!(names(&mounted), [""; 0], "it was mounted for all to see");
    is_mounted
}

/// Mounts a small file system in memory, and fills it.
pub(crate) fn fill_tmpfs(folder: &Path) {
    let size = format!("size={DISK}");
    mount_and_fill(folder, &["-t", "tmpfs", "-o", &size, "tmpfs"]);
}

/// Mounts one in a file.
pub(crate) fn fill_ext4(folder: &Path) {
    let image = folder.join("image");
    File::create_new(&image).unwrap().set_len(DISK).unwrap();
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-m", "0", "-O", "^has_journal"])
        .arg(&image)
        .status();
    if made.is_ok_and(|status| status.success()) {
        mount_and_fill(folder, &["-o", "loop", image.to_str().unwrap()]);
    }
}

fn mount_and_fill(folder: &Path, what: &[&str]) {
    let folder = folder.join("mounted");
    let mut mount = Command::new("mount");
    let mounted = mount.args(what).arg(&folder).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    // ext4 has it.
    let _ = fs::remove_dir(folder.join("lost+found"));
    say("mounted");
    one_that_is_too_large_is_not_made(&folder);
    one_that_cannot_grow_goes_on(&folder);
    say("has filled it");
}

fn one_that_is_too_large_is_not_made(folder: &Path) {
    let free = free_bytes(folder);
    let too_large = Region::options().size_bytes(DISK * 2);
    let ways: [fn(&RegionOptions, &Path) -> folio_ipc::Result<Region>; 2] = [
        |options, path| options.create(path),
        |options, path| options.open_or_create(path),
    ];
    for way in ways {
        let error = way(&too_large, &folder.join("region")).unwrap_err();
        assert!(error.is_storage_full(), "{error:?}");
        assert_eq!(names(folder), [""; 0]);
        assert_eq!(free_bytes(folder), free);
    }
}

fn one_that_cannot_grow_goes_on(folder: &Path) {
    let path = folder.join("region");
    let options = Region::options()
        .size_bytes(REGION)
        .capacity_bytes(DISK * 4)
        .objects(64);
    let region = options.create(&path).unwrap();
    let mutex = region.object::<Mutex<u64>>("mutex").unwrap();
    fill_up(&folder.join("filler"), free_bytes(folder) - LEFT);
    let free = free_bytes(folder);

    for _ in 0..3 {
        let error = region.grow(REGION * 2).unwrap_err();
        assert!(error.is_storage_full(), "{error:?}");
        let error = region.object::<Data<[u8; 200_000]>>("large").unwrap_err();
        assert!(error.is_storage_full(), "{error:?}");
        let error = region.allocate(200_000).unwrap_err();
        assert!(error.is_storage_full(), "{error:?}");
        assert_eq!(region.size_bytes().unwrap(), REGION);
        assert_eq!(fs::metadata(&path).unwrap().len(), REGION);
        assert_eq!(free_bytes(folder), free);
        region.check().unwrap();
    }
    assert_eq!(names(folder), ["filler", "region"]);
    assert_eq!(region.objects().unwrap().len(), 1);

    // What there is of it can be written to all the same: no byte of it waits for space.
    let free_in_region = region.check().unwrap().largest_free_bytes;
    let block = region.allocate(free_in_region - 64).unwrap();
    let content = vec![7; usize::try_from(block.len_bytes()).unwrap()];
    block.write(0, &content).unwrap();
    mutex.lock().unwrap().set(&7);
    let other = Region::open(&path).unwrap();
    let other = other.open_object::<Mutex<u64>>("mutex").unwrap();
    assert_eq!(other.lock().unwrap().get(), 7);
    drop(block);

    // And with space again, it grows.
    fs::remove_file(folder.join("filler")).unwrap();
    region.grow(REGION * 2).unwrap();
    drop(region.object::<Data<[u8; 200_000]>>("large").unwrap());
    let block = region.allocate(200_000).unwrap();
    block.write(0, &[1; 4096]).unwrap();
    region.check().unwrap();
}

fn fill_up(path: &Path, bytes: u64) {
    let mut file = File::create_new(path).unwrap();
    let page = [1; 4096];
    for _ in 0..bytes / 4096 {
        file.write_all(&page).unwrap();
    }
    file.sync_all().unwrap();
}

fn free_bytes(folder: &Path) -> u64 {
    let stat = rustix::fs::statvfs(folder).unwrap();
    stat.f_bavail * stat.f_frsize
}

/// What is in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
