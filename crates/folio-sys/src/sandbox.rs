//! System calls that this process is refused from now on: as a sandbox, or an older kernel, would.
//! For tests and demonstrations.

use std::io;

use rustix::io::Errno;

/// A system call that can be refused without harm: whoever makes it has another way.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusable {
    /// `cachestat(2)`.
    CacheStat,
    /// `madvise(2)`, and by it all advice.
    Advice,
    /// `userfaultfd(2)`.
    Userfaultfd,
}

/// How a refused call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// EPERM, as most sandboxes answer.
    NotPermitted,
    /// ENOSYS, as a kernel answers that has no such call.
    NotImplemented,
}

/// Has the kernel refuse a system call to this thread, and to the threads and processes that it
/// starts from now on, for ever (`seccomp(2)`). They can no more gain privileges by running
/// other programs.
///
/// # Errors
///
/// The system's: EINVAL from a kernel without seccomp filters.
pub fn refuse(call: Refusable, how: Refusal) -> io::Result<()> {
    let number = match call {
        Refusable::CacheStat => u32::from(crate::cachestat::NUMBER),
        Refusable::Advice => {
            u32::try_from(libc::SYS_madvise).map_err(|_| io::ErrorKind::InvalidInput)?
        }
        Refusable::Userfaultfd => {
            u32::try_from(libc::SYS_userfaultfd).map_err(|_| io::ErrorKind::InvalidInput)?
        }
    };
    let errno = match how {
        Refusal::NotPermitted => Errno::PERM,
        Refusal::NotImplemented => Errno::NOSYS,
    };
    let errno = u32::try_from(errno.raw_os_error()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The call's number is the first word of `struct seccomp_data`. Calls of other architectures of the
    // machine have numbers of their own; folio makes none.
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 1),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | errno,
            0,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    install(&mut program)
}

/// An instruction of the classic packet filter; `otherwise` is how many to skip when a comparison fails.
fn instruction(code: u32, operand: u32, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter {
        // The codes are below 256.
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt: 0,
        jf: otherwise,
        k: operand,
    }
}

fn install(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_mut_ptr(),
    };
    // Without it, only root may install filters.
    rustix::thread::set_no_new_privs(true)?;
    // SAFETY: the kernel reads the program, of as many instructions as were counted, and keeps a copy.
    // A filter changes no memory, and what it makes fail is the `Refusable` calls alone, whose failure
    // is an error for all who make them.
    let outcome = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::c_ulong::from(libc::SECCOMP_MODE_FILTER),
            &raw const filter,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
