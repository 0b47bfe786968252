//! What the kernel can be told about pages, and does no harm.

/// How a range of a mapping will be used (`madvise(2)`).
///
/// All of these leave every byte as it is, so that a wrong one costs time and nothing else.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// In no special way: the kernel reads some pages ahead.
    Normal,
    /// At random: reading ahead is of no use.
    Random,
    /// From start to end: read far ahead, and drop what is behind.
    Sequential,
    /// Soon: begin to read it in.
    WillNeed,
    /// At once: read it in and enter it into the page table, and wait for it. A page that
    /// cannot be had is an error. Linux 5.14 and later.
    Populate,
    /// Not soon: the first to go when memory is short. Linux 5.4 and later.
    Cold,
    /// Not for long: write it back and drop it now. Linux 5.4 and later.
    PageOut,
    /// No more by this process: leave its page table. The bytes stay in the
    /// page cache, or the file.
    DontNeed,
    /// By so many that huge pages will pay, where the file system has them.
    HugePage,
    /// With small pages only.
    NoHugePage,
    /// Gather it into huge pages now, and wait for it. Linux 6.1 and later.
    Collapse,
    /// To be written to at once: as [`Populate`](Self::Populate), and its pages made ready for writing, for a
    /// mapping that is written to. Linux 5.14 and later.
    PopulateWrite,
    /// Not of interest to those who look into the core that a crash leaves.
    DontDump,
    /// To be in such a core again.
    Dump,
    /// Perhaps the same as other pages: merge equal ones (`ksm`). It is for private memory, and has no
    /// effect on shared mappings.
    Mergeable,
    /// Not to be merged any more.
    Unmergeable,
}

/// What the kernel can be told about pages that changes bytes, or takes pages away: see
/// [`Mapping::advise_unsafe`](crate::mapping::Mapping::advise_unsafe).
///
/// Each is unsafe while anybody holds a slice of the bytes; what else there is to promise
/// stands with it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnsafeAdvice {
    /// Forked children do not get it: there the mapping must never be used, or dropped, again, since
    /// something else may stand at its address.
    DontFork,
    /// Forked children get it again. Only after [`DontFork`](Self::DontFork).
    Fork,
    /// Forked children find zeros. For private memory of no file.
    WipeOnFork,
    /// Forked children find what is there. Only after [`WipeOnFork`](Self::WipeOnFork).
    KeepOnFork,
    /// Give the bytes up: they become a hole in the file, of zeros.
    Remove,
    /// The bytes may be lost when memory is short. For private memory of no file.
    Free,
    /// The pages are lost, as by a failing memory chip. For tests, by root.
    HwPoison,
    /// The pages' contents are moved off their memory, which is not used again. By root.
    SoftOffline,
    /// Touching it is SIGSEGV from now on. Linux 6.13 and later.
    InstallGuard,
    /// Touching it is allowed again, and finds what the file has. Linux 6.13 and later.
    RemoveGuard,
}

impl UnsafeAdvice {
    /// The kernel's number for it; `None` where it has none.
    #[cfg(target_os = "linux")]
    #[expect(clippy::unnecessary_wraps, reason = "other systems have no numbers")]
    pub(crate) fn of_kernel(self) -> Option<libc::c_int> {
        Some(match self {
            Self::DontFork => libc::MADV_DONTFORK,
            Self::Fork => libc::MADV_DOFORK,
            Self::WipeOnFork => libc::MADV_WIPEONFORK,
            Self::KeepOnFork => libc::MADV_KEEPONFORK,
            Self::Remove => libc::MADV_REMOVE,
            Self::Free => libc::MADV_FREE,
            Self::HwPoison => libc::MADV_HWPOISON,
            Self::SoftOffline => libc::MADV_SOFT_OFFLINE,
            Self::InstallGuard => 102,
            Self::RemoveGuard => 103,
        })
    }

    /// The kernel's number for it; `None` where it has none.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_kernel(self) -> Option<libc::c_int> {
        None
    }
}

/// The pages that memory is made of. Larger ones mean fewer entries in page tables and
/// fewer misses of the processor's translation buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HugePages {
    /// The system's page size.
    #[default]
    None,
    /// Huge pages where the kernel finds some free (`MADV_HUGEPAGE`), ordinary
    /// ones where not.
    Transparent,
    /// Huge pages from the pool set aside by the administrator (`MFD_HUGETLB`).
    Pool,
}

impl Advice {
    /// The kernel's number for it; `None` where it has none.
    #[cfg(target_os = "linux")]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "other systems' kernels lack most of them"
    )]
    pub(crate) fn of_kernel(self) -> Option<libc::c_int> {
        Some(match self {
            Self::Normal => libc::MADV_NORMAL,
            Self::Random => libc::MADV_RANDOM,
            Self::Sequential => libc::MADV_SEQUENTIAL,
            Self::WillNeed => libc::MADV_WILLNEED,
            Self::Populate => libc::MADV_POPULATE_READ,
            Self::Cold => libc::MADV_COLD,
            Self::PageOut => libc::MADV_PAGEOUT,
            Self::DontNeed => libc::MADV_DONTNEED,
            Self::HugePage => libc::MADV_HUGEPAGE,
            Self::NoHugePage => libc::MADV_NOHUGEPAGE,
            Self::Collapse => libc::MADV_COLLAPSE,
            Self::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Self::DontDump => libc::MADV_DONTDUMP,
            Self::Dump => libc::MADV_DODUMP,
            Self::Mergeable => libc::MADV_MERGEABLE,
            Self::Unmergeable => libc::MADV_UNMERGEABLE,
        })
    }

    /// The kernel's number for it; `None` where it has none.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_kernel(self) -> Option<libc::c_int> {
        match self {
            Self::Normal => Some(libc::MADV_NORMAL),
            Self::Random => Some(libc::MADV_RANDOM),
            Self::Sequential => Some(libc::MADV_SEQUENTIAL),
            Self::WillNeed => Some(libc::MADV_WILLNEED),
            _ => None,
        }
    }
}

/// Has the whole pages of some memory written to swap, or to the file that they are of, and dropped, as if
/// memory were short (`MADV_PAGEOUT`). No byte changes: what is touched again is read back.
///
/// # Errors
///
/// `Unsupported` before Linux 5.4 and on other systems; otherwise the system's. That there is no
/// swap is no error: then nothing happens.
pub fn page_out(memory: &[u8]) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let page = crate::page::size();
        let start = memory.as_ptr().addr().next_multiple_of(page);
        let skipped = start - memory.as_ptr().addr();
        let len = memory.len().saturating_sub(skipped) / page * page;
        let address = memory.as_ptr().wrapping_add(skipped).cast_mut().cast();
        // SAFETY: whole pages of memory that the caller has; the advice leaves every byte as it is.
        let outcome = unsafe { libc::madvise(address, len, libc::MADV_PAGEOUT) };
        if outcome == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINVAL) => Err(std::io::ErrorKind::Unsupported.into()),
            _ => Err(error),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = memory;
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
