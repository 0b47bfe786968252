//! Requests: arrays of bulk strings, or plain lines.

use std::ops::Range;

use super::inline;
use crate::Limits;

/// The arguments of one request, the command's name first.
///
/// They lie where they were received; nothing is copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    input: &'a [u8],
    arguments: &'a [Range<usize>],
}

impl<'a> Request<'a> {
    /// A request whose arguments are these ranges of `input`.
    pub(crate) fn new(input: &'a [u8], arguments: &'a [Range<usize>]) -> Self {
        Self { input, arguments }
    }

    /// How many arguments there are, the name included.
    pub(crate) fn len(&self) -> usize {
        self.arguments.len()
    }

    /// The argument at `index`, 0 being the command's name; empty past the last.
    ///
    /// That there are enough is checked once, before a command runs.
    pub(crate) fn argument(&self, index: usize) -> &'a [u8] {
        self.arguments
            .get(index)
            .and_then(|range| self.input.get(range.clone()))
            .unwrap_or_default()
    }

    /// The arguments from `index` on.
    pub(crate) fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone {
        let input = self.input;
        self.arguments
            .get(index..)
            .unwrap_or_default()
            .iter()
            .map(move |range| input.get(range.clone()).unwrap_or_default())
    }
}

/// How far parsing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A whole request, of so many bytes; ask [`Parser::request`] for it. It may be
    /// without arguments (an empty line, an empty array): then it asks for nothing.
    Complete(usize),
    /// The request goes on in bytes that have not arrived.
    Incomplete,
}

/// Why the bytes are no request. What follows them cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("invalid multibulk length")]
    ArrayLength,
    #[error("invalid bulk length")]
    BulkLength,
    #[error("expected '$', got '{}'", printable(*.0))]
    NoBulk(u8),
    #[error("expected CRLF after a bulk string")]
    NoCrlf,
    #[error("unbalanced quotes in request")]
    Quotes,
    #[error("too big inline request")]
    InlineTooLong,
    #[error("request too big")]
    RequestTooLong,
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' {
        char::from(byte)
    } else {
        '?'
    }
}

/// Finds requests in what a client sends, in whatever pieces it arrives.
///
/// It remembers how far it came, so that the bytes of a request are looked at once,
/// however many pieces they come in.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Everything before this byte of the request has been understood.
    at: usize,
    /// How many arguments of the array are still to come, once that is known.
    missing: Option<usize>,
    /// The length of the argument at `at`, once that is known.
    bulk_len: Option<usize>,
    arguments: Vec<Range<usize>>,
}

/// Arguments for which a connection keeps room from one request to the next.
const KEPT_ARGUMENTS: usize = 256;

/// The longest line that can announce an array or a bulk string: a mark, 20
/// characters of a 64-bit number, CR and LF.
const HEADER_BYTES: usize = 23;

impl Parser {
    /// Looks for one request at the start of `input`.
    ///
    /// Until it answers [`Parsed::Complete`] or an error, `input` must start with
    /// the same bytes in each call. The quotes of an inline request are resolved in
    /// place, which is why the bytes are mutable.
    pub(crate) fn parse(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        if self.at == 0 {
            self.arguments.clear();
            if self.arguments.capacity() > KEPT_ARGUMENTS {
                self.arguments = Vec::new();
            }
        }
        let Some(mut missing) = self.missing(input, limits)? else {
            return match input.first() {
                Some(&first) if first != b'*' => self.parse_inline(input, limits),
                _ => Ok(Parsed::Incomplete),
            };
        };
        while missing > 0 {
            if !self.parse_bulk(input, limits)? {
                self.missing = Some(missing);
                return Ok(Parsed::Incomplete);
            }
            missing -= 1;
        }
        Ok(self.complete(self.at))
    }

    /// The request that was completed, in the same input.
    pub(crate) fn request<'a>(&'a self, input: &'a [u8]) -> Request<'a> {
        Request::new(input, &self.arguments)
    }

    /// Whether it has not begun with a request: the next bytes are the start of one.
    pub(crate) fn is_at_start(&self) -> bool {
        self.at == 0
    }

    /// How much memory it takes, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.arguments.capacity() * size_of::<Range<usize>>()
    }

    /// How many arguments are to come, or `None` if no whole array header is there.
    fn missing(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        if self.missing.is_some() || input.first() != Some(&b'*') {
            return Ok(self.missing);
        }
        let line = header(input, 1).map_err(|NotANumber| ProtocolError::ArrayLength)?;
        let Some((count, next)) = line else {
            return Ok(None);
        };
        // Redis takes an array of no or a negative number of elements for nothing.
        let count = usize::try_from(count.max(0)).map_err(|_| ProtocolError::ArrayLength)?;
        if count > limits.arguments {
            return Err(ProtocolError::ArrayLength);
        }
        self.at = next;
        Ok(Some(count))
    }

    /// Takes one bulk string, and says whether it was all there.
    fn parse_bulk(&mut self, input: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let len = if let Some(len) = self.bulk_len {
            len
        } else {
            match input.get(self.at) {
                None => return Ok(false),
                Some(b'$') => {}
                Some(&other) => return Err(ProtocolError::NoBulk(other)),
            }
            let line =
                header(input, self.at + 1).map_err(|NotANumber| ProtocolError::BulkLength)?;
            let Some((len, next)) = line else {
                return Ok(false);
            };
            let len = usize::try_from(len).map_err(|_| ProtocolError::BulkLength)?;
            if len > limits.argument_bytes {
                return Err(ProtocolError::BulkLength);
            }
            if next.saturating_add(len).saturating_add(2) > limits.request_bytes {
                return Err(ProtocolError::RequestTooLong);
            }
            self.at = next;
            self.bulk_len = Some(len);
            len
        };
        // No overflow: the sum was within the limit when the length was read.
        let end = self.at + len;
        match input.get(end..end + 2) {
            None => return Ok(false),
            Some(b"\r\n") => {}
            Some(_) => return Err(ProtocolError::NoCrlf),
        }
        self.arguments.push(self.at..end);
        self.at = end + 2;
        self.bulk_len = None;
        Ok(true)
    }

    /// Takes one line of text. `at` counts the bytes searched for its end.
    fn parse_inline(&mut self, input: &mut [u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        let searched = input.get(self.at..).unwrap_or_default();
        let found = searched.iter().position(|&byte| byte == b'\n');
        let len = found.map_or(input.len(), |position| self.at + position);
        if len > limits.inline_bytes {
            return Err(ProtocolError::InlineTooLong);
        }
        if found.is_none() {
            self.at = len;
            return Ok(Parsed::Incomplete);
        }
        let line = input.get_mut(..len).unwrap_or_default();
        // An argument takes a byte and a blank at least, so that the length bounds
        // the count.
        inline::split(line, &mut self.arguments)?;
        Ok(self.complete(len + 1))
    }

    fn complete(&mut self, len: usize) -> Parsed {
        self.at = 0;
        self.missing = None;
        self.bulk_len = None;
        Parsed::Complete(len)
    }
}

struct NotANumber;

/// Reads a decimal number and CRLF from `start` on; gives it and where the next
/// line starts, or `None` if the line is not all there.
fn header(input: &[u8], start: usize) -> Result<Option<(i64, usize)>, NotANumber> {
    let mut number: i64 = 0;
    let mut digits = 0;
    let mut negative = false;
    let rest = input.get(start..).unwrap_or_default();
    for (index, &byte) in rest.iter().enumerate().take(HEADER_BYTES) {
        match byte {
            b'0'..=b'9' => {
                number = number
                    .checked_mul(10)
                    .and_then(|number| number.checked_add(i64::from(byte - b'0')))
                    .ok_or(NotANumber)?;
                digits += 1;
            }
            b'-' if index == 0 => negative = true,
            b'\r' if digits > 0 => {
                return match rest.get(index + 1) {
                    None => Ok(None),
                    Some(b'\n') => {
                        let number = if negative { -number } else { number };
                        Ok(Some((number, start + index + 2)))
                    }
                    Some(_) => Err(NotANumber),
                };
            }
            _ => return Err(NotANumber),
        }
    }
    if rest.len() < HEADER_BYTES {
        Ok(None)
    } else {
        Err(NotANumber)
    }
}

#[cfg(test)]
mod tests;
