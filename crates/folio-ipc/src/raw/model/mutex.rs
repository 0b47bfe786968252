//! Models of the mutex.

use loom::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::{Fate, Here, Robust, Soon, World, explore, explore_each_death};
use crate::raw::environment::{Condition, Failure, Limit};
use crate::raw::mutex::{lock, unlock};

/// A mutex and two words that are equal whenever nobody has it.
struct Guarded {
    mutex: Robust,
    one: AtomicU32,
    two: AtomicU32,
}

impl Guarded {
    fn new() -> Self {
        Self {
            mutex: Robust::new(),
            one: AtomicU32::new(0),
            two: AtomicU32::new(0),
        }
    }

    /// Counts both words up, in two steps at each of which the process may die, and repairs
    /// them where its predecessor has died.
    fn count(&self, here: &Here<'_>) {
        let env = here.at(&self.mutex);
        let words = self.mutex.words();
        let condition = lock(env, words, Limit::Never).expect("nothing but waiting can happen");
        self.count_locked(here, condition);
    }

    fn count_locked(&self, here: &Here<'_>, condition: Condition) {
        use crate::raw::environment::Identity as _;

        let env = here.at(&self.mutex);
        let words = self.mutex.words();
        if condition == Condition::Inconsistent {
            self.two.store(self.one.load(Relaxed), Relaxed);
            words.repaired();
        }
        let value = self.one.load(Relaxed);
        assert_eq!(value, self.two.load(Relaxed), "somebody else was inside");
        self.one.store(value + 1, Relaxed);
        env.reached("inside");
        self.two.store(value + 1, Relaxed);
        unlock(env, words);
    }
}

#[test]
fn loom_mutex_two_processes() {
    explore("mutex, 2 processes that lock twice", Some(5), |_| {
        let world = World::new(true, Guarded::new());
        let other = world.spawn(1, None, |here, guarded| {
            guarded.count(here);
            guarded.count(here);
        });
        world.run(0, None, |here, guarded| {
            guarded.count(here);
            guarded.count(here);
        });
        other.join().unwrap();
        assert_eq!(world.shared().one.load(Relaxed), 4);
    });
}

#[test]
fn loom_mutex_three_processes() {
    explore("mutex, 3 processes", Some(3), |_| {
        let world = World::new(true, Guarded::new());
        let others = [1, 2].map(|record| world.spawn(record, None, |here, it| it.count(here)));
        world.run(0, None, |here, guarded| guarded.count(here));
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(world.shared().one.load(Relaxed), 3);
    });
}

fn survivors_go_on(recovers: bool, fate: Fate) {
    let world = World::new(recovers, Guarded::new());
    let doomed = world.spawn(1, Some(fate), |here, guarded| guarded.count(here));
    world.run(0, None, |here, guarded| {
        guarded.count(here);
        guarded.count(here);
    });
    doomed.join().unwrap();
    world.run(2, None, |here, guarded| guarded.count(here));
    assert!((3..=4).contains(&world.shared().one.load(Relaxed)));
}

#[test]
fn loom_mutex_deaths_that_the_kernel_tells_of() {
    explore_each_death("mutex, 1 of 2 dies, kernel recovers", Some(4), |fate| {
        survivors_go_on(true, fate);
    });
}

#[test]
fn loom_mutex_deaths_that_are_found_out() {
    explore_each_death("mutex, 1 of 2 dies, waiters find out", Some(4), |fate| {
        survivors_go_on(false, fate);
    });
}

fn three_with_a_death(recovers: bool, fate: Fate) {
    let world = World::new(recovers, Guarded::new());
    let doomed = world.spawn(1, Some(fate), |here, guarded| guarded.count(here));
    let other = world.spawn(2, None, |here, guarded| guarded.count(here));
    world.run(0, None, |here, guarded| guarded.count(here));
    doomed.join().unwrap();
    other.join().unwrap();
    assert!((2..=3).contains(&world.shared().one.load(Relaxed)));
}

#[test]
fn loom_mutex_one_of_three_dies() {
    explore_each_death("mutex, 1 of 3 dies, kernel recovers", Some(2), |fate| {
        three_with_a_death(true, fate);
    });
    explore_each_death("mutex, 1 of 3 dies, waiters find out", Some(2), |fate| {
        three_with_a_death(false, fate);
    });
}

#[test]
fn loom_mutex_waits_end() {
    explore("mutex, 1 of 3 with a deadline", Some(3), |_| {
        let world = World::new(true, Guarded::new());
        let hasty = world.spawn(1, None, |here, guarded| {
            let env = here.at(&guarded.mutex);
            match lock(env, guarded.mutex.words(), Limit::Until(Soon)) {
                Ok(condition) => guarded.count_locked(here, condition),
                Err(failure) => assert_eq!(failure, Failure::TimedOut),
            }
        });
        let other = world.spawn(2, None, |here, guarded| guarded.count(here));
        world.run(0, None, |here, guarded| guarded.count(here));
        hasty.join().unwrap();
        other.join().unwrap();
        assert!((2..=3).contains(&world.shared().one.load(Relaxed)));
    });
}

#[test]
fn loom_mutex_attempts() {
    explore_each_death("mutex, attempts beside a death", Some(4), |fate| {
        let world = World::new(false, Guarded::new());
        let doomed = world.spawn(1, Some(fate), |here, guarded| guarded.count(here));
        let attempt = |here: &Here<'_>, guarded: &Guarded| {
            let env = here.at(&guarded.mutex);
            match lock(env, guarded.mutex.words(), Limit::Try) {
                Ok(condition) => guarded.count_locked(here, condition),
                Err(failure) => assert_eq!(failure, Failure::WouldBlock),
            }
        };
        world.run(0, None, attempt);
        doomed.join().unwrap();
        let before = world.shared().one.load(Relaxed);
        world.run(0, None, attempt);
        assert_eq!(
            world.shared().one.load(Relaxed),
            before + 1,
            "nobody has it"
        );
    });
}

#[test]
fn loom_mutex_knows_its_owner() {
    explore("mutex, locked twice by one", None, |_| {
        let world = World::new(true, Guarded::new());
        let other = world.spawn(1, None, |here, guarded| guarded.count(here));
        world.run(0, None, |here, guarded| {
            let env = here.at(&guarded.mutex);
            let words = guarded.mutex.words();
            let condition = lock(env, words, Limit::Never).unwrap();
            assert_eq!(lock(env, words, Limit::Never), Err(Failure::Deadlock));
            assert_eq!(lock(env, words, Limit::Try), Err(Failure::Deadlock));
            guarded.count_locked(here, condition);
        });
        other.join().unwrap();
        assert_eq!(world.shared().one.load(Relaxed), 2);
    });
}

/// A thread that dies with two locks, or between them, leaves both: the one that it announced last, and the one that it linked for that.
#[test]
fn loom_mutex_in_a_mutex() {
    explore_each_death("mutex, 2 held by one that dies", Some(3), |fate| {
        let world = World::new(true, [Guarded::new(), Guarded::new()]);
        let doomed = world.spawn(1, Some(fate), |here, [outer, inner]| {
            let env = here.at(&outer.mutex);
            let condition = lock(env, outer.mutex.words(), Limit::Never).unwrap();
            inner.count(here);
            outer.count_locked(here, condition);
        });
        world.run(0, None, |here, [outer, inner]| {
            inner.count(here);
            outer.count(here);
        });
        doomed.join().unwrap();
        // Whatever was left, the next ones find it.
        world.run(2, None, |here, [outer, inner]| {
            inner.count(here);
            outer.count(here);
        });
    });
}
