//! Waiting for words, and waking.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "a signal that is handled")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use folio_sys::futex::{Deadline, Waited, now_ns, wait, wake};
use folio_sys::shared_memory::{Access, Pinned, SharedMemory};

const PATIENCE: Duration = Duration::from_secs(60);

fn map(file: &File) -> Arc<SharedMemory> {
    let file = file.try_clone().unwrap();
    Arc::new(SharedMemory::map(file.into(), 4096, 0, Access::ReadWrite).unwrap())
}

fn file() -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    file
}

/// Waits until the word is not 0.
fn until_changed(word: &AtomicU32) {
    let deadline = Deadline::after(PATIENCE);
    while word.load(Ordering::Acquire) == 0 {
        assert_ne!(wait(word, 0, Some(deadline)), Waited::TimedOut);
    }
}

/// Two mappings are as good as two processes: the futex is that of the file's page.
#[test]
fn who_has_the_word_elsewhere_is_woken() {
    let file = file();
    let here: Pinned<AtomicU32> = map(&file).pin(64).unwrap();
    let there: Pinned<AtomicU32> = map(&file).pin(64).unwrap();
    assert_ne!(&raw const *here, &raw const *there);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| until_changed(&here));
        let mut woken = 0;
        while woken == 0 {
            woken = wake(&there, 1);
            std::thread::yield_now();
        }
        assert_eq!(woken, 1);
        there.store(1, Ordering::Release);
        wake(&there, 1);
        waiter.join().unwrap();
    });
}

#[test]
fn as_many_are_woken_as_was_said() {
    let word = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| wait(&word, 0, Some(Deadline::after(PATIENCE)))))
            .collect();
        let mut woken = 0;
        while woken < 4 {
            let now = wake(&word, 2);
            assert!(now <= 2);
            woken += now;
        }
        assert_eq!(wake(&word, u32::MAX), 0);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Waited::Woken);
        }
    });
}

#[test]
fn nobody_sleeps_on_another_value() {
    let word = AtomicU32::new(7);
    assert_eq!(wait(&word, 0, None), Waited::Changed);
    let passed = Deadline::after(Duration::ZERO);
    assert_eq!(wait(&word, 0, Some(passed)), Waited::Changed);
}

#[test]
fn deadlines_pass_and_not_before() {
    let word = AtomicU32::new(0);
    for waiting in [0, 1, 30].map(Duration::from_millis) {
        let start_ns = now_ns();
        let deadline = Deadline::after(waiting);
        assert_eq!(wait(&word, 0, Some(deadline)), Waited::TimedOut);
        assert!(deadline.has_passed());
        assert!(u128::from(now_ns() - start_ns) >= waiting.as_nanos());
    }
    let never = Deadline::after(Duration::MAX);
    assert!(!never.has_passed());
    let soon = Deadline::after(Duration::from_millis(1));
    assert_eq!(never.min(soon), soon);
    assert_eq!(soon.min(never), soon);
}

#[test]
fn a_deadline_that_never_comes_can_be_waited_for() {
    let word = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(&word, 0, Some(Deadline::after(Duration::MAX))));
        while wake(&word, 1) == 0 {
            assert!(!waiter.is_finished());
            std::thread::yield_now();
        }
        assert_eq!(waiter.join().unwrap(), Waited::Woken);
    });
}

#[test]
fn a_signal_that_is_handled_interrupts() {
    extern "C" fn handle(_signal: libc::c_int) {}

    // SAFETY: zeros are a value of the structure.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handle as *const () as usize;
    // SAFETY: a whole action, whose handler does nothing.
    let status = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(status, 0);
    let waiter = std::thread::spawn(|| {
        let word = AtomicU32::new(0);
        wait(&word, 0, Some(Deadline::after(PATIENCE)))
    });
    while !waiter.is_finished() {
        // SAFETY: the thread was not joined yet.
        unsafe { libc::pthread_kill(waiter.as_pthread_t(), libc::SIGUSR1) };
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(waiter.join().unwrap(), Waited::Interrupted);
}

#[cfg(guarded)]
#[test]
fn a_lost_word_is_waited_for_until_the_deadline() {
    let file = file();
    let memory = map(&file);
    let word: Pinned<AtomicU32> = memory.pin(0).unwrap();
    word.store(5, Ordering::Relaxed);
    file.set_len(0).unwrap();
    assert_eq!(wake(&word, 1), 0);
    let patience = Deadline::after(PATIENCE);
    assert_eq!(wait(&word, 5, Some(patience)), Waited::Changed);
    assert!(memory.lost_pages() > 0);
    // Another process would wait in vain, too: the word is this one's alone now.
    let soon = Deadline::after(Duration::from_millis(20));
    while wait(&word, 0, Some(soon)) != Waited::TimedOut {
        assert!(!patience.has_passed());
    }
}
