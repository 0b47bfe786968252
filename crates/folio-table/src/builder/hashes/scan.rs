//! Reads the records that were written, by several threads.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Hashed, Keys};
use crate::format::{HEAD_MAX_LEN, ORDER_ENTRY_LEN, OrderEntry, PAGE_LEN, Record};
use zerocopy::{FromZeros, IntoBytes};

/// Pages whose records one thread reads before it takes others.
const STRIPE_PAGES: u64 = 256;

/// What is read at once.
const READ_LEN: usize = 256 << 10;

/// The work of reading all records once, of which each thread takes parts.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    keys: Keys<'a>,
    seed: u64,
    next_stripe: AtomicU64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(keys: Keys<'a>, seed: u64) -> Self {
        Self {
            keys,
            seed,
            next_stripe: AtomicU64::new(0),
        }
    }

    /// Hashes the keys of stripes that no other thread has taken, as long as there are any.
    pub(super) fn work(&self, mut take: impl FnMut(Hashed) -> io::Result<()>) -> io::Result<()> {
        let mut window = Window::new(self.keys);
        loop {
            let first_page = self.next_stripe.fetch_add(STRIPE_PAGES, Ordering::Relaxed);
            let mut offset = self.first_from_page(first_page)?;
            let end = self.first_from_page(first_page.saturating_add(STRIPE_PAGES))?;
            if first_page.saturating_mul(PAGE_LEN) >= self.keys.len {
                return Ok(());
            }
            while offset < end {
                let head = window.bytes(offset, HEAD_MAX_LEN)?;
                let record = Record::parse(offset, head, u64::MAX).map_err(damaged)?;
                let key = window.bytes(offset + record.head_len as u64, record.key_len)?;
                let hash = xxh3_64_with_seed(key, self.seed);
                take(Hashed { hash, offset })?;
                offset += record.len();
            }
        }
    }

    /// Where the first record begins that begins in a page or after it.
    fn first_from_page(&self, page: u64) -> io::Result<u64> {
        if page.saturating_mul(PAGE_LEN) >= self.keys.len {
            return Ok(self.keys.len);
        }
        let mut entry = OrderEntry::new_zeroed();
        let at = page * ORDER_ENTRY_LEN;
        self.keys.order.read_exact_at(entry.as_mut_bytes(), at)?;
        Ok(entry.offset.get())
    }
}

/// What was written is something else now.
pub(in super::super) fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A part of the records section in memory.
pub(in super::super) struct Window<'a> {
    keys: Keys<'a>,
    buf: Vec<u8>,
    /// Where in the section `buf` begins.
    start: u64,
}

impl<'a> Window<'a> {
    pub(in super::super) fn new(keys: Keys<'a>) -> Self {
        Self {
            keys,
            buf: Vec::new(),
            start: 0,
        }
    }

    /// `len` bytes from `offset` of the section on, or fewer where it ends.
    #[inline]
    pub(in super::super) fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let at = offset.checked_sub(self.start);
        let at = at.and_then(|at| usize::try_from(at).ok());
        let held = at.is_some_and(|at| at + len <= self.buf.len());
        let at = if held {
            at.unwrap_or(0)
        } else {
            self.fill(offset, len)?
        };
        let bytes = self.buf.get(at..).unwrap_or_default();
        Ok(bytes.get(..len).unwrap_or(bytes))
    }

    #[cold]
    fn fill(&mut self, offset: u64, len: usize) -> io::Result<usize> {
        let room = self.keys.len.saturating_sub(offset);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        self.buf.resize(room.min(len.max(READ_LEN)), 0);
        self.start = offset;
        let output = self.keys.output;
        output.read_exact_at(&mut self.buf, self.keys.start + offset)?;
        Ok(0)
    }
}
