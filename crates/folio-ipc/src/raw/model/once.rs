//! Models of what is done once.

use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::AtomicU32;

use super::{Fate, Here, Robust, World, explore, explore_each_death};
use crate::raw::environment::{Failure, Identity as _, Limit};
use crate::raw::once::{Turn, Words, abandon, begin, end, is_done};

struct Made {
    robust: Robust,
    done: AtomicU32,
    value: AtomicU32,
    times: AtomicU32,
}

impl Made {
    fn new() -> Self {
        Self {
            robust: Robust::new(),
            done: AtomicU32::new(0),
            value: AtomicU32::new(0),
            times: AtomicU32::new(0),
        }
    }

    fn words(&self) -> Words<'_> {
        Words {
            doer: self.robust.words(),
            done: &self.done,
        }
    }

    fn make(&self, here: &Here<'_>) {
        let env = here.at(&self.robust);
        if let Turn::Mine { .. } = begin(env, self.words(), Limit::Never).unwrap() {
            self.value.store(0, Relaxed);
            env.reached("making");
            self.value.store(7, Relaxed);
            self.times.fetch_add(1, Relaxed);
            end(env, self.words());
        }
        assert!(is_done(self.words()));
        assert_eq!(self.value.load(Relaxed), 7);
    }
}

#[test]
fn loom_once_is_once() {
    explore("once, 3 processes", Some(3), |_| {
        let world = World::new(true, Made::new());
        let others = [1, 2].map(|record| world.spawn(record, None, |here, it| it.make(here)));
        world.run(0, None, |here, it| it.make(here));
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(world.shared().times.load(Relaxed), 1);
    });
}

fn doer_dies(recovers: bool, fate: Fate) {
    let world = World::new(recovers, Made::new());
    let doomed = world.spawn(1, Some(fate), |here, it| it.make(here));
    world.run(0, None, |here, it| it.make(here));
    doomed.join().unwrap();
    world.run(2, None, |here, it| it.make(here));
    assert!((1..=2).contains(&world.shared().times.load(Relaxed)));
}

#[test]
fn loom_once_deaths() {
    explore_each_death("once, 1 of 2 dies, kernel recovers", Some(4), |fate| {
        doer_dies(true, fate);
    });
    explore_each_death("once, 1 of 2 dies, others find out", Some(4), |fate| {
        doer_dies(false, fate);
    });
}

#[test]
fn loom_once_abandoned() {
    explore("once, abandoned", None, |_| {
        let world = World::new(true, Made::new());
        let other = world.spawn(1, None, |here, it| it.make(here));
        world.run(0, None, |here, it| {
            let env = here.at(&it.robust);
            match begin(env, it.words(), Limit::Try) {
                Ok(Turn::Mine { was_begun }) => {
                    assert!(!was_begun);
                    abandon(env, it.words());
                }
                Ok(Turn::Done) => {}
                Err(failure) => assert_eq!(failure, Failure::WouldBlock),
            }
        });
        other.join().unwrap();
        assert_eq!(world.shared().times.load(Relaxed), 1);
    });
}
