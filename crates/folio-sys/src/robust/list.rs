//! A thread's list: whose head it is, and how words get in and out.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering, compiler_fence};

use super::RobustWord;
use crate::futex::TID_MASK;

/// The head of a list (`struct robust_list_head`).
#[repr(C)]
struct Head {
    /// The first entry, or the head itself.
    next: AtomicUsize,
    /// From an entry to its word, in bytes.
    futex_offset: AtomicIsize,
    /// The entry that is being linked or unlinked, or 0.
    list_op_pending: AtomicUsize,
}

/// What a thread knows of itself.
#[derive(Debug)]
struct Local {
    /// 0 until it is asked for, and again in a forked child.
    tid: Cell<u32>,
    /// The libc's list; `None` if it is of no use.
    head: Cell<Option<NonNull<Head>>>,
}

thread_local! {
    // Without a destructor, so that it can be had until the thread's memory is gone.
    static LOCAL: Local = const {
        Local {
            tid: Cell::new(0),
            head: Cell::new(None),
        }
    };
}

/// The calling thread, as the owner of words. See [the module](super).
///
/// ```
/// let thread = folio_sys::robust::current();
/// let tid = thread.tid();
/// let other = std::thread::spawn(|| folio_sys::robust::current().tid());
/// assert_ne!(other.join().unwrap(), tid);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Thread {
    local: NonNull<Local>,
    /// It is of use to no other thread.
    _not_send: PhantomData<*const ()>,
}

/// The calling thread.
#[must_use]
#[inline]
pub fn current() -> Thread {
    let local = LOCAL.with(|local| NonNull::from(local));
    let thread = Thread {
        local,
        _not_send: PhantomData,
    };
    if thread.tid() == 0 {
        thread.renew();
    }
    thread
}

impl Thread {
    /// The thread's id (`gettid(2)`), as it is in lock words; 0 for what a parent's code left to its
    /// forked child, until that asks for [`current`].
    #[must_use]
    #[inline]
    pub fn tid(&self) -> u32 {
        self.local().tid.get()
    }

    /// Whether the kernel will go through the words that are linked, when the thread dies: whether the libc's
    /// list takes entries of the form that a [`RobustWord`] has.
    #[must_use]
    #[inline]
    pub fn kernel_recovers(&self) -> bool {
        self.local().head.get().is_some()
    }

    /// Says that a word is about to be taken, or to be given up.
    #[inline]
    pub fn announce(&self, word: &RobustWord) {
        if let Some(head) = self.head() {
            head.list_op_pending
                .store(word.node.next.as_ptr().addr(), Ordering::Relaxed);
            // Before whatever comes next. The kernel reads for this thread, after it: so the order
            // need be kept by the compiler alone, here and below.
            compiler_fence(Ordering::SeqCst);
        }
    }

    /// Puts a word into the list, once it is this thread's. One that is not stays out.
    ///
    /// It must not be in the list already, and must not be given up before it is
    /// [taken out](Self::unlink), or the list is damaged. Memory with a linked word in it stays mapped,
    /// even when all who could use it are gone.
    #[inline]
    pub fn link(&self, word: &RobustWord) {
        if let Some(head) = self.head() {
            if self.owns(word) {
                // SAFETY: the head is this thread's, and its list whole, as long as those keep to the protocol
                // whom the module names. The word is in a SharedMemory, as all are, which stays mapped
                // until no thread has any linked (see its Drop).
                unsafe { insert(head, word) };
            }
        }
    }

    /// Takes a word out of the list, that this thread still owns and has linked. One that it does not
    /// own, as none of the parent's words are a forked child's, stays as it is.
    #[inline]
    pub fn unlink(&self, word: &RobustWord) {
        if let Some(head) = self.head() {
            if self.owns(word) && word.node.next.load(Ordering::Relaxed) != 0 {
                // SAFETY: the head is this thread's; the word is this thread's, too, and has a place in a
                // list, which is this one if those keep to the protocol whom the module names.
                unsafe { remove(head, word) };
            }
        }
    }

    /// Says that what was [announced](Self::announce) is done.
    #[inline]
    pub fn concluded(&self) {
        if let Some(head) = self.head() {
            compiler_fence(Ordering::SeqCst);
            head.list_op_pending.store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    fn owns(self, word: &RobustWord) -> bool {
        word.word().load(Ordering::Relaxed) & TID_MASK == self.tid()
    }

    #[inline]
    fn local(&self) -> &Local {
        // SAFETY: the thread-local of this thread, which no `Thread` leaves.
        unsafe { self.local.as_ref() }
    }

    #[inline]
    fn head(&self) -> Option<&Head> {
        // SAFETY: the head that the libc gave to the kernel for this thread, and keeps as long as the thread
        // runs. This thread alone accesses it while it does.
        self.local().head.get().map(|head| unsafe { head.as_ref() })
    }

    #[cold]
    fn renew(self) {
        // So that `forget` is called in forked children from now on.
        let is_told_of_forks = crate::process::fork_generation() != 0;
        let local = self.local();
        local.tid.set(system::tid());
        local.head.set(if is_told_of_forks {
            system::head()
        } else {
            None
        });
    }
}

/// Forgets who the thread was, in a forked child: it has another id, and a list of its own.
///
/// Async-signal-safe.
pub(crate) fn forget() {
    LOCAL.with(|local| {
        local.tid.set(0);
        local.head.set(None);
    });
}

pub(super) use system::is_thread_of_ours;

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
unsafe fn insert(head: &Head, word: &RobustWord) {
    let entry = word.node.next.as_ptr().expose_provenance();
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

/// Takes a word out, as glibc does with its mutexes.
///
/// # Safety
///
/// The head is the calling thread's, and the word is in its list.
#[cfg(target_pointer_width = "64")]
#[inline]
unsafe fn remove(_head: &Head, word: &RobustWord) {
    let next = word.node.next.load(Ordering::Relaxed);
    let prev = word.node.prev.load(Ordering::Relaxed);
    // SAFETY: the next entry's, or the one before the head, as in `insert`.
    let prev_of_next = unsafe { pointer_at((next & ADDRESS).wrapping_sub(PREV_DISTANCE)) };
    prev_of_next.store(prev, Ordering::Relaxed);
    // SAFETY: the previous entry's, or the head's.
    let next_of_prev = unsafe { pointer_at(prev & ADDRESS) };
    next_of_prev.store(next, Ordering::Relaxed);
    // The kernel must not come to the entry once it leads nowhere.
    compiler_fence(Ordering::SeqCst);
    word.node.prev.store(0, Ordering::Relaxed);
    word.node.next.store(0, Ordering::Relaxed);
}

/// As above, where glibc's list leads one way only.
///
/// # Safety
///
/// As above.
#[cfg(target_pointer_width = "32")]
#[inline]
unsafe fn insert(head: &Head, word: &RobustWord) {
    let entry = word.node.next.as_ptr().expose_provenance();
    word.node
        .next
        .store(head.next.load(Ordering::Relaxed), Ordering::Relaxed);
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
unsafe fn remove(head: &Head, word: &RobustWord) {
    /// More than a thread can sensibly own. A list that is longer leads in a circle.
    const MOST_ENTRIES: usize = 1 << 20;

    let entry = word.node.next.as_ptr().addr();
    let end = ptr::from_ref(head).addr();
    let mut before = &head.next;
    for _ in 0..MOST_ENTRIES {
        let next = before.load(Ordering::Relaxed);
        if next & ADDRESS == entry {
            before.store(word.node.next.load(Ordering::Relaxed), Ordering::Relaxed);
            break;
        }
        if next & ADDRESS == end || next & ADDRESS == 0 {
            break;
        }
        // SAFETY: an entry of the list.
        before = unsafe { pointer_at(next & ADDRESS) };
    }
    compiler_fence(Ordering::SeqCst);
    word.node.next.store(0, Ordering::Relaxed);
}

#[cfg(target_os = "linux")]
mod system {
    use std::ptr::{self, NonNull};
    use std::sync::atomic::Ordering;

    use super::super::word::FUTEX_OFFSET;
    use super::Head;

    pub(super) fn tid() -> u32 {
        // Ids are positive.
        rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs()
    }

    /// The calling thread's list, if its entries have the form of ours.
    pub(super) fn head() -> Option<NonNull<Head>> {
        let mut head = ptr::null_mut::<Head>();
        let mut size_bytes = 0_usize;
        // SAFETY: 0 is the calling thread; the two places are filled, with an address and a size.
        let status = unsafe {
            libc::syscall(
                libc::SYS_get_robust_list,
                0,
                &raw mut head,
                &raw mut size_bytes,
            )
        };
        if status != 0 || size_bytes != size_of::<Head>() || !cfg!(target_env = "gnu") {
            return None;
        }
        let head = NonNull::new(head)?;
        // SAFETY: the head that the libc gave to the kernel, of the size that was just seen.
        let offset = unsafe { head.as_ref() }
            .futex_offset
            .load(Ordering::Relaxed);
        (offset == FUTEX_OFFSET).then_some(head)
    }

    pub(crate) fn is_thread_of_ours(tid: u32) -> bool {
        let process = rustix::process::getpid().as_raw_nonzero().get();
        // SAFETY: signal 0 is sent to nobody; it is only asked whether the process has the thread.
        let status = unsafe { libc::syscall(libc::SYS_tgkill, process, tid, 0) };
        status == 0
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Head;

    /// The system has no ids that would fit; these are the process's own.
    pub(super) fn tid() -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);

        NEXT.fetch_add(1, Ordering::Relaxed) & crate::futex::TID_MASK
    }

    pub(super) fn head() -> Option<NonNull<Head>> {
        None
    }

    pub(crate) fn is_thread_of_ours(_tid: u32) -> bool {
        false
    }
}
