//! Writes a file page by page, with a checksum of each.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};
use zerocopy::IntoBytes;

use super::output::Output;
use super::spool::Spool;
use crate::format::{Footer, PAGE_LEN, RawHeader};

const PAGE: usize = 4096;
const _: () = assert!(PAGE as u64 == PAGE_LEN, "one page size");

/// How many buffers are about: one being filled, the others waiting or being written.
const BUFFERS: usize = 3;

/// Everything after the header up to the checksums section goes through this.
///
/// What fills more than one buffer is summed and written by another thread.
pub(super) struct PageWriter {
    buf: Vec<u8>,
    /// Where in the file `buf` begins.
    buf_offset: u64,
    /// How much it takes: as much as there is up to the next multiple of `write_len` in the file.
    room: usize,
    write_len: usize,
    writing: Writing,
}

/// Who sums and writes.
enum Writing {
    Here(Box<Summed>),
    There(Writer),
    /// It failed there, and the error was returned.
    Failed,
}

/// What is written, and the checksums.
pub(super) struct Summed {
    output: Output,
    /// Where the next page goes.
    offset: u64,
    sums: Spool,
    /// Of all of `sums`.
    digest: Xxh3,
}

/// Where a writer was, to go back to.
pub(super) struct Mark {
    offset: u64,
    sums_len: u64,
    digest: Xxh3,
}

impl PageWriter {
    /// Leaves the first page free, for the header. Writes `write_len` bytes at once, a number of whole pages, from
    /// multiples of it on.
    pub(super) fn new(output: Output, sums: Spool, write_len: usize) -> Self {
        Self {
            buf: Vec::new(),
            buf_offset: PAGE_LEN,
            room: room_at(PAGE_LEN, write_len),
            write_len,
            writing: Writing::Here(Box::new(Summed {
                output,
                offset: PAGE_LEN,
                sums,
                digest: Xxh3::new(),
            })),
        }
    }

    /// Where in the file the next byte goes.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.buf_offset + self.buf.len() as u64
    }

    #[inline]
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buf.len() + bytes.len() < self.room {
            self.buf.extend_from_slice(bytes);
            return Ok(());
        }
        self.write_over(bytes)
    }

    /// Fills the page up with zeros.
    pub(super) fn pad(&mut self) -> io::Result<()> {
        self.buf.resize(self.buf.len().next_multiple_of(PAGE), 0);
        self.flush()
    }

    /// Brings the padded pages so far to the output, from which they can be read then.
    pub(super) fn settle(&mut self) -> io::Result<&Summed> {
        self.summed().map(|summed| &*summed)
    }

    /// Remembers where it is, at the beginning of a page.
    pub(super) fn mark(&mut self) -> io::Result<Mark> {
        let summed = self.summed()?;
        Ok(Mark {
            offset: summed.offset,
            sums_len: summed.sums.len(),
            digest: summed.digest.clone(),
        })
    }

    /// Goes back to where it was.
    pub(super) fn rewind(&mut self, mark: &Mark) -> io::Result<()> {
        self.buf.clear();
        self.go_to(mark.offset);
        let summed = self.summed()?;
        summed.offset = mark.offset;
        summed.sums.truncate(mark.sums_len);
        summed.digest = mark.digest.clone();
        summed.output.truncate(mark.offset)
    }

    /// Writes the checksums section and what comes at the ends of the file. All pages are padded.
    pub(super) fn finish(mut self, header: &RawHeader, footer: &Footer) -> io::Result<()> {
        let summed = self.summed()?;
        let (output, mut offset) = (summed.output.clone(), summed.offset);
        summed.sums.for_each_part(|part| {
            output.write_all_at(part, offset)?;
            offset += part.len() as u64;
            Ok(())
        })?;
        output.write_all_at(footer.as_bytes(), offset)?;
        output.write_all_at(header.as_bytes(), 0)
    }

    /// Writes what fills the buffer.
    #[cold]
    fn write_over(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let room = self.room - self.buf.len();
            let Some((now, later)) = bytes.split_at_checked(room) else {
                self.buf.extend_from_slice(bytes);
                return Ok(());
            };
            self.buf.extend_from_slice(now);
            if let Writing::Here(_) = self.writing {
                self.start_thread();
            }
            self.flush()?;
            bytes = later;
        }
    }

    /// Says where in the file the next buffer begins.
    fn go_to(&mut self, offset: u64) {
        self.buf_offset = offset;
        self.room = room_at(offset, self.write_len);
    }

    /// Has the buffer written, which holds whole pages.
    fn flush(&mut self) -> io::Result<()> {
        self.go_to(self.position());
        let writer = match &mut self.writing {
            Writing::Here(summed) => {
                summed.append(&self.buf)?;
                self.buf.clear();
                return Ok(());
            }
            Writing::There(writer) => writer,
            Writing::Failed => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        match writer.exchange(std::mem::take(&mut self.buf)) {
            Some(empty) => {
                self.buf = empty;
                Ok(())
            }
            // It has ended with an error.
            None => self.summed().map(|_| ()),
        }
    }

    /// Goes on here if there are no threads to be had.
    fn start_thread(&mut self) {
        self.writing = match std::mem::replace(&mut self.writing, Writing::Failed) {
            Writing::Here(summed) => Writer::start(summed),
            other => other,
        };
    }

    /// What was written, once all of it is.
    fn summed(&mut self) -> io::Result<&mut Summed> {
        if let Writing::There(_) = self.writing {
            if let Writing::There(writer) = std::mem::replace(&mut self.writing, Writing::Failed) {
                self.writing = Writing::Here(writer.end()?);
            }
        }
        match &mut self.writing {
            Writing::Here(summed) => Ok(summed),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// How much there is from an offset on to the next multiple of a length.
fn room_at(offset: u64, write_len: usize) -> usize {
    let past = offset % write_len as u64;
    write_len - usize::try_from(past).unwrap_or(0)
}

impl Summed {
    /// The checksum of the checksums so far.
    pub(super) fn digest(&self) -> u64 {
        self.digest.digest()
    }

    /// How long the checksums are so far.
    pub(super) fn sums_len(&self) -> u64 {
        self.sums.len()
    }

    fn append(&mut self, pages: &[u8]) -> io::Result<()> {
        for page in pages.chunks(PAGE) {
            let sum = xxh3_64(page).to_le_bytes();
            self.digest.update(&sum);
            self.sums.push(&sum)?;
        }
        self.output.write_all_at(pages, self.offset)?;
        self.offset += pages.len() as u64;
        Ok(())
    }
}

/// A thread that sums and writes. It does not outlive this.
struct Writer {
    /// Until the end.
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<Box<Summed>>>>,
    /// How many buffers there can still be made.
    unmade: usize,
}

impl Writer {
    /// Starts the thread, or does not, where there is none to be had.
    fn start(summed: Box<Summed>) -> Writing {
        let (full, buffers) = sync_channel::<Vec<u8>>(BUFFERS);
        let (emptied, empty) = sync_channel(BUFFERS);
        // The thread gets it once it runs, so that it is not lost where none can be started.
        let (hand_over, handed_over) = sync_channel(1);
        let work = move || {
            let mut summed: Box<Summed> = handed_over
                .recv()
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            for mut pages in buffers {
                summed.append(&pages)?;
                pages.clear();
                // At the end nobody takes it.
                let _ = emptied.send(pages);
            }
            Ok(summed)
        };
        let thread = thread::Builder::new().name("folio-write".to_owned());
        match thread.spawn(work) {
            Err(_) => Writing::Here(summed),
            Ok(thread) => match hand_over.send(summed) {
                Err(back) => Writing::Here(back.0),
                Ok(()) => Writing::There(Self {
                    full: Some(full),
                    empty,
                    thread: Some(thread),
                    unmade: BUFFERS - 1,
                }),
            },
        }
    }

    /// Hands over a full buffer for an empty one. `None` if the thread has ended.
    fn exchange(&mut self, full: Vec<u8>) -> Option<Vec<u8>> {
        self.full.as_ref()?.send(full).ok()?;
        if let Ok(empty) = self.empty.try_recv() {
            return Some(empty);
        }
        if let Some(unmade) = self.unmade.checked_sub(1) {
            self.unmade = unmade;
            return Some(Vec::new());
        }
        self.empty.recv().ok()
    }

    /// Waits until everything is written.
    fn end(mut self) -> io::Result<Box<Summed>> {
        self.full = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.full = None;
        // Not taken where a build has failed, so that nobody asks what became of this.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, RwLock};

    use super::*;

    fn writer(bytes: &Arc<RwLock<Vec<u8>>>) -> PageWriter {
        let sums = Spool::new(1 << 20, std::env::temp_dir());
        PageWriter::new(Output::Memory(Arc::clone(bytes)), sums, PAGE)
    }

    /// A process that forks, as a server does once it has its tables, must have one thread again; and a file
    /// stays locked for as long as a thread has it.
    #[test]
    fn no_thread_outlives_its_writer() {
        for _ in 0..100 {
            let bytes = Arc::default();
            let mut pages = writer(&bytes);
            for _ in 0..5 {
                pages.write_all(&[7; PAGE]).unwrap();
            }
            assert!(matches!(pages.writing, Writing::There(_)));
            drop(pages);
            assert_eq!(Arc::strong_count(&bytes), 1);
        }
    }

    #[test]
    fn what_is_rewound_is_written_anew() {
        let (bytes, expected) = (Arc::default(), Arc::default());
        let mut pages = writer(&bytes);
        pages.write_all(&[1; 3 * PAGE]).unwrap();
        let mark = pages.mark().unwrap();
        pages.write_all(&vec![2; 9 * PAGE + 5]).unwrap();
        pages.rewind(&mark).unwrap();
        assert_eq!(pages.position(), 4 * PAGE_LEN);

        let mut plain = writer(&expected);
        plain.write_all(&[1; 3 * PAGE]).unwrap();
        for pages in [&mut pages, &mut plain] {
            pages.write_all(&[3; PAGE + 1]).unwrap();
            pages.pad().unwrap();
            pages.settle().unwrap();
        }
        assert_eq!(
            pages.settle().unwrap().digest(),
            plain.settle().unwrap().digest()
        );
        assert_eq!(*bytes.read().unwrap(), *expected.read().unwrap());
    }
}
