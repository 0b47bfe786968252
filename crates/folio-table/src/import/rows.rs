//! Rows of CSV of bounded length, with the lines that they start on.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Read};

use csv::{ByteRecord, ErrorKind};

use super::Target;
use crate::{Error, Result};

/// Reads the rows of a file.
pub(super) struct Rows<'m, R> {
    reader: csv::Reader<Metered<'m, R>>,
    meter: &'m Meter,
    max_len: u64,
}

impl<'m, R: BufRead> Rows<'m, R> {
    pub(super) fn new(input: R, meter: &'m Meter, max_len: u64) -> Self {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .buffer_capacity(BUFFER_LEN)
            .from_reader(Metered { input, meter });
        Self {
            reader,
            meter,
            max_len,
        }
    }

    /// Reads the next row and returns the line that it starts on; `None` after the last.
    pub(super) fn next(
        &mut self,
        row: &mut ByteRecord,
        target: &Target<'_>,
    ) -> Result<Option<u64>> {
        let position = self.reader.position();
        let first_line = position.line();
        let max_read = self.max_len + BUFFER_LEN as u64;
        self.meter.start_row(position.byte(), max_read);
        let found = self.reader.read_byte_record(row);
        // The reader counts blank lines before a row to the row.
        let line = first_line + self.meter.blank_lines.get();
        match found {
            Ok(found) => Ok(found.then_some(line)),
            Err(error) => Err(self.failure(error, line, target)),
        }
    }

    #[cold]
    fn failure(&self, error: csv::Error, line: u64, target: &Target<'_>) -> Error {
        match error.into_kind() {
            ErrorKind::Io(_) if self.meter.allowed.get() == 0 => {
                target.error(line, format!("a row of more than {} bytes", self.max_len))
            }
            ErrorKind::Io(error) => Error::io("read", target.name, error),
            ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => {
                let problem = format!("{len} fields, but the header has {expected_len}");
                target.error(line, problem)
            }
            other => target.error(line, format!("not CSV: {other:?}")),
        }
    }
}

const BUFFER_LEN: usize = 64 << 10;

/// What passes from the input to the CSV reader.
#[derive(Default)]
pub(super) struct Meter {
    consumed: Cell<u64>,
    /// How much may still be read before the row must end.
    allowed: Cell<u64>,
    /// What was read last. The CSV reader reads when it has used all of it.
    chunk: RefCell<Vec<u8>>,
    /// How many lines the row has before its first character, as far as seen.
    blank_lines: Cell<u64>,
    /// Whether no character of the row was seen yet.
    before_row: Cell<bool>,
}

impl Meter {
    /// How many bytes of the input were read.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed.get()
    }

    /// A row starts at this byte of the input, with or without blank lines before it.
    fn start_row(&self, offset_bytes: u64, max_read: u64) {
        self.allowed.set(max_read);
        self.blank_lines.set(0);
        self.before_row.set(true);
        let chunk = self.chunk.borrow();
        let unused = usize::try_from(self.consumed.get() - offset_bytes).unwrap_or(usize::MAX);
        let start = chunk.len().saturating_sub(unused);
        self.skip_blank_lines(chunk.get(start..).unwrap_or_default());
    }

    fn skip_blank_lines(&self, bytes: &[u8]) {
        let line_ends = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let (mut len, mut lines) = (0, 0);
        for byte in line_ends {
            len += 1;
            lines += u64::from(*byte == b'\n');
        }
        self.blank_lines.set(self.blank_lines.get() + lines);
        self.before_row.set(len == bytes.len());
    }

    fn note(&self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.allowed.set(self.allowed.get().saturating_sub(count));
        self.consumed.set(self.consumed.get() + count);
        if self.before_row.get() {
            self.skip_blank_lines(bytes);
        }
        let mut chunk = self.chunk.borrow_mut();
        chunk.clear();
        chunk.extend_from_slice(bytes);
    }
}

struct Metered<'m, R> {
    input: R,
    meter: &'m Meter,
}

impl<R: BufRead> Read for Metered<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let allowed = usize::try_from(self.meter.allowed.get()).unwrap_or(usize::MAX);
        if allowed == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let len = buf.len().min(allowed);
        let count = self.input.read(buf.get_mut(..len).unwrap_or_default())?;
        self.meter.note(buf.get(..count).unwrap_or_default());
        Ok(count)
    }
}
