//! The short way through the protocol, for a thread of which all is known.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

use super::entries::entry_of;
use super::{Head, LOCAL};
use crate::futex::TID_MASK;
use crate::robust::RobustWord;

/// The calling thread, if something other than 0 was noted under the key.
///
/// Like [`current`](super::current), with less to find out.
#[must_use]
#[inline]
pub fn known(key: u32) -> Option<Known> {
    LOCAL.with(|local| {
        let note = local.note.get();
        (note.key == key && note.value != 0).then_some(Known {
            tid: local.tid.get(),
            noted: note.value,
        })
    })
}

/// A thread and what was noted of it: see [`known`]. It is for use at once, before a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    tid: u32,
    noted: u32,
}

impl Known {
    /// The thread's id.
    #[must_use]
    #[inline]
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// What was noted, never 0.
    #[must_use]
    #[inline]
    pub fn noted(&self) -> u32 {
        self.noted
    }
}

/// The calling thread, if a word that `links` can be announced without more ado: no other word is, and something other than 0
/// was noted under the key.
///
/// Like [`current`](super::current) and [`announce`](super::Thread::announce), with less to find out.
#[must_use]
#[inline]
pub fn ready(key: u32, links: bool) -> Option<Ready> {
    LOCAL.with(|local| {
        let note = local.note.get();
        let head = local.head.get()?;
        // SAFETY: as in `Thread::head`.
        let pending = unsafe { head.as_ref() }
            .list_op_pending
            .load(Ordering::Relaxed);
        let is_ready = note.key == key && pending == 0 && local.links.get() == links;
        (is_ready && note.value != 0).then_some(Ready {
            head,
            known: Known {
                tid: local.tid.get(),
                noted: note.value,
            },
            _not_send: PhantomData,
        })
    })
}

/// The calling thread, if it owns the word and has announced it last of all.
///
/// Like [`current`](super::current) and [`announce_release`](super::Thread::announce_release), with less to find out.
#[must_use]
#[inline]
pub fn ready_to_release(word: &RobustWord) -> Option<Ready> {
    LOCAL.with(|local| {
        let tid = local.tid.get();
        let head = local.head.get()?;
        // SAFETY: as in `Thread::head`.
        let pending = unsafe { head.as_ref() }
            .list_op_pending
            .load(Ordering::Relaxed);
        let is_owner = word.word().load(Ordering::Relaxed) & TID_MASK == tid;
        (is_owner && pending == entry_of(word)).then_some(Ready {
            head,
            known: Known { tid, noted: 0 },
            _not_send: PhantomData,
        })
    })
}

/// A thread that takes one word, or gives it up, while the kernel has nothing else to look at: see [`ready`]. It is for use at once,
/// before a fork.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    head: NonNull<Head>,
    known: Known,
    _not_send: PhantomData<*const ()>,
}

impl Ready {
    /// The thread; nothing is noted of it that is ready to give a word up.
    #[must_use]
    #[inline]
    pub fn known(&self) -> Known {
        self.known
    }

    /// As [`Thread::announce`](super::Thread::announce).
    #[inline]
    pub fn announce(&self, word: &RobustWord) {
        self.set_pending(entry_of(word));
        compiler_fence(Ordering::SeqCst);
    }

    /// As [`Thread::concluded`](super::Thread::concluded).
    #[inline]
    pub fn concluded(&self) {
        compiler_fence(Ordering::SeqCst);
        self.set_pending(0);
    }

    #[inline]
    fn set_pending(&self, entry: usize) {
        // SAFETY: as in `Thread::head`; the thread is the one that this was made for.
        let head = unsafe { self.head.as_ref() };
        head.list_op_pending.store(entry, Ordering::Relaxed);
    }
}
