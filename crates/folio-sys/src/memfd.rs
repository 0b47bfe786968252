//! Files in memory that have no name in any folder (`memfd_create(2)`).

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;
use rustix::io::Errno;

use crate::advice::{Advice, HugePages};
use crate::fault::FaultPolicy;
use crate::file;
use crate::mapping::{Extent, MappingMut};

/// A new file in memory of no bytes, which can be sealed, and not executed.
///
/// The name is for humans, who find it in `/proc/PID/maps`; several files may have one.
///
/// # Errors
///
/// The system's; `InvalidInput` for a name that is too long (249 bytes) or has a NUL in it.
pub fn create(name: &str) -> io::Result<OwnedFd> {
    create_with(name, MemfdFlags::empty())
}

fn create_with(name: &str, flags: MemfdFlags) -> io::Result<OwnedFd> {
    let flags = flags | MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3 there is no such flag.
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(name, flags)?),
        made => Ok(made?),
    }
}

/// A new file in memory, of the extent's length, mapped; and the pages that it was given.
///
/// Where `wanted` cannot be had, the next best is taken: an empty pool leads to
/// transparent huge pages, a kernel without those to ordinary ones. A file from the
/// pool is as long as its whole pages, and cannot grow.
///
/// # Errors
///
/// As for [`create`] and [`MappingMut::of_file`].
pub fn map(
    name: &str,
    extent: Extent,
    wanted: HugePages,
    policy: FaultPolicy,
) -> io::Result<(MappingMut, HugePages)> {
    if wanted == HugePages::Pool && !extent.can_grow() {
        if let Ok(mapping) = map_from_pool(name, extent, policy) {
            return Ok((mapping, HugePages::Pool));
        }
    }
    let file = create(name)?;
    // Nobody else has it yet, so nobody's growth can be undone; and no page is taken.
    rustix::fs::ftruncate(&file, extent.len() as u64)?;
    let mapping = MappingMut::of_file(file, extent, policy)?;
    let got = if wanted == HugePages::None {
        HugePages::None
    } else {
        advise_huge(&mapping)
    };
    Ok((mapping, got))
}

/// Asks for transparent huge pages in all of a mapping, and says whether the kernel has any.
pub fn advise_huge(mapping: &MappingMut) -> HugePages {
    let mapping = mapping.mapping();
    match mapping.advise(0, mapping.len(), Advice::HugePage) {
        Ok(()) => HugePages::Transparent,
        Err(_) => HugePages::None,
    }
}

fn map_from_pool(name: &str, extent: Extent, policy: FaultPolicy) -> io::Result<MappingMut> {
    let file = create_with(name, MemfdFlags::HUGETLB)?;
    let block_bytes = u64::try_from(rustix::fs::fstat(&file)?.st_blksize).unwrap_or(0);
    let page_bytes = file::page_bytes(&file, block_bytes)?;
    let extent = extent.page_bytes(page_bytes);
    let size_bytes = (extent.len() as u64)
        .checked_next_multiple_of(page_bytes as u64)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    rustix::fs::ftruncate(&file, size_bytes)?;
    // Mapping sets the pages aside, or fails where the pool has too few (hugetlbfs;
    // Documentation/mm/hugetlbfs_reserv.rst), so that none is missing later.
    MappingMut::of_file(file, extent, policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_page_holds_bytes() {
        for wanted in [HugePages::None, HugePages::Transparent, HugePages::Pool] {
            let extent = Extent::new(0, 5_000_000);
            let (mapping, got) = map("test", extent, wanted, FaultPolicy::Handler).unwrap();
            assert!(
                got == wanted || wanted != HugePages::None,
                "{wanted:?}: {got:?}"
            );
            mapping.write_all_at(4_999_990, b"0123456789").unwrap();
            let mut bytes = [0; 10];
            mapping
                .mapping()
                .read_exact_at(4_999_990, &mut bytes)
                .unwrap();
            assert_eq!(&bytes, b"0123456789");
            mapping.flush(0, 5_000_000).unwrap();
            assert!(
                mapping
                    .mapping()
                    .read_exact_at(4_999_991, &mut bytes)
                    .is_err()
            );
        }
    }

    #[test]
    fn bad_names_are_refused() {
        assert!(create("nul\0inside").is_err());
        assert!(create(&"x".repeat(300)).is_err());
        create("").unwrap();
    }
}
