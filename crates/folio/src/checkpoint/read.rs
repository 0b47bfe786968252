//! Reading the files of a chain, none of which is trusted.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::format::{BadHeader, HEAD_BYTES, HEADER_BYTES, Head, Header, Kind, RECORD_BYTES};
use crate::{Error, Result};

/// A file of a chain, its header read and checked.
pub(super) struct Reader {
    input: BufReader<File>,
    path: PathBuf,
    header: Header,
    /// Of the header, and of all heads so far.
    heads: Xxh3,
    /// How far it was read.
    offset: u64,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let mut input = BufReader::with_capacity(1 << 20, file);
        let mut bytes = [0; HEADER_BYTES];
        let header = match input.read_exact(&mut bytes) {
            Ok(()) => Header::from_bytes(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(BadHeader::NoCheckpoint)
            }
            Err(error) => return Err(Error::io("read", path, error)),
        };
        let refused = |reason| Error::Checkpoint {
            path: path.to_owned(),
            reason,
        };
        let header = header.map_err(|bad| match bad {
            BadHeader::NoCheckpoint => refused("it is no checkpoint"),
            BadHeader::Version(_) => refused("it is of another version of the format than 1"),
            BadHeader::Checksum { expected, found } => damaged(path, "header", 0, expected, found),
        })?;
        let mut heads = Xxh3::new();
        heads.update(&bytes);
        Ok(Self {
            input,
            path: path.to_owned(),
            header,
            heads,
            offset: HEADER_BYTES as u64,
        })
    }

    /// Whether a chain begins with this one.
    pub(super) fn expect_full(&self) -> Result<()> {
        match self.header.kind {
            Kind::Full => Ok(()),
            Kind::Delta => Err(self.refused("it is a delta, and a chain begins with a full copy")),
        }
    }

    /// Whether this is the delta that comes after another file, which was read to its end.
    pub(super) fn expect_after(&self, last: &Self) -> Result<()> {
        let (header, before) = (&self.header, &last.header);
        if header.kind != Kind::Delta {
            return Err(self.refused("it is a full copy, where a delta should be"));
        }
        if header.chain != before.chain {
            return Err(self.refused("it is of another map, or of another full copy of it"));
        }
        if Some(header.sequence) != before.sequence.checked_add(1) {
            return Err(self.refused("it is out of order: another delta comes before it"));
        }
        if header.previous != last.heads.digest() || header.map_len < before.map_len {
            return Err(self.refused("it does not follow from the file before"));
        }
        Ok(())
    }

    /// Writes all records to `target`, and checks all there is to the file's end.
    pub(super) fn replay(&mut self, target: &File, target_path: &Path) -> Result<()> {
        let failed = |error| Error::io("write", target_path, error);
        target.set_len(self.header.map_len).map_err(failed)?;
        let mut data_bytes: u64 = 0;
        let mut block = vec![0; RECORD_BYTES];
        loop {
            let at = self.offset;
            let mut bytes = [0; HEAD_BYTES];
            self.read(&mut bytes)?;
            let Some(head) = Head::from_bytes(&bytes) else {
                return Err(self.refused("a record is damaged"));
            };
            if head.len == 0 {
                return self.expect_end(head, at, data_bytes);
            }
            self.heads.update(&bytes);
            let len = usize::try_from(head.len).unwrap_or(usize::MAX);
            let end = head.offset.checked_add(u64::from(head.len));
            let fits = end.is_some_and(|end| end <= self.header.map_len);
            let Some(block) = block.get_mut(..len).filter(|_| fits) else {
                return Err(self.refused("a record is too long, or reaches past the map's end"));
            };
            self.read(block)?;
            let found = xxh3_64(block);
            if found != head.checksum {
                return Err(damaged(&self.path, "record", at, head.checksum, found));
            }
            data_bytes += u64::from(head.len);
            target.write_all_at(block, head.offset).map_err(failed)?;
        }
    }

    fn expect_end(&mut self, last: Head, at: u64, data_bytes: u64) -> Result<()> {
        let found = self.heads.digest();
        if found != last.checksum {
            return Err(damaged(
                &self.path,
                "list of records",
                at,
                last.checksum,
                found,
            ));
        }
        if last.offset != data_bytes {
            return Err(self.refused("its last record does not add up"));
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.refused("there is more behind its last record")),
            Err(error) => Err(Error::io("read", &self.path, error)),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.offset += bytes.len() as u64;
        match self.input.read_exact(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.refused("it is cut short"))
            }
            outcome => outcome.map_err(|error| Error::io("read", &self.path, error)),
        }
    }

    fn refused(&self, reason: &'static str) -> Error {
        Error::Checkpoint {
            path: self.path.clone(),
            reason,
        }
    }
}

fn damaged(path: &Path, what: &'static str, offset: u64, expected: u64, found: u64) -> Error {
    Error::Checksum {
        path: path.to_owned(),
        what,
        offset,
        expected,
        found,
    }
}
