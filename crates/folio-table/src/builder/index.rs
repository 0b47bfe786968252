//! Places the records in the lines of the hash index.

use std::collections::VecDeque;
use std::io::{self, Seek, Write};

use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::IntoBytes;

use super::arena::Arena;
use super::pages::PageWriter;
use super::seed_for;
use crate::format::{Line, MAX_REACH, SLOTS, Tag, home_line};
use crate::{Error, Result};

/// A record that the index leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where it is in the arena.
    place: u64,
    /// Where it is in the records section.
    offset: u64,
    hash: u64,
}

impl Entry {
    pub(super) fn new(place: u64, offset: u64) -> Self {
        Self {
            place,
            offset,
            hash: 0,
        }
    }
}

/// The shape of an index for certain entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index {
    seed: u64,
    home_lines: u64,
    offset_bits: u32,
    /// How many lines past its home line the furthest key stands.
    reach: u64,
}

/// How many seeds are tried. One is enough for any keys but chosen ones.
const MAX_ATTEMPTS: u64 = 32;

impl Index {
    /// Finds a seed that spreads the keys well, and leaves the entries sorted by
    /// their hashes, which is the order of their lines.
    pub(super) fn place(
        entries: &mut [Entry],
        arena: &Arena,
        digest: u64,
        offset_bits: u32,
    ) -> Result<Self> {
        Self::place_within(
            MAX_REACH,
            entries,
            |place| arena.key(place),
            digest,
            offset_bits,
        )
    }

    fn place_within<'a>(
        max_reach: u64,
        entries: &mut [Entry],
        key: impl Fn(u64) -> &'a [u8],
        digest: u64,
        offset_bits: u32,
    ) -> Result<Self> {
        let home_lines = home_lines_for(entries.len() as u64);
        for attempt in 0..MAX_ATTEMPTS {
            let seed = seed_for(digest, attempt);
            for entry in entries.iter_mut() {
                entry.hash = xxh3_64_with_seed(key(entry.place), seed);
            }
            entries.sort_unstable_by_key(|entry| (entry.hash, entry.offset));
            let lines = Placement::new(entries.iter().copied(), home_lines);
            let reach = lines.map(|(home, line, _)| line - home).max().unwrap_or(0);
            if reach <= max_reach {
                return Ok(Self {
                    seed,
                    home_lines,
                    offset_bits,
                    reach,
                });
            }
        }
        Err(Error::NoSeed {
            attempts: MAX_ATTEMPTS,
        })
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn home_lines(&self) -> u64 {
        self.home_lines
    }

    pub(super) fn longest_probe(&self) -> u32 {
        u32::try_from(self.reach + 1).unwrap_or(u32::MAX)
    }

    /// Writes the lines. What a line says of strays is known once all keys with
    /// that home are placed, so that a few lines are held back.
    pub(super) fn write<W: Write + Seek>(
        &self,
        entries: &[Entry],
        pages: &mut PageWriter<W>,
    ) -> io::Result<()> {
        let mut held = VecDeque::<Line>::new();
        let mut written = 0;
        for (home, line, entry) in Placement::new(entries.iter().copied(), self.home_lines) {
            while written < home {
                pages.write_all(held.pop_front().unwrap_or_default().as_bytes())?;
                written += 1;
            }
            let reach = line - home;
            let position = usize::try_from(line - written).unwrap_or(usize::MAX);
            if held.len() <= position {
                held.resize(position + 1, Line::default());
            }
            let tag = Tag::new(entry.hash, self.offset_bits);
            if let Some(line) = held.get_mut(position) {
                line.push(tag.slot(entry.offset));
            }
            if let (Some(home), 1..) = (held.front_mut(), reach) {
                home.note_stray(tag, u8::try_from(reach).unwrap_or(u8::MAX));
            }
        }
        while written < self.home_lines || !held.is_empty() {
            pages.write_all(held.pop_front().unwrap_or_default().as_bytes())?;
            written += 1;
        }
        Ok(())
    }
}

/// How many lines keys are spread over: 8.5 keys a line, which leaves room for the
/// differences that chance makes.
fn home_lines_for(count: u64) -> u64 {
    (count * 2).div_ceil(17)
}

/// Gives each entry, in the order of their hashes, its home line and the line it
/// stands in: the first one from its home on that has room. Those that came
/// from furthest go first, which keeps the longest probe short.
struct Placement<I> {
    entries: I,
    home_lines: u64,
    /// The line that is being filled, and how many slots of it are used.
    line: u64,
    used: usize,
}

impl<I: Iterator<Item = Entry>> Placement<I> {
    fn new(entries: I, home_lines: u64) -> Self {
        Self {
            entries,
            home_lines,
            line: 0,
            used: 0,
        }
    }
}

impl<I: Iterator<Item = Entry>> Iterator for Placement<I> {
    type Item = (u64, u64, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        let home = home_line(entry.hash, self.home_lines);
        if home > self.line {
            (self.line, self.used) = (home, 0);
        } else if self.used == SLOTS {
            (self.line, self.used) = (self.line + 1, 0);
        }
        self.used += 1;
        Some((home, self.line, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: u64 = 42;

    /// Places keys and returns the index, or the error, and where each key stands.
    fn place(keys: &[Vec<u8>], max_reach: u64) -> (Result<Index>, Vec<(u64, u64)>) {
        let mut entries: Vec<_> = (0..keys.len() as u64)
            .map(|number| Entry::new(number, number * 64))
            .collect();
        let key = |place| keys[usize::try_from(place).unwrap()].as_slice();
        let index = Index::place_within(max_reach, &mut entries, key, DIGEST, 20);
        let home_lines = home_lines_for(keys.len() as u64);
        let lines = Placement::new(entries.iter().copied(), home_lines);
        let lines = lines.map(|(home, line, _)| (home, line)).collect();
        (index, lines)
    }

    fn keys(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
        let key = |number: u64| format!("key {number}").into_bytes();
        numbers.into_iter().map(key).collect()
    }

    /// Keys that all belong to the first of `home_lines` lines under the first seed.
    fn colliding(count: usize, home_lines: u64) -> Vec<Vec<u8>> {
        let seed = seed_for(DIGEST, 0);
        let all = (0..).map(|number: u64| format!("key {number}").into_bytes());
        let chosen = all.filter(|key| home_line(xxh3_64_with_seed(key, seed), home_lines) == 0);
        chosen.take(count).collect()
    }

    #[test]
    fn lines_hold_ten_and_no_key_stands_before_its_home() {
        let (index, lines) = place(&keys(0..20_000), MAX_REACH);
        let index = index.unwrap();
        assert_eq!(index.seed, seed_for(DIGEST, 0));
        assert_eq!(index.home_lines, 2353);
        assert!(lines.is_sorted());
        let reach = lines.iter().map(|(home, line)| line - home).max();
        assert_eq!(reach, Some(index.reach));
        assert!(index.reach < 8, "{}", index.reach);
        for line in lines.chunk_by(|(_, a), (_, b)| a == b) {
            assert!(line.len() <= SLOTS);
        }
    }

    #[test]
    fn keys_chosen_for_one_line_get_another_seed() {
        // 18 lines' worth of keys on one line is more than the longest probe allows.
        let keys = colliding(180, home_lines_for(180));
        let (index, _) = place(&keys, MAX_REACH);
        let index = index.unwrap();
        assert_eq!(index.seed, seed_for(DIGEST, 1));
        assert!(index.reach < 8, "{}", index.reach);

        // One line less, and the first seed will do.
        let (index, lines) = place(&colliding(170, home_lines_for(170)), MAX_REACH);
        assert_eq!(index.unwrap().seed, seed_for(DIGEST, 0));
        assert_eq!(lines.last(), Some(&(0, MAX_REACH)));
    }

    #[test]
    fn seeds_run_out() {
        // Keys that are the same collide under any seed.
        let keys = vec![b"same".to_vec(); 200];
        let (index, _) = place(&keys, MAX_REACH);
        assert!(matches!(
            index,
            Err(Error::NoSeed {
                attempts: MAX_ATTEMPTS
            })
        ));
    }

    #[test]
    fn no_seed_is_needed_for_nothing() {
        let (index, lines) = place(&[], 0);
        let index = index.unwrap();
        assert_eq!((index.home_lines, index.longest_probe()), (0, 1));
        assert!(lines.is_empty());
    }
}
