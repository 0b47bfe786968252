//! Filling the workers' page tables before they serve.

use std::fs;

use crate::Database;
use crate::log::Log;

/// Whether workers bring the tables into memory, and into their page tables, before they
/// say that they are ready, so that no request waits for a page fault.
///
/// The pages are those of the page cache: however many workers populate them, they
/// are there once. Generations of a store that come later are not populated: it
/// would keep clients waiting.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Populate {
    /// If all tables together take at most half of the memory that is available when
    /// a worker starts (`MemAvailable` of `/proc/meminfo`, and pages of theirs that
    /// are in the cache already count as available). Not where the system does not tell.
    #[default]
    IfItFits,
    /// Whatever their size.
    Always,
    /// Pages come in as requests touch them.
    Never,
}

impl Populate {
    /// Populates, or not. What cannot be populated is logged and served all the same:
    /// the pages that are missing are faults when they are asked for.
    pub(crate) fn run(self, tables: &[Database], log: &Log) {
        let data_bytes: u64 = tables.iter().map(|table| table.info().file_len).sum();
        let wanted = match self {
            Self::Always => true,
            Self::Never => false,
            Self::IfItFits => {
                available_bytes().is_some_and(|available| data_bytes <= available / 2)
            }
        };
        if !wanted {
            return;
        }
        for table in tables {
            if let Err(error) = table.bytes().unchecked().populate() {
                log.line(format_args!("{}: {error}", table.name().display()));
            }
        }
    }
}

/// Memory that could be had without swapping, in bytes.
fn available_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?
        .trim()
        .strip_suffix(" kB")?;
    kib.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_tells_what_is_available() {
        let available = available_bytes().expect("Linux has told since 3.14");
        assert!(available > 0);
    }
}
