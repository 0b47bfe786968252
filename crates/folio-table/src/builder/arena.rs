//! The bytes of all records, and their order.

use std::cmp::Ordering;
use std::collections::TryReserveError;

use super::OnDuplicate;
use crate::format::{Record, encode_head};
use crate::{Error, Result};

/// The records as they will stand in the file, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
}

/// A record in the arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    /// Where it is in the arena. Later records have larger places.
    place: u64,
    line: u64,
    /// The first eight bytes of the key as a big-endian number, filled up with
    /// zeros: most comparisons end with it, and leave the arena alone.
    prefix: u64,
}

impl Added {
    pub(super) fn new(place: u64, line: u64, key: &[u8]) -> Self {
        let mut prefix = [0; 8];
        for (to, from) in prefix.iter_mut().zip(key) {
            *to = *from;
        }
        Self {
            place,
            line,
            prefix: u64::from_be_bytes(prefix),
        }
    }

    pub(super) fn place(self) -> u64 {
        self.place
    }
}

impl Arena {
    /// Adds a record and returns its place. On an error nothing is added.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<u64, TryReserveError> {
        let (head, head_len) = encode_head(key.len(), value.len() as u64);
        let head = head.get(..head_len).unwrap_or_default();
        self.bytes.try_reserve(head.len() + key.len())?;
        self.bytes
            .try_reserve(head.len() + key.len() + value.len())?;
        let place = self.bytes.len() as u64;
        for part in [head, key, value] {
            self.bytes.extend_from_slice(part);
        }
        Ok(place)
    }

    /// The whole record at a place.
    pub(super) fn record(&self, place: u64) -> &[u8] {
        let (bytes, record) = self.parse(place);
        let len = record.map_or(0, |record| record.len());
        bytes
            .get(..usize::try_from(len).unwrap_or(0))
            .unwrap_or_default()
    }

    pub(super) fn key(&self, place: u64) -> &[u8] {
        self.key_and_value(place).0
    }

    pub(super) fn key_and_value(&self, place: u64) -> (&[u8], &[u8]) {
        let Some(record) = self.parse(place).1 else {
            return Default::default();
        };
        let bytes = self.record(place);
        let key = bytes.get(record.head_len..record.value_start());
        let value = bytes.get(record.value_start()..);
        (key.unwrap_or_default(), value.unwrap_or_default())
    }

    /// Sorts by key, and leaves one record for each key.
    pub(super) fn sort(&self, added: &mut Vec<Added>, on_duplicate: OnDuplicate) -> Result<()> {
        added.sort_unstable_by(|a, b| self.compare(a, b).then(a.place.cmp(&b.place)));
        match on_duplicate {
            OnDuplicate::Error => self.refuse_duplicates(added),
            OnDuplicate::First => {
                added.dedup_by(|later, kept| self.compare(later, kept).is_eq());
                Ok(())
            }
            OnDuplicate::Last => {
                added.dedup_by(|later, kept| {
                    let same = self.compare(later, kept).is_eq();
                    if same {
                        *kept = *later;
                    }
                    same
                });
                Ok(())
            }
        }
    }

    #[inline]
    fn compare(&self, a: &Added, b: &Added) -> Ordering {
        let by_prefix = a.prefix.cmp(&b.prefix);
        by_prefix.then_with(|| self.key(a.place).cmp(self.key(b.place)))
    }

    /// Of all records whose key was there before, names the one added first.
    fn refuse_duplicates(&self, added: &[Added]) -> Result<()> {
        let pairs = added.iter().zip(added.iter().skip(1));
        let repeats = pairs.filter(|(a, b)| self.compare(a, b).is_eq());
        let Some((first, repeat)) = repeats.min_by_key(|(_, repeat)| repeat.place) else {
            return Ok(());
        };
        Err(Error::DuplicateKey {
            key: excerpt(self.key(first.place)),
            first_line: first.line,
            line: repeat.line,
        })
    }

    fn parse(&self, place: u64) -> (&[u8], Option<Record>) {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(place..).unwrap_or_default();
        (bytes, Record::parse(0, bytes, bytes.len() as u64).ok())
    }
}

/// A key for a message: escaped, and its beginning only where it is long.
fn excerpt(key: &[u8]) -> String {
    const MAX: usize = 80;
    match key.get(..MAX) {
        Some(start) if key.len() > MAX => format!("{}…", start.escape_ascii()),
        _ => key.escape_ascii().to_string(),
    }
}
