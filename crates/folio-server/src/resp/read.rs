//! The commonest requests, in the form in which every client library sends them.
//!
//! [`Parser`](super::Parser) understands them as well, and all others, one after the other. To look
//! several keys up at once, one must know them before the first is answered, and this
//! can be had here without a change to anything: what is recognized may be left for later.

use crate::Limits;

/// What is asked of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// `GET`
    Value,
    /// `STRLEN`
    Len,
    /// `EXISTS`, with one key
    Presence,
}

/// A request for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read<'a> {
    pub(crate) question: Question,
    pub(crate) key: &'a [u8],
    /// How long the request is, in bytes.
    pub(crate) len: usize,
}

impl AsRef<[u8]> for Read<'_> {
    fn as_ref(&self) -> &[u8] {
        self.key
    }
}

impl<'a> Read<'a> {
    /// The whole request that `input` begins with, if it is one of these within the limits.
    pub(crate) fn recognize(input: &'a [u8], limits: &Limits) -> Option<Self> {
        let (question, rest) = Self::question(input.strip_prefix(b"*2\r\n$")?)?;
        let (len, rest) = short_number(rest.strip_prefix(b"\r\n$")?)?;
        let key = rest.get(..len)?;
        if rest.get(len..)?.get(..2)? != b"\r\n" {
            return None;
        }
        let start = input.len() - rest.len();
        let read = Self {
            question,
            key,
            len: start + len + 2,
        };
        // Whether something is too long, and what to say of it, is the parser's business.
        let is_within = limits.arguments >= 2
            && limits.argument_bytes >= len.max(LONGEST_NAME)
            && limits.request_bytes >= read.len;
        is_within.then_some(read)
    }

    fn question(input: &[u8]) -> Option<(Question, &[u8])> {
        const NAMES: [(&[u8], Question); 3] = [
            (b"3\r\nGET", Question::Value),
            (b"6\r\nEXISTS", Question::Presence),
            (b"6\r\nSTRLEN", Question::Len),
        ];
        NAMES.iter().find_map(|&(name, question)| {
            let (start, rest) = input.split_at_checked(name.len())?;
            start.eq_ignore_ascii_case(name).then_some((question, rest))
        })
    }
}

const LONGEST_NAME: usize = 6;

/// A number of one to five digits and the line's end; the length of any key there is.
fn short_number(input: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (index, &byte) in input.iter().enumerate().take(6) {
        match byte {
            b'0'..=b'9' if index < 5 => number = number * 10 + usize::from(byte - b'0'),
            b'\r' if index > 0 => {
                let rest = input.get(index..)?.strip_prefix(b"\r\n")?;
                return Some((number, rest));
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Parsed, Parser};

    fn recognized(input: &[u8]) -> Option<Read<'_>> {
        Read::recognize(input, &Limits::default())
    }

    #[test]
    fn three_commands_with_one_key() {
        let cases: [(&[u8], Question, &[u8]); 5] = [
            (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", Question::Value, b"k"),
            (b"*2\r\n$3\r\ngEt\r\n$0\r\n\r\n", Question::Value, b""),
            (
                b"*2\r\n$6\r\nexists\r\n$2\r\n\r\n\r\n",
                Question::Presence,
                b"\r\n",
            ),
            (
                b"*2\r\n$6\r\nSTRLEN\r\n$003\r\nkey\r\n",
                Question::Len,
                b"key",
            ),
            (
                b"*2\r\n$3\r\nGET\r\n$3\r\n$1\r\r\n",
                Question::Value,
                b"$1\r",
            ),
        ];
        for (input, question, key) in cases {
            let len = input.len();
            let expected = Read { question, key, len };
            assert_eq!(recognized(input), Some(expected));
            let more = [input, b"*2\r\n$3\r\nG".as_slice()].concat();
            assert_eq!(recognized(&more), Some(expected));
            for cut in 0..len {
                assert_eq!(recognized(&input[..cut]), None, "{cut} of {input:?}");
            }
        }
    }

    #[test]
    fn all_else_is_for_the_parser() {
        let cases: [&[u8]; 12] = [
            b"GET k\r\n",
            b"*3\r\n$3\r\nGET\r\n$1\r\nk\r\n$1\r\nl\r\n",
            b"*02\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            b"*2\r\n$3\r\nSET\r\n$1\r\nk\r\n",
            b"*2\r\n$6\r\nEXIST\r\n$1\r\nk\r\n",
            b"*2\r\n$3\r\nGET\r\n$\r\nk\r\n",
            b"*2\r\n$3\r\nGET\r\n$-1\r\nk\r\n",
            b"*2\r\n$3\r\nGET\r\n$1\rk\r\n",
            b"*2\r\n$3\r\nGET\r\n$1\r\nkk\r\n",
            b"*2\r\n$3\r\nGET\r\n$1\nk\r\n",
            b"*2\r\n$3\r\nGET\r\n:1\r\nk\r\n",
            b"*2\r\n$3\r\nGET\r\n$000001\r\nk\r\n",
        ];
        for input in cases {
            assert_eq!(
                recognized(input),
                None,
                "{:?}",
                input.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn what_is_recognized_the_parser_takes_for_the_same() {
        let input = b"*2\r\n$6\r\nEXISTS\r\n$004\r\nabcd\r\n";
        for (argument_bytes, request_bytes) in (0..9).flat_map(|a| (0..40).map(move |r| (a, r))) {
            let limits = Limits {
                argument_bytes,
                request_bytes,
                ..Limits::default()
            };
            let Some(read) = Read::recognize(input, &limits) else {
                continue;
            };
            let (mut parser, mut bytes) = (Parser::default(), input.to_vec());
            let parsed = parser.parse(&mut bytes, &limits);
            assert_eq!(parsed, Ok(Parsed::Complete(read.len)));
            assert_eq!(parser.request(&bytes).argument(1), read.key);
        }
        assert!(recognized(input).is_some());
    }
}
