//! Forking needs a process of one thread, so this test has no harness.
#![expect(clippy::indexing_slicing, reason = "a test ends at the first surprise")]

use std::sync::atomic::Ordering::Relaxed;

use folio_sys::process::{Fork, die_with_parent, fork};
use folio_sys::shared::SharedWords;

fn main() {
    let words = SharedWords::new(2).expect("shared memory");
    let parent = rustix::process::getpid();
    let private = std::cell::Cell::new(1);
    match fork().expect("one thread, so fork works") {
        Fork::Child => {
            let tied = die_with_parent(parent);
            private.set(2);
            words[0].fetch_add(41, Relaxed);
            words[1].store(u64::from(tied.is_ok()), Relaxed);
            std::process::exit(7);
        }
        Fork::Parent(child) => {
            let (_, status) =
                rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())
                    .expect("a child of ours")
                    .expect("it ended");
            assert_eq!(status.exit_status(), Some(7));
            words[0].fetch_add(1, Relaxed);
            assert_eq!(words[0].load(Relaxed), 42, "the words are shared");
            assert_eq!(words[1].load(Relaxed), 1, "the parent lived");
            assert_eq!(private.get(), 1, "everything else is a copy");
        }
    }
    println!("fork: ok");
}
