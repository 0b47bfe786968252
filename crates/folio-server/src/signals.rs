//! Signals as something to poll for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::SigId;
use signal_hook::low_level;

/// Remembers that signals came, and makes a descriptor readable when one does.
///
/// The pipe only wakes; which signals came is kept in this process's own memory. So
/// when a child made by `fork` gets a signal before it has put its own handlers in
/// place, its parent wakes in vain, but neither takes the signal for its own.
///
/// Dropped, it unregisters its handlers. What the signals did before does not come
/// back with that: they do nothing.
#[derive(Debug)]
pub(crate) struct Signals {
    flags: Vec<(i32, Arc<AtomicBool>)>,
    ids: Vec<SigId>,
    pipe: OwnedFd,
}

impl Signals {
    /// Starts to catch these signals.
    pub(crate) fn register(signals: &[i32]) -> io::Result<Self> {
        let (pipe, wake) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut registered = Self {
            flags: Vec::new(),
            ids: Vec::new(),
            pipe,
        };
        for &signal in signals {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag first: actions run in the order in which they were registered.
            let id = signal_hook::flag::register(signal, Arc::clone(&flag))?;
            registered.ids.push(id);
            registered.flags.push((signal, flag));
            let id = low_level::pipe::register(signal, wake.try_clone()?)?;
            registered.ids.push(id);
        }
        Ok(registered)
    }

    /// Whether the signal came since this was last asked.
    pub(crate) fn take(&self, signal: i32) -> bool {
        self.flags
            .iter()
            .any(|(number, flag)| *number == signal && flag.swap(false, Ordering::SeqCst))
    }

    /// Goes on as if the signal had come.
    pub(crate) fn raise(&self, signal: i32) {
        for (number, flag) in &self.flags {
            if *number == signal {
                flag.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Empties the pipe, so that the next signal wakes again. Ask what came after
    /// this, not before.
    pub(crate) fn drain(&self) {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.pipe, &mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use signal_hook::consts::{SIGUSR1, SIGUSR2};

    fn readable(signals: &Signals) -> bool {
        let mut polled = [PollFd::new(signals, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn a_signal_wakes_and_is_taken_once() {
        let signals = Signals::register(&[SIGUSR1, SIGUSR2]).unwrap();
        assert!(!readable(&signals) && !signals.take(SIGUSR1));
        low_level::raise(SIGUSR1).unwrap();
        assert!(readable(&signals));
        signals.drain();
        assert!(!readable(&signals));
        assert!(signals.take(SIGUSR1) && !signals.take(SIGUSR1) && !signals.take(SIGUSR2));
        signals.raise(SIGUSR2);
        assert!(signals.take(SIGUSR2));
        drop(signals);
        // Unregistered, it neither wakes nor kills.
        low_level::raise(SIGUSR1).unwrap();
    }
}
