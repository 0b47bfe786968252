//! A line of the hash index: ten slots and what a lookup needs to know when to stop.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// How many records a line can point to.
pub(crate) const SLOTS: usize = 10;

/// A line is a cache line.
pub(crate) const LINE_LEN: u64 = size_of::<Line>() as u64;

const _: () = assert!(LINE_LEN == 64, "a line of the index is a cache line");

/// Ten 48-bit slots, split into columns so that the upper sixteen bits of all
/// ten are compared at once, and four bytes about the line.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Line {
    /// Bits 32 to 47 of each slot.
    high: [U16; SLOTS],
    /// Bits 0 to 31 of each slot.
    low: [U32; SLOTS],
    /// How many slots are in use; they are the first ones.
    pub(crate) used: u8,
    /// How many lines further the furthest key stands whose home is this line.
    pub(crate) reach: u8,
    /// The classes (one bit each) of the keys whose home is this line and that
    /// stand further on.
    strays: U16,
}

impl Line {
    /// The slots in use whose fingerprint is the tag's, as record offsets.
    #[inline]
    pub(crate) fn matches(&self, tag: Tag) -> Matches<'_> {
        let mut candidates = 0_u16;
        let [tag_high, high_mask] = [tag.bits, tag.shape.high_masks << 32].map(bits_32_to_47);
        for (slot, high) in self.high.iter().enumerate() {
            let same = (high.get() ^ tag_high) & high_mask == 0;
            candidates |= u16::from(same) << slot;
        }
        let used = u32::from(self.used).min(16);
        candidates &= u16::MAX
            .checked_shl(used)
            .map_or(u16::MAX, |unused| !unused);
        Matches {
            line: self,
            tag,
            candidates,
        }
    }

    /// The first slot that may be the tag's, by the upper sixteen bits alone, of whichever order: to be
    /// compared with [`Slot::offset`], and there may be others.
    ///
    /// Four slots a word, and without a loop, whose end a processor could not foresee.
    #[inline]
    pub(crate) fn likely_match(&self, tag: Tag) -> Option<Slot> {
        let HighWords(first, second, rest) = zerocopy::transmute_ref!(&self.high);
        let pattern = u64::from(bits_32_to_47(tag.bits)).wrapping_mul(LANES);
        // The upper bit of each lane that is equal to the pattern's, and perhaps of lanes above one that is.
        let equal_lanes = |word: u64| {
            let difference = (word ^ pattern) & tag.shape.high_masks;
            difference.wrapping_sub(LANES) & !difference & (LANES << 15)
        };
        // The bits of a word are moved to the places that the other words leave.
        let candidates = equal_lanes(first.get()) >> 15
            | equal_lanes(second.get()) >> 14
            | equal_lanes(u64::from(rest.get())) >> 13;
        if candidates == 0 {
            return None;
        }
        let bit = candidates.trailing_zeros();
        let index = (bit & 15) * 4 + (bit >> 4);
        Some(Slot {
            bits: self.slot(index as usize),
            is_used: index < u32::from(self.used),
        })
    }

    /// Whether a key with this tag, whose home is this line, may stand further on.
    #[inline]
    pub(crate) fn sends_on(&self, tag: Tag) -> bool {
        self.strays.get() >> tag.class & 1 != 0
    }

    /// Takes the next slot for a record. The caller knows that there is one.
    pub(crate) fn push(&mut self, slot: u64) {
        let [low_bytes @ .., e, f, _, _] = slot.to_le_bytes();
        let index = usize::from(self.used);
        if let (Some(high), Some(low)) = (self.high.get_mut(index), self.low.get_mut(index)) {
            *high = U16::from_bytes([e, f]);
            *low = U32::from_bytes(low_bytes);
            self.used += 1;
        }
    }

    /// Notes that a key whose home is this line stands `reach` lines further on.
    pub(crate) fn note_stray(&mut self, tag: Tag, reach: u8) {
        self.reach = self.reach.max(reach);
        self.strays = (self.strays.get() | 1 << tag.class).into();
    }

    /// Whether the slots not in use are zero, as the builder leaves them.
    pub(crate) fn is_tidy(&self) -> bool {
        let used = usize::from(self.used);
        let mut unused = self.high.iter().zip(&self.low).skip(used);
        used <= SLOTS && unused.all(|(high, low)| high.get() == 0 && low.get() == 0)
    }

    #[inline]
    fn slot(&self, index: usize) -> u64 {
        let high = self.high.get(index).map_or(0, |high| high.get());
        let low = self.low.get(index).map_or(0, |low| low.get());
        u64::from(high) << 32 | u64::from(low)
    }
}

/// The upper parts of the slots as words.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HighWords(U64, U64, U32);

/// The lowest bit of each lane of sixteen.
const LANES: u64 = 0x0001_0001_0001_0001;

/// How the slots of a table are divided between fingerprint and offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotShape {
    /// At most 48.
    offset_bits: u32,
    /// Which bits of the upper part are fingerprint, in each lane.
    high_masks: u64,
}

impl SlotShape {
    pub(crate) fn new(offset_bits: u32) -> Self {
        let mut shape = Self {
            offset_bits,
            high_masks: 0,
        };
        shape.high_masks = u64::from(bits_32_to_47(!shape.offset_mask())) * LANES;
        shape
    }

    /// What of the hash of a key stands in its slot.
    #[inline]
    pub(crate) fn tag(self, hash: u64) -> Tag {
        const SLOT_MASK: u64 = (1 << 48) - 1;
        Tag {
            bits: hash.wrapping_shl(self.offset_bits) & SLOT_MASK,
            shape: self,
            // Bits that neither choose the line (the upper ones) nor, in a table
            // of more than 16 MiB, are part of the fingerprint (the lower ones).
            class: hash >> 24 & 15,
        }
    }

    /// The bits of a slot that are the record offset.
    #[inline]
    fn offset_mask(self) -> u64 {
        1_u64.wrapping_shl(self.offset_bits) - 1
    }
}

/// What of a key's hash is compared within lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    /// The fingerprint, where it stands in a slot.
    bits: u64,
    shape: SlotShape,
    /// The class of the key: the number of a bit of [`Line::strays`].
    class: u64,
}

impl Tag {
    /// The slot for the record at `offset` whose key has this tag.
    pub(crate) fn slot(self, offset: u64) -> u64 {
        self.bits | (offset & self.shape.offset_mask())
    }
}

/// A slot with the upper sixteen bits of a tag's fingerprint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    bits: u64,
    is_used: bool,
}

impl Slot {
    /// The offset of its record, if it is in use and has the tag's fingerprint; otherwise one that is past
    /// the end of the records section.
    #[inline]
    pub(crate) fn offset(self, tag: Tag) -> u64 {
        if self.is_used {
            self.bits ^ tag.bits
        } else {
            u64::MAX
        }
    }
}

/// The record offsets that a line has for a tag.
#[derive(Debug)]
pub(crate) struct Matches<'a> {
    line: &'a Line,
    tag: Tag,
    candidates: u16,
}

impl Iterator for Matches<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        while self.candidates != 0 {
            let slot = self.line.slot(self.candidates.trailing_zeros() as usize);
            self.candidates &= self.candidates - 1;
            let offset_mask = self.tag.shape.offset_mask();
            if slot & !offset_mask == self.tag.bits {
                return Some(slot & offset_mask);
            }
        }
        None
    }
}

/// Which of `home_lines` lines a hash belongs to: multiply and shift, which takes
/// any number of lines, and keeps hashes and lines in the same order.
#[inline]
pub(crate) fn home_line(hash: u64, home_lines: u64) -> u64 {
    let product = u128::from(hash) * u128::from(home_lines);
    (product >> 64) as u64
}

#[inline]
fn bits_32_to_47(bits: u64) -> u16 {
    let [_, _, _, _, e, f, ..] = bits.to_le_bytes();
    u16::from_le_bytes([e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_the_slots_in_use_with_the_fingerprint() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            state >> 7
        };
        for offset_bits in [0, 1, 20, 31, 32, 33, 40, 47, 48] {
            for used in 0..=SLOTS {
                let mut line = Line::default();
                let shape = SlotShape::new(offset_bits);
                let tags: Vec<_> = (0..used).map(|_| shape.tag(random())).collect();
                let offsets: Vec<_> = (0..used)
                    .map(|_| random() & ((1 << offset_bits) - 1))
                    .collect();
                for (tag, offset) in tags.iter().zip(&offsets) {
                    line.push(tag.slot(*offset));
                }
                assert_eq!(usize::from(line.used), used);
                assert!(line.is_tidy());
                // A tag of all zeros is what slots that are not in use would have.
                for tag in tags.iter().copied().chain([shape.tag(0)]) {
                    let mut found: Vec<_> = line.matches(tag).collect();
                    let mut expected: Vec<_> = (0..used)
                        .filter(|&slot| tags[slot].bits == tag.bits)
                        .map(|slot| offsets[slot])
                        .collect();
                    // Whichever slot is likely, it is one of them or none.
                    let likely = line.likely_match(tag).map(|slot| slot.offset(tag));
                    match likely.filter(|offset| *offset < 1 << offset_bits) {
                        Some(offset) => assert!(found.contains(&offset)),
                        None if likely.is_none() => assert!(found.is_empty()),
                        None => {}
                    }
                    found.sort_unstable();
                    expected.sort_unstable();
                    assert_eq!(found, expected);
                }
            }
        }
    }
}
