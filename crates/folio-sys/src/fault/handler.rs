//! The handler itself, and how it comes to be, and stays, in front.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use libc::{BUS_MCEERR_AO, SA_NODEFER, SA_ONSTACK, SA_RESTART, SA_SIGINFO};
use libc::{SIG_DFL, SIG_IGN, SIGBUS, SIGSEGV, sigaction, siginfo_t, ucontext_t};

use super::previous::{Delivery, PREVIOUS_OF_SIGBUS, PREVIOUS_OF_SIGSEGV, Previous, SLOTS};
use crate::copy::guarded;
use crate::survive;
use crate::watch::protection;

type Handler = unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// The handler, once for each slot of [`Previous`].
///
/// The one that is installed says by its address alone which action it displaced. So whoever
/// saved it and passes on to it, or puts it back, means the actions that stood before at the
/// time, and gets them. No handler that displaced folio's knows the entry that
/// is then put in front of it, so passing on comes to an end.
static ENTRIES: [Handler; SLOTS] = [
    on_fault::<0>,
    on_fault::<1>,
    on_fault::<2>,
    on_fault::<3>,
    on_fault::<4>,
    on_fault::<5>,
    on_fault::<6>,
    on_fault::<7>,
];

/// Puts the handler in front of others, for both signals; false if that cannot be.
pub(super) fn ensure() -> io::Result<bool> {
    Ok(ensure_one(SIGBUS, &PREVIOUS_OF_SIGBUS)? && ensure_one(SIGSEGV, &PREVIOUS_OF_SIGSEGV)?)
}

/// Whether the handler is in front, for both signals.
pub(super) fn is_installed() -> io::Result<bool> {
    Ok(is_ours(&current_action(SIGBUS)?) && is_ours(&current_action(SIGSEGV)?))
}

fn ensure_one(signal: c_int, previous: &Previous) -> io::Result<bool> {
    let current = current_action(signal)?;
    if is_ours(&current) {
        return Ok(true);
    }
    put_in_front(signal, previous)
}

#[cold]
fn put_in_front(signal: c_int, previous: &Previous) -> io::Result<bool> {
    /// One thread at a time; what a thread that panicked left behind is whole.
    static CHANGING: Mutex<()> = Mutex::new(());

    let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut displaced = current_action(signal)?;
    // Other code may install a handler between the query and the exchange, or while
    // we are at it. That it does so again and again is no reason to go on for ever.
    for _ in 0..SLOTS {
        if is_ours(&displaced) {
            break;
        }
        // The handler can run the moment it is installed, so the action that it
        // passes on to is put into its slot before.
        let Some(slot) = previous.keep(&displaced) else {
            return Ok(false);
        };
        let Some(entry) = ENTRIES.get(slot) else {
            return Ok(false);
        };
        let found = exchange(signal, &in_front_of(&displaced, *entry))?;
        if found.sa_sigaction == displaced.sa_sigaction {
            break;
        }
        displaced = found;
    }
    Ok(true)
}

/// folio's action, when it displaces another.
fn in_front_of(displaced: &sigaction, entry: Handler) -> sigaction {
    // The mask, NODEFER and ONSTACK stay as they were, since the displaced handler may be called
    // from ours and then expects them. RESTART is its say for signals that were sent.
    let kept = SA_NODEFER | SA_RESTART | SA_ONSTACK;
    let mut ours = *displaced;
    ours.sa_sigaction = entry as *const () as usize;
    ours.sa_flags = SA_SIGINFO | (displaced.sa_flags & kept);
    if matches!(displaced.sa_sigaction, SIG_DFL | SIG_IGN) {
        // Costs nothing without an alternate stack, and is needed with one: a fault
        // can be met with no stack left.
        ours.sa_flags |= SA_ONSTACK;
    }
    ours
}

fn is_ours(action: &sigaction) -> bool {
    ENTRIES
        .iter()
        .any(|entry| *entry as *const () as usize == action.sa_sigaction)
}

fn current_action(signal: c_int) -> io::Result<sigaction> {
    let mut action = MaybeUninit::<sigaction>::zeroed();
    // SAFETY: a null new action only queries; `action` has room for the old one.
    let status = unsafe { sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, and filled by the call that succeeded.
    Ok(unsafe { action.assume_init() })
}

/// Installs an action of ours and returns the one that stood there.
fn exchange(signal: c_int, ours: &sigaction) -> io::Result<sigaction> {
    let mut found = MaybeUninit::<sigaction>::zeroed();
    // SAFETY: `ours` is a whole sigaction whose handler has the three-argument form that
    // SA_SIGINFO asks for, and is async-signal-safe (see on_fault).
    let status = unsafe { sigaction(signal, ptr::from_ref(ours), found.as_mut_ptr()) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, and filled by the call that succeeded.
    Ok(unsafe { found.assume_init() })
}

/// `SEGV_ACCERR` of `asm-generic/siginfo.h`: the page is there, and protected.
const SEGV_ACCERR: c_int = 2;

/// The handler. Async-signal-safe: it reads the fault table (constants), atomics,
/// and calls nothing but sigaction, raise, mmap, mprotect and the previous handler. Nothing here has a
/// destructor, so that the previous handler may leave by `siglongjmp`.
unsafe extern "C" fn on_fault<const SLOT: usize>(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
) {
    let context = context.cast::<ucontext_t>();
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
    let code = unsafe { (*info).si_code };
    // Codes above zero are the kernel's; kill(2) and its kin have the others, and
    // those are ours in no case, wherever the program counter happens to be. The one of
    // the kernel's that tells of a fault elsewhere is BUS_MCEERR_AO: memory that is known to
    // have failed, and that nobody has touched.
    let is_fault = code > 0 && !(signal == SIGBUS && code == BUS_MCEERR_AO);
    if is_fault {
        // SAFETY: the kernel's siginfo, as above.
        let info = unsafe { &*info };
        // SAFETY: a fault that the kernel raised has an address.
        let address = unsafe { info.si_addr() };
        // Before the guarded copies' own faults: a copy into a page that is watched goes on.
        if signal == SIGSEGV && code == SEGV_ACCERR && protection::open_watched_page(address.addr())
        {
            return;
        }
        // SAFETY: the third argument of an SA_SIGINFO handler points to the
        // interrupted context, ours to change until the handler returns.
        if guarded::resume(unsafe { &mut (*context).uc_mcontext }) {
            return;
        }
        let is_lost_page = signal == SIGBUS && code == libc::BUS_ADRERR;
        if is_lost_page && survive::replace_lost_page(address.addr()) {
            return;
        }
    }
    let delivery = Delivery {
        signal,
        info,
        context,
        is_fault,
    };
    let previous = match signal {
        SIGBUS => &PREVIOUS_OF_SIGBUS,
        _ => &PREVIOUS_OF_SIGSEGV,
    };
    // SAFETY: the arguments of a handler, which this is.
    unsafe { previous.pass_on(SLOT, delivery) };
}
