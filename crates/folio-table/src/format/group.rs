//! A line of the perfect index: where the records of a group stand, and in which part of the
//! group each key is.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The most records that a group can have, which is also the number of unknowns that its
/// keys' cells are the sums of.
pub(crate) const GROUP_MAX_COUNT: usize = 112;

/// Into how many parts a group is divided.
pub(crate) const CELLS: usize = 8;

/// The bits of a cell's number.
pub(crate) const CELL_BITS: usize = 3;

pub(crate) const GROUP_LEN: u64 = size_of::<Group>() as u64;

const _: () = assert!(GROUP_LEN == 64, "a group is described by one cache line");
const _: () = assert!(
    GROUP_MAX_COUNT % CELLS == 0 && CELLS == 1 << CELL_BITS,
    "a full group divides into cells of the same count"
);

/// Some hundred records that follow each other, by the one line that describes them.
///
/// The number of a key's cell is not stored with the key. It is the sum (exclusive or) of
/// those of 112 unknown numbers that the key's hash chooses. The builder solves for the unknowns,
/// a system of linear equations, one for each key: three bits for each record say what takes
/// three bits to say, and no key is stored. For a key that is not in the group the sum is noise.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Group {
    /// Bit 0 of each unknown, bit 1 of each, bit 2 of each.
    planes: [Plane; CELL_BITS],
    /// Where the cells after the first begin, in bytes from the group's first record.
    starts: [U16; CELLS - 1],
    /// Where the first record begins in the records section.
    first: [u8; 6],
    /// How many records there are, from 1 on.
    pub(crate) count: u8,
    /// Which coefficients were taken: those of the first attempt that had a solution.
    attempt: u8,
}

/// One bit of each unknown.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Plane {
    /// Of the unknowns 0 to 63.
    low: U64,
    /// Of the unknowns 64 to 111.
    high: [u8; 6],
}

impl Plane {
    /// Of the lower 112 bits.
    fn new(bits: u128) -> Self {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        let (low, high) = (half(bits), half(bits >> 64));
        let [high @ .., _, _] = high.to_le_bytes();
        Self {
            low: low.into(),
            high,
        }
    }
}

/// A number of 48 bits.
#[inline]
fn widen(bytes: [u8; 6]) -> u64 {
    let mut wide = [0; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = from;
    }
    u64::from_le_bytes(wide)
}

/// A part of a group, in which a key is looked for record by record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Where its first record begins in the records section.
    pub(crate) start: u64,
    /// How many records it has.
    pub(crate) count: usize,
    /// How many bytes it probably has: exactly as many up to the next cell, and for the last one as
    /// many as the mean of the others. 0 where there are no others.
    pub(crate) likely_len: u64,
}

impl Group {
    /// The line for records of which the first of each cell begins at one of `starts`.
    ///
    /// `None` where these are none, or too many, or too far from each other.
    pub(crate) fn new(
        starts: &[u64],
        count: usize,
        unknowns: [u128; CELL_BITS],
        attempt: u8,
    ) -> Option<Self> {
        let (first, others) = starts.split_first()?;
        let mut group = Self {
            count: u8::try_from(count).ok()?,
            attempt,
            ..Self::default()
        };
        let [first_bytes @ .., _, _] = first.to_le_bytes();
        group.first = first_bytes;
        for (index, start) in others.iter().enumerate() {
            let distance = u16::try_from(start.checked_sub(*first)?).ok()?;
            *group.starts.get_mut(index)? = distance.into();
        }
        for (plane, bits) in group.planes.iter_mut().zip(unknowns) {
            *plane = Plane::new(bits);
        }
        Some(group)
    }

    /// Where the group's first record begins in the records section.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        widen(self.first)
    }

    /// The number of the cell of a key with this hash, if the group has the key.
    #[inline]
    pub(crate) fn cell_number(&self, hash: u64) -> usize {
        let coefficients = Coefficients::new(hash, self.attempt);
        let [a, b, c] = &self.planes;
        coefficients.sum(a) | coefficients.sum(b) << 1 | coefficients.sum(c) << 2
    }

    /// The cell that has a key with this hash, if the group has the key. `None` if it has not.
    #[inline]
    pub(crate) fn cell_of(&self, hash: u64) -> Option<Cell> {
        self.cell(self.cell_number(hash))
    }

    /// The cell with a number; `None` where the group is too small to have it.
    #[inline]
    pub(crate) fn cell(&self, number: usize) -> Option<Cell> {
        let count = usize::from(self.count);
        let full = cell_count_for(count);
        let left = count.checked_sub(number * full).filter(|left| *left > 0)?;
        let distance = match number.checked_sub(1) {
            Some(index) => u64::from(self.starts.get(index)?.get()),
            None => 0,
        };
        let likely_len = match self.starts.get(number) {
            Some(next) if left > full => u64::from(next.get()).saturating_sub(distance),
            _ => distance / (number.max(1) as u64),
        };
        Some(Cell {
            start: self.first() + distance,
            count: left.min(full),
            likely_len,
        })
    }

    /// Whether the group has at least one record and no more than it can have.
    #[inline]
    pub(crate) fn has_a_possible_count(&self) -> bool {
        (1..=GROUP_MAX_COUNT).contains(&usize::from(self.count))
    }

    /// Whether the starts of cells that there are not are zero, as the builder leaves them.
    pub(crate) fn is_tidy(&self) -> bool {
        let count = usize::from(self.count);
        let cells = count.div_ceil(cell_count_for(count).max(1));
        let mut unused = self.starts.iter().skip(cells.saturating_sub(1));
        unused.all(|start| start.get() == 0)
    }
}

/// How many records each cell of a group with `count` records has, but for the last cells, which
/// may have fewer or none.
#[inline]
pub(crate) fn cell_count_for(count: usize) -> usize {
    count.div_ceil(CELLS)
}

/// Which of the unknowns add up to the cell of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coefficients {
    /// Of the unknowns 0 to 63.
    low: u64,
    /// Of the unknowns 64 to 111.
    high: u64,
}

impl Coefficients {
    /// Those of a key with this hash: two numbers of the sequence that `SplitMix64` makes from the
    /// hash as its state, other ones for each attempt.
    #[inline]
    pub(crate) fn new(hash: u64, attempt: u8) -> Self {
        const HIGH_MASK: u64 = (1 << (GROUP_MAX_COUNT - 64)) - 1;
        let step = u64::from(attempt) * 2;
        Self {
            low: split_mix(hash, step + 1),
            high: split_mix(hash, step + 2) & HIGH_MASK,
        }
    }

    /// All of them, a bit each.
    pub(crate) fn bits(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// The sum of the chosen bits of a plane, 0 or 1.
    #[inline]
    fn sum(self, plane: &Plane) -> usize {
        let chosen = (plane.low.get() & self.low) ^ (widen(plane.high) & self.high);
        (chosen.count_ones() & 1) as usize
    }
}

/// The number at `step` (from 1 on) of the sequence that the generator `SplitMix64` makes from a
/// state (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[inline]
fn split_mix(state: u64, step: u64) -> u64 {
    let mut z = state.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_generator() {
        // The first three numbers from the state 0, as other implementations have them.
        let numbers = [1, 2, 3].map(|step| split_mix(0, step));
        let expected = [
            0xe220_a839_7b1d_cdaf,
            0x6e78_9e6a_a1b9_65f4,
            0x06c4_5d18_8009_454f,
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn cells_have_all_records_between_them() {
        for count in 1..=GROUP_MAX_COUNT {
            let full = cell_count_for(count);
            let starts: Vec<_> = (0..count)
                .step_by(full)
                .map(|rank| 1000 + 10 * rank as u64)
                .collect();
            let group = Group::new(&starts, count, [0; CELL_BITS], 0).unwrap();
            assert!(group.has_a_possible_count() && group.is_tidy());
            let mut next = 0;
            for number in 0..CELLS {
                if let Some(cell) = group.cell(number) {
                    assert_eq!(cell.start, 1000 + 10 * next);
                    next += cell.count as u64;
                    let is_only = cell.count == count;
                    assert_eq!(cell.likely_len, if is_only { 0 } else { 10 * full as u64 });
                }
            }
            assert_eq!(next, count as u64);
        }
    }

    #[test]
    fn starts_that_do_not_fit_are_refused() {
        let group = |starts: &[u64]| Group::new(starts, starts.len(), [0; CELL_BITS], 0);
        assert!(group(&[]).is_none());
        assert!(group(&[7, 7 + 65_536]).is_none());
        assert!(group(&[7, 6]).is_none());
        assert!(group(&[0; CELLS + 1]).is_none());
        let last = (1 << 48) - 1;
        assert_eq!(group(&[last]).unwrap().first(), last);
        let cell = group(&[7, 7 + 65_535]).unwrap().cell(1).unwrap();
        assert_eq!((cell.start, cell.count), (65_542, 1));
    }
}
