//! Blocks of a region's memory, and objects that have some.

use std::thread;

use folio_ipc::{Data, Error, Pointer, Region};

use crate::Test;
use crate::sample::{Sample, assert_nothing_but, assert_tidy};

pub(crate) const TESTS: &[Test] = &[
    ("a_process_has_a_block", a_process_has_a_block),
    ("an_object_has_blocks", an_object_has_blocks),
    ("pointers_that_lead_elsewhere", pointers_that_lead_elsewhere),
    ("any_order_of_sizes", any_order_of_sizes),
    ("blocks_of_many_threads", blocks_of_many_threads),
];

fn a_process_has_a_block() {
    let sample = Sample::new();
    let region = &sample.region;
    let before = assert_tidy(region);
    let block = region.allocate(1000).unwrap();
    assert_eq!(
        (block.len_bytes(), region.check().unwrap().owned_blocks),
        (1000, 1)
    );
    block.write(990, &[7; 10]).unwrap();
    assert!(block.write(990, &[7; 11]).is_err());
    assert!(block.write(u64::MAX, &[7; 11]).is_err());
    let mut bytes = [1; 1000];
    block.read(0, &mut bytes).unwrap();
    assert!(bytes[..990] == [0; 990] && bytes[990..] == [7; 10]);
    assert!(block.read(1, &mut bytes).is_err());
    // It stays while others clean up.
    region.repair().unwrap();
    Region::open(&sample.path).unwrap().repair().unwrap();
    assert_eq!(region.check().unwrap().owned_blocks, 1);
    drop(block);
    assert_eq!(assert_tidy(region), before);
    for size in [1 << 30, u64::MAX - 100, u64::MAX] {
        assert!(matches!(region.allocate(size), Err(Error::NoRoom { .. })));
    }
    assert_eq!(region.allocate(0).unwrap().len_bytes(), 0);
    assert_eq!(assert_tidy(region), before);
}

fn an_object_has_blocks() {
    let sample = Sample::new();
    let region = &sample.region;
    let list = region.object::<Data<[Pointer; 10]>>("list").unwrap();
    let _other = region.object::<Data<u8>>("other").unwrap();
    let mut pointers = [Pointer::NULL; 10];
    for (number, pointer) in (0..).zip(&mut pointers) {
        let block = region.allocate(100 + u64::from(number)).unwrap();
        block.write(0, &[number; 100]).unwrap();
        assert!(pointer.is_null());
        *pointer = list.adopt(block).unwrap();
    }
    list.set(&pointers).unwrap();
    assert_eq!(region.check().unwrap().object_blocks, 12);

    let reader = Region::open(&sample.path).unwrap();
    let same = reader.open_object::<Data<[Pointer; 10]>>("list").unwrap();
    for (number, pointer) in (0..).zip(same.get().unwrap()) {
        let mut bytes = [0; 100];
        same.read_block(pointer, 0, &mut bytes).unwrap();
        assert_eq!(bytes, [number; 100]);
        same.write_block(pointer, 99 + u64::from(number), &[9])
            .unwrap();
        assert!(
            same.write_block(pointer, 100 + u64::from(number), &[9])
                .is_err()
        );
    }
    // From the front, the middle and the end of the list.
    for index in [9, 4, 5, 0] {
        same.free_block(pointers[index]).unwrap();
        reader.check().unwrap();
        assert!(same.read_block(pointers[index], 0, &mut [0; 1]).is_err());
        assert!(same.free_block(pointers[index]).is_err());
    }
    assert_eq!(assert_tidy(region).object_blocks, 8);
    assert!(region.remove("list").unwrap());
    assert_eq!(assert_tidy(region).object_blocks, 8);
    list.read_block(pointers[1], 0, &mut [0; 100]).unwrap();
    drop((list, same));
    assert_nothing_but(region, "other");
}

fn pointers_that_lead_elsewhere() {
    let sample = Sample::new();
    let region = &sample.region;
    let one = region.object::<Data<Pointer>>("one").unwrap();
    let two = region.object::<Data<u64>>("two").unwrap();
    let other_region = crate::sample::small().anonymous().unwrap();
    assert!(one.adopt(other_region.allocate(5).unwrap()).is_err());
    let pointer = one.adopt(region.allocate(100).unwrap()).unwrap();
    assert!(two.read_block(pointer, 0, &mut [0; 1]).is_err());
    assert!(two.free_block(pointer).is_err());
    // Whatever stands in a pointer. (It is plain data: the other object's type could be a number.)
    region.remove("two").unwrap();
    drop(two);
    let number = region.object::<Data<u64>>("two").unwrap();
    for at in (0..64 << 10)
        .step_by(8)
        .chain([1, u64::MAX, u64::MAX - 63, 1 << 40])
    {
        number.set(&at).unwrap();
        let wrong: Pointer = zerocopy::transmute!(at);
        let reads = one.read_block(wrong, 0, &mut [0; 100]).is_ok();
        assert_eq!(reads, wrong == pointer);
        if !reads {
            assert!(one.free_block(wrong).is_err());
        }
    }
    assert_tidy(region);
}

fn any_order_of_sizes() {
    let sample = Sample::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut blocks = Vec::new();
    for round in 0..3000 {
        if random(2) == 0 || blocks.is_empty() {
            let most = [100, 1000, 30_000][usize::try_from(random(3)).unwrap()];
            let len = random(most);
            let Ok(block) = sample.region.allocate(len) else {
                blocks.clear();
                continue;
            };
            let mark = [u8::try_from(round % 251).unwrap(); 1];
            if len > 0 {
                block.write(len - 1, &mark).unwrap();
            }
            blocks.push((block, mark));
        } else {
            let index = usize::try_from(random(blocks.len() as u64)).unwrap();
            let (block, mark) = blocks.swap_remove(index);
            let mut found = [0; 1];
            if block.len_bytes() > 0 {
                block.read(block.len_bytes() - 1, &mut found).unwrap();
                assert_eq!(found, mark);
            }
        }
        if round % 50 == 0 {
            let info = sample.region.check().unwrap();
            assert_eq!(info.owned_blocks, blocks.len() as u64);
        }
    }
    drop(blocks);
    assert_eq!(assert_tidy(&sample.region).free_blocks, 1);
}

fn blocks_of_many_threads() {
    let sample = Sample::new();
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            let region = &sample.region;
            scope.spawn(move || {
                for round in 0..500_u64 {
                    let block = region.allocate(round % 300 + 1).unwrap();
                    block.write(0, &[thread]).unwrap();
                    let mut found = [99];
                    block.read(0, &mut found).unwrap();
                    assert_eq!(found, [thread]);
                }
            });
        }
    });
    assert_eq!(assert_tidy(&sample.region).free_blocks, 1);
}
