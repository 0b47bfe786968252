//! Bringing pages of a file into memory, and dropping them.

use std::io;
use std::ops::RangeBounds;
use std::os::unix::fs::FileExt;

use folio_sys::advice::Advice;
use folio_sys::fault::FaultPolicy;
use folio_sys::file;
use folio_sys::mapping::Mapping;

use super::Residency;
use crate::{Error, Result};

/// How much is waited for at a time. The next piece is on its way meanwhile.
const PIECE_BYTES: u64 = 8 << 20;

impl Residency {
    /// Reads a range into memory and waits for it. `progress` is told how many bytes of the range are there.
    ///
    /// They stay until memory is short, or they are [evicted](Self::evict).
    ///
    /// ```
    /// use folio::Residency;
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, vec![1; 1 << 20])?;
    /// let residency = Residency::open(&file)?;
    /// residency.load(.., |done_bytes| println!("{done_bytes}"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the file does not have all of the range; [`Error::Fault`] when it
    /// was cut short meanwhile; [`Error::Io`] when its device fails.
    pub fn load(&self, range: impl RangeBounds<u64>, mut progress: impl FnMut(u64)) -> Result<()> {
        let range = self.range(&range)?;
        let mut done = 0;
        while done < range.len() {
            let len = PIECE_BYTES.min(range.len() - done);
            let offset = range.offset() + done;
            let ahead = (range.len() - done).min(2 * PIECE_BYTES);
            // A hint: without it, the pages come in smaller pieces.
            let _ = file::read_ahead(self, offset, ahead);
            self.load_piece(offset, len)?;
            done += len;
            progress(done);
        }
        Ok(())
    }

    /// Begins to read a range into memory, and does not wait for it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the file does not have all of the range; [`Error::Io`] when the system refuses.
    pub fn load_ahead(&self, range: impl RangeBounds<u64>) -> Result<()> {
        let range = self.range(&range)?;
        file::read_ahead(self, range.offset(), range.len())
            .map_err(|error| Error::io("read ahead in", &self.path, error))
    }

    /// Drops the pages of a range from memory; changed ones are written to the file first, and waited for.
    ///
    /// What some process maps, or has locked, stays. Count [`pages`](Self::pages) to see what has.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the file does not have all of the range; [`Error::Io`] when its device
    /// fails, or the system refuses.
    pub fn evict(&self, range: impl RangeBounds<u64>) -> Result<()> {
        let range = self.range(&range)?;
        let failed = |action| move |error| Error::io(action, &self.path, error);
        // What the kernel does not count may be dirty.
        let counts = self.pages(range.offset()..range.offset() + range.len())?;
        let unclean = |count: Option<u64>| count != Some(0);
        if unclean(counts.dirty) || unclean(counts.write_back) {
            self.file
                .sync_data()
                .map_err(failed("write the changes of"))?;
        }
        file::drop_cached(self, range.offset(), range.len()).map_err(failed("evict"))
    }

    fn load_piece(&self, offset: u64, len: u64) -> Result<()> {
        let populated = usize::try_from(len)
            .map_err(|_| io::ErrorKind::OutOfMemory.into())
            .and_then(|len| Mapping::of_file(self, offset, len, FaultPolicy::Syscall))
            .and_then(|piece| piece.advise(0, piece.len(), Advice::Populate));
        match populated {
            Ok(()) => Ok(()),
            // Lost pages, a kernel that cannot, a sandbox that forbids it: reading tells which.
            Err(_) => self.read_piece(offset, len),
        }
    }

    fn read_piece(&self, offset: u64, len: u64) -> Result<()> {
        let mut buf = vec![0; 64 << 10];
        let mut done = 0;
        while done < len {
            let rest = usize::try_from(len - done).unwrap_or(usize::MAX);
            let end = rest.min(buf.len());
            let buf = buf.get_mut(..end).unwrap_or_default();
            match self.file.read_at(buf, offset + done) {
                Ok(0) => {
                    return Err(Error::Fault {
                        path: self.path.clone(),
                        offset: offset + done,
                    });
                }
                Ok(count) => done += count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &self.path, error)),
            }
        }
        Ok(())
    }
}
