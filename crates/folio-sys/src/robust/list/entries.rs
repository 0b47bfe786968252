//! How words get into a list, and out of it.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use super::Head;
use crate::robust::RobustWord;
use crate::robust::word::FUTEX_OFFSET;

/// The part of an address that is in pointers to entries; the lowest bit is a flag.
const ADDRESS: usize = !1;

/// The atomic at an address.
///
/// # Safety
///
/// It is a pointer of a list that is the calling thread's, as the libc and `insert` leave them.
#[inline]
unsafe fn pointer_at<'a>(address: usize) -> &'a AtomicUsize {
    // SAFETY: aligned and valid, as long as the list is whole. Only this thread accesses it.
    unsafe { &*ptr::with_exposed_provenance::<AtomicUsize>(address) }
}

/// How far before what pointers to an entry point to is the pointer to the entry before.
#[cfg(target_pointer_width = "64")]
const PREV_DISTANCE: usize = size_of::<usize>();

/// Puts a word in front of the others, as glibc does with its mutexes.
///
/// # Safety
///
/// The head is the calling thread's, and the word is not in its list, and stays mapped
/// as long as it will be.
#[cfg(target_pointer_width = "64")]
#[inline]
pub(super) unsafe fn insert(head: &Head, word: &RobustWord) {
    let entry = entry_of(word);
    let first = head.next.load(Ordering::Relaxed);
    // SAFETY: the first entry's, or, since glibc keeps such a pointer before the head as well, the head's.
    let prev_of_first = unsafe { pointer_at((first & ADDRESS).wrapping_sub(PREV_DISTANCE)) };
    prev_of_first.store(entry, Ordering::Relaxed);
    word.node.next.store(first, Ordering::Relaxed);
    word.node
        .prev
        .store(ptr::from_ref(head).expose_provenance(), Ordering::Relaxed);
    // The kernel must find the entry whole.
    compiler_fence(Ordering::SeqCst);
    head.next.store(entry, Ordering::Relaxed);
}

/// As above, where glibc's list leads one way only.
///
/// # Safety
///
/// As above.
#[cfg(target_pointer_width = "32")]
#[inline]
pub(super) unsafe fn insert(head: &Head, word: &RobustWord) {
    let entry = entry_of(word);
    word.node
        .next
        .store(head.next.load(Ordering::Relaxed), Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    head.next.store(entry, Ordering::Relaxed);
}

/// Takes a word out, if it is in the list.
///
/// # Safety
///
/// The head is the calling thread's.
pub(super) unsafe fn remove(head: &Head, word: &RobustWord) {
    // SAFETY: passed on.
    let Some(before) = (unsafe { find(head, word) }) else {
        return;
    };
    let next = word.node.next.load(Ordering::Relaxed);
    before.store(next, Ordering::Relaxed);
    #[cfg(target_pointer_width = "64")]
    {
        // SAFETY: the next entry's, or the one before the head, as in `insert`: the list has it.
        let prev_of_next = unsafe { pointer_at((next & ADDRESS).wrapping_sub(PREV_DISTANCE)) };
        prev_of_next.store(ptr::from_ref(before).expose_provenance(), Ordering::Relaxed);
    }
    // The kernel must not come to the entry once it leads nowhere.
    compiler_fence(Ordering::SeqCst);
    #[cfg(target_pointer_width = "64")]
    word.node.prev.store(0, Ordering::Relaxed);
    word.node.next.store(0, Ordering::Relaxed);
}

/// What points to a word, if it is in the list. Looking for it finds, unlike the word's own pointers, no more than
/// what the list leads to: another owner, who died, may have left those. The word that was put in last is found first.
///
/// # Safety
///
/// The head is the calling thread's.
pub(super) unsafe fn find<'a>(head: &'a Head, word: &RobustWord) -> Option<&'a AtomicUsize> {
    /// More than a thread can sensibly own. A list that is longer leads in a circle.
    const MOST_ENTRIES: usize = 1 << 20;

    let entry = entry_of(word);
    let end = ptr::from_ref(head).addr();
    let mut before = &head.next;
    for _ in 0..MOST_ENTRIES {
        let next = before.load(Ordering::Relaxed) & ADDRESS;
        if next == entry {
            return Some(before);
        }
        if next == end || next == 0 {
            return None;
        }
        // SAFETY: an entry of the list.
        before = unsafe { pointer_at(next) };
    }
    None
}

/// Where pointers to a word's entry point.
#[inline]
pub(super) fn entry_of(word: &RobustWord) -> usize {
    word.node.next.as_ptr().expose_provenance()
}

/// The word with this entry.
///
/// # Safety
///
/// There is one, and it stays mapped as long as the reference is used.
pub(super) unsafe fn word_of<'a>(entry: usize) -> &'a RobustWord {
    let word = ptr::with_exposed_provenance::<RobustWord>(entry.wrapping_add_signed(FUTEX_OFFSET));
    // SAFETY: the caller's.
    unsafe { &*word }
}
