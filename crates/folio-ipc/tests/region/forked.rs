//! Forked children.

use std::path::Path;
use std::process;

use folio_ipc::{Data, Error, Region};
use folio_sys::process::{Fork, fork};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::Test;
use crate::child::{Child, say};
use crate::sample::{Sample, assert_tidy};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_child_is_its_own_participant",
        a_child_is_its_own_participant,
    ),
    (
        "a_child_may_end_without_a_word",
        a_child_may_end_without_a_word,
    ),
    ("a_childs_object_may_be_gone", a_childs_object_may_be_gone),
];

/// Runs in a process of one thread, which forks.
pub(crate) fn run(path: &Path, what: &str) {
    let region = Region::open(path).unwrap();
    let object = region.object::<Data<u32>>("it").unwrap();
    object.set(&1).unwrap();
    match what {
        "use" => use_it(&region, &object),
        "ignore" => {
            let mut handles = Some((region.clone(), object));
            let child = in_child(|| drop(handles.take()));
            wait(child);
            let child = in_child(|| ());
            wait(child);
            assert_eq!(region.inspect().unwrap().participants.len(), 2);
            assert_eq!(handles.unwrap().1.get().unwrap(), 1);
        }
        "gone" => gone(&region, object),
        _ => panic!("{what}"),
    }
    say("done");
}

fn use_it(region: &Region, object: &folio_ipc::Shared<Data<u32>>) {
    let parent = region.inspect().unwrap().participants;
    let child = in_child(|| {
        // Its own participant, which uses what its parent had.
        let more = region.object::<Data<u32>>("more").unwrap();
        more.set(&2).unwrap();
        let seen = region.inspect().unwrap();
        assert_eq!(seen.participants.len(), parent.len() + 1);
        let own = seen
            .participants
            .iter()
            .find(|one| one.pid == process::id())
            .unwrap();
        for info in &seen.objects {
            assert!(info.users.contains(&own.slot), "{info:?}");
        }
        object.set(&3).unwrap();
        let grandchild = in_child(|| {
            assert_eq!(
                region
                    .open_object::<Data<u32>>("more")
                    .unwrap()
                    .get()
                    .unwrap(),
                2
            );
            assert_eq!(
                region.inspect().unwrap().participants.len(),
                parent.len() + 2
            );
            region.grow(300_000).unwrap();
        });
        wait(grandchild);
    });
    wait(child);
    assert_eq!(object.get().unwrap(), 3);
    assert!(region.size_bytes().unwrap() >= 300_000);
    // They were killed by nobody, but ended without closing anything.
    region.repair().unwrap();
    assert_eq!(region.inspect().unwrap().participants.len(), parent.len());
    assert_eq!(
        region
            .open_object::<Data<u32>>("more")
            .unwrap()
            .get()
            .unwrap(),
        2
    );
}

fn gone(region: &Region, object: folio_ipc::Shared<Data<u32>>) {
    let (wait_here, go_on) = rustix::pipe::pipe().unwrap();
    let child = in_child(|| {
        let _ = rustix::io::read(&wait_here, &mut [0; 1]);
        let error = region.open_object::<Data<u32>>("it").unwrap_err();
        assert!(matches!(error, Error::Removed { .. }), "{error}");
    });
    assert!(region.remove("it").unwrap());
    drop(object);
    region.object::<Data<[u64; 9]>>("it").unwrap();
    rustix::io::write(&go_on, b"!").unwrap();
    wait(child);
}

/// Runs something in a forked child, which ends after it.
fn in_child(what: impl FnOnce()) -> Pid {
    match fork().unwrap() {
        Fork::Parent(child) => child,
        Fork::Child => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what));
            process::exit(i32::from(outcome.is_err()));
        }
    }
}

fn wait(child: Pid) {
    let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0));
}

fn test(what: &str) {
    let sample = Sample::new();
    let child = Child::start(&format!("fork/{what}"), &sample.path);
    assert_eq!(child.finish(), ["done"]);
    assert_eq!(
        assert_tidy(&sample.region).object_blocks,
        if what == "use" { 2 } else { 1 }
    );
    assert!(
        sample
            .region
            .objects()
            .unwrap()
            .iter()
            .all(|object| object.users.is_empty())
    );
}

fn a_child_is_its_own_participant() {
    test("use");
}

fn a_child_may_end_without_a_word() {
    test("ignore");
}

fn a_childs_object_may_be_gone() {
    test("gone");
}
