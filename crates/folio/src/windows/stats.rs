//! What a set of windows did.

/// Counts of what [`Windows`](crate::Windows) did so far. Made by [`Windows::stats`](crate::Windows::stats).
///
/// Reads that the most recent window served are counted nowhere: counting would cost as much as they do.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowStats {
    /// Windows mapped.
    pub maps: u64,
    /// Windows unmapped, to make room or because the file became shorter.
    pub evictions: u64,
    /// Reads (a large one piece by piece) and views that another mapped window than the most recent one served.
    pub hits: u64,
    /// Reads, or pieces of them, that went by `pread(2)`.
    pub pread_reads: u64,
    /// Views whose bytes are not mapped, for lack of room.
    pub pread_views: u64,
    /// How often reading stopped unmapping windows, or began again.
    pub mode_switches: u64,
    /// Whether reads unmap windows to make room for others now.
    pub mapping: bool,
    /// How often windows were made half as large.
    pub halvings: u64,
    /// How large windows are now, in bytes.
    pub window_bytes: u64,
    /// How many windows are mapped now; views of lengths of their own included.
    pub windows: u64,
    /// How many bytes are mapped now; what overlaps counts twice.
    pub mapped_bytes: u64,
    /// The most that were mapped at any time.
    pub peak_mapped_bytes: u64,
}
