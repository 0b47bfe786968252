//! A record on its way into a table, as it stands in memory and in temporary files.
//!
//! ```text
//! ┌────────────────────┬─────────────┬────────────┬──────────────┬─────┬───────┐
//! │ 2 × number + aside │ line, coded │ key length │ value length │ key │ value │
//! └────────────────────┴─────────────┴────────────┴──────────────┴─────┴───────┘
//!         6 bytes         1 to 10
//! ```
//!
//! *number* counts the records as they were added; *line* is coded as its difference to that. From
//! the key's length on it is the record as it will stand in the table. A value that was put
//! *aside* has in its place where it stands in the file of such values, in eight bytes.

use crate::format::{HEAD_MAX_LEN, Record, encode_head};

/// The longest that the two numbers before a record can be.
const ORIGIN_MAX_LEN: usize = NUMBER_LEN + VARINT_MAX_LEN;
const VARINT_MAX_LEN: usize = 10;

/// More records than these bytes count would take longer to add than anyone has.
const NUMBER_LEN: usize = 6;

/// What stands before the key.
pub(super) struct Prelude {
    bytes: [u8; ORIGIN_MAX_LEN + HEAD_MAX_LEN],
    len: usize,
}

impl Prelude {
    /// The caller has checked the lengths against the limits.
    #[inline]
    pub(super) fn new(origin: Origin, aside: bool, key_len: usize, value_len: u64) -> Self {
        let mut prelude = Self {
            bytes: [0; ORIGIN_MAX_LEN + HEAD_MAX_LEN],
            len: NUMBER_LEN,
        };
        let number = (origin.number << 1 | u64::from(aside)).to_le_bytes();
        for (to, from) in prelude.bytes.iter_mut().zip(number).take(NUMBER_LEN) {
            *to = from;
        }
        prelude.push_varint(zigzag(origin.line.wrapping_sub(origin.number)));
        if let (Ok(key_len @ ..0x80), Ok(value_len @ ..0x80)) =
            (u8::try_from(key_len), u8::try_from(value_len))
        {
            if let Some([first, second]) = prelude.bytes.get_mut(prelude.len..prelude.len + 2) {
                (*first, *second) = (key_len, value_len);
                prelude.len += 2;
            }
            return prelude;
        }
        let (head, head_len) = encode_head(key_len, value_len);
        let to = prelude.bytes.get_mut(prelude.len..prelude.len + head_len);
        if let (Some(to), Some(head)) = (to, head.get(..head_len)) {
            to.copy_from_slice(head);
            prelude.len += head_len;
        }
        prelude
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push_varint(&mut self, mut number: u64) {
        loop {
            let more = number > 0x7f;
            let [low, ..] = number.to_le_bytes();
            if let Some(byte) = self.bytes.get_mut(self.len) {
                *byte = low & 0x7f | u8::from(more) << 7;
                self.len += 1;
            }
            number >>= 7;
            if !more {
                return;
            }
        }
    }
}

/// Where a record came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// How many records were added before it.
    pub(super) number: u64,
    /// What the caller calls its line.
    pub(super) line: u64,
}

/// Where in an item its parts stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) origin: Origin,
    /// Whether the value stands in the file of values put aside.
    pub(super) aside: bool,
    /// Where the record begins, as it will stand in the table.
    pub(super) record_start: usize,
    pub(super) key_start: usize,
    pub(super) key_len: usize,
    pub(super) value_len: u64,
    /// How long the item is.
    pub(super) len: usize,
}

impl Item {
    /// How long a record's place is, where its value is put aside.
    pub(super) const PLACE_LEN: usize = size_of::<u64>();

    /// The item that `bytes` begin with; `None` if it is not whole.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        // No item is shorter than ten bytes.
        let &first = bytes.first_chunk::<8>()?;
        let first = u64::from_le_bytes(first) & ((1 << (8 * NUMBER_LEN)) - 1);
        let (second, second_len) = decode_varint(bytes.get(NUMBER_LEN..)?)?;
        let record_start = NUMBER_LEN + second_len;
        let record = parse_record(bytes.get(record_start..)?)?;
        let number = first >> 1;
        let aside = first & 1 == 1;
        let content_len = if aside {
            record.value_start() + Self::PLACE_LEN
        } else {
            usize::try_from(record.len()).ok()?
        };
        let item = Self {
            origin: Origin {
                number,
                line: unzigzag(second).wrapping_add(number),
            },
            aside,
            record_start,
            key_start: record_start + record.head_len,
            key_len: record.key_len,
            value_len: record.value_len,
            len: record_start.checked_add(content_len)?,
        };
        (item.len <= bytes.len()).then_some(item)
    }

    /// The key, from the bytes that the item was parsed from.
    #[inline]
    pub(super) fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let end = self.key_start + self.key_len;
        bytes.get(self.key_start..end).unwrap_or_default()
    }

    /// How long the record will be in the table.
    #[inline]
    pub(super) fn record_len(&self) -> u64 {
        (self.key_start - self.record_start + self.key_len) as u64 + self.value_len
    }
}

/// Most lengths have one byte.
#[inline]
fn parse_record(bytes: &[u8]) -> Option<Record> {
    match *bytes {
        [key_len @ 1..0x80, value_len @ ..0x80, ..] => Some(Record {
            offset: 0,
            head_len: 2,
            key_len: usize::from(key_len),
            value_len: u64::from(value_len),
        }),
        _ => Record::parse(0, bytes, u64::MAX).ok(),
    }
}

/// The eight bytes of a key from `skip` on as a big-endian number, filled up with zeros: most
/// comparisons of keys that have their first `skip` bytes in common end with it.
#[inline]
pub(super) fn prefix(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or_default();
    if let Some(&bytes) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(bytes);
    }
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

/// How many bytes two keys have in common at their beginnings.
pub(super) fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[inline]
fn decode_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let &first = bytes.first()?;
    if first < 0x80 {
        return Some((u64::from(first), 1));
    }
    let mut number = u64::from(first & 0x7f);
    for (index, &byte) in bytes.iter().enumerate().take(VARINT_MAX_LEN).skip(1) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((number, index + 1));
        }
    }
    None
}

/// A difference, of either sign, as a number that is small where the difference is.
fn zigzag(difference: u64) -> u64 {
    let sign = 0_u64.wrapping_sub(difference >> 63);
    difference << 1 ^ sign
}

fn unzigzag(coded: u64) -> u64 {
    let sign = 0_u64.wrapping_sub(coded & 1);
    coded >> 1 ^ sign
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_read_back() {
        for (number, line) in [(0, 0), (0, u64::MAX), (300, 7), (1 << 46, 1 << 60), (5, 6)] {
            for (aside, key) in [
                (false, "some key".to_owned()),
                (true, "some key".repeat(100)),
            ] {
                let (key, value) = (key.as_bytes(), b"or other");
                let origin = Origin { number, line };
                let prelude = Prelude::new(origin, aside, key.len(), value.len() as u64);
                let bytes = [prelude.as_bytes(), key, value].concat();
                let item = Item::parse(&[bytes.as_slice(), b"more"].concat()).unwrap();
                assert_eq!(item.origin, origin);
                assert_eq!((item.aside, item.len), (aside, bytes.len()));
                assert_eq!(item.key(&bytes), key);
                let head_len = if key.len() < 128 { 2 } else { 3 };
                assert_eq!(item.record_len(), (head_len + key.len() + 8) as u64);
                assert_eq!(Item::parse(&bytes[..bytes.len() - 1]), None);
            }
        }
    }

    #[test]
    fn prefixes_are_in_the_order_of_the_keys() {
        let keys: [&[u8]; 7] = [
            b"aa",
            b"aab",
            b"aab\0",
            b"aabc",
            b"aac",
            b"aacccccccx",
            b"ab",
        ];
        for skip in 0..=1 {
            let prefixes = keys.map(|key| prefix(key, skip));
            assert!(prefixes.is_sorted(), "{prefixes:x?}");
        }
        assert_eq!(prefix(b"abcdefghij", 1), u64::from_be_bytes(*b"bcdefghi"));
        assert_eq!(prefix(b"a", 3), 0);
        assert_eq!(common_len(b"abc", b"abd"), 2);
        assert_eq!(common_len(b"abc", b"abcd"), 3);
    }
}
