//! The last 64 bytes of a table.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Error, Result};

pub(crate) const FOOTER_LEN: u64 = size_of::<Footer>() as u64;

const MAGIC: [u8; 8] = *b"FOLIOEND";
const SUMMED_LEN: usize = size_of::<Footer>() - size_of::<u64>();

/// The footer: it ties the header to the checksums section, and shows that the
/// writer came to the end.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Footer {
    magic: [u8; 8],
    pub(crate) file_len: U64,
    pub(crate) count: U64,
    pub(crate) header_checksum: U64,
    /// The checksum of the checksums section.
    pub(crate) sums_checksum: U64,
    reserved: [u8; 16],
    checksum: U64,
}

impl Footer {
    pub(crate) fn new(file_len: u64, count: u64, header_checksum: u64, sums_checksum: u64) -> Self {
        let mut footer = Self {
            magic: MAGIC,
            file_len: file_len.into(),
            count: count.into(),
            header_checksum: header_checksum.into(),
            sums_checksum: sums_checksum.into(),
            reserved: [0; 16],
            checksum: 0.into(),
        };
        footer.checksum = footer.sum().into();
        footer
    }

    /// Checks the footer, which stands at `offset`, in itself.
    pub(crate) fn check(&self, path: &Path, offset: u64) -> Result<()> {
        let (expected, found) = (self.checksum.get(), self.sum());
        if expected != found {
            return Err(Error::Checksum {
                path: path.to_owned(),
                what: "footer",
                offset,
                expected,
                found,
            });
        }
        if self.magic != MAGIC {
            return Err(Error::damaged(path, offset, "no footer here"));
        }
        Ok(())
    }

    fn sum(&self) -> u64 {
        xxh3_64(self.as_bytes().get(..SUMMED_LEN).unwrap_or_default())
    }
}
