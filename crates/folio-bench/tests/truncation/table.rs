//! A table that is cut short under those who look things up in it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use folio::View;
use folio_table::{Builder, Checked, Error, SectionKind, Table, ValueRange, Verify};

use crate::counts::Verdict;
use crate::random::Random;
use crate::stage::{Facts, Stage};
use crate::ways::Way;

pub(crate) struct ByTable {
    table: Table<Checked<View>>,
    verify: Verify,
    records: Vec<Expected>,
    index: Range<u64>,
    page: u64,
    len: u64,
}

struct Expected {
    key: String,
    value: String,
    range: ValueRange,
}

/// A table of about so many bytes.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut builder = Builder::new();
    for (key, value) in records(len / 90) {
        builder.add(1, key.as_bytes(), value.as_bytes()).unwrap();
    }
    builder.to_vec().unwrap()
}

fn records(count: usize) -> BTreeMap<String, String> {
    (0..count)
        .map(|n| (format!("key-{n:05}"), format!("{n:05}+").repeat(1 + n % 20)))
        .collect()
}

impl ByTable {
    pub(crate) fn new(path: &Path, page: u64, verify: Verify) -> Self {
        let table = Table::options().verify(verify).open(path).unwrap();
        let count = usize::try_from(table.count()).unwrap();
        let records = records(count).into_iter().map(|(key, value)| Expected {
            range: table.locate(key.as_bytes()).unwrap().unwrap(),
            key,
            value,
        });
        let records = records.collect();
        let len = table.info().file_len;
        let sections = &table.info().sections;
        let index = sections
            .iter()
            .find(|section| section.kind == SectionKind::HashIndex)
            .map(|section| section.offset_bytes..section.offset_bytes + section.len)
            .unwrap();
        Self {
            table,
            verify,
            records,
            index,
            page,
            len,
        }
    }

    /// Whether a lookup may have seen zeros in the place of the index.
    fn index_may_be_zeros(&self, facts: Facts) -> bool {
        let is_partial = self.index.contains(&facts.end) && facts.end % self.page != 0;
        facts.end < self.index.end && (is_partial || facts.is_changing)
    }
}

impl Way for ByTable {
    fn read(&self, stage: &Stage, random: &mut Random) -> Verdict {
        let expected = &self.records[random.below(self.records.len())];
        let (found, facts) = stage.watch(|| self.table.get(expected.key.as_bytes()));
        let wrong = |what: String| Verdict::Wrong(format!("{}: {what}, {facts:?}", expected.key));
        // Where each page is checked at each use, nothing is made of zeros after the cut.
        let is_checked = self.verify == Verify::Always;
        match found {
            Ok(Some(value)) if value == expected.value.as_bytes() => Verdict::Whole,
            Ok(Some(value)) if !is_checked => {
                let right = expected.value.as_bytes();
                let present = facts.end.saturating_sub(expected.range.offset_bytes);
                let present = usize::try_from(present).unwrap().min(right.len());
                let is_legal = value.len() == right.len()
                    && value[..present] == right[..present]
                    && (value[present..].iter().zip(&right[present..]))
                        .all(|(&found, &right)| found == 0 || facts.is_changing && found == right);
                match is_legal {
                    true => Verdict::Zeros,
                    false => wrong(format!("{value:?}")),
                }
            }
            Ok(None) | Err(Error::Damaged { .. })
                if !is_checked && self.index_may_be_zeros(facts) =>
            {
                Verdict::Zeros
            }
            Err(Error::Checksum {
                what: "page",
                offset,
                ..
            }) if is_checked && (offset + 4096 > facts.end || facts.is_changing) => {
                // While the file changes, the checksum may be lost as well, and be there again
                // when it is looked at which of the two was wrong.
                Verdict::Fault
            }
            Err(Error::Checksum { what, .. })
                if is_checked && what == "checksums section" && facts.end < self.len =>
            {
                Verdict::Fault
            }
            Err(Error::Bytes(folio::Error::Fault { offset, .. })) if offset >= facts.end => {
                Verdict::Fault
            }
            other => wrong(format!("{other:?}")),
        }
    }
}
