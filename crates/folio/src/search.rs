//! Looking for bytes in a view, and comparing it.

use memchr::memmem::Finder;

use crate::view::CHUNK_BYTES;
use crate::{ReadAt, Result, View};

impl View {
    /// Where `needle` first stands at or after `from_bytes`; `None` if nowhere.
    /// An empty needle is found at once.
    ///
    /// The bytes are searched as they pass through a buffer. While others write to them, a
    /// needle that comes or goes meanwhile may be found or not.
    ///
    /// ```
    /// use folio::Source;
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, b"hello, world")?;
    /// let view = Source::open(&file)?.whole()?;
    /// assert_eq!(view.find(0, b"o")?, Some(4));
    /// assert_eq!(view.find(5, b"o")?, Some(8));
    /// assert_eq!(view.find(0, b"worlds")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`ReadAt::read_at`].
    pub fn find(&self, from_bytes: u64, needle: &[u8]) -> Result<Option<u64>> {
        if self
            .len()
            .checked_sub(from_bytes)
            .is_none_or(|rest| rest < needle.len() as u64)
        {
            return Ok(None);
        }
        let finder = Finder::new(needle);
        // What is kept of one piece, in case the needle stands across its end.
        let overlap = needle.len().saturating_sub(1);
        let mut piece = vec![0; CHUNK_BYTES.max(needle.len().saturating_mul(4))];
        let mut piece_offset = from_bytes;
        let mut kept = 0;
        loop {
            let rest = piece.get_mut(kept..).unwrap_or_default();
            let count = self.read_at(piece_offset + kept as u64, rest)?;
            let filled = kept + count;
            let found = piece.get(..filled).and_then(|piece| finder.find(piece));
            if let Some(at) = found {
                return Ok(Some(piece_offset + at as u64));
            }
            if filled < piece.len() {
                return Ok(None);
            }
            piece.copy_within(filled - overlap.min(filled)..filled, 0);
            piece_offset += (filled - overlap) as u64;
            kept = overlap;
        }
    }

    /// Whether these are the bytes of `other`, a slice, another view, or whatever else
    /// can be read.
    ///
    /// ```
    /// use folio::Source;
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, b"hello, world")?;
    /// let view = Source::open(&file)?.whole()?;
    /// assert!(view.eq(b"hello, world".as_slice())?);
    /// assert!(!view.part(0, 5)?.eq(&view)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`ReadAt::read_at`], of either side.
    pub fn eq(&self, other: &(impl ReadAt + ?Sized)) -> Result<bool> {
        if self.len() != other.len() {
            return Ok(false);
        }
        let mut offset = 0;
        let mut is_same = true;
        let (mut chunk, mut theirs) = ([0; CHUNK_BYTES], [0; CHUNK_BYTES]);
        self.try_each_chunk(&mut chunk, |ours| {
            let theirs = theirs.get_mut(..ours.len()).unwrap_or_default();
            other.read_exact_at(offset, theirs)?;
            offset += ours.len() as u64;
            is_same = ours == theirs;
            Ok(is_same)
        })?;
        Ok(is_same)
    }
}
