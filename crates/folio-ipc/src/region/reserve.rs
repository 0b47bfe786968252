//! Space on the disk, before it is needed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use super::Image;
use super::header::{SIZE_WORD, size_to_word};
use crate::kill::kill_point;
use crate::{Error, Result};

/// Has the file system set space aside, so that a write to a mapped page never finds the disk full.
/// What is new reads as zeros.
pub(super) fn reserve(file: BorrowedFd<'_>, from: u64, to: u64) -> io::Result<()> {
    if to <= from {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::{Errno, retry_on_intr};

        match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), from, to - from)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            outcome => return outcome.map_err(io::Error::from),
        }
    }
    write_zeros(file, from, to)
}

/// The same where the file system cannot set space aside otherwise.
fn write_zeros(file: BorrowedFd<'_>, from: u64, to: u64) -> io::Result<()> {
    let file = File::from(file.try_clone_to_owned()?);
    let zeros = [0; 1 << 14];
    let mut at = from;
    while at < to {
        let len = usize::try_from(to - at).map_or(zeros.len(), |len| len.min(zeros.len()));
        file.write_all_at(zeros.get(..len).unwrap_or_default(), at)?;
        at += len as u64;
    }
    Ok(())
}

/// Makes a region longer; every participant sees it at its next access. The caller has the heap's lock.
pub(crate) fn grow_file(image: &Image, size_bytes: u64) -> Result<()> {
    let current = image.size_bytes()?;
    if size_bytes <= current {
        return Ok(());
    }
    // Also what is there already, which may have been cut off.
    image.check_length(current)?;
    reserve(image.file().as_fd(), current, size_bytes).map_err(|error| {
        // Some file systems keep what they had room for, which may be all that the disk had.
        let _ = rustix::fs::ftruncate(image.file(), current);
        Error::io("reserve space for it", image.path(), error)
    })?;
    kill_point!("grow.allocated");
    image
        .word(SIZE_WORD)?
        .store(size_to_word(size_bytes), Ordering::Release);
    kill_point!("grow.stored");
    image.map_further()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_written_where_space_cannot_be_set_aside() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"content", 0).unwrap();
        write_zeros(file.as_fd(), 4, 200_000).unwrap();
        let mut bytes = vec![1; 200_000];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes[..4], b"cont");
        assert!(bytes[4..].iter().all(|byte| *byte == 0));
    }
}
