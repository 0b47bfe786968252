//! The hash index: where a key would have its slot, and the lines there.

use folio::ReadAt;
use zerocopy::IntoBytes;

use crate::format::{LINE_LEN, Line, SLOTS, Tag, home_line};
use crate::{Error, Result, Table};

/// Where the hash index would have a key, and by which mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) home: u64,
    pub(super) tag: Tag,
}

impl<B: ReadAt> Table<B> {
    #[inline]
    pub(super) fn probe(&self, key: &[u8]) -> Probe {
        let hash = self.hash(key);
        Probe {
            home: home_line(hash, self.layout.home_lines),
            tag: self.layout.slots.tag(hash),
        }
    }

    /// Whether the index leads from this key to the record at this offset, by
    /// the index alone.
    pub(crate) fn index_has(&self, key: &[u8], record_offset: u64) -> Result<bool> {
        let Probe { home, tag } = self.probe(key);
        let mut line = Line::default();
        self.read_line(home, &mut line)?;
        let mut reach = 0;
        if line.sends_on(tag) {
            reach = u64::from(line.reach).min(self.layout.max_reach);
        }
        for step in 0..=reach {
            if step > 0 {
                self.read_line(home + step, &mut line)?;
            }
            if line.matches(tag).any(|offset| offset == record_offset) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a line of the hash index, and checks what every use of it relies on.
    ///
    /// The line is not the result, since the compiler would move it about before it is used.
    #[inline]
    pub(crate) fn read_line(&self, number: u64, line: &mut Line) -> Result<()> {
        if number >= self.layout.lines {
            return Err(self.no_such_line(number));
        }
        let at = self.line_offset(number);
        self.bytes().read_exact_at(at, line.as_mut_bytes())?;
        if usize::from(line.used) > SLOTS {
            return Err(self.overfull_line(number, line.used));
        }
        Ok(())
    }

    /// How many lines further a key may stand whose home line, number `home`, sends it on.
    #[inline]
    pub(super) fn reach(&self, home: u64, line: &Line) -> Result<u64> {
        let reach = u64::from(line.reach);
        if reach > self.layout.max_reach {
            return Err(self.too_far(home, reach));
        }
        Ok(reach)
    }

    #[inline]
    pub(crate) fn line_offset(&self, number: u64) -> u64 {
        self.layout
            .index_offset
            .saturating_add(number.saturating_mul(LINE_LEN))
    }

    #[cold]
    fn no_such_line(&self, number: u64) -> Error {
        let what = format!(
            "line {number} of the hash index asked for, but it has {}",
            self.layout.lines
        );
        self.damaged(self.layout.index_offset, what)
    }

    #[cold]
    fn overfull_line(&self, number: u64, used: u8) -> Error {
        let what = format!("a line of the hash index with {used} of {SLOTS} slots in use");
        self.damaged(self.line_offset(number), what)
    }

    #[cold]
    fn too_far(&self, home: u64, reach: u64) -> Error {
        let what = format!("a line of the hash index sends on by {reach} lines");
        self.damaged(self.line_offset(home), what)
    }
}
