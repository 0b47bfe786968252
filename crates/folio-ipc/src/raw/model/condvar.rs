//! Models of the condition variable.

use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::AtomicU32;

use super::{Fate, Here, Robust, World, explore, explore_each_death};
use crate::raw::condvar::{Words, arrive, notify, sleep};
use crate::raw::environment::{Identity as _, Limit};
use crate::raw::mutex::{lock, unlock};

/// Jobs, which a mutex protects.
struct Queue {
    mutex: Robust,
    jobs: AtomicU32,
    sequence: AtomicU32,
    arrivals: AtomicU32,
    gone: AtomicU32,
}

impl Queue {
    fn new() -> Self {
        Self {
            mutex: Robust::new(),
            jobs: AtomicU32::new(0),
            sequence: AtomicU32::new(0),
            arrivals: AtomicU32::new(0),
            gone: AtomicU32::new(0),
        }
    }

    fn words(&self) -> Words<'_> {
        Words {
            sequence: &self.sequence,
            arrivals: &self.arrivals,
            gone: &self.gone,
        }
    }

    fn take(&self, here: &Here<'_>) {
        let env = here.at(&self.mutex);
        loop {
            _ = lock(env, self.mutex.words(), Limit::Never).unwrap();
            let jobs = self.jobs.load(Relaxed);
            if jobs > 0 {
                self.jobs.store(jobs - 1, Relaxed);
                unlock(env, self.mutex.words());
                return;
            }
            let ticket = arrive(here.bare(), self.words());
            unlock(env, self.mutex.words());
            sleep(here.bare(), self.words(), ticket, Limit::Never);
        }
    }

    fn give(&self, here: &Here<'_>, jobs: u32, count: u32) {
        let env = here.at(&self.mutex);
        _ = lock(env, self.mutex.words(), Limit::Never).unwrap();
        self.jobs.store(self.jobs.load(Relaxed) + jobs, Relaxed);
        unlock(env, self.mutex.words());
        env.reached("given");
        notify(here.bare(), self.words(), count);
    }
}

#[test]
fn loom_condvar_one_for_each() {
    explore("condvar, a waiter and 2 notifications", Some(3), |_| {
        let world = World::new(true, Queue::new());
        let waiter = world.spawn(1, None, |here, queue| {
            queue.take(here);
            queue.take(here);
        });
        world.run(0, None, |here, queue| {
            queue.give(here, 1, 1);
            queue.give(here, 1, 1);
        });
        waiter.join().unwrap();
    });
}

#[test]
fn loom_condvar_all_at_once() {
    explore(
        "condvar, 2 waiters and a notification of all",
        Some(2),
        |_| {
            let world = World::new(true, Queue::new());
            let one = world.spawn(1, None, |here, queue| queue.take(here));
            let two = world.spawn(2, None, |here, queue| queue.take(here));
            world.run(0, None, |here, queue| queue.give(here, 2, u32::MAX));
            one.join().unwrap();
            two.join().unwrap();
        },
    );
}

fn waiter_dies(fate: Fate) {
    let world = World::new(true, Queue::new());
    let doomed = world.spawn(1, Some(fate), |here, queue| queue.take(here));
    let other = world.spawn(2, None, |here, queue| queue.take(here));
    // One for each: the dead may have had its job, or have left it.
    world.run(0, None, |here, queue| {
        queue.give(here, 1, 1);
        queue.give(here, 1, 1);
    });
    doomed.join().unwrap();
    other.join().unwrap();
}

#[test]
fn loom_condvar_deaths() {
    explore_each_death("condvar, 1 of 2 waiters dies", Some(2), waiter_dies);
    explore_each_death("condvar, who notifies dies", Some(2), |fate| {
        let world = World::new(true, Queue::new());
        let doomed = world.spawn(1, Some(fate), |here, queue| queue.give(here, 1, 1));
        let waiter = world.spawn(2, None, |here, queue| queue.take(here));
        doomed.join().unwrap();
        world.run(0, None, |here, queue| queue.give(here, 1, 1));
        waiter.join().unwrap();
    });
}
