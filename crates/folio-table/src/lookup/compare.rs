//! Whether a record that the index names has the key.

use folio::ReadAt;

use super::{Found, HEAD, ValueRange};
use crate::format::Record;
use crate::{Error, Result, Table};

impl<B: ReadAt> Table<B> {
    /// Reads the beginning of the record at `offset` of the records section into `head`, and
    /// says where its value is if its key is this one.
    pub(super) fn compare(
        &self,
        offset: u64,
        key: &[u8],
        head: &mut [u8; HEAD],
    ) -> Result<Option<Found>> {
        let layout = &self.layout;
        if offset >= layout.records_len {
            return Err(self.no_such_record(offset));
        }
        let at = layout.records_offset + offset;
        // At least a footer follows the records, so that this many bytes are there.
        self.bytes().read_exact_at(at, head)?;
        let room = layout.records_len - offset;
        let record = match Record::parse(offset, head, room) {
            Ok(record) => record,
            Err(what) => return Err(self.damaged(at, what)),
        };
        if record.key_len != key.len() {
            return Ok(None);
        }
        let start = record.value_start();
        let is_same = match head.get(record.head_len..start) {
            Some(found) => found == key,
            None => self.compare_long(&record, head, key)?,
        };
        if !is_same {
            return Ok(None);
        }
        let range = ValueRange {
            offset_bytes: at + start as u64,
            len: record.value_len,
        };
        Ok(Some(Found { range, start }))
    }

    #[cold]
    fn no_such_record(&self, offset: u64) -> Error {
        let what =
            format!("the hash index leads to byte {offset} of the records section, past its end");
        self.damaged(self.layout.index_offset, what)
    }

    /// Compares a key of which `head` has only the beginning.
    #[inline(never)]
    fn compare_long(&self, record: &Record, head: &[u8; HEAD], key: &[u8]) -> Result<bool> {
        let begun = head.get(record.head_len..).unwrap_or_default();
        let Some(rest) = key.strip_prefix(begun) else {
            return Ok(false);
        };
        let mut buf = [0; 1024];
        let mut at = self.layout.records_offset + record.offset + HEAD as u64;
        for part in rest.chunks(buf.len()) {
            let found = buf.get_mut(..part.len()).unwrap_or_default();
            self.bytes().read_exact_at(at, found)?;
            if found != part {
                return Ok(false);
            }
            at += part.len() as u64;
        }
        Ok(true)
    }
}
