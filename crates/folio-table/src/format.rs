//! Format version 1 as types: what stands where, and what must hold.
//!
//! `docs/format.md` is the specification; the names here are the names there.

mod fence;
mod footer;
mod group;
mod header;
mod layout;
mod line;
mod perfect;
mod record;

pub(crate) use fence::{
    COLUMN_LEN, FENCE_MAX_WORDS, FenceLevel, FenceLevels, NO_FENCE, NODE_FENCES, fence_word,
};
pub(crate) use footer::{FOOTER_LEN, Footer};
pub(crate) use group::{
    CELL_BITS, Cell, Coefficients, GROUP_LEN, GROUP_MAX_COUNT, Group, cell_count_for,
};
pub(crate) use header::RawHeader;
pub(crate) use layout::{Layout, offset_bits_for};
pub(crate) use line::{LINE_LEN, Line, SLOTS, SlotShape, Tag, home_line};
pub(crate) use perfect::PerfectLayout;
pub(crate) use record::{HEAD_MAX_LEN, Record, encode_head};

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version that this build writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The longest key, in bytes. The shortest has one byte.
pub const MAX_KEY_LEN: usize = 1 << 16;

/// The longest value, in bytes. A value may be empty.
pub const MAX_VALUE_LEN: u64 = u32::MAX as u64;

/// A signature like that of PNG: a byte above 127 and a line end of two bytes show
/// what a transfer in text mode did to the file.
pub(crate) const MAGIC: [u8; 8] = *b"\x89FOLIO\r\n";

/// The unit of alignment and of checksums, in bytes.
pub(crate) const PAGE_LEN: u64 = 4096;

/// A slot has 48 bits for the offset of a record and its fingerprint.
pub(crate) const MAX_RECORDS_LEN: u64 = 1 << 48;

/// How many lines past its home line a key may stand at most.
///
/// Keys spread by a hash stay below 10 for any number of keys that there can be
/// (at load 0.85 the chance falls by a factor of 20 or more with each line), so
/// more than this is the mark of chosen keys, and the builder takes another seed.
pub(crate) const MAX_REACH: u64 = 16;

/// An entry of the order section, one for each page of the records section.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(crate) struct OrderEntry {
    /// How many records start before this page.
    pub(crate) rank: U64,
    /// Where in the records section the first record starts that starts in this
    /// page or after it; the section's length if none does.
    pub(crate) offset: U64,
}

pub(crate) const ORDER_ENTRY_LEN: u64 = size_of::<OrderEntry>() as u64;
