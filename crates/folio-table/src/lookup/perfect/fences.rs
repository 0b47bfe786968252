//! Finds a key's group by the fences.

use std::cmp::Ordering;

use folio::ReadAt;
use zerocopy::IntoBytes;
use zerocopy::little_endian::U64;

use super::group_offset;
use crate::format::{COLUMN_LEN, NODE_FENCES, PerfectLayout, fence_word};
use crate::{Result, Table};

/// One word of each fence of a node.
type Column = [U64; NODE_FENCES];

/// How far the fences of a level, or of a node, are at most a key's.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    /// How many are.
    end: u64,
    /// Whether the last one of these is the key's own.
    is_equal: bool,
}

impl<B: ReadAt> Table<B> {
    /// The group that has this key, if any has; `None` if the key is below all keys.
    #[inline]
    pub(in super::super) fn group_of(
        &self,
        perfect: &PerfectLayout,
        key: &[u8],
    ) -> Result<Option<u64>> {
        let word = fence_word(key, perfect.prefix_len, 0);
        let mut found = Reached::default();
        for level in perfect.fences.levels().iter().rev() {
            let node = found.end.saturating_sub(1);
            let in_node = self.search_node(perfect, level.start.saturating_add(node), word, key)?;
            if in_node.end == 0 {
                // Below the first key of all, or of a node to which another key led.
                return Ok(None);
            }
            found.end = (node * NODE_FENCES as u64 + in_node.end).min(level.count);
            found.is_equal = in_node.is_equal;
        }
        if found.is_equal {
            return self.group_among_equals(perfect, key, found.end);
        }
        Ok(found.end.checked_sub(1))
    }

    /// How far a node's fences are at most this key's, whose first word is `word`.
    #[inline]
    fn search_node(
        &self,
        perfect: &PerfectLayout,
        node: u64,
        word: u64,
        key: &[u8],
    ) -> Result<Reached> {
        let at = perfect.fences_offset + node * perfect.node_len();
        let column = self.column(at)?;
        let at_most = |fence: &U64| usize::from(fence.get() <= word);
        let end = column.iter().map(at_most).sum::<usize>();
        let last = end.checked_sub(1).and_then(|last| column.get(last));
        let is_equal = last.is_some_and(|last| last.get() == word);
        if is_equal && perfect.words > 1 {
            return self.search_columns(perfect, at, key);
        }
        Ok(Reached {
            end: end as u64,
            is_equal,
        })
    }

    /// [`search_node`](Self::search_node) for the node at `at` of the file, by all words.
    fn search_columns(&self, perfect: &PerfectLayout, at: u64, key: &[u8]) -> Result<Reached> {
        // Those whose words up to here are equal to the key's.
        let mut equal = 0..NODE_FENCES;
        for number in 0..perfect.words {
            let word = fence_word(key, perfect.prefix_len, number);
            let column = self.column(at + u64::from(number) * COLUMN_LEN)?;
            let among = column.get(equal.clone()).unwrap_or_default();
            let below = among.iter().filter(|fence| fence.get() < word).count();
            let same = among.iter().filter(|fence| fence.get() == word).count();
            equal = equal.start + below..equal.start + below + same;
        }
        Ok(Reached {
            end: equal.end as u64,
            is_equal: !equal.is_empty(),
        })
    }

    /// One word of each fence of a node, from this offset of the file.
    #[inline]
    fn column(&self, at: u64) -> Result<Column> {
        // Not as a value that `get_at` returns, which would be moved about.
        let mut column = Column::default();
        self.bytes().read_exact_at(at, column.as_mut_bytes())?;
        Ok(column)
    }

    /// The group that has a key, where the key's fence is also the fence of groups, of which
    /// number `end` - 1 is the last.
    #[cold]
    fn group_among_equals(
        &self,
        perfect: &PerfectLayout,
        key: &[u8],
        end: u64,
    ) -> Result<Option<u64>> {
        // The last group whose first key is at most this key: all before `low` are such, none
        // from `high` on is.
        let (mut low, mut high) = (0, end);
        // Doubling steps back, since most often the last group or the one before it is right.
        let mut step = 1;
        while high > low {
            let probe = high.saturating_sub(step).max(low);
            if self.compare_first(perfect, probe, key)?.is_le() {
                low = probe + 1;
                break;
            }
            high = probe;
            step *= 2;
        }
        while low < high {
            let probe = low + (high - low) / 2;
            if self.compare_first(perfect, probe, key)?.is_le() {
                low = probe + 1;
            } else {
                high = probe;
            }
        }
        Ok(low.checked_sub(1))
    }

    /// Compares a group's first key with this one.
    fn compare_first(&self, perfect: &PerfectLayout, number: u64, key: &[u8]) -> Result<Ordering> {
        let first = self.group(perfect, number)?.first();
        if first >= self.layout.records_len {
            return Err(self.past_the_end(group_offset(perfect, number), first));
        }
        self.compare_at(first, key)
    }
}
