//! Finds a key's group by the fences.

use std::cmp::Ordering;

use folio::ReadAt;
use zerocopy::IntoBytes;
use zerocopy::little_endian::U64;

use super::group_offset;
use crate::format::{COLUMN_LEN, FenceLevel, NODE_FENCES, PerfectLayout, fence_word};
use crate::{Result, Table};

/// One word of each fence of a node.
type Column = [U64; NODE_FENCES];

/// A key's way from the highest level of fences down to its group.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Descent {
    /// The first word of the key's fence.
    word: u64,
    /// How many fences of the level, or of the node, are at most the key's.
    end: u64,
    /// Whether the last one of these is the key's own.
    is_equal: bool,
    /// Whether the key is below all keys, or may be anywhere.
    is_below: bool,
}

impl Descent {
    #[inline]
    pub(in super::super) fn new(perfect: &PerfectLayout, key: &[u8]) -> Self {
        Self {
            word: fence_word(key, perfect.prefix_len, 0),
            ..Self::default()
        }
    }

    /// The node that comes next, in the level that does.
    #[inline]
    fn node(&self) -> u64 {
        self.end.saturating_sub(1)
    }

    /// Gives up: nothing is known of the key then.
    pub(in super::super) fn go_astray(&mut self) {
        self.is_below = true;
    }

    /// Where the node is in the file that comes next, in a level.
    #[inline]
    pub(in super::super) fn node_offset(&self, perfect: &PerfectLayout, level: &FenceLevel) -> u64 {
        let node = level.start.saturating_add(self.node());
        perfect
            .fences_offset
            .saturating_add(node.saturating_mul(perfect.node_len()))
    }
}

impl<B: ReadAt> Table<B> {
    /// The group that has this key, if any has; `None` if the key is below all keys.
    #[inline]
    pub(super) fn group_of(&self, perfect: &PerfectLayout, key: &[u8]) -> Result<Option<u64>> {
        let mut descent = Descent::new(perfect, key);
        for level in perfect.fences.levels().iter().rev() {
            self.descend(perfect, level, key, &mut descent)?;
        }
        self.group_below(perfect, key, &descent)
    }

    /// Goes down a level, the highest one first.
    #[inline]
    pub(in super::super) fn descend(
        &self,
        perfect: &PerfectLayout,
        level: &FenceLevel,
        key: &[u8],
        descent: &mut Descent,
    ) -> Result<()> {
        let at = descent.node_offset(perfect, level);
        // Not as a value that a function returns, which would be moved about.
        let mut column = Column::default();
        self.bytes().read_exact_at(at, column.as_mut_bytes())?;
        let at_most = |fence: &U64| usize::from(fence.get() <= descent.word);
        let mut end = column.iter().map(at_most).sum::<usize>();
        let last = end.checked_sub(1).and_then(|last| column.get(last));
        let mut is_equal = last.is_some_and(|last| last.get() == descent.word);
        if is_equal && perfect.words > 1 {
            (end, is_equal) = self.search_columns(perfect, at, key)?;
        }
        // Below the first key of a node is only what is below that of the first one.
        descent.is_below |= end == 0;
        let before = descent.node().saturating_mul(NODE_FENCES as u64);
        descent.end = before.saturating_add(end as u64).min(level.count);
        descent.is_equal = is_equal;
        Ok(())
    }

    /// The group to which the lowest level has led, as for [`group_of`](Self::group_of).
    #[inline]
    pub(in super::super) fn group_below(
        &self,
        perfect: &PerfectLayout,
        key: &[u8],
        descent: &Descent,
    ) -> Result<Option<u64>> {
        if descent.is_below {
            return Ok(None);
        }
        if descent.is_equal {
            return self.group_among_equals(perfect, key, descent.end);
        }
        Ok(descent.end.checked_sub(1))
    }

    /// How many fences of the node at `at` of the file are at most this key's, by all words, and
    /// whether the last one is equal.
    fn search_columns(
        &self,
        perfect: &PerfectLayout,
        at: u64,
        key: &[u8],
    ) -> Result<(usize, bool)> {
        // Those whose words up to here are equal to the key's.
        let mut equal = 0..NODE_FENCES;
        for number in 0..perfect.words {
            let word = fence_word(key, perfect.prefix_len, number);
            let at = at.saturating_add(u64::from(number) * COLUMN_LEN as u64);
            let column = self.bytes().get_at::<Column>(at)?;
            let among = column.get(equal.clone()).unwrap_or_default();
            let below = among.iter().filter(|fence| fence.get() < word).count();
            let same = among.iter().filter(|fence| fence.get() == word).count();
            equal = equal.start + below..equal.start + below + same;
        }
        Ok((equal.end, !equal.is_empty()))
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
