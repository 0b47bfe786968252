//! The layout of checkpoints, byte by byte: see `docs/checkpoint.md`.

use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 8] = *b"FOLIOCP\0";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 128;
const CHECKED_BYTES: usize = HEADER_BYTES - 8;
pub(super) const HEAD_BYTES: usize = 24;
/// The most bytes in one record.
pub(super) const RECORD_BYTES: usize = 256 << 10;

/// What a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) chain: [u8; 16],
    pub(super) sequence: u64,
    pub(super) map_len: u64,
    /// The checksum of the file before; 0 for the first.
    pub(super) previous: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    Delta,
}

/// What a record begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Where in the map the bytes belong; of the last record, how many there are in all.
    pub(super) offset: u64,
    /// How many bytes follow; 0 for the last record.
    pub(super) len: u32,
    /// Of the bytes; of the last record, of the file's header and all heads before.
    pub(super) checksum: u64,
}

/// Why bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    NoCheckpoint,
    Version(u32),
    Checksum { expected: u64, found: u64 },
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let kind: u32 = match self.kind {
            Kind::Full => 1,
            Kind::Delta => 2,
        };
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &kind.to_le_bytes());
        put(&mut bytes, 16, &self.chain);
        put(&mut bytes, 32, &self.sequence.to_le_bytes());
        put(&mut bytes, 40, &self.map_len.to_le_bytes());
        put(&mut bytes, 48, &self.previous.to_le_bytes());
        let checksum = xxh3_64(bytes.get(..CHECKED_BYTES).unwrap_or_default());
        put(&mut bytes, CHECKED_BYTES, &checksum.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, BadHeader> {
        if field(bytes, 0) != MAGIC {
            return Err(BadHeader::NoCheckpoint);
        }
        let version = u32::from_le_bytes(field(bytes, 8));
        if version != VERSION {
            return Err(BadHeader::Version(version));
        }
        let expected = u64::from_le_bytes(field(bytes, CHECKED_BYTES));
        let found = xxh3_64(bytes.get(..CHECKED_BYTES).unwrap_or_default());
        if expected != found {
            return Err(BadHeader::Checksum { expected, found });
        }
        let kind = match u32::from_le_bytes(field(bytes, 12)) {
            1 => Kind::Full,
            2 => Kind::Delta,
            _ => return Err(BadHeader::NoCheckpoint),
        };
        Ok(Self {
            kind,
            chain: field(bytes, 16),
            sequence: u64::from_le_bytes(field(bytes, 32)),
            map_len: u64::from_le_bytes(field(bytes, 40)),
            previous: u64::from_le_bytes(field(bytes, 48)),
        })
    }
}

impl Head {
    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        put(&mut bytes, 0, &self.offset.to_le_bytes());
        put(&mut bytes, 8, &self.len.to_le_bytes());
        put(&mut bytes, 16, &self.checksum.to_le_bytes());
        bytes
    }

    /// `None` where something stands in the place that this version leaves free.
    pub(super) fn from_bytes(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let is_free = field(bytes, 12) == [0; 4];
        is_free.then(|| Self {
            offset: u64::from_le_bytes(field(bytes, 0)),
            len: u32::from_le_bytes(field(bytes, 8)),
            checksum: u64::from_le_bytes(field(bytes, 16)),
        })
    }
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

/// Some bytes of a header or head, which has them all.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let field = bytes.get(at..at + N);
    field
        .and_then(|field| field.try_into().ok())
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_and_no_others() {
        let header = Header {
            kind: Kind::Delta,
            chain: [7; 16],
            sequence: 3,
            map_len: 1 << 40,
            previous: 99,
        };
        let bytes = header.to_bytes();
        assert_eq!(Header::from_bytes(&bytes), Ok(header));
        for at in 0..HEADER_BYTES {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert!(Header::from_bytes(&damaged).is_err(), "byte {at}");
        }
        let head = Head {
            offset: 1 << 40,
            len: 77,
            checksum: u64::MAX,
        };
        assert_eq!(Head::from_bytes(&head.to_bytes()), Some(head));
    }
}
