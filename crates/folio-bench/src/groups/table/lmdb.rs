//! The peer LMDB, by heed, as one uses it who wants speed: no read-ahead, no lock file, no slots of
//! threads, and one read transaction for all there is to read.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, WithoutTls};

use super::data::{Data, KEY_LEN, Key, Records, These, fold};
use crate::row::Skipped;

type Table = Database<Bytes, Bytes>;

/// An open environment, and the transaction that reads it.
pub(super) struct Lmdb {
    table: Table,
    reader: RoTxn<'static, WithoutTls>,
    data: Data,
    /// For each page at least one id of a record in it.
    samples: Vec<u64>,
}

/// In which order records are put.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Put {
    /// As they come.
    Anyhow,
    /// In the order of their keys, each behind the last one.
    Append,
}

impl Lmdb {
    /// Makes an environment of these records, in one transaction that brings it to the disk.
    pub(super) fn make(records: &impl Records, put: Put, path: &Path) -> Result<(), Skipped> {
        let env = open(records.data(), path, EnvFlags::NO_READ_AHEAD)?;
        let mut writer = env.write_txn()?;
        let table: Table = env.create_database(&mut writer, None)?;
        let flags = match put {
            Put::Anyhow => PutFlags::empty(),
            Put::Append => PutFlags::APPEND,
        };
        records.each(|key, value| Ok(table.put_with_flags(&mut writer, flags, key, value)?))?;
        writer.commit()?;
        Ok(())
    }

    pub(super) fn open(data: Data, sorted_ids: &[u64], path: &Path) -> Result<Self, Skipped> {
        let flags = EnvFlags::NO_READ_AHEAD | EnvFlags::READ_ONLY | EnvFlags::NO_LOCK;
        let env = open(data, path, flags)?;
        let reader = env.clone().static_read_txn()?;
        let table = env.open_database(&reader, None)?;
        let table = table.ok_or_else(|| Skipped("LMDB has lost its records".into()))?;
        // Half as many as fit a page, if that.
        let step = 2048 / (KEY_LEN + data.value_len);
        let samples = sorted_ids.iter().step_by(step.max(1)).copied();
        Ok(Self {
            table,
            reader,
            data,
            samples: samples.collect(),
        })
    }

    /// The value of a key, where it stands in the mapping.
    #[inline]
    pub(super) fn get(&self, key: &Key) -> Result<Option<&[u8]>, Skipped> {
        Ok(self.table.get(&self.reader, key)?)
    }

    /// Reads all of it in order, and returns the sum of the folds of keys and values.
    pub(super) fn scan(&self) -> Result<u64, Skipped> {
        let mut sum = 0_u64;
        for record in self.table.iter(&self.reader)? {
            let (key, value) = record?;
            sum = sum.wrapping_add(fold(key)).wrapping_add(fold(value));
        }
        Ok(sum)
    }

    /// Where the mapping is, LMDB does not tell: a record of each page is looked up.
    pub(super) fn touch(&self) -> Result<(), Skipped> {
        These(self.data, &self.samples).each(|key, _| {
            let value = self.get(key)?.unwrap_or_default();
            std::hint::black_box(fold(value));
            Ok(())
        })
    }
}

#[expect(
    unsafe_code,
    reason = "heed leaves to its caller that the files do not change"
)]
fn open(data: Data, path: &Path, flags: EnvFlags) -> Result<Env<WithoutTls>, Skipped> {
    // Address space, not memory. A page that is half full is the worst of a tree.
    let room = 4 * data.payload_bytes() + (64 << 20);
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(usize::try_from(room.next_multiple_of(1 << 20))?);
    // SAFETY: the environment is a temporary one of this process alone, in which nobody writes while
    // it is read: no lock is needed.
    unsafe { options.flags(flags | EnvFlags::NO_SUB_DIR) };
    // SAFETY: as above; the files stay as they are until the bench ends.
    Ok(unsafe { options.open(path) }?)
}
