//! Writes the perfect index: groups of records, and their fences.

use std::io::{self, Read, Seek, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::IntoBytes;
use zerocopy::little_endian::U64;

use super::equations::Equations;
use super::pages::PageWriter;
use super::seed_for;
use crate::format::{
    FENCE_MAX_WORDS, FenceLevels, Group, HEAD_MAX_LEN, MAX_KEY_LEN, NO_FENCE, NODE_FENCES,
    PAGE_LEN, Record, cell_count_for, fence_word,
};
use crate::{Error, Result};

/// How many records a group gets at most. Two fewer than it could have, so that three of
/// four systems of equations have a solution, rather than one.
const GROUP_COUNT: usize = 110;

/// How far from the first record of a group the last one may begin: as far as a line can say.
const GROUP_SPAN: u64 = u16::MAX as u64;

/// How many hash seeds are tried. One is enough, unless two keys that stand
/// within a group of each other have the same hash of 64 bits.
const MAX_ATTEMPTS: u64 = 32;

/// A perfect index that was begun: its groups are written.
#[derive(Debug)]
pub(super) struct PerfectIndex {
    pub(super) seed: u64,
    pub(super) prefix_len: u32,
    pub(super) words: u32,
    fences: Vec<Fence>,
}

/// The words of a fence, of which the first ones count.
type Fence = [u64; FENCE_MAX_WORDS as usize];

/// The records section that an index is for, which has been written.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordsSection<'a> {
    pub(super) len: u64,
    /// Where the last record begins.
    pub(super) last_offset: u64,
    /// What the hash seed is made from.
    pub(super) digest: u64,
    /// The file, for errors.
    pub(super) path: &'a Path,
}

impl PerfectIndex {
    /// Writes the groups section.
    pub(super) fn write_groups<W: Read + Write + Seek>(
        records: RecordsSection<'_>,
        pages: &mut PageWriter<W>,
    ) -> Result<Self> {
        let prefix_len = shared_prefix_len(records, pages)?;
        'seeds: for attempt in 0..MAX_ATTEMPTS {
            let seed = seed_for(records.digest, attempt);
            let mut lines = Vec::new();
            let mut fences = Vec::new();
            let mut group = Open::default();
            let mut walk = ReadBack::new(records, pages);
            while let Some((offset, key)) = walk.next()? {
                if !group.takes(offset) {
                    match group.close() {
                        Some(line) => lines.push(line),
                        None => continue 'seeds,
                    }
                }
                if group.keys.is_empty() {
                    fences.push(fence_of(key, prefix_len));
                }
                group.keys.push((offset, xxh3_64_with_seed(key, seed)));
            }
            if !group.keys.is_empty() {
                match group.close() {
                    Some(line) => lines.push(line),
                    None => continue 'seeds,
                }
            }
            let write_error = |error| Error::io("write", records.path, error);
            pages.write_all(lines.as_bytes()).map_err(write_error)?;
            return Ok(Self {
                seed,
                prefix_len: u32::try_from(prefix_len).unwrap_or(u32::MAX),
                words: words_for(&fences),
                fences,
            });
        }
        Err(Error::NoSeed {
            attempts: MAX_ATTEMPTS,
        })
    }

    /// Writes the fences section.
    pub(super) fn write_fences<W: Write + Seek>(
        &self,
        pages: &mut PageWriter<W>,
    ) -> io::Result<()> {
        let levels = FenceLevels::new(self.fences.len() as u64);
        let mut stride = 1;
        for _ in levels.levels() {
            let mut level = self.fences.iter().step_by(stride);
            while let (count, Some(first)) = (NODE_FENCES as usize, level.next()) {
                let mut node = [[NO_FENCE; FENCE_MAX_WORDS as usize]; NODE_FENCES as usize];
                let fences = std::iter::once(first).chain(level.by_ref().take(count - 1));
                for (to, fence) in node.iter_mut().zip(fences) {
                    *to = *fence;
                }
                for number in 0..self.words as usize {
                    let column =
                        node.map(|fence| U64::new(fence.get(number).copied().unwrap_or(NO_FENCE)));
                    pages.write_all(column.as_bytes())?;
                }
            }
            stride *= NODE_FENCES as usize;
        }
        Ok(())
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

    /// The group's line; the next record begins another group. `None` if two keys have the same
    /// hash.
    fn close(&mut self) -> Option<Group> {
        let count = self.keys.len();
        let in_cell = cell_count_for(count);
        let starts = self.keys.iter().map(|(offset, _)| *offset);
        let starts: Vec<_> = starts.step_by(in_cell).collect();
        let solve = |attempt| {
            let cells = (0_u8..).flat_map(|cell| std::iter::repeat_n(cell, in_cell));
            let hashes = self.keys.iter().map(|(_, hash)| *hash);
            let unknowns = Equations::solve(hashes.zip(cells), attempt)?;
            Group::new(&starts, count, unknowns, attempt)
        };
        let line = (0..=u8::MAX).find_map(solve);
        self.keys.clear();
        line
    }
}

/// How many bytes the first and the last key, and so all keys, begin with.
fn shared_prefix_len<W: Read + Write + Seek>(
    records: RecordsSection<'_>,
    pages: &mut PageWriter<W>,
) -> Result<usize> {
    let first = ReadBack::new(records, pages)
        .next()?
        .map(|(_, key)| key.to_vec());
    let mut last = ReadBack::new(records, pages);
    last.next = records.last_offset;
    let last = last.next()?.map(|(_, key)| key).unwrap_or_default();
    let first = first.unwrap_or_default();
    Ok(first.iter().zip(last).take_while(|(a, b)| a == b).count())
}

fn fence_of(key: &[u8], prefix_len: usize) -> Fence {
    let mut fence = Fence::default();
    for (number, word) in (0..).zip(&mut fence) {
        *word = fence_word(key, prefix_len, number);
    }
    fence
}

/// How many words tell all fences but one in 64 from the ones before them; if none do, as many as
/// there can be.
fn words_for(fences: &[Fence]) -> u32 {
    let tell_apart = |words: &u32| {
        let start = |fence: &Fence| fence.map(|word| word);
        let pairs = fences.iter().zip(fences.iter().skip(1));
        let same = pairs
            .filter(|(a, b)| start(a).get(..*words as usize) == start(b).get(..*words as usize));
        same.count() <= fences.len() / 64
    };
    (1..FENCE_MAX_WORDS)
        .find(tell_apart)
        .unwrap_or(FENCE_MAX_WORDS)
}

/// Reads the records back that were written, in their order.
struct ReadBack<'a, W> {
    records: RecordsSection<'a>,
    pages: &'a mut PageWriter<W>,
    /// Where the next record begins.
    next: u64,
    /// Bytes of the section from `buf_offset` on.
    buf: Vec<u8>,
    buf_offset: u64,
}

/// What is read at once. Longer than the beginning of any record.
const CHUNK_LEN: usize = 256 << 10;
const _: () = assert!(CHUNK_LEN > HEAD_MAX_LEN + MAX_KEY_LEN, "room for any key");

impl<'a, W: Read + Write + Seek> ReadBack<'a, W> {
    fn new(records: RecordsSection<'a>, pages: &'a mut PageWriter<W>) -> Self {
        Self {
            records,
            pages,
            next: 0,
            buf: Vec::new(),
            buf_offset: 0,
        }
    }

    /// Where the next record begins, and its key.
    fn next(&mut self) -> Result<Option<(u64, &[u8])>> {
        let offset = self.next;
        let room = self.records.len.saturating_sub(offset);
        if room == 0 {
            return Ok(None);
        }
        let need = room.min((HEAD_MAX_LEN + MAX_KEY_LEN) as u64);
        let buf_end = self.buf_offset + self.buf.len() as u64;
        if offset < self.buf_offset || offset + need > buf_end {
            self.fill(offset, room)?;
        }
        let start = usize::try_from(offset - self.buf_offset).unwrap_or(usize::MAX);
        let bytes = self.buf.get(start..).unwrap_or_default();
        // What this process has just written: it can only fail if the file was changed meanwhile.
        let record = Record::parse(offset, bytes, room)
            .map_err(|what| Error::damaged(self.records.path, PAGE_LEN + offset, what))?;
        self.next = offset + record.len();
        let key = bytes.get(record.head_len..record.value_start());
        Ok(Some((offset, key.unwrap_or_default())))
    }

    #[cold]
    fn fill(&mut self, offset: u64, room: u64) -> Result<()> {
        let len = usize::try_from(room).unwrap_or(usize::MAX).min(CHUNK_LEN);
        self.buf.resize(len, 0);
        self.buf_offset = offset;
        let read = self.pages.read_back(PAGE_LEN + offset, &mut self.buf);
        read.map_err(|error| Error::io("read back", self.records.path, error))
    }
}
