//! Writing a file of a chain.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::format::{HEAD_BYTES, HEADER_BYTES, Head, Header, RECORD_BYTES};
use crate::{Error, Result};

/// How much must be zero to be left out.
const GAP_BYTES: usize = 4096;

pub(super) struct Writer<'a> {
    out: BufWriter<&'a File>,
    path: &'a Path,
    /// Of the header, and of all heads so far.
    heads: Xxh3,
    data_bytes: u64,
    file_bytes: u64,
    block: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(file: &'a File, path: &'a Path, header: &Header) -> Result<Self> {
        let mut writer = Self {
            out: BufWriter::with_capacity(1 << 20, file),
            path,
            heads: Xxh3::new(),
            data_bytes: 0,
            file_bytes: 0,
            block: vec![0; RECORD_BYTES],
        };
        let header: [u8; HEADER_BYTES] = header.to_bytes();
        writer.heads.update(&header);
        writer.write(&header)?;
        Ok(writer)
    }

    /// Writes a range of the map's bytes.
    pub(super) fn put_all(
        &mut self,
        range: Range<u64>,
        read: impl Fn(u64, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        self.in_blocks(range, read, |writer, offset, block| {
            writer.record(offset, block)
        })
    }

    /// Writes a range of the map's bytes, but for those that are zero, by and large.
    pub(super) fn put_nonzero(
        &mut self,
        range: Range<u64>,
        read: impl Fn(u64, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        self.in_blocks(range, read, |writer, offset, block| {
            let mut run = 0..0;
            for (index, gap) in block.chunks(GAP_BYTES).enumerate() {
                let at = index * GAP_BYTES;
                if gap.iter().all(|&byte| byte == 0) {
                    writer.record_part(offset, block, run)?;
                    run = at..at;
                } else if run.is_empty() {
                    run = at..at + gap.len();
                } else {
                    run.end = at + gap.len();
                }
            }
            writer.record_part(offset, block, run)
        })
    }

    /// Ends the file, and says what its checksum is and how long it is.
    pub(super) fn finish(mut self) -> Result<(u64, u64)> {
        let checksum = self.heads.digest();
        let last = Head {
            offset: self.data_bytes,
            len: 0,
            checksum,
        };
        self.write(&last.to_bytes())?;
        let flushed = self.out.flush();
        flushed.map_err(|error| Error::io("write", self.path, error))?;
        Ok((checksum, self.file_bytes))
    }

    fn in_blocks(
        &mut self,
        range: Range<u64>,
        read: impl Fn(u64, &mut [u8]) -> Result<()>,
        mut each: impl FnMut(&mut Self, u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut block = std::mem::take(&mut self.block);
        let mut offset = range.start;
        while offset < range.end {
            let left = usize::try_from(range.end - offset).unwrap_or(usize::MAX);
            let part = block.get_mut(..left.min(RECORD_BYTES)).unwrap_or_default();
            read(offset, part)?;
            each(self, offset, part)?;
            offset += part.len() as u64;
        }
        self.block = block;
        Ok(())
    }

    fn record_part(&mut self, offset: u64, block: &[u8], run: Range<usize>) -> Result<()> {
        let start = run.start as u64;
        match block.get(run) {
            None | Some([]) => Ok(()),
            Some(bytes) => self.record(offset + start, bytes),
        }
    }

    fn record(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let head = Head {
            offset,
            // A record's bytes, which are far fewer.
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            checksum: xxh3_64(bytes),
        };
        let head: [u8; HEAD_BYTES] = head.to_bytes();
        self.heads.update(&head);
        self.data_bytes += bytes.len() as u64;
        self.write(&head)?;
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file_bytes += bytes.len() as u64;
        let written = self.out.write_all(bytes);
        written.map_err(|error| Error::io("write", self.path, error))
    }
}
