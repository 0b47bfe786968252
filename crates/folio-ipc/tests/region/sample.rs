//! Regions to test with.

use std::path::{Path, PathBuf};

use folio_ipc::{HeapInfo, Region, RegionOptions};
use tempfile::TempDir;

/// A folder with one region in it.
pub(crate) struct Sample {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) region: Region,
}

impl Sample {
    pub(crate) fn new() -> Self {
        Self::of(&small())
    }

    pub(crate) fn of(options: &RegionOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("region");
        let region = options.create(&path).unwrap();
        Self {
            folder,
            path,
            region,
        }
    }
}

/// A region of few participants and objects, so that it is small; it may grow.
pub(crate) fn small() -> RegionOptions {
    Region::options()
        .size_bytes(128 << 10)
        .capacity_bytes(4 << 20)
        .participants(8)
        .threads(32)
        .objects(64)
}

/// Asserts that nothing is left of those that died, and that blocks tile the heap.
#[track_caller]
pub(crate) fn assert_tidy(region: &Region) -> HeapInfo {
    region.repair().unwrap();
    let info = region.check().unwrap();
    assert_eq!(
        (info.orphaned_blocks, info.owned_blocks),
        (0, 0),
        "{info:?}"
    );
    assert_eq!(info.free_bytes + info.object_bytes, info.size_bytes);
    let inspection = region.inspect().unwrap();
    assert!(
        inspection
            .participants
            .iter()
            .all(|participant| participant.is_alive)
    );
    assert!(inspection.threads.iter().all(|thread| thread.is_alive));
    assert_eq!(info, inspection.heap);
    info
}

/// Removes all objects but one, and asserts that there is nothing else then.
#[track_caller]
pub(crate) fn assert_nothing_but(region: &Region, name: &str) {
    for object in region.objects().unwrap() {
        if object.name != name && !object.is_removed {
            assert!(region.remove(&object.name).unwrap());
        }
    }
    let info = assert_tidy(region);
    let names: Vec<_> = region
        .objects()
        .unwrap()
        .into_iter()
        .map(|object| object.name)
        .collect();
    assert_eq!(names, [name]);
    assert_eq!(info.object_blocks, 1);
    // What was free became one, before and behind that object.
    assert!(info.free_blocks <= 2, "{info:?}");
}

/// The names in a folder.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
