//! What mappings take of physical memory.

use super::FileId;
use super::smaps::{self, Field, Line};
use crate::{Error, Result};

/// What some of a process's mappings hold in physical memory.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Resident set size.
    pub rss_bytes: u64,
    /// Proportional set size: each page divided by the number of its mappers.
    pub pss_bytes: u64,
    /// Resident bytes that no other process maps, written to or not.
    pub private_bytes: u64,
    /// Resident bytes that other processes map as well.
    pub shared_bytes: u64,
    /// Bytes that are in swap.
    pub swapped_bytes: u64,
    /// Bytes locked in memory, each page divided by the number of its mappers.
    pub locked_bytes: u64,
    /// Bytes in huge pages.
    pub huge_bytes: u64,
}

impl Memory {
    /// What a process holds in memory, its mappings of `file` left out.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the process has ended or is another user's.
    pub fn beside(pid: u32, file: FileId) -> Result<Self> {
        let mut memory = Self::default();
        let mut is_beside = false;
        smaps::walk(pid, |line| match line {
            Line::Area(area) => is_beside = area.file != file,
            Line::Field(field) if is_beside => memory.add(field),
            Line::Field(_) => {}
        })
        .map_err(|error| Error::io("read", &smaps::proc_path(pid, "smaps"), error))?;
        Ok(memory)
    }

    pub(super) fn add(&mut self, field: Field<'_>) {
        let sum = match field.name {
            b"Rss" => &mut self.rss_bytes,
            b"Pss" => &mut self.pss_bytes,
            b"Private_Clean" | b"Private_Dirty" => &mut self.private_bytes,
            b"Shared_Clean" | b"Shared_Dirty" => &mut self.shared_bytes,
            b"Swap" => &mut self.swapped_bytes,
            b"Locked" => &mut self.locked_bytes,
            b"AnonHugePages" | b"ShmemPmdMapped" | b"FilePmdMapped" | b"Shared_Hugetlb"
            | b"Private_Hugetlb" => &mut self.huge_bytes,
            _ => return,
        };
        *sum = sum.saturating_add(field.bytes);
    }
}
