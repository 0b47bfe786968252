//! The first page of a table, and the layout that it states.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::layout::{Layout, offset_bits_for};
use super::{FOOTER_LEN, FORMAT_VERSION, MAGIC, PAGE_LEN};
use crate::info::{IndexKind, Info, Section, SectionKind};
use crate::{Error, Result};

/// A section that a reader which does not know its kind may skip.
const SECTION_OPTIONAL: u32 = 1;

/// The feature of a table that has the perfect index in place of the hash index.
const FEATURE_PERFECT: u32 = 1;

const MAX_SECTIONS: usize = 64;
const SUMMED_LEN: usize = size_of::<RawHeader>() - size_of::<u64>();

const _: () = assert!(
    size_of::<RawHeader>() as u64 == PAGE_LEN,
    "the header is one page"
);

/// The header as it stands in the file.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    magic: [u8; 8],
    version: U32,
    required_features: U32,
    optional_features: U32,
    section_count: U32,
    file_len: U64,
    count: U64,
    key_bytes: U64,
    value_bytes: U64,
    seed: U64,
    home_lines: U64,
    offset_bits: U32,
    max_reach: U32,
    fence_prefix: U32,
    fence_words: U32,
    reserved: [u8; 40],
    sections: [RawSection; MAX_SECTIONS],
    padding: [u8; 1912],
    checksum: U64,
}

/// An entry of the section table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSection {
    kind: U32,
    flags: U32,
    offset: U64,
    len: U64,
    reserved: U64,
}

/// A header that was checked: what it states is consistent in itself and with
/// the length of the file.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) info: Info,
    pub(crate) layout: Layout,
    pub(crate) checksum: u64,
}

impl RawHeader {
    /// The header for a table, with its checksum.
    pub(crate) fn new(info: &Info) -> Self {
        let mut header = Self::new_zeroed();
        header.magic = MAGIC;
        header.version = info.version.into();
        header.file_len = info.file_len.into();
        header.count = info.count.into();
        header.key_bytes = info.key_bytes.into();
        header.value_bytes = info.value_bytes.into();
        header.seed = info.seed.into();
        header.home_lines = info.home_lines.into();
        match info.index {
            IndexKind::Hash => {
                let records_len = info.section_len(SectionKind::Records);
                header.offset_bits = offset_bits_for(records_len).into();
                header.max_reach = info.longest_probe.saturating_sub(1).into();
            }
            IndexKind::Perfect => {
                header.required_features = FEATURE_PERFECT.into();
                header.fence_prefix = info.fence_prefix_len.into();
                header.fence_words = info.fence_words.into();
            }
        }
        let mut count = 0_u32;
        for (raw, section) in header.sections.iter_mut().zip(&info.sections) {
            raw.kind = section.kind.number().into();
            raw.offset = section.offset_bytes.into();
            raw.len = section.len.into();
            count += 1;
        }
        header.section_count = count.into();
        header.checksum = header.sum().into();
        header
    }

    pub(crate) fn checksum(&self) -> u64 {
        self.checksum.get()
    }

    /// Checks everything that can be checked without reading further.
    pub(crate) fn check(&self, path: &Path, file_len: u64) -> Result<Header> {
        self.check_identity(path)?;
        if self.file_len.get() != file_len {
            return Err(Error::Length {
                path: path.to_owned(),
                expected: self.file_len.get(),
                found: file_len,
            });
        }
        let sections = self.check_sections(path)?;
        let index = match self.required_features.get() {
            FEATURE_PERFECT => IndexKind::Perfect,
            _ => IndexKind::Hash,
        };
        let of_perfect = |field: U32| match index {
            IndexKind::Perfect => field.get(),
            IndexKind::Hash => 0,
        };
        let info = Info {
            version: self.version.get(),
            file_len,
            count: self.count.get(),
            key_bytes: self.key_bytes.get(),
            value_bytes: self.value_bytes.get(),
            seed: self.seed.get(),
            home_lines: self.home_lines.get(),
            longest_probe: self.max_reach.get().saturating_add(1),
            index,
            fence_prefix_len: of_perfect(self.fence_prefix),
            fence_words: of_perfect(self.fence_words),
            sections,
        };
        let layout = Layout::new(&info, self.offset_bits.get())
            .map_err(|broken| Error::damaged(path, 0, broken))?;
        Ok(Header {
            info,
            layout,
            checksum: self.checksum(),
        })
    }

    /// Is it a table, whole, and of a version and with features that we know?
    fn check_identity(&self, path: &Path) -> Result<()> {
        if self.magic != MAGIC {
            return Err(Error::NotATable {
                path: path.to_owned(),
                reason: "wrong signature",
            });
        }
        let (expected, found) = (self.checksum(), self.sum());
        if expected != found {
            return Err(Error::Checksum {
                path: path.to_owned(),
                what: "header",
                offset: 0,
                expected,
                found,
            });
        }
        let version = self.version.get();
        if version != FORMAT_VERSION {
            return Err(Error::Version {
                path: path.to_owned(),
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        let features = self.required_features.get() & !FEATURE_PERFECT;
        if features != 0 {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                what: format!("the features {features:#x}"),
            });
        }
        Ok(())
    }

    /// The sections follow each other from the first page on, each from the next
    /// page boundary after the one before, up to the footer.
    fn check_sections(&self, path: &Path) -> Result<Vec<Section>> {
        let damaged = |what: String| Error::damaged(path, 0, what);
        let count = usize::try_from(self.section_count.get()).unwrap_or(usize::MAX);
        let raw_sections = self
            .sections
            .get(..count)
            .ok_or_else(|| damaged(format!("{count} sections, but at most {MAX_SECTIONS} fit")))?;
        let mut sections = Vec::with_capacity(count);
        let mut end = PAGE_LEN;
        for raw in raw_sections {
            let section = raw.check(path)?;
            if Some(section.offset_bytes) != end.checked_next_multiple_of(PAGE_LEN) {
                let offset = section.offset_bytes;
                let what = format!("a section at byte {offset}, but the last ends at {end}");
                return Err(damaged(what));
            }
            end = section
                .offset_bytes
                .checked_add(section.len)
                .ok_or_else(|| damaged(format!("a section of {} bytes", section.len)))?;
            sections.push(section);
        }
        let last = sections.last().map(|section| section.kind);
        if last != Some(SectionKind::Checksums) {
            return Err(damaged("the checksums section is not the last".to_owned()));
        }
        if Some(end) != self.file_len.get().checked_sub(FOOTER_LEN) {
            return Err(damaged(format!(
                "the sections end at byte {end}, not at the footer"
            )));
        }
        Ok(sections)
    }

    fn sum(&self) -> u64 {
        xxh3_64(self.as_bytes().get(..SUMMED_LEN).unwrap_or_default())
    }
}

impl RawSection {
    fn check(&self, path: &Path) -> Result<Section> {
        let kind = SectionKind::from_number(self.kind.get());
        let flags = self.flags.get();
        let skippable = flags == SECTION_OPTIONAL;
        let plain = flags == 0 && !matches!(kind, SectionKind::Unknown(_));
        if !plain && !skippable {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                what: format!("a section of {kind} with flags {flags:#x}"),
            });
        }
        Ok(Section {
            kind,
            offset_bytes: self.offset.get(),
            len: self.len.get(),
        })
    }
}
