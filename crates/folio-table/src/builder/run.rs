//! Items in the order of their keys, in memory or in a file, and reading them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use folio::ReadAt;

use super::chunk::Sorted;
use super::item::{Item, prefix};

/// Sorted items.
#[derive(Debug)]
pub(super) enum Run {
    Memory(Sorted),
    File(RunFile),
}

/// Sorted items in a temporary file.
#[derive(Debug)]
pub(super) struct RunFile {
    pub(super) file: File,
    pub(super) len: u64,
    /// What all keys begin with.
    pub(super) common: Vec<u8>,
    /// Whether there may be items of the same key.
    pub(super) repeats: bool,
    /// How often its items were merged.
    pub(super) level: u32,
}

impl Run {
    /// Whether there may be items of the same key.
    pub(super) fn repeats(&self) -> bool {
        match self {
            Self::Memory(sorted) => sorted.repeats,
            Self::File(run) => run.repeats,
        }
    }

    /// What all keys begin with.
    pub(super) fn common(&self) -> &[u8] {
        match self {
            Self::Memory(sorted) => &sorted.common,
            Self::File(run) => &run.common,
        }
    }
}

/// Writes a run to a file.
#[derive(Debug)]
pub(super) struct RunWriter {
    file: File,
    buf: Vec<u8>,
    buf_len: usize,
    /// How much was written to the file.
    len: u64,
}

impl RunWriter {
    pub(super) fn new(file: File, buf_len: usize) -> Self {
        Self {
            file,
            buf: Vec::with_capacity(buf_len),
            buf_len,
            len: 0,
        }
    }

    #[inline]
    pub(super) fn write(&mut self, item: &[u8]) -> io::Result<()> {
        if self.buf.len() + item.len() > self.buf_len {
            self.flush()?;
        }
        self.buf.extend_from_slice(item);
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        common: Vec<u8>,
        repeats: bool,
        level: u32,
    ) -> io::Result<RunFile> {
        self.flush()?;
        Ok(RunFile {
            file: self.file,
            len: self.len,
            common,
            repeats,
            level,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buf, self.len)?;
        self.len += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }
}

/// How far ahead memory is asked for.
const AHEAD: usize = 192;

/// Walks through a run.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Items of the run: all that are left, or those that were read.
    buf: Vec<u8>,
    /// Where in it the current item stands.
    at: usize,
    /// The rest of a file.
    rest: Option<Rest>,
    item: Option<Item>,
}

#[derive(Debug)]
struct Rest {
    file: File,
    offset: u64,
    end: u64,
    read_len: usize,
}

impl Cursor {
    /// At the first item.
    pub(super) fn new(run: Run, read_len: usize) -> io::Result<Self> {
        let (buf, rest) = match run {
            Run::Memory(sorted) => (sorted.items, None),
            Run::File(RunFile { file, len, .. }) => {
                let rest = Rest {
                    file,
                    offset: 0,
                    end: len,
                    read_len,
                };
                (Vec::new(), Some(rest))
            }
        };
        let mut cursor = Self {
            buf,
            at: 0,
            rest,
            item: None,
        };
        cursor.parse()?;
        Ok(cursor)
    }

    /// Goes on to the next item.
    #[inline]
    pub(super) fn advance(&mut self) -> io::Result<()> {
        self.at += self.item.as_ref().map_or(0, |item| item.len);
        // Of many runs that are read by turns, the processor does not see that each is read in order.
        self.buf.prefetch((self.at + AHEAD) as u64, 64);
        self.parse()
    }

    /// The current item; `None` after the last.
    #[inline]
    pub(super) fn item(&self) -> Option<&Item> {
        self.item.as_ref()
    }

    /// The bytes of the current item, and perhaps more.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.buf.get(self.at..).unwrap_or_default()
    }

    /// The key of the current item; empty after the last.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        self.item().map_or(&[], |item| item.key(self.bytes()))
    }

    /// See [`prefix`]; the largest one after the last item.
    #[inline]
    pub(super) fn prefix(&self, skip: usize) -> u64 {
        self.item()
            .map_or(u64::MAX, |item| prefix(item.key(self.bytes()), skip))
    }

    #[inline]
    fn parse(&mut self) -> io::Result<()> {
        self.item = Item::parse(self.bytes());
        if self.item.is_none() {
            self.read_on()?;
        }
        Ok(())
    }

    /// Reads until there is an item, or the run ends.
    #[cold]
    fn read_on(&mut self) -> io::Result<()> {
        while self.item.is_none() {
            let Some(rest) = self.rest.as_mut().filter(|rest| rest.offset < rest.end) else {
                if self.bytes().is_empty() {
                    self.buf = Vec::new();
                    self.at = 0;
                    return Ok(());
                }
                let what = "a temporary file is not as it was written";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            };
            self.buf.drain(..self.at);
            self.at = 0;
            let kept = self.buf.len();
            // An item that does not fit takes a larger buffer.
            let len = rest.read_len.max(kept * 2) - kept;
            let len = usize::try_from(rest.end - rest.offset).map_or(len, |left| left.min(len));
            self.buf.try_reserve_exact(len)?;
            self.buf.resize(kept + len, 0);
            let to = self.buf.get_mut(kept..).unwrap_or_default();
            rest.file.read_exact_at(to, rest.offset)?;
            rest.offset += len as u64;
            self.item = Item::parse(&self.buf);
        }
        Ok(())
    }
}
