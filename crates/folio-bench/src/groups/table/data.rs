//! The records of every contestant: made from numbers, so that nothing needs to be kept.

use crate::args::Settings;
use crate::groups::random::Random;
use crate::row::Skipped;

/// Of each key, in hexadecimal digits.
pub(super) const KEY_LEN: usize = 16;

pub(super) type Key = [u8; KEY_LEN];

/// How many lookups are drawn beforehand: they are read in order, 16 bytes each, and cost next to
/// nothing beside the lookup itself.
const DRAWN: u64 = 1 << 20;

/// Records that are handed over one by one.
pub(super) trait Records {
    fn data(&self) -> Data;

    fn each(&self, with: impl FnMut(&Key, &[u8]) -> Result<(), Skipped>) -> Result<(), Skipped>;
}

/// So many records with values of so many bytes, in no order.
///
/// A record is known by a number of 64 bits, its *id*, which looks random. Its key is the id in 16
/// hexadecimal digits, so that the order of ids is that of the keys, and its value is made from
/// the id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data {
    pub(super) count: u64,
    pub(super) value_len: usize,
}

impl Data {
    /// The records of most rows.
    pub(super) fn of(settings: &Settings) -> Self {
        let usual = if settings.quick {
            1_000_000
        } else {
            10_000_000
        };
        Self {
            count: settings.keys.unwrap_or(usual),
            value_len: 32,
        }
    }

    /// The ids of the records, in no order.
    pub(super) fn ids(self) -> impl Iterator<Item = u64> {
        (0..self.count).map(mix)
    }

    /// The same in ascending order.
    pub(super) fn sorted_ids(self) -> Vec<u64> {
        let mut ids: Vec<_> = self.ids().collect();
        ids.sort_unstable();
        ids
    }

    /// Keys to look up: uniformly random ones that are there.
    pub(super) fn hits(self) -> Queries {
        let mut random = Random::new();
        let mut value = vec![0; self.value_len];
        let mut queries = Queries::default();
        for _ in 0..DRAWN.min(8 * self.count) {
            let id = mix(random.below(self.count));
            fill_value(id, &mut value);
            queries.keys.push(key(id));
            queries.sum = queries.sum.wrapping_add(fold(&value));
        }
        queries
    }

    /// Keys to look up that are not there.
    pub(super) fn misses(self) -> Queries {
        let mut random = Random::new();
        let absent = |_| key(mix(self.count + random.below(u64::MAX - self.count)));
        Queries {
            keys: (0..DRAWN.min(8 * self.count)).map(absent).collect(),
            sum: 0,
        }
    }

    /// What keys and values take, without anything else.
    pub(super) fn payload_bytes(self) -> u64 {
        let value_len = u64::try_from(self.value_len).unwrap_or(u64::MAX);
        let key_len = u64::try_from(KEY_LEN).unwrap_or(u64::MAX);
        self.count * (key_len + value_len)
    }
}

impl Records for Data {
    fn data(&self) -> Data {
        *self
    }

    fn each(&self, with: impl FnMut(&Key, &[u8]) -> Result<(), Skipped>) -> Result<(), Skipped> {
        each(self.value_len, self.ids(), with)
    }
}

/// The records of these ids, in their order.
pub(super) struct These<'a>(pub(super) Data, pub(super) &'a [u64]);

impl Records for These<'_> {
    fn data(&self) -> Data {
        self.0
    }

    fn each(&self, with: impl FnMut(&Key, &[u8]) -> Result<(), Skipped>) -> Result<(), Skipped> {
        each(self.0.value_len, self.1.iter().copied(), with)
    }
}

fn each(
    value_len: usize,
    ids: impl Iterator<Item = u64>,
    mut with: impl FnMut(&Key, &[u8]) -> Result<(), Skipped>,
) -> Result<(), Skipped> {
    let mut value = vec![0; value_len];
    for id in ids {
        fill_value(id, &mut value);
        with(&key(id), &value)?;
    }
    Ok(())
}

/// Records in memory, in no order: what a program has that builds.
pub(super) struct Held {
    data: Data,
    keys: Vec<Key>,
    values: Vec<u8>,
}

impl Held {
    pub(super) fn of(data: Data) -> Result<Self, Skipped> {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        keys.try_reserve_exact(usize::try_from(data.count)?)?;
        values.try_reserve_exact(keys.capacity() * data.value_len)?;
        data.each(|key, value| {
            keys.push(*key);
            values.extend_from_slice(value);
            Ok(())
        })?;
        Ok(Self { data, keys, values })
    }

    fn record(&self, index: usize) -> Option<(&Key, &[u8])> {
        let value = self.values.get(index * self.data.value_len..)?;
        Some((self.keys.get(index)?, value.get(..self.data.value_len)?))
    }
}

impl Records for Held {
    fn data(&self) -> Data {
        self.data
    }

    fn each(
        &self,
        mut with: impl FnMut(&Key, &[u8]) -> Result<(), Skipped>,
    ) -> Result<(), Skipped> {
        let values = self.values.chunks_exact(self.data.value_len);
        self.keys
            .iter()
            .zip(values)
            .try_for_each(|(key, value)| with(key, value))
    }
}

/// Records in memory that are put in order first.
pub(super) struct SortedFirst<'a>(pub(super) &'a Held);

impl Records for SortedFirst<'_> {
    fn data(&self) -> Data {
        self.0.data
    }

    fn each(
        &self,
        mut with: impl FnMut(&Key, &[u8]) -> Result<(), Skipped>,
    ) -> Result<(), Skipped> {
        // With the keys at hand the sort reads memory in order.
        let mut places: Vec<(Key, usize)> = self.0.keys.iter().copied().zip(0..).collect();
        places.sort_unstable();
        for (_, index) in places {
            let (key, value) = self.0.record(index).unwrap_or((&[0; KEY_LEN], &[]));
            with(key, value)?;
        }
        Ok(())
    }
}

/// Keys to look up, and what has to come out.
#[derive(Debug, Default)]
pub(super) struct Queries {
    pub(super) keys: Vec<Key>,
    /// The sum of [`fold`] over all values that are found.
    pub(super) sum: u64,
}

/// Reads a value to the last byte.
#[inline]
pub(super) fn fold(value: &[u8]) -> u64 {
    let words = value.chunks_exact(8);
    let rest = words.remainder();
    let word = |word: &[u8]| u64::from_le_bytes(word.try_into().unwrap_or_default());
    let sum = words.map(word).fold(0, u64::wrapping_add);
    rest.iter()
        .fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

/// The id as a key.
#[inline]
pub(super) fn key(id: u64) -> Key {
    let mut key = [0; KEY_LEN];
    for (place, digit) in key.iter_mut().enumerate() {
        let shift = 4 * (KEY_LEN - 1 - place);
        let nibble = usize::try_from(id >> shift & 15).unwrap_or_default();
        *digit = b"0123456789abcdef".get(nibble).copied().unwrap_or(b'0');
    }
    key
}

/// Fills a value whose length is a multiple of eight.
fn fill_value(id: u64, value: &mut [u8]) {
    for (place, word) in (1_u64..).zip(value.chunks_exact_mut(8)) {
        word.copy_from_slice(&mix(id ^ place.rotate_left(32)).to_le_bytes());
    }
}

/// Each number to another one that looks random, and no two to the same. (The output function of
/// `SplitMix64`, Steele, Lea and Flood 2014.)
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
