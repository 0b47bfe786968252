//! A thread's list: whose head it is, and how words get in and out.

mod entries;
mod ready;

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering, compiler_fence};

pub use ready::{Known, Ready, known, ready, ready_to_release};

use super::RobustWord;
use crate::futex::TID_MASK;
use entries::{entry_of, find, insert, remove, word_of};

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
    /// Whether the word that is announced may be linked.
    links: Cell<bool>,
    /// See [`Thread::note`]. Its key is 0 where nothing is noted, as is `tid` then.
    note: Cell<Note>,
}

/// What a user of words knows of a thread.
#[derive(Debug, Clone, Copy)]
struct Note {
    key: u32,
    value: u32,
}

impl Note {
    const NONE: Self = Self { key: 0, value: 0 };
}

impl Local {
    const fn new() -> Self {
        Self {
            tid: Cell::new(0),
            head: Cell::new(None),
            links: Cell::new(false),
            note: Cell::new(Note::NONE),
        }
    }
}

thread_local! {
    // Without destructors, so that they can be had until the thread's memory is gone.
    static LOCAL: Local = const { Local::new() };
    /// The thread by another id, of which the kernel does not know.
    static UNLISTED: Local = const { Local::new() };
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

/// The calling thread by another id, for words that the kernel must not look at: what is announced by it is
/// announced to nobody.
///
/// Threads in different PID namespaces (`pid_namespaces(7)`) may have the same id. When one of them dies, the kernel takes all
/// words from it that it has announced and that have this id in them, also those that another owns. So threads
/// that share words with those of another namespace go by ids that are no thread's.
///
/// There is one such id at a time: what was returned before has this one from now on.
///
/// ```
/// let thread = folio_sys::robust::unlisted(1 << 22);
/// assert_eq!(thread.tid(), 1 << 22);
/// assert!(!thread.kernel_recovers());
/// ```
#[must_use]
pub fn unlisted(tid: u32) -> Thread {
    let local = UNLISTED.with(|local| {
        local.tid.set(tid);
        NonNull::from(local)
    });
    Thread {
        local,
        _not_send: PhantomData,
    }
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

    /// Notes a value of the thread, for [`known`] and [`ready`] to find, in place of any other. A forked child has none.
    #[inline]
    pub fn note(&self, key: u32, value: u32) {
        // A thread that is none any more has nothing to take words with.
        if self.tid() != 0 {
            self.local().note.set(Note { key, value });
        }
    }

    /// Says that a word is about to be taken. Until it is given up, or another is announced,
    /// that alone makes the kernel look at it. A word that was announced before, and taken, is put into
    /// the list now if it `links`: if those who can write to its memory are trusted.
    ///
    /// The thread must not own the word already.
    #[inline]
    pub fn announce(&self, word: &RobustWord, links: bool) {
        let Some(head) = self.head() else {
            return;
        };
        if head.list_op_pending.load(Ordering::Relaxed) != 0 {
            self.make_room(head);
        }
        self.set_pending(head, word, links);
    }

    /// Says that a word, that is this thread's, is about to be given up, and takes it out of the list if it is there.
    /// One that this thread does not own, as none of the parent's words are a forked child's, stays as it is.
    #[inline]
    pub fn announce_release(&self, word: &RobustWord) {
        let Some(head) = self.head() else {
            return;
        };
        if head.list_op_pending.load(Ordering::Relaxed) != entry_of(word) {
            self.leave_list(head, word);
        }
    }

    /// Says that a word that was announced was given up.
    #[inline]
    pub fn concluded(&self) {
        if let Some(head) = self.head() {
            compiler_fence(Ordering::SeqCst);
            head.list_op_pending.store(0, Ordering::Relaxed);
        }
    }

    /// Says that a word that was announced was not taken, or is this thread's no longer. If it was not taken because
    /// this thread owns it already, it stays announced or linked, as it was.
    #[cold]
    pub fn withdraw(&self, word: &RobustWord) {
        let Some(head) = self.head() else {
            return;
        };
        if head.list_op_pending.load(Ordering::Relaxed) != entry_of(word) {
            return;
        }
        // SAFETY: as in `leave_list`.
        if !self.owns(word) || unsafe { find(head, word) }.is_some() {
            self.concluded();
        }
    }

    #[inline]
    fn set_pending(self, head: &Head, word: &RobustWord, links: bool) {
        let local = self.local();
        if local.links.get() != links {
            local.links.set(links);
        }
        head.list_op_pending
            .store(entry_of(word), Ordering::Relaxed);
        // Before whatever comes next. The kernel reads for this thread, after it: so the order
        // need be kept by the compiler alone, here and below.
        compiler_fence(Ordering::SeqCst);
    }

    /// Puts the word that is announced into the list, if it was taken, so that another can be announced.
    #[cold]
    fn make_room(self, head: &Head) {
        let entry = head.list_op_pending.load(Ordering::Relaxed);
        if !self.local().links.get() {
            return;
        }
        // SAFETY: it was announced by `set_pending`, since the libc leaves 0 behind when it is done with a mutex
        // of its own. It was taken since, or `withdraw` would have been called while it was there; and memory with a
        // word that a thread owns stays mapped (see the Drop of SharedMemory).
        let word = unsafe { word_of(entry) };
        if self.owns(word) {
            // SAFETY: the head is this thread's, and its list whole, as long as those keep to the protocol
            // whom the module names. The word is not in it: it was not when it was announced, and nothing
            // but this puts it there, whereafter another is announced.
            unsafe { insert(head, word) };
        }
    }

    /// Announces a word that is not announced now, and takes it out of the list.
    #[cold]
    fn leave_list(self, head: &Head, word: &RobustWord) {
        if !self.owns(word) {
            return;
        }
        if head.list_op_pending.load(Ordering::Relaxed) != 0 {
            self.make_room(head);
        }
        self.set_pending(head, word, false);
        // SAFETY: the head is this thread's, and its list whole, as long as those keep to the protocol
        // whom the module names.
        unsafe { remove(head, word) };
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
        if let Some(head) = self.head() {
            // A forked child's list is a new one, but this is as the parent had it.
            head.list_op_pending.store(0, Ordering::Relaxed);
        }
    }
}

/// Forgets who the thread was, in a forked child: it has another id, and a list of its own.
///
/// Async-signal-safe.
pub(crate) fn forget() {
    LOCAL.with(|local| {
        local.tid.set(0);
        local.head.set(None);
        local.note.set(Note::NONE);
    });
}

pub(super) use system::is_thread_of_ours;

#[cfg(target_os = "linux")]
mod system {
    use std::ptr::{self, NonNull};
    use std::sync::atomic::Ordering;

    use super::Head;
    use crate::robust::word::FUTEX_OFFSET;

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
