//! Writes the perfect index: the groups of records, and their fences.

use std::io;

use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::little_endian::U64;
use zerocopy::{FromZeros, IntoBytes};

use super::equations::Equations;
use super::hashes::{Keys, Window, damaged};
use super::pages::PageWriter;
use super::spool::Spool;
use super::{MAX_ATTEMPTS, seed_for};
use crate::format::{
    FENCE_MAX_WORDS, FenceLevels, Group, HEAD_MAX_LEN, NO_FENCE, NODE_FENCES, Record,
    cell_count_for, fence_word,
};

/// How many records a group gets at most. Two fewer than it could have, so that three of
/// four systems of equations have a solution, rather than one.
const GROUP_COUNT: usize = 110;

/// How far from the first record of a group the last one may begin: as far as a line can say.
const GROUP_SPAN: u64 = u16::MAX as u64;

/// What the header says of an index that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) seed: u64,
    /// How many bytes fences leave out.
    pub(super) prefix_len: u32,
    /// How many words a fence has.
    pub(super) words: u32,
}

/// The groups of all records.
pub(super) struct Groups<'a> {
    keys: Keys<'a>,
    /// The hash of a key with a seed; tests choose another.
    hash: fn(&[u8], u64) -> u64,
    /// Where the last record begins.
    last_offset: u64,
    /// The fences of the groups that were written, with all words that they can have.
    fences: Spool,
    count: u64,
}

/// The words of a fence, of which the first ones will count.
type Fence = [U64; FENCE_MAX_WORDS as usize];

/// How many fences a node has.
const FENCES: u64 = NODE_FENCES as u64;

const FENCE_LEN: u64 = size_of::<Fence>() as u64;

/// All fences but one in so many are to differ from the ones before them.
const FENCES_FOR_ONE_REPEATED: u64 = 64;

impl<'a> Groups<'a> {
    pub(super) fn new(keys: Keys<'a>, last_offset: u64, fences: Spool) -> Self {
        Self {
            keys,
            hash: xxh3_64_with_seed,
            last_offset,
            fences,
            count: 0,
        }
    }

    /// Writes the groups section with the first seed with which it can be: any, unless two keys of one group
    /// have the same hash of 64 bits. `None` if none of [`MAX_ATTEMPTS`] will do.
    pub(super) fn write(
        &mut self,
        records_digest: u64,
        pages: &mut PageWriter,
    ) -> io::Result<Option<Shape>> {
        let prefix_len = self.prefix_len()?;
        let mark = pages.mark()?;
        for attempt in 0..MAX_ATTEMPTS {
            let seed = seed_for(records_digest, attempt);
            if let Some(words) = self.try_write(seed, prefix_len, pages)? {
                return Ok(Some(Shape {
                    seed,
                    prefix_len: u32::try_from(prefix_len).unwrap_or(u32::MAX),
                    words,
                }));
            }
            pages.rewind(&mark)?;
        }
        Ok(None)
    }

    /// Writes the groups, gathers their fences, and says how many words of these will do. `None` if the
    /// seed will not do.
    fn try_write(
        &mut self,
        seed: u64,
        prefix_len: usize,
        pages: &mut PageWriter,
    ) -> io::Result<Option<u32>> {
        self.fences.truncate(0);
        self.count = 0;
        let mut group = Open::default();
        let mut repeated = Repeated::default();
        let mut window = Window::new(self.keys);
        let mut offset = 0;
        while offset < self.keys.len {
            let (record, key) = record_at(&mut window, offset)?;
            if !group.takes(offset) && !group.close(pages)? {
                return Ok(None);
            }
            if group.keys.is_empty() {
                let fence = fence_of(key, prefix_len);
                repeated.count(fence, self.count);
                self.fences.push(fence.as_bytes())?;
                self.count += 1;
            }
            group.keys.push((offset, (self.hash)(key, seed)));
            offset += record.len();
        }
        if !group.keys.is_empty() && !group.close(pages)? {
            return Ok(None);
        }
        Ok(Some(repeated.words(self.count)))
    }

    /// How many bytes the first and the last key, and so all keys, begin with.
    fn prefix_len(&self) -> io::Result<usize> {
        if self.keys.len == 0 {
            return Ok(0);
        }
        let mut window = Window::new(self.keys);
        let first = record_at(&mut window, 0)?.1.to_vec();
        let last = record_at(&mut window, self.last_offset)?.1;
        let same = first.iter().zip(last).take_while(|(a, b)| a == b);
        Ok(same.count())
    }

    /// Writes the fences section, once the groups are written.
    pub(super) fn write_fences(&self, words: u32, pages: &mut PageWriter) -> io::Result<()> {
        let levels = FenceLevels::new(self.count);
        let mut stride = 1;
        for level in levels.levels() {
            for node in 0..level.count.div_ceil(FENCES) {
                self.write_node(node * FENCES..level.count, stride, words, pages)?;
            }
            stride *= FENCES;
        }
        Ok(())
    }

    /// Writes the node of the first ones of these fences of a level that has every `stride`th.
    fn write_node(
        &self,
        numbers: std::ops::Range<u64>,
        stride: u64,
        words: u32,
        pages: &mut PageWriter,
    ) -> io::Result<()> {
        let mut node = [[U64::new(NO_FENCE); FENCE_MAX_WORDS as usize]; NODE_FENCES];
        for (fence, number) in node.iter_mut().zip(numbers) {
            let at = number * stride * FENCE_LEN;
            self.fences.read_exact_at(fence.as_mut_bytes(), at)?;
        }
        for word in 0..words as usize {
            let column = node.map(|fence| fence.get(word).copied().unwrap_or_default());
            pages.write_all(column.as_bytes())?;
        }
        Ok(())
    }
}

/// The record at an offset, and its key.
fn record_at<'w>(window: &'w mut Window<'_>, offset: u64) -> io::Result<(Record, &'w [u8])> {
    let head = window.bytes(offset, HEAD_MAX_LEN)?;
    let record = Record::parse(offset, head, u64::MAX).map_err(damaged)?;
    let key = window.bytes(offset + record.head_len as u64, record.key_len)?;
    Ok((record, key))
}

fn fence_of(key: &[u8], prefix_len: usize) -> Fence {
    let mut fence = Fence::new_zeroed();
    for (number, word) in (0..).zip(&mut fence) {
        *word = fence_word(key, prefix_len, number).into();
    }
    fence
}

/// How many fences are the same as the ones before them.
#[derive(Debug, Default)]
struct Repeated {
    last: Fence,
    /// By as many words as the number of the item, plus one.
    counts: [u64; FENCE_MAX_WORDS as usize],
}

impl Repeated {
    /// Counts a fence, which comes after `before` others.
    fn count(&mut self, fence: Fence, before: u64) {
        let same = self.last.iter().zip(&fence).take_while(|(a, b)| a == b);
        let same = if before == 0 { 0 } else { same.count() };
        for count in self.counts.iter_mut().take(same) {
            *count += 1;
        }
        self.last = fence;
    }

    /// How many words leave few of `all` fences repeated; if none do, as many as there can be.
    fn words(&self, all: u64) -> u32 {
        let few = |count: &u64| *count <= all / FENCES_FOR_ONE_REPEATED;
        let words = (1..).zip(&self.counts).find(|(_, count)| few(count));
        words.map_or(FENCE_MAX_WORDS, |(words, _)| words)
    }
}

/// A group that takes records.
#[derive(Debug, Default)]
struct Open {
    /// Where each record begins, and the hash of its key.
    keys: Vec<(u64, u64)>,
}

impl Open {
    /// Whether a record that begins here can be one of the group.
    fn takes(&self, offset: u64) -> bool {
        match self.keys.first() {
            Some((first, _)) => self.keys.len() < GROUP_COUNT && offset - first <= GROUP_SPAN,
            None => true,
        }
    }

    /// Writes the group's line; the next record begins another group. False if there is no such
    /// line, since two keys have the same hash.
    fn close(&mut self, pages: &mut PageWriter) -> io::Result<bool> {
        let line = self.line();
        self.keys.clear();
        if let Some(line) = &line {
            pages.write_all(line.as_bytes())?;
        }
        Ok(line.is_some())
    }

    fn line(&self) -> Option<Group> {
        let count = self.keys.len();
        let in_cell = cell_count_for(count);
        let starts = self.keys.iter().map(|(offset, _)| *offset);
        let starts: Vec<_> = starts.step_by(in_cell).collect();
        (0..=u8::MAX).find_map(|attempt| {
            let cells = (0_u8..).flat_map(|cell| std::iter::repeat_n(cell, in_cell));
            let hashes = self.keys.iter().map(|(_, hash)| *hash);
            let unknowns = Equations::solve(hashes.zip(cells), attempt)?;
            Group::new(&starts, count, unknowns, attempt)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, RwLock};

    use super::super::output::Output;
    use super::*;
    use crate::format::{PAGE_LEN, encode_head};

    const DIGEST: u64 = 42;

    /// Writes the groups of 1000 keys with this hash, and says how long they are.
    fn write(hash: fn(&[u8], u64) -> u64) -> (Option<Shape>, u64) {
        let output = Output::Memory(Arc::new(RwLock::new(Vec::new())));
        let spool = || Spool::new(1 << 20, std::env::temp_dir());
        let mut pages = PageWriter::new(output.clone(), spool(), 4096);
        let mut last_offset = 0;
        for number in 0..1000_u64 {
            last_offset = pages.position() - PAGE_LEN;
            let (head, head_len) = encode_head(8, 0);
            pages.write_all(&head[..head_len]).unwrap();
            pages.write_all(&number.to_be_bytes()).unwrap();
        }
        let len = pages.position() - PAGE_LEN;
        pages.pad().unwrap();
        pages.settle().unwrap();
        let order = spool();
        let keys = Keys {
            output: &output,
            start: PAGE_LEN,
            len,
            count: 1000,
            order: &order,
        };
        let start = pages.position();
        let mut groups = Groups {
            hash,
            ..Groups::new(keys, last_offset, spool())
        };
        let shape = groups.write(DIGEST, &mut pages).unwrap();
        (shape, pages.position() - start)
    }

    #[test]
    fn one_seed_is_enough() {
        let (shape, len) = write(xxh3_64_with_seed);
        let expected = Shape {
            seed: seed_for(DIGEST, 0),
            prefix_len: 6,
            words: 1,
        };
        assert_eq!(shape, Some(expected));
        assert_eq!(len, 10 * 64);
    }

    #[test]
    fn keys_with_the_same_hash_get_another_seed() {
        // In the last group, so that there are others to take back.
        let (shape, len) = write(|key, seed| {
            let last = key >= 995_u64.to_be_bytes().as_slice();
            if last && seed == seed_for(DIGEST, 0) {
                return 7;
            }
            xxh3_64_with_seed(key, seed)
        });
        assert_eq!(shape.unwrap().seed, seed_for(DIGEST, 1));
        assert_eq!(len, 10 * 64);
    }

    #[test]
    fn seeds_run_out() {
        assert_eq!(write(|_, _| 7), (None, 0));
    }
}
