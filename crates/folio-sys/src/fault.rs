//! Faults as errors: the handler of SIGBUS and SIGSEGV.
//!
//! Touching a mapped page that its file no longer has raises SIGBUS, and so does a write
//! to a page that a full file system cannot store. Touching one that was unmapped or
//! protected behind our back raises SIGSEGV. folio touches
//! mapped bytes by routines written in assembly only, whose instructions stand in a
//! fault table: when the handler finds the faulting program counter there, it
//! resumes at the routine's error exit, which reports how far the routine came.
//! gVisor's `safecopy` and Linux's own `copy_from_user` work this way.
//!
//! Every other fault and signal belongs to somebody else and goes to the action that
//! stood before, as if folio's handler were not there. So Rust's own report of a stack
//! overflow, which is a handler of SIGSEGV, still works.
//!
//! # With other handlers in the process
//!
//! A handler that was there before folio's gets what is not folio's. One that is installed
//! later displaces folio's, in one of two ways. If it passes on what it does not know, to the
//! action that it found, nothing changes. If it does not, folio's faults end with it. So whenever
//! a mapping is made, and when [`check`] is called, folio looks whether its handler is in front,
//! and where another is, puts itself in front again and passes on to that one. Each
//! handler sees a fault once, also when it passes the fault on to folio's in its turn.
//!
//! A signal that is blocked while its fault is raised ends the process, whatever handler there is
//! (`sigprocmask(2)`). A thread that blocks every signal must leave out SIGBUS
//! and SIGSEGV, or read by [`FaultPolicy::Syscall`].

use std::io;

#[cfg(guarded)]
mod handler;
#[cfg(guarded)]
mod previous;

/// How a read of mapped bytes survives the loss of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FaultPolicy {
    /// Through the signal handler, installed at the first mapping: the fast way.
    ///
    /// Where folio has no assembly routine (anything but Linux on x86-64, x86 with SSE2
    /// and aarch64) this is the same as [`Syscall`](Self::Syscall).
    #[default]
    Handler,
    /// Through system calls that answer EFAULT; no handler is ever installed.
    Syscall,
}

/// Makes sure that folio's handler is in front, where there is one, and says whether it is.
///
/// To be called after other code has installed a handler of SIGBUS or SIGSEGV, if mappings
/// made before are still read. It costs two system calls when nothing has changed.
///
/// It installs the handler if it never was; a program that wants none does not call this. It
/// is false where folio has no handler, and after handlers of eight kinds
/// have displaced folio's, one after the other: then new mappings are read by
/// [`FaultPolicy::Syscall`].
///
/// # Errors
///
/// The system's, when it refuses a handler.
///
/// ```
/// # #[cfg(all(target_os = "linux", target_arch = "x86_64"))] {
/// assert!(folio_sys::fault::check()?);
/// assert!(folio_sys::fault::is_installed()?);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn check() -> io::Result<bool> {
    handler::ensure()
}

/// Whether folio's handler is the one that the system calls, for SIGBUS and for SIGSEGV.
///
/// # Errors
///
/// The system's, when it does not tell.
pub fn is_installed() -> io::Result<bool> {
    handler::is_installed()
}

impl FaultPolicy {
    /// The policy in force on this architecture, its handler in front if it has one.
    pub(crate) fn prepare(self) -> io::Result<Self> {
        match self {
            Self::Handler if handler::ensure()? => Ok(Self::Handler),
            Self::Handler | Self::Syscall => Ok(Self::Syscall),
        }
    }
}

#[cfg(not(guarded))]
#[path = "fault/no_handler.rs"]
mod handler;
