//! Sets of pages.

use std::ops::Range;

/// Some of a map's pages, by number: a bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PageSet {
    words: Vec<u64>,
}

const WORD_BITS: usize = 64;

impl PageSet {
    /// Adds pages.
    pub(crate) fn insert(&mut self, pages: Range<usize>) {
        if pages.is_empty() {
            return;
        }
        let words = pages.end.div_ceil(WORD_BITS);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        let mut page = pages.start;
        while page < pages.end {
            let bit = page % WORD_BITS;
            let count = (WORD_BITS - bit).min(pages.end - page);
            let ones = u64::MAX >> (WORD_BITS - count);
            if let Some(word) = self.words.get_mut(page / WORD_BITS) {
                *word |= ones << bit;
            }
            page += count;
        }
    }

    /// Adds the pages of another set.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// The runs of adjacent ones, in order, as long as they can be.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = self.first_from(next, 0)?;
            let end = self
                .first_from(start, u64::MAX)
                .unwrap_or(self.words.len() * WORD_BITS);
            next = end;
            Some(start..end)
        })
    }

    /// The first page from `from` on that is in the set, or, with all bits to flip, that is not.
    fn first_from(&self, from: usize, flip: u64) -> Option<usize> {
        let mut index = from / WORD_BITS;
        let mut mask = u64::MAX << (from % WORD_BITS);
        loop {
            let word = (self.words.get(index)? ^ flip) & mask;
            if word != 0 {
                return Some(index * WORD_BITS + word.trailing_zeros() as usize);
            }
            (index, mask) = (index + 1, u64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_what_was_inserted() {
        let mut set = PageSet::default();
        assert_eq!(set.runs().next(), None);
        for pages in [3..4, 4..6, 63..65, 70..70, 100..400, 128..129, 511..512] {
            set.insert(pages);
        }
        let runs: Vec<_> = set.runs().collect();
        assert_eq!(runs, [3..6, 63..65, 100..400, 511..512]);
        assert_eq!(set.count(), 3 + 2 + 300 + 1);
        let mut other = PageSet::default();
        other.insert(6..7);
        other.insert(1000..1001);
        set.merge(&other);
        assert_eq!(set.runs().next(), Some(3..7));
        assert_eq!(set.runs().last(), Some(1000..1001));
    }
}
