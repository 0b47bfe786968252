//! What a worker has of the tables in physical memory.

use folio::residency::Mapper;

use crate::Database;

/// How many bytes of the tables' files one process has in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DataMemory {
    pub(super) rss: u64,
    pub(super) pss: u64,
    pub(super) private: u64,
}

/// What a process has of all tables together; `None` if it is unknown of one.
pub(super) fn of_tables(pid: u32, tables: &[Database]) -> Option<DataMemory> {
    let mut files: Vec<_> = tables
        .iter()
        .map(|table| table.bytes().unchecked().file_id())
        .collect::<Option<_>>()?;
    // A file that is served twice is in memory once.
    files.sort_unstable_by_key(ToString::to_string);
    files.dedup();
    files
        .into_iter()
        .try_fold(DataMemory::default(), |mut sum, file| {
            let mapper = Mapper::of(pid, file).ok()??;
            sum.rss += mapper.rss_bytes;
            sum.pss += mapper.pss_bytes;
            sum.private += mapper.private_bytes;
            Some(sum)
        })
}
