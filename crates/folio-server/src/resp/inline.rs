//! Arguments of a plain line, as typed into telnet.

use std::ops::Range;

use super::request::ProtocolError;

/// Splits a line at its blanks and resolves quotes and escapes, in place.
///
/// Double quotes know `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` and a backslash before
/// any other character; single quotes know `\'`. A closing quote must end the
/// argument. What is resolved is never longer than what was typed, so it is written
/// over it, and `arguments` gets where.
pub(crate) fn split(
    line: &mut [u8],
    arguments: &mut Vec<Range<usize>>,
) -> Result<(), ProtocolError> {
    let mut line = Line {
        bytes: line,
        read: 0,
        written: 0,
    };
    loop {
        while line.peek().is_some_and(is_blank) {
            line.read += 1;
        }
        if line.peek().is_none() {
            return Ok(());
        }
        line.written = line.read;
        let start = line.written;
        line.argument()?;
        arguments.push(start..line.written);
    }
}

/// What C's `isspace` says in its own locale.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

struct Line<'a> {
    bytes: &'a mut [u8],
    read: usize,
    written: usize,
}

impl Line<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.read).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.read += 1;
        Some(byte)
    }

    fn write(&mut self, byte: u8) {
        // Never past what was read: each byte written stands for one read or more.
        if let Some(place) = self.bytes.get_mut(self.written) {
            *place = byte;
        }
        self.written += 1;
    }

    /// Resolves one argument, which starts at `read`.
    fn argument(&mut self) -> Result<(), ProtocolError> {
        while let Some(byte) = self.next() {
            match byte {
                b'"' | b'\'' => {
                    self.quoted(byte)?;
                    return match self.peek() {
                        Some(next) if !is_blank(next) => Err(ProtocolError::Quotes),
                        _ => Ok(()),
                    };
                }
                _ if is_blank(byte) => return Ok(()),
                _ => self.write(byte),
            }
        }
        Ok(())
    }

    /// Resolves what stands before the closing `quote`, and takes that.
    fn quoted(&mut self, quote: u8) -> Result<(), ProtocolError> {
        loop {
            let byte = self.next().ok_or(ProtocolError::Quotes)?;
            if byte == quote {
                return Ok(());
            }
            if byte == b'\\' && (quote == b'"' || self.peek() == Some(b'\'')) {
                let resolved = self.escaped()?;
                self.write(resolved);
            } else {
                self.write(byte);
            }
        }
    }

    /// Resolves what stands after a backslash.
    fn escaped(&mut self) -> Result<u8, ProtocolError> {
        let byte = self.next().ok_or(ProtocolError::Quotes)?;
        Ok(match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'a' => 0x07,
            b'x' => match (self.hex_digit(0), self.hex_digit(1)) {
                (Some(high), Some(low)) => {
                    self.read += 2;
                    high << 4 | low
                }
                _ => b'x',
            },
            other => other,
        })
    }

    fn hex_digit(&self, ahead: usize) -> Option<u8> {
        let byte = *self.bytes.get(self.read + ahead)?;
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_text(text: &str) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut line = text.as_bytes().to_vec();
        let mut arguments = Vec::new();
        split(&mut line, &mut arguments)?;
        Ok(arguments
            .into_iter()
            .map(|range| line[range].to_vec())
            .collect())
    }

    #[test]
    fn splits_at_blanks() {
        assert_eq!(
            split_text(" GET \t a\r").unwrap(),
            [b"GET".as_slice(), b"a"]
        );
        assert_eq!(split_text(" \t ").unwrap(), [b""; 0]);
        assert_eq!(split_text("").unwrap(), [b""; 0]);
    }

    #[test]
    fn resolves_quotes_and_escapes() {
        assert_eq!(
            split_text(r#"GET "a b\n\x41\xZZ\q\"" 'it\'s \n' ab"c d" """#).unwrap(),
            [
                b"GET".as_slice(),
                b"a b\nAxZZq\"",
                b"it's \\n",
                b"abc d",
                b""
            ]
        );
    }

    #[test]
    fn refuses_what_is_left_open() {
        for text in [
            r#"GET "a"#,
            r#"GET "a"b"#,
            "GET 'a",
            r"GET 'a\'",
            r#"GET "a\"#,
        ] {
            assert_eq!(split_text(text), Err(ProtocolError::Quotes), "{text}");
        }
    }
}
