//! Lines of bounded length.

use std::io::{self, BufRead};
use std::path::Path;

use crate::{Error, Result};

/// Reads lines that end with `\n`, or with the input.
pub(super) struct Lines<'a, R> {
    input: R,
    name: &'a Path,
    max_len: u64,
    line: Vec<u8>,
    number: u64,
    consumed: u64,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(super) fn new(input: R, name: &'a Path, max_len: u64) -> Self {
        Self {
            input,
            name,
            max_len,
            line: Vec::new(),
            number: 0,
            consumed: 0,
        }
    }

    /// How many bytes of the input were read.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The next line and its number, counted from 1; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>> {
        self.line.clear();
        self.number += 1;
        let mut ended = false;
        while !ended {
            let available = match self.input.fill_buf() {
                Ok([]) if self.line.is_empty() => return Ok(None),
                Ok([]) => break,
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", self.name, error)),
            };
            let end = memchr::memchr(b'\n', available);
            let part = available
                .get(..end.unwrap_or(available.len()))
                .unwrap_or_default();
            let len = self.line.len() as u64 + part.len() as u64;
            if len > self.max_len {
                return Err(Error::Line {
                    path: self.name.to_owned(),
                    line: self.number,
                    problem: format!("longer than {} bytes", self.max_len),
                });
            }
            let reserved = self.line.try_reserve(part.len());
            reserved.map_err(|_| Error::OutOfMemory { len })?;
            self.line.extend_from_slice(part);
            ended = end.is_some();
            let used = part.len() + usize::from(ended);
            self.input.consume(used);
            self.consumed += used as u64;
        }
        Ok(Some((self.number, &self.line)))
    }
}
