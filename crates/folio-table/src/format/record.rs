//! A record: the lengths of key and value as variable-length integers, the key, the value.

use super::{MAX_KEY_LEN, MAX_VALUE_LEN};

/// The longest that the two lengths before a key can be: three bytes and five.
pub(crate) const HEAD_MAX_LEN: usize = 8;

/// Where a record stands in the records section, and its lengths, checked to lie within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where it begins in the records section.
    pub(crate) offset: u64,
    /// How long the two lengths before the key are.
    pub(crate) head_len: usize,
    pub(crate) key_len: usize,
    pub(crate) value_len: u64,
}

impl Record {
    /// Reads the lengths of the record at `offset` from `bytes`, which begin
    /// there; at most `room` bytes of the section are left from `offset` on.
    ///
    /// The error is what is wrong with the record.
    #[inline]
    pub(crate) fn parse(offset: u64, bytes: &[u8], room: u64) -> Result<Self, &'static str> {
        // The lengths of most records take a byte each.
        if let &[key_len @ 1..0x80, value_len @ 0..0x80, ..] = bytes {
            let record = Self {
                offset,
                head_len: 2,
                key_len: usize::from(key_len),
                value_len: u64::from(value_len),
            };
            return if record.len() <= room {
                Ok(record)
            } else {
                Err(TOO_LONG)
            };
        }
        Self::parse_any(offset, bytes, room)
    }

    /// The most frequent lengths out of the first bytes of a record whose key should be `key_len` bytes long: how long
    /// the two lengths are, and the value's. `None` for others, right or wrong: those of another key,
    /// of a key of 128 bytes and more, or a value of 16 KiB and more.
    #[inline]
    pub(crate) fn short_lengths(bytes: [u8; HEAD_MAX_LEN], key_len: usize) -> Option<(u64, u64)> {
        let lengths = u64::from_le_bytes(bytes);
        if lengths & 0xff != key_len as u64 || key_len >= 0x80 || key_len == 0 {
            return None;
        }
        let low = lengths >> 8 & 0x7f;
        if lengths & 0x8000 == 0 {
            return Some((2, low));
        }
        let high = lengths >> 16 & 0x7f;
        if lengths & 0x80_0000 != 0 || high == 0 {
            return None;
        }
        Some((3, high << 7 | low))
    }

    #[inline(never)]
    fn parse_any(offset: u64, bytes: &[u8], room: u64) -> Result<Self, &'static str> {
        let (key_len, key_len_len) = decode(bytes).ok_or(BAD_LENGTH)?;
        let rest = bytes.get(key_len_len..).unwrap_or_default();
        let (value_len, value_len_len) = decode(rest).ok_or(BAD_LENGTH)?;
        let record = Self {
            offset,
            head_len: key_len_len + value_len_len,
            key_len: usize::try_from(key_len).unwrap_or(usize::MAX),
            value_len: u64::from(value_len),
        };
        if record.key_len == 0 || record.key_len > MAX_KEY_LEN {
            return Err("a key length that no key has");
        }
        if record.len() > room {
            return Err(TOO_LONG);
        }
        Ok(record)
    }

    /// The length of the whole record.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.value_start() as u64 + self.value_len
    }

    /// How far into the record the value begins.
    #[inline]
    pub(crate) fn value_start(&self) -> usize {
        self.head_len + self.key_len
    }

    /// Key and value out of the bytes of the whole record.
    #[inline]
    pub(crate) fn split<'b>(&self, whole: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let content = whole.get(self.head_len..).unwrap_or_default();
        content
            .split_at_checked(self.key_len)
            .unwrap_or((content, &[]))
    }
}

/// The two lengths as they stand before a key: the bytes, and how many of them count.
///
/// The caller has checked the lengths against the limits.
pub(crate) fn encode_head(key_len: usize, value_len: u64) -> ([u8; HEAD_MAX_LEN], usize) {
    debug_assert!(key_len <= MAX_KEY_LEN && value_len <= MAX_VALUE_LEN);
    let mut head = [0; HEAD_MAX_LEN];
    let mut len = 0;
    for number in [key_len as u64, value_len] {
        let mut rest = number;
        loop {
            let more = rest > 0x7f;
            let [low, ..] = rest.to_le_bytes();
            if let Some(byte) = head.get_mut(len) {
                *byte = low & 0x7f | u8::from(more) << 7;
                len += 1;
            }
            rest >>= 7;
            if !more {
                break;
            }
        }
    }
    (head, len)
}

const BAD_LENGTH: &str = "a length that is no number";
const TOO_LONG: &str = "a record that runs over the end of the records section";

/// Decodes one number (seven bits a byte, the lowest first, the upper bit set on
/// all bytes but the last) and says how many bytes it took.
///
/// `None` where the bytes end first, the number exceeds 32 bits, or the same
/// number could be written shorter: each number has one form only.
#[inline]
fn decode(bytes: &[u8]) -> Option<(u32, usize)> {
    let &first = bytes.first()?;
    if first < 0x80 {
        return Some((u32::from(first), 1));
    }
    let mut number = u64::from(first & 0x7f);
    for (index, &byte) in bytes.iter().enumerate().take(5).skip(1) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let number = u32::try_from(number).ok()?;
            return (byte != 0).then_some((number, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back() {
        for key_len in [1, 127, 128, 16_383, 16_384, MAX_KEY_LEN] {
            for value_len in [0, 1, 127, 128, 1 << 14, 1 << 21, 1 << 28, MAX_VALUE_LEN] {
                let (head, head_len) = encode_head(key_len, value_len);
                let record = Record::parse(7, &head[..head_len], u64::MAX);
                let expected = Record {
                    offset: 7,
                    head_len,
                    key_len,
                    value_len,
                };
                assert_eq!(record, Ok(expected));
                assert!(Record::parse(7, &head[..head_len - 1], u64::MAX).is_err());
                assert!(Record::parse(7, &head[..head_len], expected.len()).is_ok());
                assert!(Record::parse(7, &head[..head_len], expected.len() - 1).is_err());
                let short = Record::short_lengths(head, key_len);
                let is_short = key_len < 128 && value_len < 1 << 14;
                assert_eq!(short, is_short.then_some((head_len as u64, value_len)));
                assert_eq!(Record::short_lengths(head, key_len + 1), None);
            }
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let cases: [&[u8]; 8] = [
            &[],
            &[0, 0],                                  // an empty key
            &[0x81, 0x00, 1],                         // 1, written longer than needed
            &[0x81, 0x80, 0x04, 0],                   // a key of 65,537 bytes
            &[1, 0xff, 0xff, 0xff, 0xff, 0x10],       // a value of more than 32 bits
            &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], // six bytes
            &[0xff; 8],
            &[1, 0x80],
        ];
        for bytes in cases {
            assert!(Record::parse(0, bytes, u64::MAX).is_err(), "{bytes:?}");
            let mut head = [0; HEAD_MAX_LEN];
            head[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
            for key_len in 0..300 {
                assert_eq!(Record::short_lengths(head, key_len), None, "{bytes:?}");
            }
        }
    }
}
