//! Knowing a forked child by what it does not inherit.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::mapping::Area;
use crate::page;

/// Says whether this is still the process that made it.
///
/// Process ids do not tell: the first process of a container and that of one inside it are both number 1.
/// So there is a page that the kernel empties in every child (`MADV_WIPEONFORK`, Linux 4.14). Where that
/// cannot be had, the process id has to do.
#[derive(Debug)]
pub(crate) struct ProcessMark {
    /// No pages where the kernel does not empty them.
    area: Area,
    process: u32,
}

impl ProcessMark {
    /// The mark of this process.
    ///
    /// # Errors
    ///
    /// The system's, when it has no page left.
    pub(crate) fn new() -> io::Result<Self> {
        let area = wiped_on_fork()?;
        let mark = Self {
            area,
            process: std::process::id(),
        };
        if let Some(word) = mark.word() {
            word.store(1, Ordering::Relaxed);
        }
        Ok(mark)
    }

    /// Whether this process made the mark, rather than one that it was forked from.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.word()
            .is_none_or(|word| word.load(Ordering::Relaxed) == 1)
            && self.process == std::process::id()
    }

    fn word(&self) -> Option<&AtomicU8> {
        if self.area.size_bytes() == 0 {
            return None;
        }
        let word: NonNull<AtomicU8> = self.area.base().cast();
        // SAFETY: the first byte of a page that is mapped, readable and writable, as long as
        // `self` lives; it is only ever used as an atomic.
        Some(unsafe { word.as_ref() })
    }
}

#[cfg(target_os = "linux")]
fn wiped_on_fork() -> io::Result<Area> {
    let area = Area::private(page::size())?;
    // SAFETY: a page of this area, which is empty and stays so in this process.
    let advised = unsafe {
        rustix::mm::madvise(
            area.address(0),
            area.size_bytes(),
            rustix::mm::Advice::LinuxWipeOnFork,
        )
    };
    Ok(advised.map_or_else(|_| Area::empty(), |()| area))
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "Linux can fail")]
fn wiped_on_fork() -> io::Result<Area> {
    let _ = page::size();
    Ok(Area::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_own_mark() {
        let mark = ProcessMark::new().unwrap();
        assert!(mark.is_of_this_process());
        // As a child finds it, where the kernel (or an emulator of it) empties pages.
        if let Some(word) = mark.word() {
            word.store(0, Ordering::Relaxed);
            assert!(!mark.is_of_this_process());
        }
    }
}
