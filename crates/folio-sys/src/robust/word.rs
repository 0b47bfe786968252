//! What a word looks like in memory.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::futex::TID_MASK;

/// A lock word, room for its user, and its place in a list of the kernel's: 40 bytes at a multiple of
/// eight, or 48 on 32-bit machines.
///
/// It is only ever found in [`SharedMemory`](crate::shared_memory::SharedMemory), by
/// [`pin`](crate::shared_memory::SharedMemory::pin). All zeros is a word that nobody has ever owned.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct RobustWord {
    word: AtomicU32,
    // The kernel finds the word at one distance from the node, for all entries of a list. So the node
    // stands where the libc's mutex (glibc: `struct __pthread_mutex_s`) has it.
    #[cfg(target_pointer_width = "64")]
    user: [AtomicU32; 5],
    #[cfg(target_pointer_width = "32")]
    _unused: [AtomicU32; 4],
    pub(super) node: Node,
    #[cfg(target_pointer_width = "32")]
    user: [AtomicU32; 5],
}

/// A link of a list. Entries point to each other's `next`, in the form of the kernel's `struct robust_list`. The
/// lowest bit of such a pointer says something about the entry pointed to, which is none of ours.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Node {
    /// On 32-bit machines there is none.
    #[cfg(target_pointer_width = "64")]
    pub(super) prev: AtomicUsize,
    /// 0 in a word that is in no list. One that is not 0 may be what a thread that died left behind.
    pub(super) next: AtomicUsize,
}

/// How far a word is from where pointers to its entry point: what the kernel must have been told.
pub(super) const FUTEX_OFFSET: isize =
    0_isize.wrapping_sub_unsigned(offset_of!(RobustWord, node) + offset_of!(Node, next));

const _: () = {
    assert!(align_of::<RobustWord>() == 8 && offset_of!(RobustWord, word) == 0);
    #[cfg(target_pointer_width = "64")]
    assert!(size_of::<RobustWord>() == 40 && FUTEX_OFFSET == -32);
    #[cfg(target_pointer_width = "32")]
    assert!(size_of::<RobustWord>() == 48 && FUTEX_OFFSET == -20);
};

impl RobustWord {
    /// Where [`user`](Self::user) begins, in bytes from the lock word, for those who can only read.
    pub const USER_OFFSET: usize = offset_of!(Self, user);

    /// The lock word: 0, or the owner's thread id, and the bits of [`futex`](crate::futex).
    #[must_use]
    #[inline]
    pub fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// What the user makes of it.
    #[must_use]
    #[inline]
    pub fn user(&self) -> &[AtomicU32; 5] {
        &self.user
    }

    /// Whether a thread of this process owns it, so that the kernel, and the libc, may come to it.
    pub(crate) fn is_owned_here(&self) -> bool {
        let owner = self.word.load(Ordering::Relaxed) & TID_MASK;
        owner != 0 && super::list::is_thread_of_ours(owner)
    }
}
