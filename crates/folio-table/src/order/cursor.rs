//! Places that are kept, to go on from there later.

use folio::ReadAt;

use super::Position;
use super::seek::Side;
use crate::records::Records;
use crate::{Error, Result, Table};

/// A place between two records, which outlives the scan, the process, and the table.
///
/// It knows the table that it is of, the rank of the record that follows, and that record's key.
/// In the same table, a scan goes on from exactly there. In another one, such as the table
/// that took its place, it goes on from the key: whoever goes through all records gets each one that
/// was there from beginning to end, whatever came and went meanwhile.
///
/// ```
/// use folio_table::{Builder, Cursor, Table};
///
/// fn table(keys: &[&str]) -> folio_table::Result<Table<Vec<u8>>> {
///     let mut builder = Builder::new();
///     for (line, key) in (1..).zip(keys) {
///         builder.add(line, key.as_bytes(), b"")?;
///     }
///     Table::from_bytes(builder.to_vec()?, "animals")
/// }
///
/// let animals = table(&["ant", "bat", "cat", "dog"])?;
/// let mut scan = animals.scan(..)?;
/// scan.next_record()?;
/// scan.next_record()?;
/// let saved = scan.cursor()?.to_bytes();
///
/// let fewer = table(&["bee", "cat", "dog"])?;
/// let mut scan = fewer.scan(..)?;
/// scan.resume(&Cursor::from_bytes(&saved)?)?;
/// assert_eq!(scan.next_record()?, Some((b"cat".as_slice(), b"".as_slice())));
/// # Ok::<(), folio_table::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    table: Identity,
    rank: u64,
    /// The key of the record that follows; empty after the last one.
    key: Vec<u8>,
}

/// What tells a table from others: it depends on every byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    sums_checksum: u64,
    count: u64,
}

impl Cursor {
    /// The place before the next of these records.
    pub(super) fn before<B: ReadAt>(records: &mut Records<'_, B>) -> Result<Self> {
        Ok(Self {
            table: Identity::of(records.table()),
            rank: records.passed(),
            key: records.peek()?.unwrap_or_default().to_vec(),
        })
    }

    /// How many records of its table come before it.
    #[must_use]
    pub fn rank(&self) -> u64 {
        self.rank
    }

    /// The key of the record that follows; empty if none does.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether no record follows.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.key.is_empty()
    }

    /// The cursor as bytes: 25 and the key's.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.table.sums_checksum, self.table.count, self.rank];
        let mut bytes = vec![VERSION];
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend_from_slice(&self.key);
        bytes
    }

    /// The cursor that [`to_bytes`](Self::to_bytes) made these bytes of.
    ///
    /// Bytes from elsewhere do no harm: a cursor names a place, and there is one in every table.
    ///
    /// # Errors
    ///
    /// [`Error::Cursor`] for bytes that no cursor is written as.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (&[version], rest) = bytes.split_first_chunk().ok_or(Error::Cursor)?;
        let (sums_checksum, rest) = number(rest)?;
        let (count, rest) = number(rest)?;
        let (rank, key) = number(rest)?;
        if version != VERSION || rank > count || key.len() > crate::MAX_KEY_LEN {
            return Err(Error::Cursor);
        }
        Ok(Self {
            table: Identity {
                sums_checksum,
                count,
            },
            rank,
            key: key.to_vec(),
        })
    }

    /// The cursor as a number below 2⁶³, for protocols that have no room for more: see
    /// [`Scan::resume_number`](crate::Scan::resume_number). It is 0 before the first record, and nowhere else.
    ///
    /// The number has no key in it. A table that took the place of the cursor's own is
    /// told from it by the bits that the rank leaves: 39 for ten million records.
    #[must_use]
    pub fn number(&self) -> u64 {
        match self.rank {
            0 => 0,
            rank => self.table.tag() << self.table.rank_bits() | rank,
        }
    }

    pub(super) fn place_in<B: ReadAt>(&self, table: &Table<B>) -> Result<Position> {
        if self.table == Identity::of(table) {
            return table.seek_rank(self.rank);
        }
        match (self.rank, self.key.as_slice()) {
            (0, _) => Ok(Position::START),
            (_, []) => Ok(table.end()),
            (_, key) => table.seek(key, Side::Before),
        }
    }
}

impl<B: ReadAt> Table<B> {
    /// The rank that a cursor's number stands for, if it is of this table.
    pub(super) fn rank_of_number(&self, number: u64) -> Option<u64> {
        let identity = Identity::of(self);
        let bits = identity.rank_bits();
        let rank = number & ((1 << bits) - 1);
        let is_ours = number >> bits == identity.tag() && (1..=self.count()).contains(&rank);
        (number == 0 || is_ours).then_some(rank)
    }
}

impl Identity {
    fn of<B: ReadAt>(table: &Table<B>) -> Self {
        Self {
            sums_checksum: table.sums_checksum,
            count: table.count(),
        }
    }

    /// How many bits a rank takes: below 48, as no table has more records than its section bytes.
    fn rank_bits(self) -> u32 {
        (u64::BITS - self.count.leading_zeros()).min(62)
    }

    /// As much of the checksum as there is room for above the rank.
    fn tag(self) -> u64 {
        self.sums_checksum >> (self.rank_bits() + 1)
    }
}

const VERSION: u8 = 1;

fn number(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Error::Cursor)?;
    Ok((u64::from_le_bytes(*number), rest))
}
