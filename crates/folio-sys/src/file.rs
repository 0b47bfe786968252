//! What files are made of, and making them longer.

use std::io;
use std::os::fd::AsFd;

use crate::page;

/// The size of the pages that a file is mapped by: the system's page size, but
/// for files on `hugetlbfs`.
///
/// `block_bytes` is what `fstat` says of the file (`st_blksize`), which spares most
/// files a system call.
///
/// # Errors
///
/// The system's.
pub fn page_bytes(file: impl AsFd, block_bytes: u64) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    {
        let block_bytes = usize::try_from(block_bytes).unwrap_or(0);
        let may_be_huge = block_bytes > page::size() && block_bytes.is_power_of_two();
        if may_be_huge && file_system_magic(file)? == HUGETLBFS_MAGIC {
            return Ok(block_bytes);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, block_bytes);
    Ok(page::size())
}

/// `linux/magic.h`.
#[cfg(target_os = "linux")]
const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;

/// Which kind of file system a file is on: the kernel's 32-bit number for it.
#[cfg(target_os = "linux")]
pub(crate) fn file_system_magic(file: impl AsFd) -> io::Result<u32> {
    /// The word's width and sign differ from one architecture to the next.
    fn low_half(word: impl Into<i64>) -> u32 {
        u32::try_from(word.into() & i64::from(u32::MAX)).unwrap_or(0)
    }
    Ok(low_half(rustix::fs::fstatfs(file)?.f_type))
}

/// Makes a file at least `size_bytes` long. What is new reads as zeros, and takes little space.
///
/// Other processes may lengthen the file at the same time: it never becomes shorter. That holds
/// where the file system has `fallocate(2)` (ext4, XFS, Btrfs, tmpfs and memfds do);
/// elsewhere it is seen to that the file is shorter, and then its length is set, and somebody
/// else's growth between the two is undone.
///
/// # Errors
///
/// The system's: EPERM for a file sealed against growing, ENOSPC, EFBIG.
pub fn extend(file: impl AsFd, size_bytes: u64) -> io::Result<()> {
    let file = file.as_fd();
    let current = rustix::fs::fstat(file)?.st_size;
    if u64::try_from(current).is_ok_and(|current| current >= size_bytes) {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        use rustix::io::Errno;

        // Room for the last byte alone: it moves the end and leaves a hole before.
        let none = FallocateFlags::empty();
        let last = size_bytes.saturating_sub(1);
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, none, last, 1)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            outcome => return outcome.map_err(io::Error::from),
        }
    }
    rustix::fs::ftruncate(file, size_bytes).map_err(io::Error::from)
}

/// Begins to read a range of a file into the page cache, and does not wait for it.
///
/// # Errors
///
/// The system's; `Unsupported` where it has no such call.
pub fn read_ahead(file: impl AsFd, offset_bytes: u64, len: u64) -> io::Result<()> {
    advise(file, offset_bytes, len, CacheAdvice::WillNeed)
}

/// Drops the pages of a range of a file from the page cache, but for those that are dirty, mapped or
/// locked by anybody.
///
/// # Errors
///
/// The system's; `Unsupported` where it has no such call.
pub fn drop_cached(file: impl AsFd, offset_bytes: u64, len: u64) -> io::Result<()> {
    advise(file, offset_bytes, len, CacheAdvice::DontNeed)
}

/// What is said of a range of a file (`posix_fadvise(2)`).
#[derive(Debug, Clone, Copy)]
enum CacheAdvice {
    WillNeed,
    DontNeed,
}

#[cfg(target_os = "linux")]
fn advise(file: impl AsFd, offset: u64, len: u64, advice: CacheAdvice) -> io::Result<()> {
    use rustix::fs::Advice;

    // The kernel takes no bytes for all that follows.
    let Some(len) = std::num::NonZeroU64::new(len) else {
        return Ok(());
    };
    let advice = match advice {
        CacheAdvice::WillNeed => Advice::WillNeed,
        CacheAdvice::DontNeed => Advice::DontNeed,
    };
    rustix::fs::fadvise(file, offset, Some(len), advice).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn advise(_file: impl AsFd, _offset: u64, _len: u64, _advice: CacheAdvice) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn extends_and_never_shrinks() {
        for folder in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let Ok(file) = tempfile::tempfile_in(folder) else {
                continue;
            };
            extend(&file, 0).unwrap();
            file.write_at(b"content", 0).unwrap();
            extend(&file, 3).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 7);
            extend(&file, 5_000_000_001).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 5_000_000_001);
            let mut bytes = [1; 8];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(&bytes, b"content\0");
            assert!(extend(&file, u64::MAX).is_err());
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nobody_undoes_what_another_extended() {
        for folder in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let Ok(file) = tempfile::tempfile_in(folder) else {
                continue;
            };
            std::thread::scope(|scope| {
                for thread in 0..4_u64 {
                    let file = &file;
                    scope.spawn(move || {
                        for round in 0..2_000 {
                            let size_bytes = 4 * round + thread;
                            extend(file, size_bytes).unwrap();
                            assert!(file.metadata().unwrap().len() >= size_bytes);
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn ordinary_files_have_ordinary_pages() {
        let file = tempfile::tempfile().unwrap();
        for block_bytes in [0, 4096, 1 << 16, 1 << 21, u64::MAX] {
            assert_eq!(page_bytes(&file, block_bytes).unwrap(), page::size());
        }
    }
}
