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
