//! Forking, children that do not outlive their parent, and which process this is.

mod generation;
mod identity;

use std::io;

use rustix::process::Pid;

pub use generation::fork_generation;
pub use identity::{boot_id, kill_self, pid_namespace, start_time};

/// Which side of a [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The process that called, with the child's id.
    Parent(Pid),
}

/// Forks, in a process of one thread.
///
/// After `fork(2)` the child has the calling thread alone, and whatever the other
/// threads held, locks above all, stays as it was for ever. A process of one thread has
/// no others, so there the child may go on as any program does. That is why this
/// function is safe and why it refuses otherwise. It counts the threads in
/// `/proc/self/task`; nobody but this thread could start another meanwhile.
///
/// Mappings made with `MAP_SHARED` are shared with the child from here on; everything
/// else is the child's own copy. Descriptors refer to the same open files.
///
/// # Errors
///
/// `Unsupported` when more than one thread runs, or where the threads cannot
/// be counted (no `/proc`, not Linux); the system's error when it refuses.
pub fn fork() -> io::Result<Fork> {
    let threads = thread_count()?;
    if threads != 1 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("cannot fork: {threads} threads run, and only a process of one may"),
        ));
    }
    // SAFETY: fork has no obligation of its own in a process of one thread, which
    // was just seen: every lock is held by the calling thread or by nobody, so the
    // child's copy of the process is one that the program itself could have made.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Pid::from_raw(pid).map_or(Fork::Child, Fork::Parent)),
    }
}

#[cfg(target_os = "linux")]
fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")
        .map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?
        .count())
}

#[cfg(not(target_os = "linux"))]
fn thread_count() -> io::Result<usize> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "cannot fork: this system does not say how many threads run",
    ))
}

/// Makes the kernel end this process by SIGKILL when its parent ends.
///
/// For the child of a [`fork`]; `parent` is the id that the parent had, taken before
/// the fork. "Parent" is the thread that forked (`PR_SET_PDEATHSIG(2const)`), which
/// in a process of one thread is the process.
///
/// On systems other than Linux this does nothing: watch a pipe whose other end the
/// parent holds, there as well as here.
///
/// # Errors
///
/// `NotFound` when the parent had ended already, so that no signal would come; the
/// system's error when it refuses.
pub fn die_with_parent(parent: Pid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The parent may have ended before the request was made.
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the parent has ended",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_to_fork_beside_other_threads() {
        // The test harness runs this in a thread beside its own.
        let other = std::thread::spawn(std::thread::park);
        let error = fork().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        other.thread().unpark();
        other.join().unwrap();
    }
}
