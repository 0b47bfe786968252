//! Models of the barrier.

use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::{AtomicU32, AtomicU64};

use super::{Here, Robust, Soon, World, explore, explore_each_death};
use crate::raw::barrier::{Met, Words, is_broken, reset, wait};
use crate::raw::environment::{Failure, Limit};
use crate::raw::mutex;

struct Places<const COUNT: usize> {
    robust: Robust,
    generation: AtomicU32,
    places: [(AtomicU64, AtomicU32); COUNT],
    leaders: AtomicU32,
}

impl<const COUNT: usize> Words for Places<COUNT> {
    fn lock(&self) -> mutex::Words<'_> {
        self.robust.words()
    }

    fn generation(&self) -> &AtomicU32 {
        &self.generation
    }

    fn parties(&self) -> u32 {
        u32::try_from(COUNT).unwrap()
    }

    fn place(&self, index: u32) -> Option<(&AtomicU64, &AtomicU32)> {
        let (holder, arrived) = self.places.get(index as usize)?;
        Some((holder, arrived))
    }
}

impl<const COUNT: usize> Places<COUNT> {
    fn new() -> Self {
        Self {
            robust: Robust::new(),
            generation: AtomicU32::new(0),
            places: std::array::from_fn(|_| (AtomicU64::new(0), AtomicU32::new(0))),
            leaders: AtomicU32::new(0),
        }
    }

    fn meet(&self, here: &Here<'_>, limit: Limit<Soon>) -> Result<(), Failure> {
        let met = wait(here.at(&self.robust), self, limit)?;
        if met == Met::Leader {
            self.leaders.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

#[test]
fn loom_barrier_two_meet_twice() {
    explore("barrier, 2 that meet twice", Some(3), |_| {
        let world = World::new(true, Places::<2>::new());
        let other = world.spawn(1, None, |here, it| {
            it.meet(here, Limit::Never).unwrap();
            it.meet(here, Limit::Never).unwrap();
        });
        world.run(0, None, |here, it| {
            it.meet(here, Limit::Never).unwrap();
            it.meet(here, Limit::Never).unwrap();
        });
        other.join().unwrap();
        assert_eq!(world.shared().leaders.load(Relaxed), 2);
    });
}

#[test]
fn loom_barrier_breaks_when_one_dies() {
    explore_each_death("barrier, 1 of 2 dies", Some(3), |fate| {
        let world = World::new(true, Places::<2>::new());
        let doomed = world.spawn(1, Some(fate), |here, it| {
            _ = it.meet(here, Limit::Until(Soon));
            // Whatever came of it, that was its life.
            here.end();
        });
        world.run(0, None, |here, it| {
            let is_other = |(holder, _): &(AtomicU64, AtomicU32)| holder.load(Relaxed) != 0;
            if it.places.iter().any(is_other) {
                let met = it.meet(here, Limit::Never);
                assert!(matches!(met, Ok(()) | Err(Failure::Broken)), "{met:?}");
            } else {
                // It may have died before it came: then nobody knows of it.
                _ = it.meet(here, Limit::Until(Soon));
            }
        });
        doomed.join().unwrap();
        world.run(2, None, |here, it| {
            reset(here.at(&it.robust), it).unwrap();
            assert!(!is_broken(it));
        });
    });
}

#[test]
fn loom_barrier_waits_end() {
    explore("barrier, 1 of 2 with a deadline", Some(3), |_| {
        let world = World::new(true, Places::<2>::new());
        let hasty = world.spawn(1, None, |here, it| {
            match it.meet(here, Limit::Until(Soon)) {
                Ok(()) => {}
                Err(failure) => {
                    assert_eq!(failure, Failure::TimedOut);
                    it.meet(here, Limit::Never).unwrap();
                }
            }
        });
        world.run(0, None, |here, it| it.meet(here, Limit::Never).unwrap());
        hasty.join().unwrap();
        assert_eq!(world.shared().leaders.load(Relaxed), 1);
    });
}
