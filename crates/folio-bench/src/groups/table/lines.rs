//! The machine's own bound.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;

use super::data::fold;
use crate::groups::files::map;
use crate::groups::pages::touch_slice;
use crate::groups::random::Random;
use crate::measure::Work;
use crate::row::Skipped;

/// The cache lines of a file: to read one at random is the least that a lookup can cost.
pub(super) struct Lines {
    mapped: memmap2::Mmap,
}

const LINE_LEN: usize = 64;

impl Lines {
    pub(super) fn of(path: &Path) -> Result<Self, Skipped> {
        let mapped = map(&File::open(path)?)?;
        Ok(Self { mapped })
    }

    /// Reads that many lines, each at random.
    pub(super) fn gather(&self) -> Work<'_> {
        let (lines, _) = self
            .mapped
            .split_at(self.mapped.len() / LINE_LEN * LINE_LEN);
        let mut random = Random::new();
        Box::new(move |units| {
            let count = u64::try_from(lines.len() / LINE_LEN)?;
            let mut sum = 0_u64;
            for _ in 0..units {
                let start = usize::try_from(random.below(count))? * LINE_LEN;
                let line = lines.get(start..start + LINE_LEN).unwrap_or_default();
                sum = sum.wrapping_add(fold(line));
            }
            black_box(sum);
            Ok(())
        })
    }

    pub(super) fn touch(&self) {
        touch_slice(&self.mapped);
    }
}
