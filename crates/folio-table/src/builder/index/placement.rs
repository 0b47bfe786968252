//! Which line each record goes to.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use super::super::hashes::Hashed;
use crate::format::{SLOTS, home_line};

/// Gives each record its home line and the line it stands in, line by line.
///
/// A line takes the keys whose home it is and then, while it has room, those that found
/// none in earlier lines. This leaves few keys away from home: one in twelve at the builder's
/// load, where first come, first served would leave one in six. Only keys that were
/// passed on [`PATIENCE`] times go before a line's own, which keeps the reach short.
#[derive(Debug)]
pub(super) struct Placement {
    home_lines: u64,
    max_reach: u64,
    /// The line whose records are being gathered.
    line: u64,
    /// The records whose home it is.
    own: Vec<Hashed>,
    /// Earlier ones that found no room yet, with their homes.
    strays: VecDeque<(u64, Hashed)>,
    /// How far a record stands from its home at most.
    reach: u64,
}

/// A record and its place in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) home: u64,
    pub(super) line: u64,
    pub(super) hashed: Hashed,
}

/// More of it sends few more keys home, and some of them much further away.
const PATIENCE: u64 = 4;

impl Placement {
    /// No record may stand further than `max_reach` lines past its home line.
    pub(super) fn new(home_lines: u64, max_reach: u64) -> Self {
        Self {
            home_lines,
            max_reach,
            line: 0,
            own: Vec::new(),
            strays: VecDeque::new(),
            reach: 0,
        }
    }

    /// Places the next records, in the order of their hashes, so far as later ones cannot change it.
    /// Breaks off where one would come to stand too far from its home.
    #[inline]
    pub(super) fn place(
        &mut self,
        next: &[Hashed],
        mut put: impl FnMut(Placed) -> io::Result<()>,
    ) -> io::Result<ControlFlow<()>> {
        for &hashed in next {
            let home = home_line(hashed.hash, self.home_lines);
            while self.line < home {
                if self.fill_line(&mut put)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                if self.strays.is_empty() {
                    self.line = home;
                }
            }
            // More of the same home cannot all be placed.
            if self.own.len() as u64 > (self.max_reach + 1) * SLOTS as u64 {
                return Ok(ControlFlow::Break(()));
            }
            self.own.push(hashed);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Places all that are left.
    pub(super) fn finish(
        &mut self,
        mut put: impl FnMut(Placed) -> io::Result<()>,
    ) -> io::Result<ControlFlow<()>> {
        while !self.own.is_empty() || !self.strays.is_empty() {
            if self.fill_line(&mut put)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// How far a record stands from its home at most.
    pub(super) fn reach(&self) -> u64 {
        self.reach
    }

    /// Fills the line and goes on to the next.
    fn fill_line(
        &mut self,
        put: &mut impl FnMut(Placed) -> io::Result<()>,
    ) -> io::Result<ControlFlow<()>> {
        let line = self.line;
        let mut own = self.own.iter().copied();
        for _ in 0..SLOTS {
            let overdue = |&(home, _): &(u64, Hashed)| home + PATIENCE <= line;
            let next = if self.strays.front().is_some_and(overdue) {
                self.strays.pop_front()
            } else {
                let next = own.next().map(|hashed| (line, hashed));
                next.or_else(|| self.strays.pop_front())
            };
            let Some((home, hashed)) = next else {
                break;
            };
            self.reach = self.reach.max(line - home);
            if self.reach > self.max_reach {
                return Ok(ControlFlow::Break(()));
            }
            put(Placed { home, line, hashed })?;
        }
        self.strays.extend(own.map(|hashed| (line, hashed)));
        self.own.clear();
        self.line += 1;
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places records with these hashes and returns where each one stands.
    fn place(hashes: &[u64], home_lines: u64, at_once: usize) -> (Placement, Vec<(u64, u64, u64)>) {
        let records: Vec<_> = hashes
            .iter()
            .map(|&hash| Hashed { hash, offset: hash })
            .collect();
        let mut placement = Placement::new(home_lines, 16);
        let mut all = Vec::new();
        let mut put = |placed: Placed| {
            all.push((placed.home, placed.line, placed.hashed.hash));
            Ok(())
        };
        for part in records.chunks(at_once) {
            assert!(placement.place(part, &mut put).unwrap().is_continue());
        }
        assert!(placement.finish(&mut put).unwrap().is_continue());
        (placement, all)
    }

    fn spread(count: u64) -> Vec<u64> {
        let hashes = (0..count).map(|number| xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()));
        let mut hashes: Vec<_> = hashes.collect();
        hashes.sort_unstable();
        hashes
    }

    #[test]
    fn lines_hold_ten_and_no_key_stands_before_its_home() {
        let (placement, all) = place(&spread(20_000), 2353, 20_000);
        assert_eq!(all.len(), 20_000);
        assert!(all.is_sorted_by_key(|(_, line, _)| *line));
        assert!(all.iter().all(|(home, line, _)| home <= line));
        let strays = all.iter().filter(|(home, line, _)| home < line).count();
        assert!((1200..2000).contains(&strays), "{strays}");
        let reach = all.iter().map(|(home, line, _)| line - home).max();
        assert_eq!(reach, Some(placement.reach()));
        assert!(placement.reach() < 8, "{}", placement.reach());
        for line in all.chunk_by(|(_, a, _), (_, b, _)| a == b) {
            assert!(line.len() <= SLOTS);
        }
    }

    #[test]
    fn it_matters_not_how_many_come_at_once() {
        let hashes = spread(3000);
        let (_, expected) = place(&hashes, 353, 3000);
        for at_once in [1, 7, 100] {
            assert_eq!(place(&hashes, 353, at_once).1, expected);
        }
    }

    #[test]
    fn too_many_on_one_line_are_refused() {
        let records = vec![Hashed::default(); 171];
        for at_once in [1, 171] {
            let mut placement = Placement::new(3, 16);
            let mut outcome = ControlFlow::Continue(());
            for part in records.chunks(at_once) {
                outcome = placement.place(part, |_| Ok(())).unwrap();
            }
            if outcome.is_continue() {
                outcome = placement.finish(|_| Ok(())).unwrap();
            }
            assert!(outcome.is_break());
        }
    }
}
