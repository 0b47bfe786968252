//! Models of the semaphore.

use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::{AtomicU32, AtomicU64};

use super::{Here, Soon, World, explore, explore_each_death};
use crate::raw::environment::{Failure, Identity as _, Limit};
use crate::raw::semaphore::{Words, acquire, release};

struct Permits<const COUNT: usize> {
    gate: AtomicU32,
    permits: [AtomicU64; COUNT],
    /// Who has each, as the holders themselves write it down.
    held: [AtomicU32; COUNT],
}

impl<const COUNT: usize> Words for Permits<COUNT> {
    fn gate(&self) -> &AtomicU32 {
        &self.gate
    }

    fn count(&self) -> u32 {
        u32::try_from(COUNT).unwrap()
    }

    fn permit(&self, index: u32) -> Option<&AtomicU64> {
        self.permits.get(index as usize)
    }
}

impl<const COUNT: usize> Permits<COUNT> {
    fn new() -> Self {
        Self {
            gate: AtomicU32::new(0),
            permits: std::array::from_fn(|_| AtomicU64::new(0)),
            held: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    fn pass(&self, here: &Here<'_>) {
        let index = acquire(here.bare(), self, Limit::Never).unwrap();
        self.hold(here, index);
    }

    fn hold(&self, here: &Here<'_>, index: u32) {
        let env = here.bare();
        let held = &self.held[index as usize];
        held.store(env.tid(), Relaxed);
        env.reached("holding");
        assert_eq!(
            held.load(Relaxed),
            env.tid(),
            "somebody else has the permit"
        );
        release(env, self, self.permit(index).unwrap());
    }
}

#[test]
fn loom_semaphore_one_permit() {
    explore(
        "semaphore, 1 permit, 2 processes that take it twice",
        Some(4),
        |_| {
            let world = World::new(true, Permits::<1>::new());
            let other = world.spawn(1, None, |here, it| {
                it.pass(here);
                it.pass(here);
            });
            world.run(0, None, |here, it| {
                it.pass(here);
                it.pass(here);
            });
            other.join().unwrap();
        },
    );
}

#[test]
fn loom_semaphore_three_processes() {
    explore("semaphore, 1 permit, 3 processes", Some(2), |_| {
        let world = World::new(true, Permits::<1>::new());
        let one = world.spawn(1, None, |here, it| it.pass(here));
        let two = world.spawn(2, None, |here, it| it.pass(here));
        world.run(0, None, |here, it| it.pass(here));
        one.join().unwrap();
        two.join().unwrap();
    });
    explore("semaphore, 2 permits, 3 processes", Some(2), |_| {
        let world = World::new(true, Permits::<2>::new());
        let one = world.spawn(1, None, |here, it| it.pass(here));
        let two = world.spawn(2, None, |here, it| it.pass(here));
        world.run(0, None, |here, it| it.pass(here));
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn loom_semaphore_permits_that_are_kept() {
    explore(
        "semaphore, 2 permits given back to 2 that keep them",
        Some(2),
        |_| {
            let world = World::new(true, Permits::<2>::new());
            world.run(0, None, |here, it| {
                let given = [(); 2].map(|()| acquire(here.bare(), it, Limit::Never).unwrap());
                assert_ne!(given[0], given[1]);
            });
            let keepers = [1, 2].map(|record| {
                world.spawn(record, None, |here, it| {
                    acquire(here.bare(), it, Limit::Never).unwrap();
                })
            });
            world.run(0, None, |here, it| {
                release(here.bare(), it, it.permit(0).unwrap());
                release(here.bare(), it, it.permit(1).unwrap());
            });
            // Nobody who keeps a permit wakes anybody any more.
            for keeper in keepers {
                keeper.join().unwrap();
            }
        },
    );
}

#[test]
fn loom_semaphore_deaths() {
    explore_each_death("semaphore, a holder or waiter dies", Some(4), |fate| {
        let world = World::new(true, Permits::<1>::new());
        let doomed = world.spawn(1, Some(fate), |here, it| it.pass(here));
        world.run(0, None, |here, it| it.pass(here));
        doomed.join().unwrap();
        world.run(2, None, |here, it| it.pass(here));
    });
    explore_each_death("semaphore, 1 of 3 dies", Some(2), |fate| {
        let world = World::new(true, Permits::<1>::new());
        let doomed = world.spawn(1, Some(fate), |here, it| it.pass(here));
        let other = world.spawn(2, None, |here, it| it.pass(here));
        world.run(0, None, |here, it| it.pass(here));
        doomed.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn loom_semaphore_attempts_and_deadlines() {
    explore("semaphore, attempts and deadlines", Some(3), |_| {
        let world = World::new(true, Permits::<1>::new());
        let hasty = world.spawn(1, None, |here, it| {
            match acquire(here.bare(), it, Limit::Try) {
                Ok(index) => it.hold(here, index),
                Err(failure) => assert_eq!(failure, Failure::WouldBlock),
            }
            match acquire(here.bare(), it, Limit::Until(Soon)) {
                Ok(index) => it.hold(here, index),
                Err(failure) => assert_eq!(failure, Failure::TimedOut),
            }
        });
        let other = world.spawn(2, None, |here, it| it.pass(here));
        world.run(0, None, |here, it| it.pass(here));
        hasty.join().unwrap();
        other.join().unwrap();
    });
}
