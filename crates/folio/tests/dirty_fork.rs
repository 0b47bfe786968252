//! Trackers in forked children, and in a sandbox. Forking needs a process of one thread, so this test has
//! no harness.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "libc's prctl makes the sandbox")
)]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use folio::{DirtyTracker, Draft, Error, Map, TrackingMethod};
use folio_sys::process::{Fork, fork};
use rustix::process::{WaitOptions, waitpid};

fn main() {
    let by_kernel = Map::options().anonymous(1).unwrap();
    let by_kernel = DirtyTracker::options()
        .method(TrackingMethod::Userfaultfd)
        .track(&by_kernel);
    match &by_kernel {
        Ok(_) => a_child_has_trackers_of_its_own(TrackingMethod::Userfaultfd),
        // Before Linux 6.7, and in some sandboxes.
        Err(Error::Io { source, .. }) => {
            let refusals = [libc::EPERM, libc::ENOSYS, libc::EINVAL];
            let refused = source
                .raw_os_error()
                .filter(|error| refusals.contains(error));
            assert!(refused.is_some(), "{source:?}");
            assert!(std::env::var_os("CI").is_none(), "userfaultfd: {source}");
            println!("skipped: userfaultfd's asynchronous write-protection: {source}");
        }
        Err(error) => panic!("{error:?}"),
    }
    a_child_has_trackers_of_its_own(TrackingMethod::Protection);
    a_child_commits_no_draft_of_its_parents();
    #[cfg(target_arch = "x86_64")]
    in_child(a_sandbox_that_refuses_is_no_obstacle);
    println!("dirty_fork: ok");
}

fn in_child(run: impl FnOnce()) {
    match fork().unwrap() {
        Fork::Child => {
            run();
            std::process::exit(0);
        }
        Fork::Parent(child) => {
            let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(0));
        }
    }
}

fn a_child_has_trackers_of_its_own(method: TrackingMethod) {
    let page = rustix::param::page_size() as u64;
    let map = Map::options().anonymous(10 * page).unwrap();
    let options = DirtyTracker::options().method(method);
    let mut tracker = options.track(&map).unwrap();
    let mut other = options.track(&map).unwrap();
    map.put(0, &1_u8).unwrap();
    in_child(|| {
        // The child writes as before, whatever is protected.
        map.put(page, &2_u8).unwrap();
        map.put(2 * page, &2_u8).unwrap();
        let refused = tracker.checkpoint().unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
        assert!(tracker.dirty().is_err());
        let mut own = options.track(&map).unwrap();
        map.put(3 * page, &3_u8).unwrap();
        let found = own.checkpoint().unwrap();
        assert_eq!(found.ranges().next(), Some(3 * page..4 * page));
        assert_eq!(found.page_count(), 1);
        // A parent's is of no use, even while there are others.
        assert!(tracker.checkpoint().is_err());
        drop(tracker);
        map.put(4 * page, &3_u8).unwrap();
        assert_eq!(own.checkpoint().unwrap().page_count(), 1);
        drop(own);
        map.put(5 * page, &3_u8).unwrap();
    });
    // The child's writes are seen as bytes, and not by the trackers; what it did with its copies of them
    // changes nothing here.
    assert_eq!(map.get::<u8>(3 * page).unwrap(), 3);
    map.put(6 * page, &1_u8).unwrap();
    let found: Vec<_> = other.checkpoint().unwrap().ranges().collect();
    assert_eq!(found, [0..page, 6 * page..7 * page]);
    map.put(6 * page, &1_u8).unwrap();
    assert_eq!(other.checkpoint().unwrap().page_count(), 1);
}

fn a_child_commits_no_draft_of_its_parents() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, vec![0; 50_000]).unwrap();
    let mut draft = Draft::open(&file).unwrap();
    draft.put(20_000, &1_u8).unwrap();
    draft.commit().unwrap();
    draft.put(20_000, &2_u8).unwrap();
    let draft = &mut Some(draft);
    in_child(|| {
        let mut draft = draft.take().unwrap();
        // It has a copy of what was written, and may read and write that.
        assert_eq!(draft.get::<u8>(20_000).unwrap(), 2);
        draft.put(40_000, &3_u8).unwrap();
        assert_eq!(draft.dirty().unwrap().page_count(), 2);
        assert!(matches!(draft.commit(), Err(Error::Unsupported { .. })));
        drop(draft);
    });
    // Neither the lock nor the journal went with the child's copy.
    assert!(matches!(Draft::open(&file), Err(Error::InUse { .. })));
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!((bytes.get(20_000), bytes.get(40_000)), (Some(&1), Some(&0)));
}

/// What a sandbox refuses, with either of the errors that they give, is done without.
#[cfg(target_arch = "x86_64")]
fn a_sandbox_that_refuses_is_no_obstacle() {
    for error in [libc::EPERM, libc::ENOSYS] {
        in_child(|| {
            refuse(libc::SYS_userfaultfd, error);
            let map = Map::options().anonymous(100_000).unwrap();
            let asked = DirtyTracker::options().method(TrackingMethod::Userfaultfd);
            let Err(Error::Io { source, .. }) = asked.track(&map) else {
                panic!("it was refused");
            };
            assert_eq!(source.raw_os_error(), Some(error));
            let mut tracker = DirtyTracker::new(&map).unwrap();
            assert_eq!(tracker.method(), TrackingMethod::Protection);
            map.put(0, &1_u8).unwrap();
            assert_eq!(tracker.checkpoint().unwrap().page_count(), 1);
        });
    }
}

/// Has a system call answer with an error from now on.
#[cfg(target_arch = "x86_64")]
fn refuse(call: libc::c_long, error: libc::c_int) {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(error).unwrap();
    let mut filter = [
        // The number of the call is the first word of `struct seccomp_data`.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            u32::try_from(call).unwrap(),
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, refusal),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: it takes four numbers, and leaves this process fewer privileges.
    let status = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(status, 0);
    // SAFETY: a program of four steps, which the kernel checks and copies.
    let status = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(status, 0);
}
