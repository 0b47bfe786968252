//! Where the perfect index is, and what of it must fit together.

use super::layout::{absent, first_broken, only};
use super::{COLUMN_LEN, FENCE_MAX_WORDS, FenceLevels, GROUP_LEN, GROUP_MAX_COUNT, MAX_KEY_LEN};
use crate::info::{Info, SectionKind};

/// Where things are in a perfect index. Once made, it fits together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerfectLayout {
    pub(crate) groups_offset: u64,
    pub(crate) groups: u64,
    pub(crate) fences_offset: u64,
    pub(crate) fences: FenceLevels,
    /// How many bytes of keys fences leave out.
    pub(crate) prefix_len: usize,
    /// How many words a fence has.
    pub(crate) words: u32,
}

impl PerfectLayout {
    /// The error is the broken rule.
    pub(super) fn new(info: &Info) -> Result<Self, &'static str> {
        let groups_section = only(info, SectionKind::Groups)?;
        let fences_section = only(info, SectionKind::Fences)?;
        absent(info, SectionKind::HashIndex)?;
        let groups = groups_section.len / GROUP_LEN;
        let fences = FenceLevels::new(groups);
        let node_len = u64::from(info.fence_words).saturating_mul(COLUMN_LEN as u64);
        let prefix_len = usize::try_from(info.fence_prefix_len).unwrap_or(usize::MAX);
        first_broken([
            (
                info.home_lines == 0 && info.longest_probe == 1,
                "a perfect index with lines of a hash index",
            ),
            (
                groups_section.len % GROUP_LEN == 0,
                "the groups section has a part of a group",
            ),
            (
                groups <= info.count
                    && u128::from(info.count) <= u128::from(groups) * GROUP_MAX_COUNT as u128,
                "the number of groups does not fit the number of records",
            ),
            (
                (1..=FENCE_MAX_WORDS).contains(&info.fence_words) && prefix_len <= MAX_KEY_LEN,
                "fences that cannot be",
            ),
            (
                fences.nodes().checked_mul(node_len) == Some(fences_section.len),
                "the fences section's length does not fit the groups section",
            ),
        ])?;
        Ok(Self {
            groups_offset: groups_section.offset_bytes,
            groups,
            fences_offset: fences_section.offset_bytes,
            fences,
            prefix_len,
            words: info.fence_words,
        })
    }

    /// How long a node of fences is, in bytes.
    #[inline]
    pub(crate) fn node_len(&self) -> u64 {
        u64::from(self.words) * COLUMN_LEN as u64
    }
}
