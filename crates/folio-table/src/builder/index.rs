//! Places the records in the lines of the hash index.

mod placement;

use std::collections::VecDeque;
use std::io;

use zerocopy::IntoBytes;

use super::hashes::{Hashing, Outcome};
use super::pages::PageWriter;
use super::{MAX_ATTEMPTS, seed_for};
use crate::format::{Line, MAX_REACH, SLOTS, SlotShape};
use placement::{Placed, Placement};

/// The shape of an index that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) seed: u64,
    pub(super) home_lines: u64,
    /// How many lines past its home line the furthest key stands.
    reach: u64,
}

impl Shape {
    pub(super) fn longest_probe(&self) -> u32 {
        u32::try_from(self.reach + 1).unwrap_or(u32::MAX)
    }
}

/// Writes the index with the first seed that spreads the keys well; `None` if none of
/// [`MAX_ATTEMPTS`] does.
pub(super) fn write(
    hashing: &Hashing<'_>,
    count: u64,
    records_digest: u64,
    offset_bits: u32,
    pages: &mut PageWriter,
) -> io::Result<Option<Shape>> {
    let home_lines = home_lines_for(count);
    // As many lines as share their hashes with a partition, and as its last keys can be sent on to, have
    // no room for more than this.
    let lines = home_lines / hashing.partitions() + 2 + MAX_REACH;
    let max_len = lines * SLOTS as u64;
    let mark = pages.mark()?;
    for attempt in 0..MAX_ATTEMPTS {
        let seed = seed_for(records_digest, attempt);
        let mut placement = Placement::new(home_lines, MAX_REACH);
        let mut lines = Lines::new(pages, offset_bits);
        let placed = hashing.for_each(seed, max_len, |hashed| {
            placement.place(hashed, |placed| lines.put(placed))
        })?;
        if placed == Outcome::Done && placement.finish(|placed| lines.put(placed))?.is_continue() {
            lines.finish(home_lines)?;
            return Ok(Some(Shape {
                seed,
                home_lines,
                reach: placement.reach(),
            }));
        }
        pages.rewind(&mark)?;
    }
    Ok(None)
}

/// How many lines keys are spread over: 8.5 keys a line, which leaves room for the
/// differences that chance makes.
fn home_lines_for(count: u64) -> u64 {
    (count * 2).div_ceil(17)
}

/// Writes lines. What a line says of strays is not known before they are placed, so that as many lines are
/// held back as a key can stray.
struct Lines<'a> {
    pages: &'a mut PageWriter,
    slots: SlotShape,
    held: VecDeque<Line>,
    /// How many lines were written before those that are held.
    written: u64,
}

impl<'a> Lines<'a> {
    fn new(pages: &'a mut PageWriter, offset_bits: u32) -> Self {
        Self {
            pages,
            slots: SlotShape::new(offset_bits),
            held: VecDeque::new(),
            written: 0,
        }
    }

    /// Puts a record in its line: the one of the last record, or a later one.
    #[inline]
    fn put(&mut self, placed: Placed) -> io::Result<()> {
        let Placed { home, line, hashed } = placed;
        while self.written + MAX_REACH < line {
            self.write_line()?;
        }
        let tag = self.slots.tag(hashed.hash);
        let positions = [line - self.written, home - self.written];
        let [line_at, home_at] = positions.map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        if self.held.len() <= line_at {
            self.held.resize(line_at + 1, Line::default());
        }
        if let Some(line) = self.held.get_mut(line_at) {
            line.push(tag.slot(hashed.offset));
        }
        let reach = u8::try_from(line - home).unwrap_or(u8::MAX);
        if let (Some(home), 1..) = (self.held.get_mut(home_at), reach) {
            home.note_stray(tag, reach);
        }
        Ok(())
    }

    /// Writes what is held, and the home lines that come after it.
    fn finish(mut self, home_lines: u64) -> io::Result<()> {
        while self.written < home_lines || !self.held.is_empty() {
            self.write_line()?;
        }
        Ok(())
    }

    fn write_line(&mut self) -> io::Result<()> {
        let line = self.held.pop_front().unwrap_or_default();
        self.written += 1;
        self.pages.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, RwLock};

    use xxhash_rust::xxh3::xxh3_64_with_seed;
    use zerocopy::FromBytes;

    use super::super::budget::Budget;
    use super::super::hashes::Keys;
    use super::super::output::Output;
    use super::super::spool::Spool;
    use super::*;
    use crate::format::{OrderEntry, PAGE_LEN, encode_head, home_line};

    const DIGEST: u64 = 42;

    /// Writes the index of these keys, in less than a stripe of records, with this much memory.
    fn write_index(keys: &[Vec<u8>], memory: u64) -> (Option<Shape>, Vec<Line>) {
        let bytes = Arc::new(RwLock::new(Vec::new()));
        let output = Output::Memory(Arc::clone(&bytes));
        let spool = || Spool::new(1 << 20, std::env::temp_dir());
        let mut order = spool();
        order.push(&[0; size_of::<OrderEntry>()]).unwrap();
        let mut pages = PageWriter::new(output.clone(), spool(), 4096);
        for key in keys {
            let (head, head_len) = encode_head(key.len(), 0);
            pages.write_all(&head[..head_len]).unwrap();
            pages.write_all(key).unwrap();
        }
        let len = pages.position() - PAGE_LEN;
        pages.pad().unwrap();
        pages.settle().unwrap();
        let keys = Keys {
            output: &output,
            start: PAGE_LEN,
            len,
            count: keys.len() as u64,
            order: &order,
        };
        let hashing = Hashing::new(keys, &Budget::new(memory), &std::env::temp_dir());
        let start = usize::try_from(pages.position()).unwrap();
        let shape = write(&hashing, keys.count, DIGEST, 20, &mut pages).unwrap();
        let lines_len = usize::try_from(pages.position()).unwrap() - start;
        pages.pad().unwrap();
        pages.settle().unwrap();
        let bytes = bytes.read().unwrap();
        let lines = bytes[start..start + lines_len].chunks(size_of::<Line>());
        let lines = lines.map(|line| Line::read_from_bytes(line).unwrap());
        (shape, lines.collect())
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
    fn one_seed_is_enough_for_any_keys() {
        let (shape, lines) = write_index(&keys(0..20_000), 1 << 30);
        let shape = shape.unwrap();
        assert_eq!(shape.seed, seed_for(DIGEST, 0));
        assert_eq!(shape.home_lines, 2353);
        assert!(shape.reach < 8, "{}", shape.reach);
        assert!(lines.len() as u64 >= shape.home_lines);
        let used: u64 = lines.iter().map(|line| u64::from(line.used)).sum();
        assert_eq!(used, 20_000);
        let reach = lines.iter().map(|line| u64::from(line.reach)).max();
        assert_eq!(reach, Some(shape.reach));
    }

    #[test]
    fn any_memory_gives_the_same_lines() {
        let keys = keys(0..20_000);
        let expected = write_index(&keys, 1 << 30);
        for memory in [1, 10_000, 600_000, 1_000_000, 5_000_000] {
            let found = write_index(&keys, memory);
            assert_eq!(found.0, expected.0, "{memory}");
            let same = found
                .1
                .iter()
                .zip(&expected.1)
                .all(|(a, b)| a.as_bytes() == b.as_bytes());
            assert!(same && found.1.len() == expected.1.len(), "{memory}");
        }
    }

    #[test]
    fn keys_chosen_for_one_line_get_another_seed() {
        // 18 lines' worth of keys on one line is more than the longest probe allows.
        let keys = colliding(180, home_lines_for(180));
        let (shape, lines) = write_index(&keys, 1 << 30);
        let shape = shape.unwrap();
        assert_eq!(shape.seed, seed_for(DIGEST, 1));
        assert!(shape.reach < 8, "{}", shape.reach);
        // Nothing is left of the first attempt.
        let used: u64 = lines.iter().map(|line| u64::from(line.used)).sum();
        assert_eq!(used, 180);

        // One line less, and the first seed will do.
        let (shape, _) = write_index(&colliding(170, home_lines_for(170)), 1 << 30);
        let shape = shape.unwrap();
        assert_eq!((shape.seed, shape.reach), (seed_for(DIGEST, 0), MAX_REACH));
    }

    #[test]
    fn keys_chosen_for_one_partition_take_no_memory() {
        // All in the first of some partitions, under the first seed.
        let keys = colliding(20_000, 100);
        let (shape, _) = write_index(&keys, 10_000);
        assert_eq!(shape.unwrap().seed, seed_for(DIGEST, 1));
    }

    #[test]
    fn seeds_run_out() {
        // Keys that are the same collide under any seed.
        let (shape, lines) = write_index(&vec![b"same".to_vec(); 200], 1 << 30);
        assert_eq!((shape, lines.len()), (None, 0));
    }

    #[test]
    fn no_seed_is_needed_for_nothing() {
        let (shape, lines) = write_index(&[], 1 << 30);
        let shape = shape.unwrap();
        assert_eq!((shape.home_lines, shape.longest_probe()), (0, 1));
        assert!(lines.is_empty());
    }
}
