//! Records in the order of their keys, each in buffers of its own.

use std::fmt;
use std::iter::FusedIterator;

use folio::ReadAt;

use crate::chunk::CHUNK_LEN;
use crate::format::Record;
use crate::{Result, Scan, Table};

/// Records of a table in the order of their keys, from either end: see [`Table::iter`],
/// [`Table::range`] and [`Table::prefix`].
///
/// Each item is a key and its value. After an error the iterator ends. What reads many records and
/// keeps few is faster with a [`Scan`], which gives them out of one buffer.
pub struct Iter<'a, B> {
    scan: Scan<'a, B>,
    ended: bool,
}

impl<'a, B: ReadAt> Iter<'a, B> {
    pub(crate) fn new(scan: Scan<'a, B>) -> Self {
        Self { scan, ended: false }
    }

    /// The records that are left, as a scan.
    #[must_use]
    pub fn into_scan(self) -> Scan<'a, B> {
        self.scan
    }

    fn read(&mut self, end: End) -> Result<Option<Owned>> {
        let step = match end {
            End::Front => self.scan.step()?,
            End::Back => self.scan.step_back()?,
        };
        let Some(record) = step else {
            return Ok(None);
        };
        if record.len() > CHUNK_LEN as u64 {
            return self.read_long(&record, end).map(Some);
        }
        let (key, value) = match end {
            End::Front => self.scan.content(&record)?,
            End::Back => self.scan.content_back(&record)?,
        };
        Ok(Some((key.to_vec(), value.to_vec())))
    }

    /// Reads a long value to where it is to stay, past the buffer.
    #[cold]
    fn read_long(&mut self, record: &Record, end: End) -> Result<Owned> {
        let key = match end {
            End::Front => self.scan.key(record)?,
            End::Back => self.scan.key_back(record)?,
        };
        let (key, mut value) = (key.to_vec(), Vec::new());
        let table = self.scan.table();
        table.read_value(table.value_of(record), &mut value)?;
        Ok((key, value))
    }

    fn item(&mut self, end: End) -> Option<Result<Owned>> {
        if self.ended {
            return None;
        }
        let item = self.read(end).transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

type Owned = (Vec<u8>, Vec<u8>);

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl<B: ReadAt> Iterator for Iter<'_, B> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.item(End::Front)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error may come before the first record, and ends it.
        let most = self.scan.remaining().saturating_add(1);
        let most = usize::try_from(most).ok();
        (0, if self.ended { Some(0) } else { most })
    }
}

impl<B: ReadAt> DoubleEndedIterator for Iter<'_, B> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.item(End::Back)
    }
}

impl<B: ReadAt> FusedIterator for Iter<'_, B> {}

impl<'a, B: ReadAt> IntoIterator for &'a Table<B> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;
    type IntoIter = Iter<'a, B>;

    fn into_iter(self) -> Iter<'a, B> {
        self.iter()
    }
}

impl<B> fmt::Debug for Iter<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
