//! A line of the hash index: ten slots and what a lookup needs to know when to stop.

use zerocopy::little_endian::{U16, U32};
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
        for (slot, high) in self.high.iter().enumerate() {
            let same = (high.get() ^ tag.high) & tag.high_mask == 0;
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

    /// Whether a key with this tag, whose home is this line, may stand further on.
    #[inline]
    pub(crate) fn sends_on(&self, tag: Tag) -> bool {
        self.strays.get() & tag.class != 0
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
        self.strays = (self.strays.get() | tag.class).into();
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

/// What of a key's hash is compared within lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tag {
    /// The fingerprint, where it stands in a slot.
    bits: u64,
    /// The bits of a slot that are the record offset.
    offset_mask: u64,
    /// Bits 32 to 47 of `bits`, and which of them are fingerprint.
    high: u16,
    high_mask: u16,
    /// One bit: the class of the key in [`Line::strays`].
    class: u16,
}

impl Tag {
    #[inline]
    pub(crate) fn new(hash: u64, offset_bits: u32) -> Self {
        const SLOT_MASK: u64 = (1 << 48) - 1;
        let offset_mask = (1_u64 << (offset_bits & 63)) - 1;
        let bits = (hash << (offset_bits & 63)) & SLOT_MASK & !offset_mask;
        Self {
            bits,
            offset_mask,
            high: bits_32_to_47(bits),
            high_mask: bits_32_to_47(!offset_mask),
            // Bits that neither choose the line (the upper ones) nor, in a table
            // of more than 16 MiB, are part of the fingerprint (the lower ones).
            class: 1 << ((hash >> 24) & 15),
        }
    }

    /// The slot for the record at `offset` whose key has this tag.
    pub(crate) fn slot(self, offset: u64) -> u64 {
        self.bits | (offset & self.offset_mask)
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
            if slot & !self.tag.offset_mask == self.tag.bits {
                return Some(slot & self.tag.offset_mask);
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
