//! Regions that become longer while they are open.

use std::path::Path;

use folio_ipc::{Data, Error, Region};

use crate::Test;
use crate::child::{Child, hear, say};
use crate::sample::{Sample, assert_tidy, small};

pub(crate) const TESTS: &[Test] = &[
    ("others_see_what_grew", others_see_what_grew),
    ("objects_make_room", objects_make_room),
    ("no_further_than_the_capacity", no_further_than_the_capacity),
    ("many_grow_at_a_time", many_grow_at_a_time),
];

type Page = Data<[u64; 512]>;

/// Says what it sees of each object that it is told, all through one handle of the region.
pub(crate) fn follow(path: &Path) {
    let region = Region::open(path).unwrap();
    say("ready");
    loop {
        let name = hear();
        if name.is_empty() {
            return;
        }
        let page = region.open_object::<Page>(&name).unwrap().get().unwrap();
        say(&format!("{} {}", page[0], region.size_bytes().unwrap()));
    }
}

fn others_see_what_grew() {
    let sample = Sample::new();
    let region = &sample.region;
    let mut child = Child::start("follow growth", &sample.path);
    assert_eq!(child.line(), "ready");
    for number in 0..60 {
        let name = format!("page {number}");
        let page = region.object::<Page>(&name).unwrap();
        page.set(&[number; 512]).unwrap();
        child.tell(&name);
        assert_eq!(
            child.line(),
            format!("{number} {}", region.size_bytes().unwrap())
        );
    }
    assert!(region.size_bytes().unwrap() > 60 * 4096);
    region.grow(2 << 20).unwrap();
    child.tell("page 0");
    assert_eq!(child.line(), format!("0 {}", 2 << 20));
    child.finish();
    assert_tidy(region);
}

fn objects_make_room() {
    let sample = Sample::of(&small().size_bytes(64 << 10));
    let region = &sample.region;
    let large = region.object::<Data<[u8; 300_000]>>("large").unwrap();
    let mut value: Box<[u8; 300_000]> = vec![1; 300_000].try_into().unwrap();
    large.read_into(&mut value).unwrap();
    assert!(value.iter().all(|byte| *byte == 0));
    assert!(region.size_bytes().unwrap() > 300_000);
    assert_tidy(region);
}

fn no_further_than_the_capacity() {
    let sample = Sample::new();
    let region = &sample.region;
    for size in [(4 << 20) + 1, 1 << 40, u64::MAX] {
        assert!(matches!(region.grow(size), Err(Error::NoRoom { .. })));
    }
    region.grow(0).unwrap();
    region.grow(3).unwrap();
    assert_eq!(region.size_bytes().unwrap(), 128 << 10);
    let names = (0..).map(|number| format!("page {number}"));
    let full = names
        .take(64)
        .find_map(|name| region.object::<Data<[u64; 16384]>>(&name).err());
    let full = full.unwrap();
    assert!(matches!(full, Error::NoRoom { .. }), "{full}");
    assert!(region.size_bytes().unwrap() <= 4 << 20);
    let before = assert_tidy(region);
    assert!(matches!(
        region.object::<Data<[u8; 200_000]>>("x"),
        Err(Error::NoRoom { .. })
    ));
    assert_eq!(assert_tidy(region), before);
    // What was removed makes room.
    assert!(region.remove("page 0").unwrap());
    region.object::<Data<[u64; 16384]>>("another").unwrap();
}

fn many_grow_at_a_time() {
    let sample = Sample::new();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let path = &sample.path;
            scope.spawn(move || {
                let region = Region::open(path).unwrap();
                for round in 0..100 {
                    region
                        .grow((128 << 10) + round * 8192 + thread * 4096)
                        .unwrap();
                    assert!(
                        region.size_bytes().unwrap() >= (128 << 10) + round * 8192 + thread * 4096
                    );
                }
            });
        }
    });
    let info = assert_tidy(&sample.region);
    assert_eq!(info.free_blocks, 1);
}
