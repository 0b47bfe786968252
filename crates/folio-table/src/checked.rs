//! Bytes of a table whose checksums are checked when they are read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use folio::{ReadAt, SharedWords};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};
use zerocopy::little_endian::U64;

use crate::format::PAGE_LEN;
use crate::{Error, Result, Table};

/// When the checksums of a table's pages are checked.
///
/// A page whose checksum is wrong is an [`Error::Checksum`] that names the page; with
/// [`Touch`](Self::Touch) and [`Always`](Self::Always), no value is ever made of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Never, but for the header and the footer when the table is opened. Lookups are the fastest.
    #[default]
    Never,
    /// All of them when the table is opened, and whether its parts agree: see [`Table::verify`].
    /// That reads the whole file once.
    Open,
    /// Each when something of its page is read for the first time. That it was right is
    /// remembered in memory which all processes share that are forked after the table
    /// was opened, one bit for each page.
    Touch,
    /// Each whenever something of its page is read, of the very bytes that are then used:
    /// also for files that somebody may write to meanwhile. A lookup costs some thousand
    /// instructions more.
    Always,
}

/// The bytes of a table, which are checked as its [`Verify`] says before anybody gets them.
///
/// Made by [`TableOptions`](crate::TableOptions). It knows of nothing but pages and their
/// checksums; whatever a table reads of records and indexes, it reads through this.
pub struct Checked<B> {
    bytes: B,
    /// `None`: as they come.
    pages: Option<Box<Pages>>,
}

/// What to check pages with.
struct Pages {
    path: PathBuf,
    /// Pages from the one after the header up to here have checksums, and these follow.
    sums_offset: u64,
    sums_len: u64,
    sums_checksum: u64,
    /// A bit for each page that was found right, from the header on; `None` to check them each time.
    known: Option<SharedWords>,
}

const PAGE: usize = 4096;

impl<B> Checked<B> {
    /// The bytes, as they come.
    #[must_use]
    pub fn unchecked(&self) -> &B {
        &self.bytes
    }

    /// Whether a range may be read as it comes.
    #[inline]
    fn may_read(&self, offset: u64, len: usize) -> bool {
        match &self.pages {
            None => true,
            Some(pages) => pages.are_known(offset, len),
        }
    }
}

impl<B: ReadAt> Table<B> {
    /// The same table, whose pages are checked from now on.
    ///
    /// # Errors
    ///
    /// With [`Verify::Open`], those of [`Table::verify`]; with [`Verify::Touch`],
    /// [`Error::Io`] when there is no memory to be shared.
    pub fn checked(self, verify: Verify) -> Result<Table<Checked<B>>> {
        if verify == Verify::Open {
            self.verify(|_| ())?;
        }
        let known = match verify {
            Verify::Never | Verify::Open => {
                return Ok(self.map(|bytes| Checked { bytes, pages: None }));
            }
            Verify::Touch => Some(bits(self.layout.sums_offset / PAGE_LEN, self.name())?),
            Verify::Always => None,
        };
        let pages = Box::new(Pages {
            path: self.name().to_owned(),
            sums_offset: self.layout.sums_offset,
            sums_len: self.layout.sums_len,
            sums_checksum: self.sums_checksum,
            known,
        });
        Ok(self.map(|bytes| Checked {
            bytes,
            pages: Some(pages),
        }))
    }
}

/// So many bits, all zero, shared with children.
fn bits(count: u64, path: &Path) -> Result<SharedWords> {
    let words = count.div_ceil(u64::from(u64::BITS)).max(1);
    let words = usize::try_from(words).map_err(|_| Error::OutOfMemory { len: words * 8 })?;
    SharedWords::new(words).map_err(|error| {
        Error::io(
            "share memory for the pages that were checked of",
            path,
            error,
        )
    })
}

impl<B: ReadAt> ReadAt for Checked<B> {
    #[inline]
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> folio::Result<usize> {
        let Some(pages) = &self.pages else {
            return self.bytes.read_at(offset_bytes, buf);
        };
        let rest = self.len().saturating_sub(offset_bytes);
        let count = usize::try_from(rest).map_or(buf.len(), |rest| rest.min(buf.len()));
        if count == 0 {
            return Ok(0);
        }
        pages.read(
            &self.bytes,
            offset_bytes,
            buf.get_mut(..count).unwrap_or_default(),
        )?;
        Ok(count)
    }

    #[inline]
    fn read_exact_at(&self, offset_bytes: u64, buf: &mut [u8]) -> folio::Result<()> {
        match &self.pages {
            Some(pages) if !pages.are_known(offset_bytes, buf.len()) => {
                pages.read(&self.bytes, offset_bytes, buf)
            }
            _ => self.bytes.read_exact_at(offset_bytes, buf),
        }
    }

    #[inline]
    fn append_at(&self, offset_bytes: u64, len: usize, out: &mut Vec<u8>) -> folio::Result<()> {
        if self.may_read(offset_bytes, len) {
            return self.bytes.append_at(offset_bytes, len, out);
        }
        self.append_by_reading(offset_bytes, len, out)
    }

    #[inline]
    fn read_small_at(&self, offset_bytes: u64, buf: &mut [u8]) -> bool {
        self.may_read(offset_bytes, buf.len()) && self.bytes.read_small_at(offset_bytes, buf)
    }

    #[inline]
    fn equals_small_at(&self, offset_bytes: u64, bytes: &[u8]) -> Option<bool> {
        if !self.may_read(offset_bytes, bytes.len()) {
            return None;
        }
        self.bytes.equals_small_at(offset_bytes, bytes)
    }

    #[inline]
    fn prefetch(&self, offset_bytes: u64, len: usize) {
        self.bytes.prefetch(offset_bytes, len);
    }

    fn source_path(&self) -> &Path {
        self.bytes.source_path()
    }
}

impl Pages {
    /// Fills `buf`, page by page, and checks those that are to be checked.
    #[cold]
    fn read(&self, bytes: &impl ReadAt, offset: u64, buf: &mut [u8]) -> folio::Result<()> {
        let len = buf.len() as u64;
        if bytes
            .len()
            .checked_sub(offset)
            .is_none_or(|rest| rest < len)
        {
            return Err(bytes.out_of_range(offset, len));
        }
        let (mut offset, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let start = offset - offset % PAGE_LEN;
            let within = usize::try_from(offset - start).unwrap_or_default();
            let count = rest.len().min(PAGE - within);
            let (part, more) = rest.split_at_mut(count);
            if !self.has_sum(start) || self.are_known(offset, count) {
                bytes.read_exact_at(offset, part)?;
            } else if count == PAGE {
                bytes.read_exact_at(offset, part)?;
                self.check(bytes, start, part)?;
            } else {
                // What is used is what was checked: the file may change in between.
                let mut page = [0; PAGE];
                bytes.read_exact_at(start, &mut page)?;
                self.check(bytes, start, &page)?;
                part.copy_from_slice(page.get(within..within + count).unwrap_or_default());
            }
            offset += count as u64;
            rest = more;
        }
        Ok(())
    }

    /// Whether a checksum is there for the page that begins here. The others are those of the header,
    /// the checksums and the footer, which no lookup reads.
    fn has_sum(&self, start: u64) -> bool {
        (PAGE_LEN..self.sums_offset).contains(&start)
    }

    /// Whether all pages that a range touches were found right before.
    #[inline]
    fn are_known(&self, offset: u64, len: usize) -> bool {
        let Some(known) = &self.known else {
            return false;
        };
        let last = offset.saturating_add((len as u64).saturating_sub(1));
        (offset / PAGE_LEN..=last / PAGE_LEN).all(|page| {
            let word = usize::try_from(page / u64::from(u64::BITS)).ok();
            let word = word.and_then(|word| known.get(word));
            word.is_some_and(|word| {
                word.load(Ordering::Relaxed) >> (page % u64::from(u64::BITS)) & 1 == 1
            })
        })
    }

    /// Checks a copy of a page, and remembers it if it is right.
    fn check(&self, bytes: &impl ReadAt, start: u64, page: &[u8]) -> folio::Result<()> {
        let at = self.sums_offset + (start / PAGE_LEN - 1) * size_of::<U64>() as u64;
        let expected = bytes.get_at::<U64>(at)?.get();
        let found = xxh3_64(page);
        if expected != found {
            return Err(self.blame(bytes, start, expected, found));
        }
        let number = start / PAGE_LEN;
        let word = usize::try_from(number / u64::from(u64::BITS)).unwrap_or(usize::MAX);
        // Nothing hangs on the order in which others see it: the bytes are the file's.
        if let Some(word) = self.known.as_ref().and_then(|known| known.get(word)) {
            word.fetch_or(1 << (number % u64::from(u64::BITS)), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether it is the page that is damaged, or its checksum.
    #[cold]
    fn blame(&self, bytes: &impl ReadAt, start: u64, expected: u64, found: u64) -> folio::Error {
        let error = |what, offset, expected, found| folio::Error::Checksum {
            path: self.path.clone(),
            what,
            offset,
            expected,
            found,
        };
        match self.digest_of_sums(bytes) {
            Err(error) => error,
            Ok(sum) if sum != self.sums_checksum => error(
                "checksums section",
                self.sums_offset,
                self.sums_checksum,
                sum,
            ),
            Ok(_) => error("page", start, expected, found),
        }
    }

    fn digest_of_sums(&self, bytes: &impl ReadAt) -> folio::Result<u64> {
        let mut sum = Xxh3::new();
        let mut piece = [0; PAGE];
        let mut done = 0;
        while done < self.sums_len {
            let count = usize::try_from(self.sums_len - done).map_or(PAGE, |rest| rest.min(PAGE));
            let piece = piece.get_mut(..count).unwrap_or_default();
            bytes.read_exact_at(self.sums_offset + done, piece)?;
            sum.update(piece);
            done += count as u64;
        }
        Ok(sum.digest())
    }
}

impl<B> fmt::Debug for Checked<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verify = match &self.pages {
            None => "not checked",
            Some(pages) if pages.known.is_some() => "checked once",
            Some(_) => "checked always",
        };
        f.debug_struct("Checked")
            .field("pages", &verify)
            .finish_non_exhaustive()
    }
}
