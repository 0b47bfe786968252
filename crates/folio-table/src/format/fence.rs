//! Fences: the beginnings of the groups' first keys, in a tree that finds a key's group.

/// How many fences stand together in a node.
pub(crate) const NODE_FENCES: usize = 8;

/// The most words of eight bytes that a fence can have.
pub(crate) const FENCE_MAX_WORDS: u32 = 4;

/// What fills up the last node of a level.
pub(crate) const NO_FENCE: u64 = u64::MAX;

/// Where the words of nodes are, each for all fences of a node.
pub(crate) const COLUMN_LEN: usize = NODE_FENCES * size_of::<u64>();

/// More than enough for 2⁴⁸ fences.
const MAX_LEVELS: usize = 17;

/// Word `number` of a key's fence: eight bytes of the key after the prefix that all keys share,
/// the first one the most significant, so that words are in the order of the keys. Where the key
/// has ended, bytes are zero.
#[inline]
pub(crate) fn fence_word(key: &[u8], prefix_len: usize, number: u32) -> u64 {
    let start = prefix_len.saturating_add(number as usize * size_of::<u64>());
    let rest = key.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(word) => u64::from_be_bytes(*word),
        None => short_word(rest),
    }
}

#[inline]
fn short_word(rest: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_be_bytes(word)
}

/// How the fences of a number of groups stand in their section: the lowest level, which has a
/// fence for each group, then, for each level, one with the first fence of each of its nodes, up
/// to a level of one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FenceLevels {
    levels: [FenceLevel; MAX_LEVELS],
    used: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FenceLevel {
    /// How many nodes stand before it in the section.
    pub(crate) start: u64,
    /// How many fences it has.
    pub(crate) count: u64,
}

impl FenceLevels {
    pub(crate) fn new(groups: u64) -> Self {
        let mut tree = Self {
            levels: [FenceLevel::default(); MAX_LEVELS],
            used: 0,
        };
        let (mut start, mut count) = (0_u64, groups);
        for level in &mut tree.levels {
            if count == 0 {
                break;
            }
            *level = FenceLevel { start, count };
            tree.used += 1;
            let nodes = count.div_ceil(NODE_FENCES as u64);
            start = start.saturating_add(nodes);
            count = if nodes == 1 { 0 } else { nodes };
        }
        tree
    }

    /// The levels, the lowest first.
    #[inline]
    pub(crate) fn levels(&self) -> &[FenceLevel] {
        self.levels.get(..self.used).unwrap_or_default()
    }

    /// The nodes of all levels.
    pub(crate) fn nodes(&self) -> u64 {
        self.levels().last().map_or(0, |top| top.start + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_the_order_of_keys() {
        assert_eq!(fence_word(b"key-abcdefgh", 4, 0), 0x6162_6364_6566_6768);
        assert_eq!(fence_word(b"key-abcdefghi", 4, 1), 0x6900_0000_0000_0000);
        assert_eq!(fence_word(b"key", 4, 0), 0);
        assert_eq!(fence_word(b"key", usize::MAX, 3), 0);
        assert!(fence_word(b"a", 0, 0) < fence_word(b"aa", 0, 0));
        assert!(fence_word(b"ab", 0, 0) < fence_word(b"b", 0, 0));
    }

    #[test]
    fn levels_end_with_one_node() {
        assert!(FenceLevels::new(0).levels().is_empty());
        assert_eq!(FenceLevels::new(0).nodes(), 0);
        for (groups, counts, nodes) in [
            (1, vec![1], 1),
            (8, vec![8], 1),
            (9, vec![9, 2], 3),
            (64, vec![64, 8], 9),
            (65, vec![65, 9, 2], 12),
            (90_910, vec![90_910, 11_364, 1421, 178, 23, 3], 12_990),
        ] {
            let tree = FenceLevels::new(groups);
            let found: Vec<_> = tree.levels().iter().map(|level| level.count).collect();
            assert_eq!(found, counts);
            assert_eq!(tree.nodes(), nodes);
        }
        let top = FenceLevels::new(1 << 48);
        assert_eq!(top.levels().last().map(|level| level.count), Some(8));
    }
}
