//! Records that are sorted at once.

use std::collections::TryReserveError;

use super::OnDuplicate;
use super::item::{Item, Origin, Prelude, common_len, prefix};

/// Items in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    items: Vec<u8>,
    count: usize,
    /// The key of the first item, and how much of it begins all keys.
    first_key: Vec<u8>,
    common_len: usize,
}

/// Items in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) items: Vec<u8>,
    /// What all keys begin with.
    pub(super) common: Vec<u8>,
    /// Whether there may be items of the same key.
    pub(super) repeats: bool,
}

/// What stands for an item while a chunk is sorted: 64 bits of its key, its place and its length,
/// 32 bits each. As a number it compares without a branch.
type SortKey = u128;

/// Memory for each item while a chunk is sorted.
pub(super) const SORT_KEY_LEN: usize = size_of::<SortKey>();

/// What of a record goes through sorting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Inline(&'a [u8]),
    /// Its length, and its place in the file of values put aside.
    Aside {
        len: u64,
        place: u64,
    },
}

impl Chunk {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How much memory it takes, that of sorting it included.
    pub(super) fn size(&self) -> usize {
        self.items.len() + self.count * SORT_KEY_LEN
    }

    /// How much memory it holds on to.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.count = 0;
    }

    /// Adds an item. On an error nothing is added. Up to `likely_len` bytes, memory is taken as if the
    /// chunk were to become as long.
    #[inline]
    pub(super) fn push(
        &mut self,
        origin: Origin,
        key: &[u8],
        value: Value<'_>,
        likely_len: usize,
    ) -> Result<(), TryReserveError> {
        let (value_len, place_bytes);
        let (aside, stored) = match value {
            Value::Inline(bytes) => {
                value_len = bytes.len() as u64;
                (false, bytes)
            }
            Value::Aside { len, place } => {
                value_len = len;
                place_bytes = place.to_le_bytes();
                (true, place_bytes.as_slice())
            }
        };
        let prelude = Prelude::new(origin, aside, key.len(), value_len);
        let prelude = prelude.as_bytes();
        let more = prelude.len() + key.len() + stored.len();
        if self.items.capacity() - self.items.len() < more {
            self.grow(more, likely_len)?;
        }
        for part in [prelude, key, stored] {
            self.items.extend_from_slice(part);
        }
        if self.count == 0 {
            self.first_key.clear();
            self.first_key.extend_from_slice(key);
            self.common_len = key.len();
        } else if self.common_len > 0 {
            let common = self.first_key.get(..self.common_len).unwrap_or_default();
            self.common_len = common_len(common, key);
        }
        self.count += 1;
        Ok(())
    }

    /// Doubles, as vectors do, but not past what will do.
    #[cold]
    fn grow(&mut self, more: usize, likely_len: usize) -> Result<(), TryReserveError> {
        let len = self.items.len();
        let doubled = (len * 2).max(4096).min(likely_len.max(len + more));
        self.items.try_reserve_exact(doubled.max(len + more) - len)
    }

    /// Copies the items in the order of their keys; those of the same key, in the order in which they
    /// are preferred. Where one of them is to be kept, the others are left out.
    ///
    /// `sort_keys` is memory to work in.
    pub(super) fn sort(
        &self,
        sort_keys: &mut Vec<SortKey>,
        on_duplicate: OnDuplicate,
    ) -> Result<Sorted, TryReserveError> {
        self.collect(sort_keys)?;
        sort_keys.sort_unstable();
        let same_prefix = |a: &SortKey, b: &SortKey| a >> 64 == b >> 64;
        for ties in sort_keys.chunk_by_mut(same_prefix) {
            if ties.len() > 1 {
                let by_place = |a: &SortKey, b: &SortKey| match on_duplicate {
                    OnDuplicate::Last => b.cmp(a),
                    OnDuplicate::Error | OnDuplicate::First => a.cmp(b),
                };
                ties.sort_unstable_by(|a, b| {
                    let by_key = self.key(*a).cmp(self.key(*b));
                    by_key.then_with(|| by_place(a, b))
                });
            }
        }
        let mut items = Vec::new();
        items.try_reserve_exact(self.items.len())?;
        let (mut last, mut any_repeats) = (None, false);
        for &sort_key in sort_keys.iter() {
            let repeats = last.is_some_and(|last| {
                same_prefix(&last, &sort_key) && self.key(last) == self.key(sort_key)
            });
            if !repeats || on_duplicate == OnDuplicate::Error {
                items.extend_from_slice(self.item(sort_key));
                any_repeats |= repeats;
            }
            last = Some(sort_key);
        }
        let common = self.first_key.get(..self.common_len).unwrap_or_default();
        Ok(Sorted {
            items,
            common: common.to_vec(),
            repeats: any_repeats,
        })
    }

    fn collect(&self, sort_keys: &mut Vec<SortKey>) -> Result<(), TryReserveError> {
        sort_keys.clear();
        sort_keys.try_reserve_exact(self.count)?;
        let mut rest = self.items.as_slice();
        while let Some(item) = Item::parse(rest) {
            let prefix = prefix(item.key(rest), self.common_len);
            let place = self.items.len() - rest.len();
            let place_and_len = (place as u64) << 32 | item.len as u64;
            sort_keys.push(SortKey::from(prefix) << 64 | SortKey::from(place_and_len));
            rest = rest.get(item.len..).unwrap_or_default();
        }
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the place and the length are 32 bits each of the number"
    )]
    fn item(&self, sort_key: SortKey) -> &[u8] {
        let (place, len) = ((sort_key >> 32) as u32 as usize, sort_key as u32 as usize);
        self.items.get(place..place + len).unwrap_or_default()
    }

    fn key(&self, sort_key: SortKey) -> &[u8] {
        let bytes = self.item(sort_key);
        Item::parse(bytes).map_or(&[], |item| item.key(bytes))
    }
}
