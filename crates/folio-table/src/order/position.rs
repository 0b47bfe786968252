//! Places between records.

/// A place in the records section: before a record, or after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Where the record that follows begins in the section; the section's length if none does.
    pub(crate) offset: u64,
    /// How many records come before.
    pub(crate) rank: u64,
}

impl Position {
    /// Before the first record.
    pub(crate) const START: Self = Self { offset: 0, rank: 0 };
}
