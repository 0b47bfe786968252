//! What a limit of memory is spent on.

/// The limit where none was asked for.
#[cfg(target_pointer_width = "64")]
pub(super) const DEFAULT_MEMORY: u64 = 1 << 30;
#[cfg(not(target_pointer_width = "64"))]
pub(super) const DEFAULT_MEMORY: u64 = 256 << 20;

/// Sizes in bytes, each a share of the limit. Any limit gives a builder that works; where a
/// single record is larger than a share, the share is exceeded by that record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Records that are sorted at once, by one thread. A chunk should stay in the
    /// processor's cache while it is brought into order. At most seven are about:
    /// being filled, waiting, being sorted, and, twice as long, being copied in order.
    pub(super) chunk_len: usize,
    /// Sorted chunks that are kept in memory. More go to a file, as one run.
    pub(super) runs_len: usize,
    /// How many runs in files are merged at once.
    pub(super) fan_in: usize,
    /// What of each of them is read at once.
    pub(super) read_len: usize,
    /// Longer values do not take part in sorting: they wait in a file of their own.
    pub(super) inline_value_len: usize,
    /// Pages that are summed and written at once: a few such buffers are about. A power of two, and
    /// where there is memory for it the length of a huge page. What is written as a whole, from a multiple of its
    /// length on, Linux keeps as a whole in its page cache (on XFS since 6.6, on ext4 since 6.16), and
    /// maps such 2 MiB as one page, so that lookups hardly ever wait for page tables.
    pub(super) pages_len: usize,
    /// What is kept in memory of the sections that grow with the records: order, checksums.
    pub(super) spool_len: usize,
    /// Hashes of all records that are kept in memory; where they are more, they go to files.
    pub(super) hashes_len: usize,
    /// Hashes that are sorted at once, where they go to files. Some five such buffers are about.
    pub(super) partition_len: usize,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

impl Budget {
    pub(super) fn new(memory: u64) -> Self {
        // More than half of the address space is not to be had.
        let memory = usize::try_from(memory)
            .unwrap_or(usize::MAX)
            .min(usize::MAX / 2);
        let fan_in = (memory / 4 / (512 * KIB)).clamp(4, 128);
        let read_len = (memory / 4 / fan_in).clamp(64, 4 * MIB);
        Self {
            chunk_len: (memory / 64).clamp(1, 8 * MIB),
            runs_len: memory / 4 * 3,
            fan_in,
            read_len,
            inline_value_len: read_len / 2,
            pages_len: 1 << (memory / 64).clamp(4 * KIB, 2 * MIB).ilog2(),
            spool_len: (memory / 64).clamp(64, 16 * MIB),
            hashes_len: memory / 2,
            partition_len: (memory / 16).clamp(4 * KIB, 256 * MIB),
        }
    }
}
