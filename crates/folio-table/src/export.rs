//! Records as text, which [`import`](crate::import) reads back to the same bytes.
//!
//! - **TSV**: key, tab, value. A record whose key has a tab or a line end in it, or whose value has a
//!   line end, takes an *escaped* line: a tab, a backslash and a tab, and then key, tab and value, in
//!   which `\t`, `\n` and `\\` stand for a tab, a line end and a backslash. In all
//!   other lines a backslash is a backslash.
//! - **JSON Lines**: `{"key":"…","value":"…","folio":"record"}`. What is not UTF-8, or
//!   is shorter so, is in base64 (RFC 4648, with padding), in fields called `key_base64` and `value_base64`.
//!
//! Each line is read by itself: lines may be sorted, split and picked in between.
//!
//! ```
//! use folio_table::export::{Format, Writer};
//!
//! let mut writer = Writer::new(Format::Tsv, Vec::new());
//! writer.record(b"ant", b"6 legs")?;
//! writer.record(b"bat", b"2 legs\n2 wings")?;
//! assert_eq!(
//!     writer.into_inner(),
//!     b"ant\t6 legs\n\t\\\tbat\t2 legs\\n2 wings\n",
//! );
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memchr2};

/// A format of text that records can be written in.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Key, tab, value; one record a line.
    Tsv,
    /// A JSON object a line.
    JsonLines,
}

/// Writes records as lines of text.
///
/// Each line is some small writes: `out` should be buffered.
#[derive(Debug)]
pub struct Writer<W> {
    format: Format,
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`.
    pub fn new(format: Format, out: W) -> Self {
        Self {
            format,
            out,
            line: Vec::new(),
        }
    }

    /// Writes one record.
    ///
    /// # Errors
    ///
    /// Those of the writer behind.
    #[inline]
    pub fn record(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        match self.format {
            Format::Tsv if is_plain(key, value) => {
                self.out.write_all(key)?;
                self.out.write_all(b"\t")?;
                self.out.write_all(value)?;
                self.out.write_all(b"\n")
            }
            Format::Tsv => self.escaped(key, value),
            Format::JsonLines => self.json(key, value),
        }
    }

    /// The writer behind, with all that was written.
    pub fn into_inner(self) -> W {
        self.out
    }

    #[cold]
    fn escaped(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(ESCAPED);
        escape(key, &mut self.line);
        self.line.push(b'\t');
        escape(value, &mut self.line);
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    fn json(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.line.clear();
        self.line.push(b'{');
        field("key", key, &mut self.line)?;
        self.line.push(b',');
        field("value", value, &mut self.line)?;
        self.line.extend_from_slice(b",\"folio\":\"record\"}\n");
        self.out.write_all(&self.line)
    }
}

/// What an escaped line of TSV begins with: an empty first field, which no other line has, as
/// there are no empty keys.
pub(crate) const ESCAPED: &[u8] = b"\t\\\t";

#[inline]
fn is_plain(key: &[u8], value: &[u8]) -> bool {
    memchr2(b'\t', b'\n', key).is_none() && memchr(b'\n', value).is_none()
}

fn escape(bytes: &[u8], line: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\\' => line.extend_from_slice(b"\\\\"),
            _ => line.push(byte),
        }
    }
}

/// Appends a field whose value is a string of these bytes.
fn field(name: &str, bytes: &[u8], line: &mut Vec<u8>) -> io::Result<()> {
    const SUFFIX: &str = "_base64";
    let start = line.len();
    if let Ok(text) = std::str::from_utf8(bytes) {
        write!(line, "\"{name}\":")?;
        serde_json::to_writer(&mut *line, text)?;
        // Control characters take six bytes each.
        let encoded_len = bytes.len().div_ceil(3).saturating_mul(4);
        let most = name.len() + SUFFIX.len() + encoded_len + 5;
        if line.len() - start <= most {
            return Ok(());
        }
        line.truncate(start);
    }
    let encoded = STANDARD.encode(bytes);
    write!(line, "\"{name}{SUFFIX}\":\"{encoded}\"")
}
