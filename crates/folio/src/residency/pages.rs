//! Which pages of a file are in the page cache.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;

use folio_sys::cachestat::cachestat;
use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::Mapping;
use folio_sys::page;

use super::Residency;
use crate::range::ByteRange;
use crate::{Error, Result};

/// How many pages of a range are in which state.
///
/// A page may be in several: a dirty one is resident. `None` is for what the kernel does not tell: see
/// [`basis`](Self::basis).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageCounts {
    /// Where the range begins in the file, in bytes.
    pub offset_bytes: u64,
    /// How long the range is, in bytes.
    pub len_bytes: u64,
    /// All pages that hold some of the range.
    pub pages: u64,
    /// Those in the page cache, so that reading them waits for no device.
    pub resident: Option<u64>,
    /// Those changed and not yet on their way to the file.
    pub dirty: Option<u64>,
    /// Those on their way to the file.
    pub write_back: Option<u64>,
    /// Those that were resident and were dropped, as far as the kernel remembers.
    pub evicted: Option<u64>,
    /// Of the evicted, those whose return would tell that memory is short.
    pub recently_evicted: Option<u64>,
    /// How far the counts can be trusted.
    pub basis: Basis,
}

/// What [`PageCounts`] rest on.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Basis {
    /// `cachestat(2)`, Linux 6.5 and later: all is known.
    #[default]
    CacheStat,
    /// `mincore(2)`: it is known what is resident, and nothing else.
    Mincore,
    /// Nothing is known. `mincore(2)` says of every page that it is resident to those who neither own the
    /// file nor may write it (Linux 5.2 and later, lest they watch others' work), and has said so here.
    Withheld,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CacheStat => "cachestat",
            Self::Mincore => "mincore",
            Self::Withheld => {
                "nothing: the kernel tells only those who own the file or may write it"
            }
        })
    }
}

/// How much is mapped at a time to be looked at page by page: 64 KiB of answers.
const PIECE_BYTES: u64 = 256 << 20;

/// Counts the pages of each of some ranges of a file.
pub(super) fn count(residency: &Residency, ranges: &[ByteRange]) -> Result<Vec<PageCounts>> {
    let mut counts = Vec::with_capacity(ranges.len());
    for &range in ranges {
        match by_cachestat(residency, range) {
            Ok(counted) => counts.push(counted),
            // Of an old kernel, or refused: then so are the rest.
            Err(error) if is_refusal(&error) => return by_mincore(residency, ranges),
            Err(error) => {
                return Err(Error::io(
                    "count the cached pages of",
                    residency.path(),
                    error,
                ));
            }
        }
    }
    Ok(counts)
}

/// Parts of about one size of a file, whole pages but for the end.
pub(super) fn parts(size_bytes: u64, count: usize) -> Vec<ByteRange> {
    let page = page::size() as u64;
    let pages = u128::from(size_bytes.div_ceil(page));
    let count = (count as u128).min(pages);
    let boundary = |index: u128| {
        // At most as many pages as the file has.
        let pages = u64::try_from(pages * index / count.max(1)).unwrap_or(u64::MAX);
        pages.saturating_mul(page).min(size_bytes)
    };
    (0..count)
        .filter_map(|index| {
            let (start, end) = (boundary(index), boundary(index + 1));
            ByteRange::within(size_bytes, start, end - start)
        })
        .collect()
}

fn by_cachestat(residency: &Residency, range: ByteRange) -> io::Result<PageCounts> {
    let counted = cachestat(residency, range.offset(), range.len())?;
    Ok(PageCounts {
        resident: Some(counted.cached),
        dirty: Some(counted.dirty),
        write_back: Some(counted.write_back),
        evicted: Some(counted.evicted),
        recently_evicted: Some(counted.recently_evicted),
        ..none_of(range, Basis::CacheStat)
    })
}

fn by_mincore(residency: &Residency, ranges: &[ByteRange]) -> Result<Vec<PageCounts>> {
    let mut counts = Vec::with_capacity(ranges.len());
    for &range in ranges {
        let resident = resident_pages(residency, range)
            .map_err(|error| Error::io("look up the cached pages of", residency.path(), error))?;
        counts.push(PageCounts {
            resident: Some(resident),
            ..none_of(range, Basis::Mincore)
        });
    }
    // Where it is withheld, all pages are said to be resident; so one that is not tells that none is.
    let is_told = may_know(residency)
        || counts
            .iter()
            .any(|counted| counted.resident != Some(counted.pages));
    if !is_told {
        for counted in &mut counts {
            counted.resident = None;
            counted.basis = Basis::Withheld;
        }
    }
    Ok(counts)
}

/// By `mincore`, in pieces: a file may be larger than the address space.
fn resident_pages(residency: &Residency, range: ByteRange) -> io::Result<u64> {
    let page = page::size() as u64;
    // From a page's start, so that no page is in two pieces.
    let mut offset = range.offset() - range.offset() % page;
    let end = range.offset() + range.len();
    let mut answers = Vec::new();
    let mut resident = 0;
    while offset < end && range.len() > 0 {
        let len = usize::try_from((end - offset).min(PIECE_BYTES)).unwrap_or(usize::MAX);
        let piece = Mapping::of_file(residency, offset, len, FaultPolicy::Syscall)?;
        answers.clear();
        piece.cached_pages(0, len, &mut answers)?;
        resident += answers.iter().map(|&answer| u64::from(answer)).sum::<u64>();
        offset = offset.saturating_add(len as u64);
    }
    Ok(resident)
}

/// Whether the kernel tells this process the truth (`can_do_mincore` in `mm/mincore.c`); no more than a
/// guess, which is wrong only in being too careful.
fn may_know(residency: &Residency) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use std::os::fd::{AsFd, AsRawFd};

    let owns = residency
        .file
        .metadata()
        .is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw());
    let path = format!("/proc/self/fd/{}", residency.as_fd().as_raw_fd());
    owns || accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

fn none_of(range: ByteRange, basis: Basis) -> PageCounts {
    let page = page::size() as u64;
    let end = range.offset() + range.len();
    let pages = match range.len() {
        0 => 0,
        _ => end.div_ceil(page) - range.offset() / page,
    };
    PageCounts {
        offset_bytes: range.offset(),
        len_bytes: range.len(),
        pages,
        basis,
        ..PageCounts::default()
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_of_the_file_and_nothing_twice() {
        let page = page::size() as u64;
        for size in [
            0,
            1,
            page,
            page + 1,
            7 * page - 1,
            1000 * page + 5,
            u64::MAX,
        ] {
            for count in [0, 1, 2, 7, 80, 999] {
                let parts = parts(size, count);
                assert!(parts.len() <= count);
                let mut end = 0;
                for part in &parts {
                    assert!(part.len() > 0 && part.offset() % page == 0);
                    assert_eq!(part.offset(), end);
                    end += part.len();
                }
                assert_eq!(end, if count == 0 { 0 } else { size });
            }
        }
    }
}
