//! What a table says of itself.

use std::fmt;

/// What a table's header says: sizes, counts and the shape of the index.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The version of the format.
    pub version: u32,
    /// The length of the file, in bytes.
    pub file_len: u64,
    /// How many records there are.
    pub count: u64,
    /// The length of all keys, in bytes.
    pub key_bytes: u64,
    /// The length of all values, in bytes.
    pub value_bytes: u64,
    /// The seed of the hash that places keys in the index.
    pub seed: u64,
    /// What finds a key's record.
    pub index: IndexKind,
    /// How many lines of the hash index a hash can choose; 0 if the index is a perfect one.
    pub home_lines: u64,
    /// How many lines of the index the longest lookup reads.
    pub longest_probe: u32,
    /// How many bytes at the start of keys the fences of the perfect index leave out, because all keys
    /// share them; 0 if the index is another one.
    pub fence_prefix_len: u32,
    /// How many words of eight bytes a fence of the perfect index has; 0 if the index is another one.
    pub fence_words: u32,
    /// The sections, in the order of the file.
    pub sections: Vec<Section>,
}

impl Info {
    /// The length of the sections of one kind, in bytes; 0 if there is none.
    #[must_use]
    pub fn section_len(&self, kind: SectionKind) -> u64 {
        let of_kind = self.sections.iter().filter(|section| section.kind == kind);
        of_kind.map(|section| section.len).sum()
    }

    /// How full the hash index is: records for each slot, 0 to 1; 0 if the index is a perfect one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio to be printed")]
    pub fn load(&self) -> f64 {
        let lines = self.section_len(SectionKind::HashIndex) / crate::format::LINE_LEN;
        let slots = lines * crate::format::SLOTS as u64;
        if slots == 0 {
            return 0.0;
        }
        self.count as f64 / slots as f64
    }

    /// What the index takes, in bytes a record.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio to be printed")]
    pub fn index_bytes(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let kinds = match self.index {
            IndexKind::Hash => [SectionKind::HashIndex].as_slice(),
            IndexKind::Perfect => &[SectionKind::Groups, SectionKind::Fences],
        };
        let len: u64 = kinds.iter().map(|kind| self.section_len(*kind)).sum();
        len as f64 / self.count as f64
    }

    /// What the file takes above its keys and values, in bytes a record.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio to be printed")]
    pub fn overhead_bytes(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let content = self.key_bytes.saturating_add(self.value_bytes);
        self.file_len.saturating_sub(content) as f64 / self.count as f64
    }
}

/// What finds a key's record in a table.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexKind {
    /// A hash index: 7.5 bytes a record. A lookup reads one line of it, and the record.
    #[default]
    Hash,
    /// A perfect index: 0.7 bytes a record, and at most 1 where records have up to 600 bytes. A lookup
    /// reads one line of it, beside what stays in the processor's cache, and up to
    /// fourteen records that stand side by side.
    Perfect,
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash => "hash",
            Self::Perfect => "perfect",
        })
    }
}

/// A part of a table's file.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it holds.
    pub kind: SectionKind,
    /// Where it begins in the file: on a page boundary.
    pub offset_bytes: u64,
    /// How long it is, without the padding up to the next page boundary.
    pub len: u64,
}

/// What a section holds.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// The records, in the order of their keys.
    Records,
    /// Where each key's record stands, by hash.
    HashIndex,
    /// Which records stand in each page, for ordered access.
    Order,
    /// A checksum for each page.
    Checksums,
    /// The groups of the perfect index: which part of a group each of its keys is in.
    Groups,
    /// The fences of the perfect index: with which key each group begins.
    Fences,
    /// Something optional, of a later version; its number.
    Unknown(u32),
}

impl SectionKind {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Records => 1,
            Self::HashIndex => 2,
            Self::Order => 3,
            Self::Checksums => 4,
            Self::Groups => 5,
            Self::Fences => 6,
            Self::Unknown(number) => number,
        }
    }

    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Records,
            2 => Self::HashIndex,
            3 => Self::Order,
            4 => Self::Checksums,
            5 => Self::Groups,
            6 => Self::Fences,
            number => Self::Unknown(number),
        }
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records => f.write_str("records"),
            Self::HashIndex => f.write_str("hash index"),
            Self::Order => f.write_str("order"),
            Self::Checksums => f.write_str("checksums"),
            Self::Groups => f.write_str("groups"),
            Self::Fences => f.write_str("fences"),
            Self::Unknown(number) => write!(f, "unknown kind {number}"),
        }
    }
}
