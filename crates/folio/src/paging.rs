//! Steering what of a map is in memory: brought in ahead, given back, locked within limits.

use std::io;
use std::ops::{Range, RangeBounds};

use folio_sys::advice::Advice;

use crate::{Error, Map, MapMut, ReadAt, Result};

/// How much is waited for at a time.
const PIECE_BYTES: usize = 8 << 20;

impl Map {
    /// Begins to read a range into memory, and does not wait for it (`MADV_WILLNEED`).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of the range; [`Error::Io`] when the
    /// system refuses.
    pub fn prefetch_ahead(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.advise(range, Advice::WillNeed)
    }

    /// Reads a range into memory and into this process's page table, and waits for it, so that the first
    /// reads of it take no page faults. `progress` is told how many bytes of the range are there.
    ///
    /// By `MADV_POPULATE_READ` (Linux 5.14 and later); where that is missing or forbidden, by reading
    /// a byte of each page. Where the range is not in memory, [`prefetch_ahead`](Self::prefetch_ahead) before it
    /// lets the device work ahead.
    ///
    /// ```
    /// use folio::{Map, ReadAt};
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, vec![7; 1 << 20])?;
    /// let map = Map::open(&file)?;
    /// map.prefetch_ahead(..)?;
    /// // … something else meanwhile …
    /// map.prefetch_all(.., |done_bytes| assert!(done_bytes <= map.len()))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of the range; [`Error::Fault`], with its place, when a page
    /// is lost; [`Error::Io`] when one cannot be had for another reason.
    pub fn prefetch_all(
        &self,
        range: impl RangeBounds<u64>,
        mut progress: impl FnMut(u64),
    ) -> Result<()> {
        let (offset, len) = self.range_of(&range)?.in_memory();
        for piece in pieces(offset, len) {
            let end = piece.end;
            self.populate_piece(piece)?;
            progress((end - offset) as u64);
        }
        Ok(())
    }

    /// Gives the pages of a range back: they leave this process's page table at once, and memory
    /// as soon as no other process uses them (`MADV_PAGEOUT`, then `MADV_DONTNEED`). No byte changes, and
    /// what is read later is read in anew.
    ///
    /// Linux drops pages of a file from memory by this only for those who own the file or may write it, and
    /// only those that this map has read.
    /// [`Residency::evict`](crate::Residency::evict) drops those that no process maps, for anybody.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the map does not have all of the range; [`Error::Io`] when
    /// it is locked, or the system refuses.
    pub fn evict(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.in_range("give back pages of", &range, |offset, len| {
            let mapping = self.span().mapping();
            // A hint, without which the kernel takes them in its own time.
            let _ = mapping.advise(offset, len, Advice::PageOut);
            mapping.advise(offset, len, Advice::DontNeed)
        })
    }

    /// Reads a range in and keeps it in memory, as [`lock`](Self::lock) does, but piece by piece, and at most so many
    /// bytes of it, from its start on. Says how many are locked; `progress` is told on the way.
    ///
    /// ```
    /// use folio::Map;
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, vec![7; 100_000])?;
    /// let map = Map::open(&file)?;
    /// assert_eq!(map.lock_within(10_000.., 4096, |_| {})?, 4096);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock); [`Error::Fault`], with its place, when a page is lost. What was locked before
    /// stays locked.
    pub fn lock_within(
        &self,
        range: impl RangeBounds<u64>,
        budget_bytes: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<u64> {
        let (offset, len) = self.range_of(&range)?.in_memory();
        let len = len.min(usize::try_from(budget_bytes).unwrap_or(usize::MAX));
        for piece in pieces(offset, len) {
            if let Err(error) = self.span().mapping().lock(piece.start, piece.len()) {
                self.find_lost(piece)?;
                return Err(Error::io("lock the mapping", self.path(), error));
            }
            progress((piece.end - offset) as u64);
        }
        Ok(len as u64)
    }

    fn populate_piece(&self, piece: Range<usize>) -> Result<()> {
        let advised = self
            .span()
            .mapping()
            .advise(piece.start, piece.len(), Advice::Populate);
        match advised {
            Ok(()) => Ok(()),
            Err(error) => {
                let is_missing = matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
                );
                // Reading brings them in as well, and finds out which is lost.
                self.find_lost(piece)?;
                if is_missing {
                    return Ok(());
                }
                Err(Error::io("populate the mapping", self.path(), error))
            }
        }
    }

    /// Reads a byte of each page of a range: the first that is lost is the error.
    fn find_lost(&self, range: Range<usize>) -> Result<()> {
        let page = folio_sys::page::size();
        // The range's end may lie in a page of its own.
        let last = range.end.saturating_sub(1).max(range.start);
        for offset in range.step_by(page).chain([last]) {
            self.read_exact_at(offset as u64, &mut [0])?;
        }
        Ok(())
    }
}

impl MapMut {
    /// Begins to read a range into memory: see [`Map::prefetch_ahead`].
    ///
    /// # Errors
    ///
    /// As for [`Map::prefetch_ahead`].
    pub fn prefetch_ahead(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.map().prefetch_ahead(range)
    }

    /// Reads a range into memory and waits for it: see [`Map::prefetch_all`].
    ///
    /// # Errors
    ///
    /// As for [`Map::prefetch_all`].
    pub fn prefetch_all(
        &self,
        range: impl RangeBounds<u64>,
        progress: impl FnMut(u64),
    ) -> Result<()> {
        self.map().prefetch_all(range, progress)
    }

    /// Gives the pages of a range back: see [`Map::evict`].
    ///
    /// # Errors
    ///
    /// As for [`Map::evict`].
    pub fn evict(&self, range: impl RangeBounds<u64>) -> Result<()> {
        self.map().evict(range)
    }

    /// Keeps some of a range in memory: see [`Map::lock_within`].
    ///
    /// # Errors
    ///
    /// As for [`Map::lock_within`].
    pub fn lock_within(
        &self,
        range: impl RangeBounds<u64>,
        budget_bytes: u64,
        progress: impl FnMut(u64),
    ) -> Result<u64> {
        self.map().lock_within(range, budget_bytes, progress)
    }
}

/// A range of a mapping in pieces, in order.
fn pieces(offset: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let end = offset.saturating_add(len);
    (offset..end)
        .step_by(PIECE_BYTES)
        .map(move |start| start..end.min(start.saturating_add(PIECE_BYTES)))
}
