//! Taking words and giving them up, as locks do; and what the libc's list looks like then.

use std::ptr;
use std::sync::atomic::Ordering;

use folio_sys::futex::{self, WAITERS};
use folio_sys::robust::{RobustWord, Thread};

pub(crate) fn take(thread: Thread, word: &RobustWord) {
    thread.announce(word, true);
    let taken = word
        .word()
        .compare_exchange(0, thread.tid(), Ordering::Acquire, Ordering::Relaxed);
    taken.expect("a word that is nobody's");
}

pub(crate) fn give_up(thread: Thread, word: &RobustWord) {
    thread.announce_release(word);
    if word.word().swap(0, Ordering::Release) & WAITERS != 0 {
        futex::wake(word.word(), 1);
    }
    thread.concluded();
}

/// Where pointers to the entry of a word or a mutex point to: glibc has it at the same place in both.
pub(crate) fn entry_of<T>(of: *const T) -> usize {
    of.addr()
        + if cfg!(target_pointer_width = "64") {
            32
        } else {
            20
        }
}

/// What is announced, if anything is, and the entries of this thread's list without their marks, the one that was
/// put in last first; all pointers of the list are looked at.
pub(crate) fn announced_and_linked() -> (Option<usize>, Vec<usize>) {
    let mut head = ptr::null_mut::<usize>();
    let mut size_bytes = 0_usize;
    // SAFETY: two places to be filled.
    let status = unsafe {
        libc::syscall(
            libc::SYS_get_robust_list,
            0,
            &raw mut head,
            &raw mut size_bytes,
        )
    };
    assert_eq!((status, size_bytes), (0, 3 * size_of::<usize>()));
    let pending = head.wrapping_add(2);
    // SAFETY: the head has three words, of which this is the last.
    let pending = unsafe { pending.read_volatile() };
    let announced = (pending != 0).then_some(pending);
    let mut entries = vec![];
    let mut before = head;
    loop {
        // SAFETY: an entry of this thread's list.
        let entry = unsafe { before.read_volatile() } & !1;
        if cfg!(target_pointer_width = "64") {
            let place = ptr::with_exposed_provenance::<usize>(entry - size_of::<usize>());
            // SAFETY: glibc has the pointer back right before, in the head as well.
            let back = unsafe { place.read_volatile() };
            assert_eq!(back, before.addr(), "the list leads back");
        }
        if entry == head.addr() {
            return (announced, entries);
        }
        assert!(entries.len() < 5000, "the list leads in a circle");
        entries.push(entry);
        before = ptr::with_exposed_provenance_mut(entry);
    }
}
