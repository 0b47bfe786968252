//! Locks on bytes of files of every kind, and threads that take them while others fork.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "children of a process of several threads")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use folio_sys::memfd;
use folio_sys::ofd_lock::{LOCK_BASE, OfdLock, is_held};
use rustix::fs::{Mode, OFlags};

/// A file with a name, one without, one that was removed, and one in memory.
fn files() -> Vec<(&'static str, OwnedFd)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("name");
    let named = File::create_new(&path).unwrap();
    let removed = tempfile::tempfile().unwrap();
    let nameless = rustix::fs::open(
        folder.path(),
        OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
    );
    // Neither does a lock change when the name goes.
    let mut files = vec![
        ("named, then removed", OwnedFd::from(named)),
        ("removed", removed.into()),
        ("in memory", memfd::create("locked").unwrap()),
    ];
    files.extend(nameless.map(|file| ("without a name", file)));
    files
}

#[test]
fn one_at_a_time_has_a_byte() {
    for (kind, file) in files() {
        let file = file.as_fd();
        let other = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        for byte in [0, 1, 255, 1 << 40, LOCK_BASE - 1] {
            assert!(!is_held(file, byte).unwrap(), "{kind}");
            let lock = OfdLock::take(file, byte).unwrap().unwrap();
            assert!(OfdLock::take(file, byte).unwrap().is_none(), "{kind}");
            assert!(is_held(file, byte).unwrap(), "{kind}");
            assert!(is_held(other.as_fd(), byte).unwrap(), "{kind}");
            assert!(!is_held(file, byte ^ 2).unwrap(), "{kind}");
            let beside = OfdLock::take(other.as_fd(), byte ^ 2).unwrap().unwrap();
            drop(lock);
            assert!(!is_held(file, byte).unwrap(), "{kind}");
            assert!(is_held(file, byte ^ 2).unwrap(), "{kind}");
            drop(beside);
        }
    }
}

#[test]
fn the_descriptor_that_was_given_may_be_closed() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    let lock = OfdLock::take(file.as_fd(), 0).unwrap().unwrap();
    // Classic locks, of which any close of the file ends all, would be gone.
    drop(file.try_clone().unwrap());
    let other = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    drop(file);
    assert!(is_held(other.as_fd(), 0).unwrap());
    drop(lock);
    assert!(!is_held(other.as_fd(), 0).unwrap());
}

#[test]
fn what_cannot_be_locked_is_an_error() {
    let file = tempfile::tempfile().unwrap();
    for byte in [LOCK_BASE, u64::MAX] {
        let error = OfdLock::take(file.as_fd(), byte).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = is_held(file.as_fd(), byte).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    let folder = File::open("/").unwrap();
    assert!(OfdLock::take(folder.as_fd(), 0).is_err());
}

#[test]
fn programs_that_are_started_hold_nothing() {
    let file = tempfile::tempfile().unwrap();
    let lock = OfdLock::take(file.as_fd(), 0).unwrap().unwrap();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    drop(lock);
    assert!(!is_held(file.as_fd(), 0).unwrap());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// Children have no copy of a descriptor, whatever point its maker was at.
#[test]
fn no_child_has_what_was_taken_while_it_was_forked() {
    let file = tempfile::tempfile().unwrap();
    let done = AtomicBool::new(false);
    let mut took = 0;
    std::thread::scope(|scope| {
        let takers = [0, 1].map(|byte| {
            let (file, done) = (&file, &done);
            scope.spawn(move || {
                let mut took = 0;
                while !done.load(Ordering::Relaxed) {
                    assert!(OfdLock::take(file.as_fd(), byte).unwrap().is_some());
                    took += 1;
                }
                took
            })
        });
        let own = inode_of(file.as_raw_fd()).unwrap();
        let outcomes: Vec<_> = (0..200)
            .map(|_| in_forked_child(|| count_descriptors(own)))
            .collect();
        done.store(true, Ordering::Relaxed);
        took = takers.into_iter().map(|it| it.join().unwrap()).sum();
        assert_eq!(
            outcomes, [1; 200],
            "the file's own descriptor, and no other"
        );
    });
    assert!(took > 0);
}

/// What the work says in a child, which may do nothing but what a signal handler may.
fn in_forked_child(work: impl Fn() -> i32) -> i32 {
    // SAFETY: see above.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(work()) };
    }
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: a child of ours, which ends by itself.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status));
    libc::WEXITSTATUS(status)
}

/// How many descriptors this process has of a file. Async-signal-safe.
fn count_descriptors(inode: libc::ino_t) -> i32 {
    let is_of_file = |&descriptor: &i32| inode_of(descriptor) == Some(inode);
    i32::try_from((0..200).filter(is_of_file).count()).unwrap_or(-1)
}

fn inode_of(descriptor: i32) -> Option<libc::ino_t> {
    // SAFETY: zeros are a value of the structure.
    let mut stat = unsafe { std::mem::zeroed::<libc::stat>() };
    // SAFETY: fills the structure, or not.
    let status = unsafe { libc::fstat(descriptor, &raw mut stat) };
    (status == 0).then_some(stat.st_ino)
}
