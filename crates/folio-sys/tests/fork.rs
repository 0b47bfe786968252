//! Forking needs a process of one thread, so this test has no harness.
#![expect(clippy::indexing_slicing, reason = "a test ends at the first surprise")]
#![expect(unsafe_code, reason = "a watchdog, and a look at the libc's list")]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod robust_list;

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use folio_sys::ofd_lock::{OfdLock, is_held};
use folio_sys::process::{Fork, die_with_parent, fork, fork_generation, kill_self};
use folio_sys::shared::SharedWords;
use folio_sys::shared_memory::{Access, SharedMemory};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

fn main() {
    set_watchdog();
    words_are_shared();
    generations_are_counted();
    #[cfg(target_os = "linux")]
    {
        locks_end_with_their_process();
        locks_are_not_inherited();
        locks_are_seen_from_other_pid_namespaces();
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    a_child_owns_no_word();
    println!("fork: ok");
}

/// Ends this process by SIGALRM if it takes too long. Children need one of their own.
fn set_watchdog() {
    // SAFETY: the signal is left to do what it does.
    unsafe { libc::alarm(60) };
}

/// Runs `work` in a child, that then exits with 0.
fn child(work: impl FnOnce()) -> Pid {
    match fork().expect("one thread, so fork works") {
        Fork::Parent(child) => child,
        Fork::Child => {
            set_watchdog();
            work();
            std::process::exit(0);
        }
    }
}

fn wait(child: Pid) -> WaitStatus {
    let waited = rustix::process::waitpid(Some(child), WaitOptions::empty());
    waited.expect("a child of ours").expect("it ended").1
}

fn words_are_shared() {
    let words = SharedWords::new(2).expect("shared memory");
    let parent = rustix::process::getpid();
    let private = Cell::new(1);
    let child = child(|| {
        let tied = die_with_parent(parent);
        private.set(2);
        words[0].fetch_add(41, Relaxed);
        words[1].store(u64::from(tied.is_ok()), Relaxed);
        std::process::exit(7);
    });
    assert_eq!(wait(child).exit_status(), Some(7));
    words[0].fetch_add(1, Relaxed);
    assert_eq!(words[0].load(Relaxed), 42, "the words are shared");
    assert_eq!(words[1].load(Relaxed), 1, "the parent lived");
    assert_eq!(private.get(), 1, "everything else is a copy");
}

fn generations_are_counted() {
    let generation = fork_generation();
    assert_ne!(generation, 0);
    let child = child(|| {
        assert_eq!(fork_generation(), generation + 1);
        let grandchild = child(|| assert_eq!(fork_generation(), generation + 2));
        assert_eq!(wait(grandchild).exit_status(), Some(0));
        assert_eq!(fork_generation(), generation + 1);
    });
    assert_eq!(wait(child).exit_status(), Some(0));
    assert_eq!(fork_generation(), generation);
}

/// A pipe by which one process tells another that it is so far.
struct Step {
    read: OwnedFd,
    write: OwnedFd,
}

impl Step {
    fn new() -> Self {
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        Self { read, write }
    }

    fn done(&self) {
        let written = rustix::io::write(&self.write, b"x");
        assert_eq!(written, Ok(1));
    }

    fn wait(&self) {
        let read = rustix::io::read(&self.read, &mut [0; 1]);
        assert_eq!(read, Ok(1));
    }
}

fn file() -> OwnedFd {
    tempfile::tempfile().expect("a file").into()
}

/// In a zombie, too, and whether or not anybody has waited for it.
fn locks_end_with_their_process() {
    let file = file();
    let (locked, go_on) = (Step::new(), Step::new());
    let child = child(|| {
        let lock = OfdLock::take(file.as_fd(), 3).expect("locks");
        assert!(lock.is_some());
        locked.done();
        go_on.wait();
        kill_self();
    });
    locked.wait();
    assert!(is_held(file.as_fd(), 3).expect("locks"));
    assert!(!is_held(file.as_fd(), 4).expect("locks"));
    assert!(OfdLock::take(file.as_fd(), 3).expect("locks").is_none());
    go_on.done();
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let waited = rustix::process::waitid(WaitId::Pid(child), ended);
    assert!(waited.expect("a child of ours").is_some());
    rustix::process::test_kill_process(child).expect("a zombie has its id still");
    assert!(!is_held(file.as_fd(), 3).expect("locks"));
    let mine = OfdLock::take(file.as_fd(), 3).expect("locks");
    assert!(mine.is_some());
    assert_eq!(
        wait(child).terminating_signal(),
        Some(Signal::KILL.as_raw())
    );
}

/// A child that outlives its parent does not keep the parent's lock, and can take it.
fn locks_are_not_inherited() {
    let file = file();
    let (forked, go_on, taken) = (Step::new(), Step::new(), Step::new());
    let parent = child(|| {
        let lock = OfdLock::take(file.as_fd(), 3).expect("locks");
        assert!(lock.is_some());
        // Lest it move into the child's work, and end with that.
        let lock = Cell::new(lock);
        let child = child(|| {
            assert!(is_held(file.as_fd(), 3).expect("locks"), "the parent lives");
            forked.done();
            go_on.wait();
            let mine = OfdLock::take(file.as_fd(), 3).expect("locks");
            assert!(mine.is_some());
            // What was the parent's is nobody's, and gives up nothing that is this process's.
            drop(lock.take());
            assert!(is_held(file.as_fd(), 3).expect("locks"));
            taken.done();
            go_on.wait();
        });
        forked.wait();
        // The child has closed its copy of the descriptor: the lock is the parent's still.
        rustix::process::test_kill_process(child).expect("the child lives");
        kill_self();
    });
    assert_eq!(
        wait(parent).terminating_signal(),
        Some(Signal::KILL.as_raw())
    );
    assert!(
        !is_held(file.as_fd(), 3).expect("locks"),
        "the child has it"
    );
    go_on.done();
    taken.wait();
    assert!(is_held(file.as_fd(), 3).expect("locks"));
    go_on.done();
}

fn locks_are_seen_from_other_pid_namespaces() {
    let file = file();
    let (locked, go_on) = (Step::new(), Step::new());
    let refused = 77;
    let first = child(|| {
        // As root, or as a user who may have namespaces of their own.
        let alone = |flags| {
            // SAFETY: descriptors and memory stay as they are; ids of later children change.
            unsafe { libc::unshare(flags) == 0 }
        };
        if !alone(libc::CLONE_NEWPID) && !alone(libc::CLONE_NEWUSER | libc::CLONE_NEWPID) {
            locked.done();
            std::process::exit(refused);
        }
        let inner = child(|| {
            assert_eq!(std::process::id(), 1, "the first of its namespace");
            let lock = OfdLock::take(file.as_fd(), 5).expect("locks");
            assert!(lock.is_some());
            locked.done();
            go_on.wait();
            std::process::exit(9);
        });
        assert_eq!(wait(inner).exit_status(), Some(9));
        assert!(!is_held(file.as_fd(), 5).expect("locks"));
        // A leak checker would fork at the end, which is impossible once the namespace's first is dead.
        // SAFETY: nothing is to be done at the end of this process.
        unsafe { libc::_exit(0) };
    });
    locked.wait();
    let was_held = is_held(file.as_fd(), 5).expect("locks");
    go_on.done();
    match wait(first).exit_status() {
        Some(status) if status == refused => {
            println!("fork: skipped: locks in another PID namespace (unshare is not permitted)");
        }
        status => {
            assert_eq!(status, Some(0));
            assert!(was_held);
            assert!(!is_held(file.as_fd(), 5).expect("locks"));
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_child_owns_no_word() {
    use folio_sys::futex::OWNER_DIED;
    use folio_sys::robust::{self, RobustWord};
    use robust_list::{announced_and_linked, entry_of, give_up, take};

    let file = tempfile::tempfile().expect("a file");
    file.set_len(4096).expect("some room");
    let memory = SharedMemory::map(file.into(), 4096, 0, Access::ReadWrite).expect("a mapping");
    let memory = Arc::new(memory);
    let word = |offset| memory.pin::<RobustWord>(offset).expect("room for a word");
    let (of_parent, of_child) = (word(0), word(64));
    let thread = robust::current();
    take(thread, &of_parent);
    let entry = entry_of(&raw const *of_parent);
    let child = child(|| {
        assert_eq!((thread.tid(), thread.kernel_recovers()), (0, false));
        let own = robust::current();
        assert_eq!(own.tid(), std::process::id());
        assert_eq!(announced_and_linked(), (None, vec![]));
        for thread in [thread, own] {
            thread.announce_release(&of_parent);
            assert_eq!(announced_and_linked(), (None, vec![]));
            thread.announce(&of_parent, true);
            thread.withdraw(&of_parent);
            assert_eq!(announced_and_linked(), (None, vec![]));
        }
        take(own, &of_child);
        kill_self();
    });
    assert_eq!(
        wait(child).terminating_signal(),
        Some(Signal::KILL.as_raw())
    );
    assert_eq!(of_child.word().load(Relaxed), OWNER_DIED);
    assert_eq!(of_parent.word().load(Relaxed), std::process::id());
    assert_eq!(announced_and_linked(), (Some(entry), vec![]));
    give_up(thread, &of_parent);
    assert_eq!(announced_and_linked(), (None, vec![]));
}
