//! The locks as their users see them, within one process.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use folio_ipc::{
    Barrier, BarrierOutcome, Condvar, Event, EventReset, LockError, Mutex, Once, OnceValue, Region,
    RwLock, Semaphore, Wakeup,
};
use zerocopy::IntoBytes;

const SHORT: Duration = Duration::from_millis(20);

fn region() -> Region {
    Region::options().anonymous().unwrap()
}

/// Ends the test program if `test` takes a minute: nothing here may hang.
fn watched(test: impl FnOnce()) {
    let (done, is_done) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if is_done.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("a test of locks hangs");
            std::process::abort();
        }
    });
    test();
    drop(done);
    watchdog.join().unwrap();
}

#[test]
fn a_mutex_excludes_and_counts() {
    watched(|| {
        let region = region();
        let mutex = region.object::<Mutex<[u64; 2]>>("m").unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        mutex.lock().unwrap().update(|[one, two]| {
                            assert_eq!(one, two);
                            *one += 1;
                            *two += 1;
                        });
                    }
                });
            }
        });
        assert_eq!(mutex.lock().unwrap().get(), [20_000; 2]);
    });
}

#[test]
fn attempts_and_times() {
    watched(|| {
        let region = region();
        let mutex = region.object_with::<Mutex<u8>>("m", || 7).unwrap();
        let guard = mutex.lock().unwrap();
        assert_eq!(guard.get(), 7);
        assert!(matches!(mutex.lock(), Err(LockError::Deadlock)));
        assert!(matches!(mutex.try_lock(), Err(LockError::Deadlock)));
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
                let began = Instant::now();
                assert!(matches!(
                    mutex.lock_timeout(SHORT),
                    Err(LockError::TimedOut)
                ));
                assert!(began.elapsed() >= SHORT);
            });
        });
        drop(guard);
        assert!(mutex.try_lock().is_ok());
        assert!(mutex.lock_timeout(SHORT).is_ok());
    });
}

#[test]
fn parts_of_a_value() {
    let region = region();
    let mutex = region.object::<Mutex<[u8; 16]>>("m").unwrap();
    let guard = mutex.lock().unwrap();
    guard.write_at(12, &[1, 2, 3, 4]).unwrap();
    let mut bytes = [0; 5];
    guard.read_at(11, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 1, 2, 3, 4]);
    for (offset, len) in [(12, 5), (17, 0), (usize::MAX, 1)] {
        assert!(matches!(
            guard.write_at(offset, &vec![0; len]),
            Err(folio_ipc::Error::OutOfRange { .. })
        ));
    }
}

#[test]
fn a_panic_marks_the_lock_until_it_is_recovered() {
    let region = region();
    let mutex = region.object::<Mutex<u32>>("m").unwrap();
    let lock = region.object::<RwLock<u32>>("l").unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _one = mutex.lock().unwrap();
        let _two = lock.write().unwrap();
        panic!("on purpose");
    }));
    assert!(result.is_err());
    for _ in 0..2 {
        let Err(LockError::OwnerDied(guard)) = mutex.lock() else {
            panic!("nobody has repaired it");
        };
        assert!(guard.is_inconsistent());
        assert!(matches!(lock.read(), Err(LockError::OwnerDied(_))));
    }
    mutex.lock().into_guard_for_test().recovered();
    assert!(mutex.lock().is_ok());
    lock.write().into_guard_for_test().recovered();
    assert!(lock.read().is_ok());
    assert!(lock.try_write().is_ok());
}

#[test]
fn a_question_mark_gives_the_lock_back() {
    type Boxed = Box<dyn std::error::Error + Send + Sync>;

    fn use_all(region: &Region) -> Result<(), Boxed> {
        let lock = region.object::<RwLock<u32>>("l")?;
        let semaphore = region.object::<Semaphore>("s")?;
        let _permit = semaphore.try_acquire()?;
        drop(lock.write()?);
        let _reader = lock.read_timeout(SHORT)?;
        drop(region.object::<Mutex<u32>>("m")?.lock()?);
        Ok(())
    }
    fn one_error(mutex: &Mutex<u32>) -> folio_ipc::Result<u32> {
        Ok(mutex.try_lock()?.get())
    }

    let region = region();
    use_all(&region).unwrap();
    let mutex = region.object::<Mutex<u32>>("m").unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock().unwrap();
        panic!("on purpose");
    }));
    assert!(result.is_err());
    for _ in 0..2 {
        let error = use_all(&region).unwrap_err();
        assert_eq!(error.to_string(), "the lock's owner died with it");
        let error = one_error(&mutex).unwrap_err();
        assert_eq!(error.to_string(), "a lock was not taken");
        let cause = std::error::Error::source(&error).unwrap();
        assert_eq!(cause.to_string(), "the lock's owner died with it");
    }
    mutex.lock().into_guard_for_test().recovered();
    use_all(&region).unwrap();
    let _guard = mutex.lock().unwrap();
    let error = one_error(&mutex).unwrap_err();
    assert!(
        matches!(
            error,
            folio_ipc::Error::Lock {
                source: LockError::Deadlock
            }
        ),
        "{error:?}"
    );
}

/// An owner is dated by those who wait for it, and its date goes with it.
#[test]
fn the_time_that_a_lock_is_held_is_never_too_long() {
    watched(|| {
        let region = region();
        let mutex = region.object::<Mutex<u64>>("m").unwrap();
        let held_at_least = || {
            let locks = region.inspect().unwrap().locks;
            let lock = locks.iter().find(|lock| lock.name == "m").unwrap();
            lock.held_at_least_ns.map(Duration::from_nanos)
        };
        let active = AtomicU32::new(4);
        let hold_until_dated = || {
            let guard = mutex.lock().unwrap();
            let began = Instant::now();
            // The last one is waited for by nobody.
            while held_at_least() < Some(SHORT) && active.load(Ordering::Relaxed) > 1 {
                // Milliseconds are cut off, from both.
                let too_long = began.elapsed() + Duration::from_millis(2);
                assert!(held_at_least() <= Some(too_long));
                thread::sleep(Duration::from_millis(1));
            }
            drop(guard);
        };
        let guard = mutex.lock().unwrap();
        thread::sleep(SHORT);
        assert_eq!(held_at_least(), None);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        hold_until_dated();
                    }
                    active.fetch_sub(1, Ordering::Relaxed);
                });
            }
            drop(guard);
        });
        drop(mutex.lock().unwrap());
        assert_eq!(held_at_least(), None);
    });
}

/// Whatever the condition.
trait IntoGuard<G> {
    fn into_guard_for_test(self) -> G;
}

impl<G> IntoGuard<G> for Result<G, LockError<G>> {
    fn into_guard_for_test(self) -> G {
        self.or_else(LockError::into_guard).unwrap()
    }
}

#[test]
fn a_thread_that_ends_with_the_lock_is_a_dead_owner() {
    watched(|| {
        let region = region();
        let mutex = region.object::<Mutex<u32>>("m").unwrap();
        let lock = region.object::<RwLock<u32>>("l").unwrap();
        let semaphore = region.object::<Semaphore>("s").unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                std::mem::forget(mutex.lock().unwrap());
                std::mem::forget(lock.read().unwrap());
                std::mem::forget(semaphore.acquire().unwrap());
            });
        });
        assert!(matches!(mutex.lock(), Err(LockError::OwnerDied(_))));
        assert!(lock.write().is_ok(), "readers leave nothing behind");
        assert!(semaphore.acquire().is_ok());
    });
}

#[test]
fn readers_share_and_writers_do_not() {
    watched(|| {
        let region = region();
        let lock = region.object::<RwLock<u64>>("l").unwrap();
        let reading = lock.read().unwrap();
        let again = lock.read().unwrap();
        assert!(matches!(lock.write(), Err(LockError::Deadlock)));
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(lock.try_read().is_ok());
                assert!(matches!(lock.try_write(), Err(LockError::WouldBlock)));
                assert!(matches!(
                    lock.write_timeout(SHORT),
                    Err(LockError::TimedOut)
                ));
                assert!(lock.try_read().is_ok(), "the writer has gone");
            });
        });
        drop(reading);
        drop(again);
        let writing = lock.write().unwrap();
        assert!(matches!(lock.read(), Err(LockError::Deadlock)));
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(lock.try_read(), Err(LockError::WouldBlock)));
                assert!(matches!(lock.read_timeout(SHORT), Err(LockError::TimedOut)));
            });
        });
        writing.set(&5);
        drop(writing);
        assert_eq!(lock.read().unwrap().get(), 5);
    });
}

#[test]
fn neither_readers_nor_writers_starve() {
    watched(|| {
        let region = region();
        let lock = region.object::<RwLock<u64>>("l").unwrap();
        let is_over = AtomicBool::new(false);
        let read = AtomicU32::new(0);
        thread::scope(|scope| {
            // Readers that overlap all the time.
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let _guard = lock.read().unwrap();
                        read.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_micros(200));
                    }
                });
            }
            for _ in 0..20 {
                lock.write().unwrap().update(|value| *value += 1);
            }
            // A writer that has the lock nearly all the time.
            let before = read.load(Ordering::Relaxed);
            while read.load(Ordering::Relaxed) < before + 20 {
                let guard = lock.write().unwrap();
                thread::sleep(Duration::from_micros(500));
                drop(guard);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(lock.read().unwrap().get(), 20);
    });
}

#[test]
fn a_waiter_is_not_passed_over_for_ever() {
    watched(|| {
        let region = region();
        let mutex = region.object::<Mutex<u64>>("m").unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // It has the lock but for a moment between two turns.
                while !is_over.load(Ordering::Relaxed) {
                    let guard = mutex.lock().unwrap();
                    thread::sleep(Duration::from_millis(1));
                    drop(guard);
                }
            });
            for _ in 0..50 {
                mutex.lock().unwrap().update(|turns| *turns += 1);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(mutex.lock().unwrap().get(), 50);
    });
}

#[test]
fn a_condition_is_waited_for() {
    watched(|| {
        let region = region();
        let queue = region.object::<Mutex<u32>>("q").unwrap();
        let changed = region.object::<Condvar>("c").unwrap();
        let taken = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let guard = queue.lock().unwrap();
                        let guard = changed.wait_while(guard, |jobs| *jobs == 0).unwrap();
                        guard.update(|jobs| *jobs -= 1);
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..300 {
                queue.lock().unwrap().update(|jobs| *jobs += 1);
                changed.notify_one().unwrap();
            }
        });
        assert_eq!(taken.load(Ordering::Relaxed), 300);
        let guard = queue.lock().unwrap();
        let (guard, wakeup) = changed
            .wait_timeout_while(guard, SHORT, |jobs| *jobs == 0)
            .unwrap();
        assert_eq!(wakeup, Wakeup::TimedOut);
        let (guard, wakeup) = changed.wait_timeout(guard, SHORT).unwrap();
        assert_eq!((guard.get(), wakeup), (0, Wakeup::TimedOut));
    });
}

#[test]
fn permits_are_limited() {
    watched(|| {
        let region = region();
        let semaphore = region.object_with::<Semaphore>("s", || 3).unwrap();
        let inside = AtomicU32::new(0);
        assert_eq!(semaphore.permits(), 3);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let _permit = semaphore.acquire().unwrap();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(semaphore.available(), 3);
        let _permits = [(); 3].map(|()| semaphore.acquire().unwrap());
        assert!(matches!(
            semaphore.try_acquire(),
            Err(LockError::WouldBlock)
        ));
        assert!(matches!(
            semaphore.acquire_timeout(SHORT),
            Err(LockError::TimedOut)
        ));
        assert!(region.object_with::<Semaphore>("none", || 0).is_err());
        let one = region.object::<Semaphore>("one").unwrap();
        assert_eq!(one.permits(), 1);
    });
}

#[test]
fn threads_meet_at_a_barrier() {
    watched(|| {
        let region = region();
        let barrier = region.object_with::<Barrier>("b", || 3).unwrap();
        let leaders = AtomicU32::new(0);
        assert!(matches!(barrier.try_wait(), Err(LockError::WouldBlock)));
        assert!(matches!(
            barrier.wait_timeout(SHORT),
            Err(LockError::TimedOut)
        ));
        let meet = || {
            for _ in 0..200 {
                if barrier.wait().unwrap() == BarrierOutcome::Leader {
                    leaders.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(meet);
            scope.spawn(meet);
            meet();
        });
        assert_eq!(leaders.load(Ordering::Relaxed), 200);
        // The others have ended: nobody else will come in their places, for all this thread knows.
        assert!(matches!(barrier.wait(), Err(LockError::Broken)));
        assert!(barrier.is_broken());
        assert!(matches!(barrier.wait(), Err(LockError::Broken)));
        barrier.reset().unwrap();
        assert!(matches!(
            barrier.wait_timeout(SHORT),
            Err(LockError::TimedOut)
        ));
    });
}

#[test]
fn what_is_done_once_is_done_once() {
    watched(|| {
        let region = region();
        let once = region.object::<Once>("o").unwrap();
        let value = region.object::<OnceValue<u64>>("v").unwrap();
        let done = AtomicU32::new(0);
        thread::scope(|scope| {
            for made in 0..4 {
                let (once, value, done) = (&once, &value, &done);
                scope.spawn(move || {
                    once.call(|| {
                        thread::sleep(SHORT);
                        done.fetch_add(1, Ordering::Relaxed);
                    })
                    .unwrap();
                    assert!(once.is_done());
                    value.get_or_init(|| made).unwrap()
                });
            }
        });
        assert_eq!(done.load(Ordering::Relaxed), 1);
        let made = value.get().unwrap();
        assert!(!value.set(&99).unwrap());
        assert_eq!(value.get_or_init(|| 99).unwrap(), made);
        let other = region.object::<Once>("p").unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| other.call(|| panic!("on purpose"))));
        assert!(panicked.is_err());
        let mut is_called = false;
        other
            .call(|| {
                is_called = true;
                assert!(matches!(other.call(|| {}), Err(LockError::Deadlock)));
            })
            .unwrap();
        assert!(is_called);
    });
}

#[test]
fn events_happen() {
    watched(|| {
        let region = region();
        let manual = region.object::<Event>("m").unwrap();
        let automatic = region
            .object_with::<Event>("a", || EventReset::Automatic)
            .unwrap();
        assert!(matches!(
            manual.wait_timeout(SHORT),
            Err(LockError::TimedOut)
        ));
        assert!(matches!(automatic.try_wait(), Err(LockError::WouldBlock)));
        let consumed = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| manual.wait().unwrap());
                scope.spawn(|| {
                    automatic.wait().unwrap();
                    consumed.fetch_add(1, Ordering::SeqCst);
                });
            }
            thread::sleep(SHORT);
            manual.set().unwrap();
            for so_far in 0..3 {
                automatic.set().unwrap();
                while consumed.load(Ordering::SeqCst) == so_far {
                    thread::yield_now();
                }
                thread::sleep(SHORT);
                assert_eq!(consumed.load(Ordering::SeqCst), so_far + 1, "one each");
            }
        });
        assert!(manual.reset().unwrap() && !manual.is_set());
        assert!(!manual.reset().unwrap() && !automatic.is_set());
    });
}

#[test]
fn a_word_that_names_nobody_is_reported_and_hangs_nobody() {
    watched(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("region");
        let region = Region::options().size_bytes(2 << 20).create(&path).unwrap();
        let scribble = |name: &str| {
            let objects = region.objects().unwrap();
            let object = objects.iter().find(|object| object.name == name).unwrap();
            // An id that no thread has, as the kernel's format has it.
            std::fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .write_all_at(0x003f_fff1_u32.as_bytes(), object.offset_bytes)
                .unwrap();
        };
        let unknown = |name: &str| {
            let locks = region.inspect().unwrap().locks;
            let lock = locks.into_iter().find(|lock| lock.name == name).unwrap();
            lock.is_owner_unknown
        };
        let mutex = region.object::<Mutex<u32>>("m").unwrap();
        let lock = region.object::<RwLock<u32>>("l").unwrap();
        let once = region.object::<Once>("o").unwrap();
        for name in ["m", "l", "o"] {
            assert!(!unknown(name));
            scribble(name);
            assert!(unknown(name), "{name}");
        }
        // Too short for anybody to look who that is, or long enough: it does not hang.
        let hasty = mutex.lock_timeout(Duration::from_nanos(1));
        assert!(matches!(
            hasty,
            Err(LockError::TimedOut | LockError::OwnerDied(_))
        ));
        drop(hasty);
        scribble("m");
        assert!(matches!(mutex.lock(), Err(LockError::OwnerDied(_))));
        assert!(matches!(
            lock.write_timeout(Duration::from_secs(30)),
            Err(LockError::OwnerDied(_))
        ));
        once.call(|| {}).unwrap();
    });
}

/// As it is when a thread has died between taking the word and saying which record it has, and another one has
/// got its id.
#[test]
fn a_thread_does_not_wait_for_itself() {
    watched(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("region");
        let region = Region::options().size_bytes(2 << 20).create(&path).unwrap();
        let mutex = region.object::<Mutex<u32>>("m").unwrap();
        let guard = mutex.lock().unwrap();
        let locks = region.inspect().unwrap().locks;
        let lock = locks.iter().find(|lock| lock.name == "m").unwrap();
        let (tid, offset) = (lock.owner_tid.unwrap(), lock.offset_bytes);
        drop(guard);
        // The word, and nothing beside it.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(tid.as_bytes(), offset).unwrap();
        assert!(matches!(mutex.lock(), Err(LockError::OwnerDied(_))));
    });
}

#[test]
fn a_region_that_lost_pages_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    let region = Region::options().size_bytes(2 << 20).create(&path).unwrap();
    let mutex = region.object::<Mutex<u32>>("m").unwrap();
    drop(mutex.lock().unwrap());
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    _ = mutex.lock();
    let Err(LockError::Region(error)) = mutex.lock() else {
        panic!("the region is no more");
    };
    assert!(matches!(*error, folio_ipc::Error::Lost { .. }), "{error}");
}
