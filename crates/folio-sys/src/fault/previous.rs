//! The actions that folio's handler displaced, and passing signals on to them.

use std::ffi::{c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use libc::{SA_RESETHAND, SA_SIGINFO, SIG_DFL, SIG_IGN, sigaction, siginfo_t, ucontext_t};

/// How many different actions can be displaced, one after the other. Programs have one,
/// those that load crash reporters or other runtimes two or three.
pub(super) const SLOTS: usize = 8;

pub(super) static PREVIOUS_OF_SIGBUS: Previous = Previous::NONE;
pub(super) static PREVIOUS_OF_SIGSEGV: Previous = Previous::NONE;

/// The actions of one signal that folio's handler displaced, oldest first.
pub(super) struct Previous {
    slots: [Slot; SLOTS],
}

struct Slot {
    /// Null while the slot is free. What it points to is never freed and never
    /// written to: a handler may be reading it at any time.
    action: AtomicPtr<sigaction>,
    /// An action with `SA_RESETHAND` has run: from now on it is the default action.
    is_spent: AtomicBool,
}

/// The arguments of a handler, and what they say.
#[derive(Clone, Copy)]
pub(super) struct Delivery {
    pub(super) signal: c_int,
    pub(super) info: *mut siginfo_t,
    pub(super) context: *mut ucontext_t,
    /// The interrupted instruction raised it, and raises it anew if it is run again.
    pub(super) is_fault: bool,
}

impl Previous {
    #[expect(
        clippy::declare_interior_mutable_const,
        reason = "the initial value of statics"
    )]
    const NONE: Self = {
        const FREE: Slot = Slot {
            action: AtomicPtr::new(ptr::null_mut()),
            is_spent: AtomicBool::new(false),
        };
        Self {
            slots: [FREE; SLOTS],
        }
    };

    /// Keeps an action, and says in which slot; `None` when all are taken. One caller at a time.
    pub(super) fn keep(&self, action: &sigaction) -> Option<usize> {
        for (index, slot) in self.slots.iter().enumerate() {
            let kept = slot.action.load(Ordering::Acquire);
            if kept.is_null() {
                let kept = Box::leak(Box::new(*action));
                slot.action.store(kept, Ordering::Release);
                return Some(index);
            }
            // SAFETY: set once to what is never freed nor written to.
            if is_same(unsafe { &*kept }, action) {
                // It was installed anew, and so has its one run before it again.
                slot.is_spent.store(false, Ordering::Release);
                return Some(index);
            }
        }
        None
    }

    /// Does what would have happened without folio's handler, whose entry `slot` is running.
    ///
    /// A handler that is passed a signal may pass it on to folio in its turn. It then gets to the entry
    /// that it once displaced, so to an older slot; and if that should be one
    /// through which this very delivery came already, to the next older one. So each
    /// action is taken once at most, and the last of all is the default.
    ///
    /// # Safety
    ///
    /// To be called from a signal handler, with that handler's arguments.
    #[cold]
    pub(super) unsafe fn pass_on(&self, slot: usize, delivery: Delivery) {
        // SAFETY: the caller vouches for the context.
        let visits = unsafe { Visits::of(delivery.context) };
        let Some((slot, action)) = self.newest(slot, visits) else {
            die_of(delivery);
            return;
        };
        let handler = match action.sa_sigaction {
            SIG_DFL => return die_of(delivery),
            // The kernel lets nobody ignore a fault of their own (it would recur for
            // ever): it ends the process. A signal that was sent is ignored.
            SIG_IGN if delivery.is_fault => return die_of(delivery),
            SIG_IGN => return,
            handler => handler,
        };
        if action.sa_flags & SA_RESETHAND != 0 {
            if let Some(slot) = self.slots.get(slot) {
                slot.is_spent.store(true, Ordering::Release);
            }
        }
        // SAFETY: as above.
        unsafe { visits.with(slot).write_to(delivery.context) };
        // SAFETY: called as the kernel would have called it.
        unsafe { call(handler, action.sa_flags, delivery) };
        // SAFETY: as above.
        unsafe { visits.write_to(delivery.context) };
    }

    /// The newest action up to `slot` that this delivery has not seen. `None` if that is the
    /// default: all have seen it, or the one whose turn it is was reset.
    fn newest(&self, slot: usize, visits: Visits) -> Option<(usize, &'static sigaction)> {
        let index = (0..=slot).rev().find(|&slot| !visits.has(slot))?;
        let slot = self.slots.get(index)?;
        if slot.is_spent.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: null, or set once to what is never freed nor written to.
        let action = unsafe { slot.action.load(Ordering::Acquire).as_ref() }?;
        Some((index, action))
    }
}

/// The slots that one delivery of a signal has come through.
///
/// They are noted where the delivery has its own memory, whatever thread it is in, however
/// deep it is nested, and even if a handler leaves by `siglongjmp`: in its context, whose `uc_link`
/// the kernel sets to null and does not read again when the handler returns.
#[derive(Clone, Copy)]
struct Visits(usize);

impl Visits {
    /// # Safety
    ///
    /// `context` is the third argument of a signal handler that is running.
    unsafe fn of(context: *mut ucontext_t) -> Self {
        // SAFETY: the caller vouches for it.
        let link = unsafe { (*context).uc_link };
        // Anything else is no note of ours: a context that some handler made itself.
        Self(if link.addr() < 1 << SLOTS {
            link.addr()
        } else {
            0
        })
    }

    /// # Safety
    ///
    /// As for [`of`](Self::of).
    unsafe fn write_to(self, context: *mut ucontext_t) {
        // SAFETY: the caller vouches for it; the kernel does not read this again.
        unsafe { (*context).uc_link = ptr::without_provenance_mut(self.0) };
    }

    fn has(self, slot: usize) -> bool {
        self.0 & (1 << slot) != 0
    }

    fn with(self, slot: usize) -> Self {
        Self(self.0 | (1 << slot))
    }
}

/// Calls a handler as the kernel would.
///
/// # Safety
///
/// `handler` and `flags` are those of an action that is not the default, nor to
/// ignore. The rest as for [`Previous::pass_on`].
unsafe fn call(handler: usize, flags: c_int, delivery: Delivery) {
    let Delivery {
        signal,
        info,
        context,
        ..
    } = delivery;
    if flags & SA_SIGINFO != 0 {
        // SAFETY: with SA_SIGINFO, the word is a handler of this form.
        let handler = unsafe {
            mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(
                handler,
            )
        };
        // SAFETY: the caller vouches for it.
        unsafe { handler(signal, info, context.cast()) };
    } else {
        // SAFETY: without SA_SIGINFO, the word is a handler of this form.
        let handler = unsafe { mem::transmute::<usize, unsafe extern "C" fn(c_int)>(handler) };
        // SAFETY: the caller vouches for it.
        unsafe { handler(signal) };
    }
}

/// Ends the process by the signal's default action, with its core and its status.
fn die_of(delivery: Delivery) {
    // SAFETY: a sigaction is plain data, and all zeros is SIG_DFL, no flags, an empty mask.
    let default: sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: a whole sigaction; the old one is not asked for.
    unsafe { sigaction(delivery.signal, &raw const default, ptr::null_mut()) };
    if !delivery.is_fault {
        // Nothing recurs by itself, so the signal is sent again. It is blocked
        // while its handler runs and arrives when that returns.
        // SAFETY: raise has no obligations.
        unsafe { libc::raise(delivery.signal) };
    }
    // A fault recurs when the handler returns to the instruction that raised it.
}

/// Whether two actions are one: the same handler with the same flags and mask.
fn is_same(a: &sigaction, b: &sigaction) -> bool {
    // Real-time signals end at 64 on Linux; a number that is none answers -1 to both.
    a.sa_sigaction == b.sa_sigaction
        && a.sa_flags == b.sa_flags
        && (1..=64).all(|signal| is_masked(a, signal) == is_masked(b, signal))
}

fn is_masked(action: &sigaction, signal: c_int) -> bool {
    // SAFETY: a whole signal set, which is only read.
    unsafe { libc::sigismember(&raw const action.sa_mask, signal) == 1 }
}
