//! Models of the event.

use loom::sync::atomic::AtomicU32;

use super::{Soon, World, explore, explore_each_death};
use crate::raw::environment::{Failure, Limit};
use crate::raw::event::{Reset, is_set, reset, set, wait};

#[test]
fn loom_event_manual_wakes_all() {
    explore("event, manual, 2 waiters", Some(3), |_| {
        let world = World::new(true, AtomicU32::new(0));
        let waiters = [1, 2].map(|record| {
            world.spawn(record, None, |here, word| {
                wait(here.bare(), word, Reset::Manual, Limit::Never).unwrap();
            })
        });
        world.run(0, None, |here, word| set(here.bare(), word, Reset::Manual));
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(is_set(world.shared()) && reset(world.shared()));
    });
}

#[test]
fn loom_event_automatic_wakes_one_each() {
    explore("event, automatic, 2 who take turns", Some(2), |_| {
        let world = World::new(true, [AtomicU32::new(0), AtomicU32::new(0)]);
        let other = world.spawn(1, None, |here, [ping, pong]| {
            for _ in 0..2 {
                wait(here.bare(), ping, Reset::Automatic, Limit::Never).unwrap();
                set(here.bare(), pong, Reset::Automatic);
            }
        });
        world.run(0, None, |here, [ping, pong]| {
            for _ in 0..2 {
                set(here.bare(), ping, Reset::Automatic);
                wait(here.bare(), pong, Reset::Automatic, Limit::Never).unwrap();
            }
        });
        other.join().unwrap();
        let [ping, pong] = world.shared();
        assert!(!is_set(ping) && !is_set(pong));
    });
    explore("event, automatic, 2 waiters", Some(2), |_| {
        let world = World::new(true, [AtomicU32::new(0), AtomicU32::new(0)]);
        let waiters = [1, 2].map(|record| {
            world.spawn(record, None, |here, [job, done]| {
                wait(here.bare(), job, Reset::Automatic, Limit::Never).unwrap();
                set(here.bare(), done, Reset::Automatic);
            })
        });
        world.run(0, None, |here, [job, done]| {
            for _ in 0..2 {
                set(here.bare(), job, Reset::Automatic);
                wait(here.bare(), done, Reset::Automatic, Limit::Never).unwrap();
            }
        });
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn loom_event_deaths() {
    explore_each_death("event, automatic, 1 of 2 waiters dies", Some(2), |fate| {
        let world = World::new(true, AtomicU32::new(0));
        let doomed = world.spawn(1, Some(fate), |here, word| {
            wait(here.bare(), word, Reset::Automatic, Limit::Never).unwrap();
        });
        let other = world.spawn(2, None, |here, word| {
            wait(here.bare(), word, Reset::Automatic, Limit::Never).unwrap();
        });
        world.run(0, None, |here, word| {
            set(here.bare(), word, Reset::Automatic)
        });
        // The dead may have taken it, and so may the other.
        while is_set(world.shared()) {
            loom::thread::yield_now();
        }
        world.run(0, None, |here, word| {
            set(here.bare(), word, Reset::Automatic)
        });
        doomed.join().unwrap();
        other.join().unwrap();
    });
    explore_each_death("event, manual, who sets it dies", Some(3), |fate| {
        let world = World::new(true, AtomicU32::new(0));
        let doomed = world.spawn(1, Some(fate), |here, word| {
            set(here.bare(), word, Reset::Manual);
        });
        world.run(0, None, |here, word| {
            wait(here.bare(), word, Reset::Manual, Limit::Never).unwrap();
        });
        doomed.join().unwrap();
    });
}

#[test]
fn loom_event_deadlines() {
    explore("event, a waiter with a deadline", None, |_| {
        let world = World::new(true, AtomicU32::new(0));
        let hasty = world.spawn(1, None, |here, word| {
            let waited = wait(here.bare(), word, Reset::Automatic, Limit::Until(Soon));
            if let Err(failure) = waited {
                assert_eq!(failure, Failure::TimedOut);
                // Nobody else waits for it: it is there, or will be.
                wait(here.bare(), word, Reset::Automatic, Limit::Never).unwrap();
            }
        });
        world.run(0, None, |here, word| {
            set(here.bare(), word, Reset::Automatic)
        });
        hasty.join().unwrap();
        assert!(!is_set(world.shared()));
    });
}
