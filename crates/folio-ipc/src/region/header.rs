//! The first page of a region.
//!
//! All of it but the last bytes never changes, and has a checksum. The size and the boot id
//! have checks of their own, so that no bit of the page can turn over unnoticed.

use std::path::Path;

use xxhash_rust::const_xxh3;
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::layout::{Dimensions, Layout, PAGE_BYTES, RECORD_BYTES, SLOT_BYTES};
use crate::directory::ENTRY_WORDS;
use crate::heap::JOURNAL_LEN;
use crate::{Error, Result};

pub(crate) const HEADER_LEN: usize = 4096;

/// Where the word is that holds the size.
pub(crate) const SIZE_WORD: u64 = 4056;

/// Where the word is that tells boots of the machine apart.
pub(crate) const BOOT_WORD: u64 = 4064;

/// The last words, which are 0.
const LAST_WORDS: u64 = 4072;

const MAGIC: [u8; 8] = *b"\x89folioR\n";
const FORMAT_VERSION: u32 = 1;
const BYTE_ORDER: u32 = 0x0102_0304;

/// A region that others than its owner may write to.
const FLAG_SHARED_WRITERS: u32 = 1;

/// What the sizes of the parts are, in 64 bits: two builds that disagree cannot share a region.
const LAYOUT_FINGERPRINT: u64 = {
    let parts = [
        size_of::<usize>() as u64,
        SLOT_BYTES,
        RECORD_BYTES,
        ENTRY_WORDS,
        JOURNAL_LEN,
        size_of::<folio_sys::robust::RobustWord>() as u64,
    ];
    let mut seed = 0;
    let mut rest: &[u64] = &parts;
    while let [first, others @ ..] = rest {
        seed = const_xxh3::xxh3_64_with_seed(&first.to_le_bytes(), seed);
        rest = others;
    }
    seed
};

/// The page as it stands in the file.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct RawHeader {
    magic: [u8; 8],
    byte_order: u32,
    version: u32,
    word_bits: u32,
    flags: u32,
    layout: u64,
    capacity_bytes: u64,
    participants: u32,
    threads: u32,
    objects: u32,
    mode: u32,
    reserved: [u64; 499],
    checksum: u64,
    size: u64,
    boot: u64,
    last: [u64; 3],
}

const _: () = assert!(
    size_of::<RawHeader>() == HEADER_LEN,
    "the header is one page"
);
const _: () = assert!(std::mem::offset_of!(RawHeader, size) as u64 == SIZE_WORD);
const _: () = assert!(std::mem::offset_of!(RawHeader, boot) as u64 == BOOT_WORD);
const _: () = assert!(std::mem::offset_of!(RawHeader, last) as u64 == LAST_WORDS);

/// What a header states, after it was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) layout: Layout,
    pub(crate) size_bytes: u64,
    /// The permission bits that it was made with.
    pub(crate) mode: u32,
    /// Whether others than the owner were to write to it.
    pub(crate) shared_writers: bool,
}

impl Header {
    /// The page to be written.
    pub(crate) fn to_raw(self, boot_id: u128) -> RawHeader {
        let mut raw = RawHeader::new_zeroed();
        let dimensions = self.layout.dimensions;
        raw.magic = MAGIC;
        raw.byte_order = BYTE_ORDER;
        raw.version = FORMAT_VERSION;
        raw.word_bits = usize::BITS;
        raw.flags = if self.shared_writers {
            FLAG_SHARED_WRITERS
        } else {
            0
        };
        raw.layout = LAYOUT_FINGERPRINT;
        raw.capacity_bytes = dimensions.capacity_bytes;
        raw.participants = dimensions.participants;
        raw.threads = dimensions.threads;
        raw.objects = dimensions.objects;
        raw.mode = self.mode;
        raw.checksum = raw.sum();
        raw.size = size_to_word(self.size_bytes);
        raw.boot = boot_to_word(boot_id);
        raw
    }
}

impl RawHeader {
    /// Checks that the file begins as a region does.
    pub(crate) fn check_magic(&self, path: &Path) -> Result<()> {
        if self.magic == MAGIC {
            return Ok(());
        }
        Err(Error::NotARegion {
            path: path.to_owned(),
            reason: "its first bytes are others",
        })
    }

    /// Checks all that can be checked without reading further.
    pub(crate) fn check(&self, path: &Path) -> Result<Header> {
        self.check_magic(path)?;
        if self.byte_order == BYTE_ORDER.swap_bytes() {
            return Err(Error::ByteOrder {
                path: path.to_owned(),
            });
        }
        if self.byte_order != BYTE_ORDER {
            return Err(Error::NotARegion {
                path: path.to_owned(),
                reason: "it has no byte order",
            });
        }
        if self.version != FORMAT_VERSION {
            return Err(Error::Version {
                path: path.to_owned(),
                found: self.version,
                supported: FORMAT_VERSION,
            });
        }
        if self.word_bits != usize::BITS {
            return Err(Error::WordSize {
                path: path.to_owned(),
                found: self.word_bits,
                supported: usize::BITS,
            });
        }
        if self.layout != LAYOUT_FINGERPRINT {
            return Err(Error::Layout {
                path: path.to_owned(),
                expected: LAYOUT_FINGERPRINT,
                found: self.layout,
            });
        }
        let (expected, found) = (self.checksum, self.sum());
        if expected != found {
            let what = format!("checksum {expected:016x} expected, {found:016x} found");
            return Err(Error::damaged(path, 0, what));
        }
        self.check_consistency(path)
    }

    fn check_consistency(&self, path: &Path) -> Result<Header> {
        let dimensions = Dimensions {
            participants: self.participants,
            threads: self.threads,
            objects: self.objects,
            capacity_bytes: self.capacity_bytes,
        };
        let layout =
            Layout::new(dimensions).map_err(|error| Error::damaged(path, 0, error.to_string()))?;
        let size_bytes = size_from_word(self.size)
            .filter(|size| (layout.least_size_bytes()..=self.capacity_bytes).contains(size));
        let Some(size_bytes) = size_bytes else {
            let what = format!("the word {:016x} is no size", self.size);
            return Err(Error::damaged(path, SIZE_WORD, what));
        };
        if open(self.boot).is_none() {
            let what = format!("the word {:016x} is no boot", self.boot);
            return Err(Error::damaged(path, BOOT_WORD, what));
        }
        if self.last != [0; 3] || self.flags & !FLAG_SHARED_WRITERS != 0 {
            return Err(Error::damaged(
                path,
                LAST_WORDS,
                "bits that have no meaning",
            ));
        }
        Ok(Header {
            layout,
            size_bytes,
            mode: self.mode,
            shared_writers: self.flags & FLAG_SHARED_WRITERS != 0,
        })
    }

    /// The checksum of what never changes.
    fn sum(&self) -> u64 {
        let bytes = self.as_bytes();
        let end = std::mem::offset_of!(Self, checksum);
        xxh3_64(bytes.get(..end).unwrap_or_default())
    }
}

/// The word for a size.
pub(crate) fn size_to_word(size_bytes: u64) -> u64 {
    seal(size_bytes / PAGE_BYTES)
}

/// The size that a word holds; `None` if it holds none.
pub(crate) fn size_from_word(word: u64) -> Option<u64> {
    open(word).map(|pages| pages * PAGE_BYTES)
}

/// The word for a boot of the machine: 40 bits that follow from its id.
pub(crate) fn boot_to_word(boot_id: u128) -> u64 {
    seal(xxh3_64(&boot_id.to_le_bytes()) & VALUE_MASK)
}

const VALUE_BITS: u32 = 40;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;

/// A value of 40 bits, and a check of it above, in one word, so that both are stored at once.
fn seal(value: u64) -> u64 {
    value | check_of(value) << VALUE_BITS
}

/// The value in a word; `None` if its check is wrong.
fn open(word: u64) -> Option<u64> {
    let value = word & VALUE_MASK;
    (word >> VALUE_BITS == check_of(value)).then_some(value)
}

fn check_of(value: u64) -> u64 {
    xxh3_64(&value.to_le_bytes()) >> VALUE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_a_bit_turned_over_hold_nothing() {
        for size_bytes in [0, PAGE_BYTES, 1 << 20, (1 << 46) - PAGE_BYTES, 1 << 46] {
            let word = size_to_word(size_bytes);
            assert_eq!(size_from_word(word), Some(size_bytes));
            for bit in 0..64 {
                assert_eq!(size_from_word(word ^ 1 << bit), None, "{size_bytes} {bit}");
            }
        }
    }
}
