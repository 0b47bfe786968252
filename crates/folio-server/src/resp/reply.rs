//! Replies, in either version of the protocol.

/// Which version of the protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// What `HELLO 3` asks for: nulls, maps, sets and more of their own.
    Resp3,
}

/// Writes replies at the end of a buffer.
///
/// Aggregates are written as their header; what they announce must follow.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// Which version to write from here on.
    pub(crate) protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// Starts a reply at the end of `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self {
            start: out.len(),
            out,
            protocol,
        }
    }

    /// How many bytes the reply has so far.
    pub(crate) fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Takes back everything after its first `len` bytes.
    pub(crate) fn roll_back_to(&mut self, len: usize) {
        self.out.truncate(self.start + len);
    }

    /// The buffer, for the bytes of a bulk string that was announced.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// A status such as `OK`. The text is ours, so it holds no line end.
    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error; the first word of `text` is its kind, such as `ERR`.
    ///
    /// The text may repeat what a client sent or a file holds: control characters,
    /// line ends above all, become `?`.
    pub(crate) fn error(&mut self, text: &str) {
        self.out.push(b'-');
        let clean = text
            .bytes()
            .map(|byte| if byte.is_ascii_control() { b'?' } else { byte });
        self.out.extend(clean);
        self.out.extend_from_slice(b"\r\n");
    }

    pub(crate) fn integer(&mut self, number: impl itoa::Integer) {
        self.number(b':', number);
    }

    /// Announces a bulk string of `len` bytes; they and [`end_bulk`](Self::end_bulk)
    /// must follow.
    pub(crate) fn start_bulk(&mut self, len: u64) {
        self.number(b'$', len);
    }

    pub(crate) fn end_bulk(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }

    pub(crate) fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.number(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.end_bulk();
    }

    /// Text for people: a bulk string that says it is plain text, where it can.
    pub(crate) fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.number(b'=', text.len() + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.end_bulk();
            }
        }
    }

    /// The value that is not there.
    pub(crate) fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The array that is not there.
    pub(crate) fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    pub(crate) fn array(&mut self, len: usize) {
        self.number(b'*', len);
    }

    /// Announces `len` pairs of key and value.
    pub(crate) fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', len * 2),
            Protocol::Resp3 => self.number(b'%', len),
        }
    }

    /// Announces `len` elements that all differ.
    pub(crate) fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', len),
            Protocol::Resp3 => self.number(b'~', len),
        }
    }

    fn number(&mut self, mark: u8, number: impl itoa::Integer) {
        self.line(mark, itoa::Buffer::new().format(number).as_bytes());
    }

    fn line(&mut self, mark: u8, text: &[u8]) {
        self.out.push(mark);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn types_differ_by_version() {
        let all = |reply: &mut Reply<'_>| {
            reply.null();
            reply.null_array();
            reply.map(2);
            reply.set(3);
            reply.text("a");
        };
        assert_eq!(
            written(Protocol::Resp2, all),
            "$-1\r\n*-1\r\n*4\r\n*3\r\n$1\r\na\r\n"
        );
        assert_eq!(
            written(Protocol::Resp3, all),
            "_\r\n_\r\n%2\r\n~3\r\n=5\r\ntxt:a\r\n"
        );
    }

    #[test]
    fn an_error_stays_one_line() {
        assert_eq!(
            written(Protocol::Resp2, |reply| reply.error("ERR a\r\n+OK\u{7f}")),
            "-ERR a??+OK?\r\n"
        );
    }

    #[test]
    fn numbers_and_bulks() {
        let all = |reply: &mut Reply<'_>| {
            reply.integer(-7);
            reply.integer(u64::MAX);
            reply.bulk(b"\r\n");
            reply.start_bulk(0);
            reply.end_bulk();
            reply.simple("OK");
            reply.array(0);
        };
        assert_eq!(
            written(Protocol::Resp2, all),
            ":-7\r\n:18446744073709551615\r\n$2\r\n\r\n\r\n$0\r\n\r\n+OK\r\n*0\r\n"
        );
    }
}
