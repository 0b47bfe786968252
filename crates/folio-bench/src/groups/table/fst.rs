//! The peer fst, whose values are numbers: here the places of the values in a file of their own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use fst::{Map, MapBuilder};
use memmap2::Mmap;

use super::data::{Key, Records};
use crate::groups::files::map;
use crate::groups::pages::touch_slice;
use crate::row::Skipped;

/// A transducer from keys to offsets, and the values that stand there.
pub(super) struct Fst {
    offsets: Map<Mmap>,
    values: Mmap,
    value_len: usize,
}

impl Fst {
    /// Records have to come in order.
    pub(super) fn make(records: &impl Records, folder: &Path) -> Result<Self, Skipped> {
        let (path, values_path) = (folder.join("table.fst"), folder.join("values"));
        let mut offsets = MapBuilder::new(BufWriter::new(File::create(&path)?))?;
        let mut values = BufWriter::new(File::create(&values_path)?);
        let mut offset = 0;
        records.each(|key, value| {
            offsets.insert(key, offset)?;
            values.write_all(value)?;
            offset += u64::try_from(value.len())?;
            Ok(())
        })?;
        offsets.finish()?;
        values.flush()?;
        Ok(Self {
            offsets: Map::new(map(&File::open(path)?)?)?,
            values: map(&File::open(values_path)?)?,
            value_len: records.data().value_len,
        })
    }

    #[inline]
    pub(super) fn get(&self, key: &Key) -> Result<Option<&[u8]>, Skipped> {
        let Some(offset) = self.offsets.get(key) else {
            return Ok(None);
        };
        let rest = self.values.get(usize::try_from(offset)?..);
        Ok(rest.and_then(|rest| rest.get(..self.value_len)))
    }

    pub(super) fn touch(&self) {
        touch_slice(self.offsets.as_fst().as_bytes());
        touch_slice(&self.values);
    }
}
