//! Which file a mapping is of.

use std::fmt;
use std::fs;

use folio_sys::mapping::Span;

use super::smaps::Area;

/// Which file a mapping is of, as `/proc` shows it.
///
/// `stat(2)` can say otherwise (Btrfs and overlay file systems have several device numbers
/// for a file), so this is read from the mapping itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
}

impl FileId {
    /// Looks this process's own mapping up.
    pub(crate) fn of_mapping(mapping: &Span) -> Option<Self> {
        if mapping.is_empty() {
            return None;
        }
        let address = mapping.as_ptr().addr() as u64;
        let maps = fs::read("/proc/self/maps").ok()?;
        maps.split(|&byte| byte == b'\n')
            .filter_map(Area::parse)
            .find(|area| area.start <= address && address < area.end)
            .map(|area| area.file)
    }

    /// Whether it is a file at all: memory of none has no inode.
    pub(super) fn is_file(self) -> bool {
        self.inode != 0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.device;
        write!(f, "{major:02x}:{minor:02x} inode {}", self.inode)
    }
}
