//! The algorithm of `hazard` under loom, which tries every order of the threads' steps
//! that the memory model allows.
//!
//! With a fence on both sides. `membarrier(2)` stands in for such a pair, and there is no
//! model of the kernel to try it in.
#![cfg(target_pointer_width = "64")]
#![expect(clippy::indexing_slicing, reason = "a test ends at the first surprise")]
#![expect(
    dead_code,
    reason = "the kernel's half of the barrier is not tried here"
)]

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicPtr, Ordering, fence};

    pub(crate) fn compiler_fence(_: Ordering) {}
}

#[path = "../src/hazard/barrier.rs"]
mod barrier;
#[path = "../src/hazard/record.rs"]
mod record;

use std::ptr;

use atomic::{AtomicPtr, Ordering};
use barrier::Barrier;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;
use record::Record;

const ALIVE: usize = 1;
const FREED: usize = 2;

/// Two values, which are never really freed: what a reader sees in them tells.
struct World {
    values: [AtomicUsize; 2],
    current: AtomicPtr<AtomicUsize>,
    records: [Record; 2],
}

impl World {
    fn new() -> Arc<Self> {
        let world = Arc::new(Self {
            values: [AtomicUsize::new(ALIVE), AtomicUsize::new(0)],
            current: AtomicPtr::new(ptr::null_mut()),
            records: [Record::new(), Record::new()],
        });
        world
            .current
            .store(world.address(0).cast_mut(), Ordering::Release);
        world
    }

    fn address(&self, value: usize) -> *const AtomicUsize {
        &raw const self.values[value]
    }

    fn read(&self, record: usize) {
        let Some(protected) = self.records[record].protect(&self.current, Barrier::Symmetric)
        else {
            return;
        };
        let value = if protected.as_ptr() == self.address(0) {
            &self.values[0]
        } else {
            &self.values[1]
        };
        assert_eq!(value.load(Ordering::Relaxed), ALIVE);
    }

    /// What `Cursor::remove` does once it holds the lock.
    fn free(&self, value: usize) -> bool {
        if self.current.load(Ordering::Relaxed).cast_const() == self.address(value) {
            self.current.store(ptr::null_mut(), Ordering::Relaxed);
        }
        if !Barrier::Symmetric.heavy()
            || self
                .records
                .iter()
                .any(|record| record.protects(self.address(value)))
        {
            return false;
        }
        self.values[value].store(FREED, Ordering::Relaxed);
        true
    }
}

#[test]
fn a_reader_never_sees_what_was_freed() {
    loom::model(|| {
        let world = World::new();
        let reader = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.read(0);
                world.read(0);
            })
        };
        // The second value takes the place of the first, which is freed.
        world.values[1].store(ALIVE, Ordering::Relaxed);
        world
            .current
            .store(world.address(1).cast_mut(), Ordering::Release);
        world.free(0);
        reader.join().unwrap();
        assert!(world.free(0), "nobody reads it any more");
    });
}

#[test]
fn two_readers_and_a_current_value_that_is_freed() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = World::new();
        let readers = [0, 1].map(|record| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.read(record))
        });
        world.free(0);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn a_place_that_is_used_again_is_protected_again() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = World::new();
        let reader = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.read(0);
                world.read(0);
            })
        };
        if world.free(0) {
            // Another value at the same address.
            world.values[0].store(ALIVE, Ordering::Relaxed);
            world
                .current
                .store(world.address(0).cast_mut(), Ordering::Release);
            world.free(0);
        }
        reader.join().unwrap();
    });
}
