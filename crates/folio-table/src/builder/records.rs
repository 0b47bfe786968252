//! Writes the records section, and gathers the order section.

use std::io;
use std::path::Path;

use zerocopy::IntoBytes;

use super::aside::Aside;
use super::merge::Merged;
use super::pages::PageWriter;
use super::sorter::{Merging, temporary_error};
use super::spool::Spool;
use crate::format::{MAX_RECORDS_LEN, OrderEntry, PAGE_LEN};
use crate::{Error, Result};

/// How much of a value that was put aside is copied at once.
const COPY_LEN: usize = 256 << 10;

/// How many records are written between two reports of progress.
const RECORDS_PER_REPORT: u64 = 1 << 14;

/// Writes records one after the other.
pub(super) struct RecordsWriter<'a> {
    pages: &'a mut PageWriter,
    /// The file that is written, for errors.
    path: &'a Path,
    written: Written,
    /// How many bytes of the section the order entries so far are for.
    ordered: u64,
    buf: Vec<u8>,
}

/// What the records section has come to.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) count: u64,
    pub(super) key_bytes: u64,
    pub(super) value_bytes: u64,
    pub(super) len: u64,
    /// Where the last record begins.
    pub(super) last_offset: u64,
    /// The order section.
    pub(super) order: Spool,
}

impl<'a> RecordsWriter<'a> {
    pub(super) fn new(pages: &'a mut PageWriter, order: Spool, path: &'a Path) -> Self {
        Self {
            pages,
            path,
            written: Written {
                count: 0,
                key_bytes: 0,
                value_bytes: 0,
                len: 0,
                last_offset: 0,
                order,
            },
            ordered: 0,
            buf: Vec::new(),
        }
    }

    /// Writes all records. `progress` is told now and then how many were taken.
    pub(super) fn write_all(
        mut self,
        mut merging: Merging,
        mut progress: impl FnMut(u64),
    ) -> Result<Written> {
        while let Some(Merged { item, bytes }) = merging.next()? {
            self.order(self.written.len + 1)?;
            let record = bytes.get(item.record_start..).unwrap_or_default();
            let written = &mut self.written;
            written.count += 1;
            written.key_bytes += item.key_len as u64;
            written.value_bytes += item.value_len;
            written.last_offset = written.len;
            written.len += item.record_len();
            if written.len > MAX_RECORDS_LEN {
                return Err(Error::TooLarge { len: written.len });
            }
            if written.count % RECORDS_PER_REPORT == 0 {
                progress(written.count);
            }
            if item.aside {
                let value_len = item.value_len;
                let Some((head_and_key, &place)) = record.split_last_chunk() else {
                    continue;
                };
                self.write(head_and_key)?;
                let place = u64::from_le_bytes(place);
                self.copy(merging.aside(), place, value_len)?;
            } else {
                self.write(record)?;
            }
        }
        self.order(self.written.len)?;
        progress(self.written.count);
        Ok(self.written)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.pages.write_all(bytes);
        written.map_err(|error| Error::io("write", self.path, error))
    }

    /// Copies a value that was put aside.
    #[cold]
    fn copy(&mut self, aside: Option<&Aside>, mut place: u64, mut len: u64) -> Result<()> {
        let mut buf = std::mem::take(&mut self.buf);
        while let Some(aside) = aside.filter(|_| len > 0) {
            buf.resize(
                usize::try_from(len).map_or(COPY_LEN, |len| len.min(COPY_LEN)),
                0,
            );
            let read = aside.read_exact_at(place, &mut buf);
            read.map_err(|error| temporary_error(self.path, error))?;
            self.write(&buf)?;
            place += buf.len() as u64;
            len -= buf.len() as u64;
        }
        self.buf = buf;
        Ok(())
    }

    /// Sees to it that all pages that begin before `limit` have their entry.
    #[inline]
    fn order(&mut self, limit: u64) -> Result<()> {
        if self.ordered >= limit {
            return Ok(());
        }
        let pushed = self.push_order(limit);
        pushed.map_err(|error| temporary_error(self.path, error))
    }

    #[cold]
    fn push_order(&mut self, limit: u64) -> io::Result<()> {
        let entry = OrderEntry {
            rank: self.written.count.into(),
            offset: self.written.len.into(),
        };
        while self.ordered < limit {
            self.written.order.push(entry.as_bytes())?;
            self.ordered += PAGE_LEN;
        }
        Ok(())
    }
}
