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
    /// The kernel's word for it; `None` where it has none.
    #[cfg(target_os = "linux")]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "other systems' kernels lack most of the words"
    )]
    pub(crate) fn of_kernel(self) -> Option<rustix::mm::Advice> {
        use rustix::mm::Advice as Kernel;

        Some(match self {
            Self::Normal => Kernel::Normal,
            Self::Random => Kernel::Random,
            Self::Sequential => Kernel::Sequential,
            Self::WillNeed => Kernel::WillNeed,
            Self::Populate => Kernel::LinuxPopulateRead,
            Self::Cold => Kernel::LinuxCold,
            Self::PageOut => Kernel::LinuxPageOut,
            // The POSIX word of that name does nothing.
            Self::DontNeed => Kernel::LinuxDontNeed,
            Self::HugePage => Kernel::LinuxHugepage,
            Self::NoHugePage => Kernel::LinuxNoHugepage,
        })
    }

    /// The kernel's word for it; `None` where it has none.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_kernel(self) -> Option<rustix::mm::Advice> {
        use rustix::mm::Advice as Kernel;

        match self {
            Self::Normal => Some(Kernel::Normal),
            Self::Random => Some(Kernel::Random),
            Self::Sequential => Some(Kernel::Sequential),
            Self::WillNeed => Some(Kernel::WillNeed),
            _ => None,
        }
    }
}
