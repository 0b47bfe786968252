//! A run of the records section, copied out.

use folio::ReadAt;

use crate::lookup::reserve;
use crate::{Result, Table};

/// What a walk reads at once: enough that the call costs little for each record, and so little that
/// it stays in the first-level cache until it is used.
pub(crate) const CHUNK_LEN: usize = 8 << 10;

/// What a walk reads first: many end within a page.
const FIRST_LEN: usize = 4 << 10;

/// A buffer above this length was for one long record, and is given back after it.
const KEPT_LEN: usize = 1 << 20;

/// The bytes of the records section from some offset on.
#[derive(Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    offset: u64,
    /// How much is read at least the next time, and how much from then on.
    least: usize,
    later: usize,
}

impl Chunk {
    /// A chunk that reads ahead; the default one reads what it is asked for.
    pub(crate) fn reading_ahead() -> Self {
        Self {
            least: FIRST_LEN,
            later: CHUNK_LEN,
            ..Self::default()
        }
    }

    /// What is held of the section from `offset` on; nothing, perhaps.
    #[inline]
    pub(crate) fn rest(&self, offset: u64) -> &[u8] {
        let start = offset.checked_sub(self.offset);
        let start = start.and_then(|start| usize::try_from(start).ok());
        start
            .and_then(|start| self.bytes.get(start..))
            .unwrap_or_default()
    }

    /// The `len` bytes of the section from `offset` on, or fewer where it ends.
    #[inline]
    pub(crate) fn run<B: ReadAt>(
        &mut self,
        table: &Table<B>,
        offset: u64,
        len: usize,
    ) -> Result<&[u8]> {
        if self.rest(offset).len() < len {
            self.fill(table, offset, len)?;
        }
        let rest = self.rest(offset);
        Ok(rest.get(..len).unwrap_or(rest))
    }

    /// Reads the section on from `offset`: at least `len` bytes, if it has them.
    #[cold]
    fn fill<B: ReadAt>(&mut self, table: &Table<B>, offset: u64, len: usize) -> Result<()> {
        let layout = &table.layout;
        let room = layout.records_len.saturating_sub(offset);
        let wanted = room.min(len.max(self.least) as u64);
        self.least = self.later;
        if self.bytes.capacity() > KEPT_LEN && wanted <= KEPT_LEN as u64 {
            self.bytes = Vec::new();
        }
        let len = usize::try_from(wanted).unwrap_or(usize::MAX);
        let more = len.saturating_sub(self.bytes.len());
        reserve(&mut self.bytes, more as u64)?;
        self.bytes.resize(len, 0);
        self.offset = offset;
        let at = layout.records_offset.saturating_add(offset);
        let read = table.bytes().read_exact_at(at, &mut self.bytes);
        if read.is_err() {
            self.bytes.clear();
        }
        Ok(read?)
    }
}
