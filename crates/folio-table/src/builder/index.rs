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

    /// Where it is in the records section.
    pub(super) fn offset(&self) -> u64 {
        self.offset
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
            if let Some(reach) = longest_reach(entries, home_lines, max_reach) {
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

    /// Writes the lines. What a line says of strays is not known before they are
    /// placed, so that as many lines are held back as a key can stray.
    pub(super) fn write<W: Write + Seek>(
        &self,
        entries: &[Entry],
        pages: &mut PageWriter<W>,
    ) -> io::Result<()> {
        let mut held = VecDeque::<Line>::new();
        let mut written = 0;
        for (home, line, entry) in Placement::new(entries, self.home_lines) {
            while written + MAX_REACH < line {
                pages.write_all(held.pop_front().unwrap_or_default().as_bytes())?;
                written += 1;
            }
            let tag = Tag::new(entry.hash, self.offset_bits);
            let positions = [line - written, home - written];
            let [line_at, home_at] = positions.map(|at| usize::try_from(at).unwrap_or(usize::MAX));
            if held.len() <= line_at {
                held.resize(line_at + 1, Line::default());
            }
            if let Some(line) = held.get_mut(line_at) {
                line.push(tag.slot(entry.offset));
            }
            let reach = u8::try_from(line - home).unwrap_or(u8::MAX);
            if let (Some(home), 1..) = (held.get_mut(home_at), reach) {
                home.note_stray(tag, reach);
            }
        }
        while written < self.home_lines || !held.is_empty() {
            pages.write_all(held.pop_front().unwrap_or_default().as_bytes())?;
            written += 1;
        }
        Ok(())
    }
}

/// How far the furthest entry stands from its home; `None` if further than allowed.
fn longest_reach(entries: &[Entry], home_lines: u64, max_reach: u64) -> Option<u64> {
    let mut longest = 0;
    for (home, line, _) in Placement::new(entries, home_lines) {
        longest = longest.max(line - home);
        if longest > max_reach {
            return None;
        }
    }
    Some(longest)
}

/// How many lines keys are spread over: 8.5 keys a line, which leaves room for the
/// differences that chance makes.
fn home_lines_for(count: u64) -> u64 {
    (count * 2).div_ceil(17)
}

/// Gives each entry its home line and the line it stands in, line by line.
///
/// A line takes the keys whose home it is and then, while it has room, those that found
/// none in earlier lines. This leaves few keys away from home: one in twelve at this
/// load, where first come, first served would leave one in six. Only keys that were
/// passed on [`PATIENCE`] times go before a line's own, which keeps the reach short.
struct Placement<'a> {
    /// The entries of later lines, in the order of their hashes.
    later: &'a [Entry],
    home_lines: u64,
    /// The line that is being filled, and how many slots of it are free.
    line: u64,
    room: usize,
    /// What is left of the entries whose home is this line.
    own: &'a [Entry],
    /// The homes of earlier entries that found no room yet, and these entries.
    strays: VecDeque<(u64, &'a [Entry])>,
}

/// More of it sends few more keys home, and some of them much further away.
const PATIENCE: u64 = 4;

impl<'a> Placement<'a> {
    /// The entries are in the order of their hashes.
    fn new(entries: &'a [Entry], home_lines: u64) -> Self {
        let mut placement = Self {
            later: entries,
            home_lines,
            line: 0,
            room: 0,
            own: &[],
            strays: VecDeque::new(),
        };
        placement.start_line(0);
        placement
    }

    fn home(&self, entry: &Entry) -> u64 {
        home_line(entry.hash, self.home_lines)
    }

    fn start_line(&mut self, line: u64) {
        if !self.own.is_empty() {
            self.strays.push_back((self.line, self.own));
        }
        self.line = line;
        self.room = SLOTS;
        let others = self
            .later
            .iter()
            .take_while(|entry| self.home(entry) == line);
        let count = others.count();
        (self.own, self.later) = self.later.split_at_checked(count).unwrap_or_default();
    }
}

impl<'a> Iterator for Placement<'a> {
    type Item = (u64, u64, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        if self.room == 0 {
            self.start_line(self.line + 1);
        }
        if self.own.is_empty() && self.strays.is_empty() {
            self.start_line(self.home(self.later.first()?));
        }
        self.room -= 1;
        let overdue = |&(home, _): &(u64, _)| home + PATIENCE <= self.line;
        if !self.strays.front().is_some_and(overdue) {
            if let Some((entry, rest)) = self.own.split_first() {
                self.own = rest;
                return Some((self.line, self.line, entry));
            }
        }
        let (home, entries) = self.strays.pop_front()?;
        let (entry, rest) = entries.split_first()?;
        if !rest.is_empty() {
            self.strays.push_front((home, rest));
        }
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
        let lines = Placement::new(&entries, home_lines);
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
        assert!(lines.is_sorted_by_key(|(_, line)| *line));
        assert!(lines.iter().all(|(home, line)| home <= line));
        let strays = lines.iter().filter(|(home, line)| home < line).count();
        assert!((1200..2000).contains(&strays), "{strays}");
        let reach = lines.iter().map(|(home, line)| line - home).max();
        assert_eq!(reach, Some(index.reach));
        assert!(index.reach < 8, "{}", index.reach);
        assert_eq!(lines.len(), 20_000);
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
