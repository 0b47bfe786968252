//! Writes a file page by page, with a checksum of each.

use std::io::{self, Read, Seek, SeekFrom, Write};

use xxhash_rust::xxh3::xxh3_64;
use zerocopy::IntoBytes;
use zerocopy::little_endian::U64;

use crate::format::{Footer, PAGE_LEN, RawHeader};

const PAGE: usize = 4096;
const _: () = assert!(PAGE as u64 == PAGE_LEN, "one page size");

const BUFFER_LEN: usize = 64 * PAGE;

/// Everything after the header up to the checksums section goes through this.
#[derive(Debug)]
pub(super) struct PageWriter<W> {
    out: W,
    buf: Vec<u8>,
    /// Where in the file `buf` begins.
    buf_offset: u64,
    sums: Vec<U64>,
}

impl<W: Write + Seek> PageWriter<W> {
    /// Leaves the first page free, for the header.
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.seek(SeekFrom::Start(PAGE_LEN))?;
        Ok(Self {
            out,
            buf: Vec::with_capacity(BUFFER_LEN),
            buf_offset: PAGE_LEN,
            sums: Vec::new(),
        })
    }

    /// Where in the file the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.buf_offset + self.buf.len() as u64
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let room = BUFFER_LEN - self.buf.len();
            let Some((now, later)) = bytes.split_at_checked(room) else {
                self.buf.extend_from_slice(bytes);
                return Ok(());
            };
            self.buf.extend_from_slice(now);
            self.flush()?;
            bytes = later;
        }
    }

    /// Fills the page up with zeros.
    pub(super) fn pad(&mut self) -> io::Result<()> {
        self.buf.resize(self.buf.len().next_multiple_of(PAGE), 0);
        // All whole pages have their checksums from here on.
        self.flush()
    }

    /// The checksums of the pages so far: of all of them, after [`pad`](Self::pad).
    pub(super) fn sums(&self) -> &[U64] {
        &self.sums
    }

    /// Writes the checksums section and what comes at the ends of the file.
    pub(super) fn finish(mut self, header: &RawHeader, footer: &Footer) -> io::Result<()> {
        self.out.write_all(self.sums.as_bytes())?;
        self.out.write_all(footer.as_bytes())?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(header.as_bytes())?;
        self.out.flush()
    }

    /// Reads what was written: whole pages, such as those before the last [`pad`](Self::pad).
    pub(super) fn read_back(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>
    where
        W: Read,
    {
        self.out.seek(SeekFrom::Start(offset))?;
        self.out.read_exact(bytes)?;
        self.out.seek(SeekFrom::Start(self.buf_offset))?;
        Ok(())
    }

    /// Writes the buffer, which holds whole pages.
    fn flush(&mut self) -> io::Result<()> {
        let sums = self.buf.chunks(PAGE).map(|page| U64::new(xxh3_64(page)));
        self.sums.extend(sums);
        self.out.write_all(&self.buf)?;
        self.buf_offset += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }
}
