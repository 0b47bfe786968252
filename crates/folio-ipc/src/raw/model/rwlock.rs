//! Models of the lock for readers and writers.

use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::AtomicU32;

use super::{Fate, Here, Robust, Soon, World, explore, explore_each_death};
use crate::raw::environment::{Condition, Failure, Identity as _, Limit};
use crate::raw::mutex;
use crate::raw::rwlock::{Words, end_read, read, write};

/// Two words that are equal whenever nobody writes.
struct Guarded {
    robust: Robust,
    used: AtomicU32,
    readers: [AtomicU32; 4],
    one: AtomicU32,
    two: AtomicU32,
}

impl Words for Guarded {
    fn writers(&self) -> mutex::Words<'_> {
        self.robust.words()
    }

    fn used(&self) -> &AtomicU32 {
        &self.used
    }

    fn reader(&self, record: u32) -> Option<&AtomicU32> {
        self.readers.get(record as usize)
    }
}

impl Guarded {
    fn new() -> Self {
        Self {
            robust: Robust::new(),
            used: AtomicU32::new(0),
            readers: std::array::from_fn(|_| AtomicU32::new(0)),
            one: AtomicU32::new(0),
            two: AtomicU32::new(0),
        }
    }

    fn read(&self, here: &Here<'_>) {
        let env = here.at(&self.robust);
        let condition = read(env, self, Limit::Never).unwrap();
        self.look(here, condition);
    }

    fn look(&self, here: &Here<'_>, condition: Condition) {
        let env = here.at(&self.robust);
        let one = self.one.load(Relaxed);
        env.reached("reading");
        if condition == Condition::Sound {
            assert_eq!(one, self.two.load(Relaxed), "somebody writes");
        }
        end_read(env, self);
    }

    fn write(&self, here: &Here<'_>) {
        let env = here.at(&self.robust);
        let condition = write(env, self, Limit::Never).unwrap();
        self.count(here, condition);
    }

    fn count(&self, here: &Here<'_>, condition: Condition) {
        let env = here.at(&self.robust);
        if condition == Condition::Inconsistent {
            self.two.store(self.one.load(Relaxed), Relaxed);
            self.robust.words().repaired();
        }
        let value = self.one.load(Relaxed);
        assert_eq!(value, self.two.load(Relaxed), "somebody else writes");
        self.one.store(value + 1, Relaxed);
        env.reached("writing");
        self.two.store(value + 1, Relaxed);
        mutex::unlock(env, self.writers());
    }
}

#[test]
fn loom_rwlock_reader_and_writer() {
    explore("rwlock, a reader and a writer", Some(4), |_| {
        let world = World::new(true, Guarded::new());
        let reader = world.spawn(1, None, |here, it| {
            it.read(here);
            it.read(here);
        });
        world.run(0, None, |here, it| it.write(here));
        reader.join().unwrap();
        assert_eq!(world.shared().two.load(Relaxed), 1);
    });
}

#[test]
fn loom_rwlock_two_readers_and_a_writer() {
    explore("rwlock, 2 readers and a writer", Some(2), |_| {
        let world = World::new(true, Guarded::new());
        let one = world.spawn(1, None, |here, it| it.read(here));
        let two = world.spawn(2, None, |here, it| it.read(here));
        world.run(0, None, |here, it| it.write(here));
        one.join().unwrap();
        two.join().unwrap();
    });
}

fn reader_dies(recovers: bool, fate: Fate) {
    let world = World::new(recovers, Guarded::new());
    let doomed = world.spawn(1, Some(fate), |here, it| it.read(here));
    world.run(0, None, |here, it| it.write(here));
    doomed.join().unwrap();
    world.run(2, None, |here, it| it.write(here));
    world.run(3, None, |here, it| it.read(here));
    assert_eq!(world.shared().two.load(Relaxed), 2);
}

fn writer_dies(recovers: bool, fate: Fate) {
    let world = World::new(recovers, Guarded::new());
    let doomed = world.spawn(1, Some(fate), |here, it| it.write(here));
    world.run(0, None, |here, it| {
        it.read(here);
        it.write(here);
    });
    doomed.join().unwrap();
    world.run(2, None, |here, it| it.read(here));
    assert!((1..=2).contains(&world.shared().two.load(Relaxed)));
}

#[test]
fn loom_rwlock_deaths() {
    explore_each_death("rwlock, a reader dies, kernel recovers", Some(3), |fate| {
        reader_dies(true, fate);
    });
    explore_each_death("rwlock, a reader dies, others find out", Some(3), |fate| {
        reader_dies(false, fate);
    });
    explore_each_death("rwlock, a writer dies, kernel recovers", Some(3), |fate| {
        writer_dies(true, fate);
    });
    explore_each_death("rwlock, a writer dies, others find out", Some(3), |fate| {
        writer_dies(false, fate);
    });
}

#[test]
fn loom_rwlock_attempts_and_deadlines() {
    explore("rwlock, attempts and deadlines", Some(3), |_| {
        let world = World::new(true, Guarded::new());
        let reader = world.spawn(1, None, |here, it| {
            let env = here.at(&it.robust);
            match read(env, it, Limit::Try) {
                Ok(condition) => it.look(here, condition),
                Err(failure) => assert_eq!(failure, Failure::WouldBlock),
            }
            match read(env, it, Limit::Until(Soon)) {
                Ok(condition) => it.look(here, condition),
                Err(failure) => assert_eq!(failure, Failure::TimedOut),
            }
        });
        world.run(0, None, |here, it| {
            let env = here.at(&it.robust);
            match write(env, it, Limit::Until(Soon)) {
                Ok(condition) => it.count(here, condition),
                Err(failure) => assert_eq!(failure, Failure::TimedOut),
            }
        });
        reader.join().unwrap();
        world.run(0, None, |here, it| {
            let env = here.at(&it.robust);
            let condition = write(env, it, Limit::Try).expect("nobody has it");
            assert_eq!(write(env, it, Limit::Never), Err(Failure::Deadlock));
            assert_eq!(read(env, it, Limit::Never), Err(Failure::Deadlock));
            it.count(here, condition);
        });
    });
}
