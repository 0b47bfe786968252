//! Faults as errors: the SIGBUS handler and its fault table.
//!
//! Reading a mapped page that its file no longer has raises SIGBUS. folio reads
//! mapped bytes by routines written in assembly only, whose instructions stand in a
//! fault table: when the handler finds the faulting program counter there, it
//! resumes at the routine's error exit, which reports how far the routine came.
//! gVisor's `safecopy` and Linux's own `copy_from_user` work this way.
//!
//! Every other SIGBUS belongs to somebody else and goes to the action that stood
//! before, as if folio's handler were not there.

use std::io;

/// How a read of mapped bytes survives the loss of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FaultPolicy {
    /// Through the SIGBUS handler, installed at the first mapping: the fast way.
    ///
    /// Where folio has no assembly routine yet (anything but x86-64) this
    /// is the same as [`Syscall`](Self::Syscall).
    #[default]
    Handler,
    /// Through system calls that answer EFAULT; no handler is ever installed.
    Syscall,
}

impl FaultPolicy {
    /// The policy in force on this architecture, its handler installed if it has one.
    pub(crate) fn prepare(self) -> io::Result<Self> {
        match self {
            Self::Syscall => Ok(Self::Syscall),
            Self::Handler => handler::install(),
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use x86_64_linux as handler;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod handler {
    use super::{FaultPolicy, io};

    #[expect(
        clippy::unnecessary_wraps,
        reason = "installing a handler, where there is one, can fail"
    )]
    pub(super) fn install() -> io::Result<FaultPolicy> {
        Ok(FaultPolicy::Syscall)
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x86_64_linux {
    use std::ffi::{c_int, c_void};
    use std::io;
    use std::mem::{self, MaybeUninit};
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicPtr, Ordering};

    use libc::{SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART, SA_SIGINFO};
    use libc::{SIG_DFL, SIG_IGN, SIGBUS, sigaction, siginfo_t, ucontext_t};

    use super::FaultPolicy;
    use crate::copy::guarded;

    /// The action that stood before folio's; null until the handler is installed.
    /// What it points to is never freed: a handler may be reading it at any time.
    static PREVIOUS: AtomicPtr<sigaction> = AtomicPtr::new(ptr::null_mut());

    /// Installs the handler once for the whole process.
    pub(super) fn install() -> io::Result<FaultPolicy> {
        static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
        INSTALLED
            .get_or_init(install_once)
            .map(|()| FaultPolicy::Handler)
            .map_err(io::Error::from_raw_os_error)
    }

    fn install_once() -> Result<(), i32> {
        // The handler can run the moment it is installed, so it must be able to find
        // its predecessor before.
        let previous = Box::leak(Box::new(current_action()?));
        let mut ours = *previous;
        ours.sa_sigaction = on_fault as *const () as usize;
        // The previous action's mask and NODEFER are kept, since it may be called from
        // ours and then expects them. RESTART is its say for SIGBUSes that were sent.
        // ONSTACK costs nothing without an alternate stack and is needed with one:
        // a SIGBUS can be met with no stack left.
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (previous.sa_flags & (SA_NODEFER | SA_RESTART));
        PREVIOUS.store(previous, Ordering::Release);
        // SAFETY: `ours` is a whole sigaction whose handler has the three-argument
        // form that SA_SIGINFO asks for, and is async-signal-safe (see on_fault).
        let status = unsafe { sigaction(SIGBUS, &raw const ours, ptr::null_mut()) };
        if status == 0 { Ok(()) } else { Err(errno()) }
    }

    fn current_action() -> Result<sigaction, i32> {
        let mut action = MaybeUninit::<sigaction>::zeroed();
        // SAFETY: a null new action only queries; `action` has room for the old one.
        let status = unsafe { sigaction(SIGBUS, ptr::null(), action.as_mut_ptr()) };
        if status != 0 {
            return Err(errno());
        }
        // SAFETY: zeroed, and filled by the call that succeeded.
        Ok(unsafe { action.assume_init() })
    }

    fn errno() -> i32 {
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    /// The handler. Async-signal-safe: it reads the fault table (constants), one
    /// atomic, and calls nothing but sigaction, raise and the previous handler.
    unsafe extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
        let code = unsafe { (*info).si_code };
        // Codes above zero are the kernel's; kill(2) and its kin have the others, and
        // those are ours in no case, wherever the program counter happens to be.
        let from_kernel = code > 0;
        if from_kernel {
            // SAFETY: the third argument of an SA_SIGINFO handler points to the
            // interrupted context, ours to change until the handler returns.
            let registers = unsafe { &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs };
            if guarded::resume(registers) {
                return;
            }
        }
        // SAFETY: the three arguments are the kernel's own, passed on unchanged.
        unsafe { pass_on(signal, info, context, from_kernel) };
    }

    /// Does what would have happened without folio's handler.
    ///
    /// # Safety
    ///
    /// To be called from a signal handler, with that handler's arguments.
    #[cold]
    unsafe fn pass_on(
        signal: c_int,
        info: *mut siginfo_t,
        context: *mut c_void,
        from_kernel: bool,
    ) {
        let previous = PREVIOUS.load(Ordering::Acquire);
        // SAFETY: set before the handler was installed, never freed, never written to.
        let previous = unsafe { &*previous };
        match previous.sa_sigaction {
            SIG_DFL => die_of(signal, from_kernel),
            // The kernel lets nobody ignore a fault of their own (it would recur for
            // ever): it ends the process. A signal that was sent is ignored.
            SIG_IGN if from_kernel => die_of(signal, from_kernel),
            SIG_IGN => {}
            handler => {
                if previous.sa_flags & SA_RESETHAND != 0 {
                    reset_previous();
                }
                if previous.sa_flags & SA_SIGINFO != 0 {
                    // SAFETY: with SA_SIGINFO, the word is a handler of this form.
                    let handler = unsafe {
                        mem::transmute::<
                            usize,
                            unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void),
                        >(handler)
                    };
                    // SAFETY: called as the kernel would have called it.
                    unsafe { handler(signal, info, context) };
                } else {
                    // SAFETY: without SA_SIGINFO, the word is a handler of this form.
                    let handler =
                        unsafe { mem::transmute::<usize, unsafe extern "C" fn(c_int)>(handler) };
                    // SAFETY: called as the kernel would have called it.
                    unsafe { handler(signal) };
                }
            }
        }
    }

    /// What `SA_RESETHAND` asks for: the previous handler ran once, and the default
    /// action stands from now on.
    fn reset_previous() {
        struct Default(sigaction);
        // SAFETY: read-only, and the pointers in it are null.
        unsafe impl Sync for Default {}
        static DEFAULT: Default = Default(
            // SAFETY: a sigaction is plain data, and all zeros is SIG_DFL, no flags,
            // an empty mask.
            unsafe { MaybeUninit::zeroed().assume_init() },
        );
        PREVIOUS.store((&raw const DEFAULT.0).cast_mut(), Ordering::Release);
    }

    /// Ends the process by `signal`'s default action, with its core and its status.
    fn die_of(signal: c_int, from_kernel: bool) {
        // SAFETY: as in reset_previous: all zeros is SIG_DFL.
        let default: sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: a whole sigaction; the old one is not asked for.
        unsafe { sigaction(signal, &raw const default, ptr::null_mut()) };
        if !from_kernel {
            // Nothing recurs by itself, so the signal is sent again. It is blocked
            // while its handler runs and arrives when that returns.
            // SAFETY: raise has no obligations.
            unsafe { libc::raise(signal) };
        }
        // A fault recurs when the handler returns to the instruction that raised it.
    }
}
