//! Reading a source in order.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use crate::Source;

/// One pipe's worth (64 KiB, `pipe(7)`), so that a full pipe is drained by one call.
const BUFFER_BYTES: usize = 64 << 10;

/// Reads a [`Source`] of any kind in order. Made by [`Source::reader`].
///
/// It seeks where the source has random access, and answers `Unsupported` to it
/// on a stream. Errors are [`folio::Error`](crate::Error)s inside [`io::Error`]s.
///
/// ```
/// use std::io::BufRead;
/// use folio::Source;
///
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// std::io::Write::write_all(&mut writer, b"one\ntwo\n")?;
/// drop(writer);
/// let lines: Result<Vec<String>, _> = Source::from_fd(reader)?.reader().lines().collect();
/// assert_eq!(lines?, ["one", "two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    buffered: BufReader<Unbuffered>,
}

#[derive(Debug)]
struct Unbuffered {
    source: Source,
    /// Where the next byte is read; for a stream, how many were.
    position: u64,
}

impl Reader {
    pub(crate) fn new(source: Source) -> Self {
        let unbuffered = Unbuffered {
            source,
            position: 0,
        };
        Self {
            buffered: BufReader::with_capacity(BUFFER_BYTES, unbuffered),
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.buffered.read(buf)
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.buffered.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.buffered.consume(amount);
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.buffered.seek(to)
    }
}

impl Read for Unbuffered {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = match self.source.read_stream(buf) {
            Some(outcome) => outcome?,
            None => self.source.read_at(self.position, buf)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Unbuffered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if self.source.kind() == crate::Kind::Stream {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a stream cannot seek",
            ));
        }
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self
                .source
                .len()
                .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "the end is not known"))?
                .checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek to before the start")
        })?;
        Ok(self.position)
    }
}
