//! The journal: what is to be written to a file, written down beside it before.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `FOLIODJ` and a zero |
//! | 8..12 | version: 1 |
//! | 12..16 | 0 |
//! | 16..24 | the file's inode number |
//! | 24..32 | the file's length in bytes |
//! | 32..40 | how many runs there are |
//! | 40..48 | how many bytes they have, all together |
//! | 48..56 | 0 |
//! | 56..64 | XXH3 of the bytes before and of all that follows |
//! | 64.. | for each run, where in the file it begins, and how many bytes it has: 8 bytes each |
//! | | the runs' bytes |
//!
//! All numbers are little-endian. What stands behind the runs' bytes is left from an earlier commit, and
//! has no meaning. A journal is valid if the checksum is right. One that is not was never finished, or is
//! done with: the file is then whole.

use std::io;
use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::storage::Storage;

const MAGIC: [u8; 8] = *b"FOLIODJ\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const CHECKED_BYTES: usize = HEADER_BYTES - 8;
const RUN_BYTES: usize = 16;
/// How much is written or read at a time.
const BLOCK_BYTES: usize = 256 << 10;

/// Which file a journal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) inode: u64,
    pub(super) len: u64,
}

/// Why a commit did not come to its end, and where it leaves the file.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) action: &'static str,
    pub(super) error: io::Error,
    /// Whether the journal is on the disk, so that the next to open the file finishes it.
    pub(super) is_recorded: bool,
}

/// What was found beside a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing that was to be done.
    Nothing,
    /// A commit, which has now been finished.
    Commit,
    /// One that is another file's, or this one's before its length changed.
    OfAnotherFile,
    /// One of a later version of this format.
    OfAnotherVersion(u32),
}

/// Writes runs of bytes to the file so that, whatever happens, either all of them are there or none.
///
/// `read` gives the bytes, the same ones each time.
pub(super) fn commit(
    storage: &mut impl Storage,
    identity: Identity,
    runs: &[Range<u64>],
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> Result<(), Failure> {
    record(storage, identity, runs, &mut read).map_err(|error| Failure {
        action: "write the journal of",
        error,
        is_recorded: false,
    })?;
    apply(storage, runs, &mut read).map_err(|error| Failure {
        action: "write what is in its journal to",
        error,
        is_recorded: true,
    })
}

/// Finishes what was begun, if anything was, and removes the journal.
pub(super) fn recover(storage: &mut impl Storage, identity: Identity) -> io::Result<Found> {
    let Some(journal_len) = storage.find_journal()? else {
        return Ok(Found::Nothing);
    };
    let found = match Header::read(storage, journal_len)? {
        Ok(header) if header.identity == identity => {
            header.replay(storage)?;
            Found::Commit
        }
        Ok(_) => return Ok(Found::OfAnotherFile),
        Err(version) if version > VERSION => return Ok(Found::OfAnotherVersion(version)),
        Err(_) => Found::Nothing,
    };
    remove(storage)?;
    Ok(found)
}

/// Removes the journal for good: should it come back after a power loss, it would undo
/// what others have written to the file since.
pub(super) fn remove(storage: &mut impl Storage) -> io::Result<()> {
    storage.reached("done")?;
    storage.remove_journal()?;
    storage.reached("removed")?;
    storage.sync_folder()
}

/// Removes the journal of a commit that is not to be, whatever of it is on the disk.
pub(super) fn abandon(storage: &mut impl Storage) -> io::Result<()> {
    storage.write_journal(0, &[0; HEADER_BYTES])?;
    remove(storage)
}

/// Brings the journal to the disk.
fn record(
    storage: &mut impl Storage,
    identity: Identity,
    runs: &[Range<u64>],
    read: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    for run in runs {
        storage.reserve_file(run.clone())?;
    }
    let is_new = storage.make_journal()?;
    storage.reached("created")?;
    let header = Header {
        identity,
        runs: runs.len() as u64,
        bytes: runs.iter().map(|run| run.end - run.start).sum(),
    };
    let mut out = Output::new(storage, header.checked_bytes());
    for run in runs {
        out.put(&run.start.to_le_bytes())?;
        out.put(&(run.end - run.start).to_le_bytes())?;
    }
    in_blocks(runs, read, |_, bytes| out.put(bytes))?;
    let checksum = out.finish()?;
    storage.reached("recorded")?;
    let mut bytes = header.checked_bytes().to_vec();
    bytes.extend(checksum.to_le_bytes());
    storage.write_journal(0, &bytes)?;
    storage.reached("headed")?;
    storage.sync_journal()?;
    storage.reached("synced")?;
    if is_new {
        storage.sync_folder()?;
    }
    storage.reached("named")
}

/// Brings the runs to the file, and then voids the journal.
///
/// That it is void need not reach the disk now: to do again what it says changes nothing.
fn apply(
    storage: &mut impl Storage,
    runs: &[Range<u64>],
    read: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    in_blocks(runs, read, |offset, bytes| {
        storage.write_file(offset, bytes)?;
        storage.reached("written")
    })?;
    storage.reached("applied")?;
    storage.sync_file()?;
    storage.reached("safe")?;
    storage.write_journal(0, &[0; HEADER_BYTES])?;
    storage.reached("void")
}

/// Calls `each` with the bytes of the runs, a block at a time, and where they go.
fn in_blocks(
    runs: &[Range<u64>],
    read: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let longest = runs.iter().map(|run| run.end - run.start).max();
    let mut block = vec![0; clip(longest.unwrap_or(0))];
    for run in runs {
        let mut offset = run.start;
        while offset < run.end {
            let part = block.get_mut(..clip(run.end - offset)).unwrap_or_default();
            read(offset, part)?;
            each(offset, part)?;
            offset += part.len() as u64;
        }
    }
    Ok(())
}

/// How much of so many bytes is one block.
fn clip(len: u64) -> usize {
    usize::try_from(len).map_or(BLOCK_BYTES, |len| len.min(BLOCK_BYTES))
}

/// The journal's bytes behind its header, gathered into blocks.
struct Output<'a, S> {
    storage: &'a mut S,
    offset: u64,
    block: Vec<u8>,
    checksum: Xxh3,
}

impl<'a, S: Storage> Output<'a, S> {
    fn new(storage: &'a mut S, header: [u8; CHECKED_BYTES]) -> Self {
        let mut checksum = Xxh3::new();
        checksum.update(&header);
        Self {
            storage,
            offset: HEADER_BYTES as u64,
            block: Vec::new(),
            checksum,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.block.extend(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.checksum.update(&self.block);
        self.storage.write_journal(self.offset, &self.block)?;
        self.offset += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        Ok(self.checksum.digest())
    }
}

#[derive(Debug)]
struct Header {
    identity: Identity,
    runs: u64,
    bytes: u64,
}

impl Header {
    fn checked_bytes(&self) -> [u8; CHECKED_BYTES] {
        let mut bytes = [0; CHECKED_BYTES];
        let mut put = |at: usize, word: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + word.len()) {
                place.copy_from_slice(word);
            }
        };
        put(0, &MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(16, &self.identity.inode.to_le_bytes());
        put(24, &self.identity.len.to_le_bytes());
        put(32, &self.runs.to_le_bytes());
        put(40, &self.bytes.to_le_bytes());
        bytes
    }

    /// The header of a valid journal; otherwise the version that it says it is of, 0 where it
    /// says nothing.
    fn read(storage: &mut impl Storage, journal_len: u64) -> io::Result<Result<Self, u32>> {
        let mut bytes = [0; HEADER_BYTES];
        if journal_len < HEADER_BYTES as u64 {
            return Ok(Err(0));
        }
        storage.read_journal(0, &mut bytes)?;
        let (checked, checksum) = bytes.split_at(CHECKED_BYTES);
        let version = u32::from_le_bytes(field(checked, 8));
        if field(checked, 0) != MAGIC {
            return Ok(Err(0));
        }
        if version != VERSION {
            return Ok(Err(version));
        }
        let header = Self {
            identity: Identity {
                inode: u64::from_le_bytes(field(checked, 16)),
                len: u64::from_le_bytes(field(checked, 24)),
            },
            runs: u64::from_le_bytes(field(checked, 32)),
            bytes: u64::from_le_bytes(field(checked, 40)),
        };
        let end = header
            .data_offset()
            .and_then(|at| at.checked_add(header.bytes));
        let Some(end) = end.filter(|&end| end <= journal_len) else {
            return Ok(Err(0));
        };
        let mut sum = Xxh3::new();
        sum.update(checked);
        let mut read = |offset, buf: &mut [u8]| storage.read_journal(offset, buf);
        let payload = HEADER_BYTES as u64..end;
        in_blocks(std::slice::from_ref(&payload), &mut read, |_, bytes| {
            sum.update(bytes);
            Ok(())
        })?;
        let is_valid = sum.digest().to_le_bytes() == field(checksum, 0);
        Ok(if is_valid { Ok(header) } else { Err(0) })
    }

    /// Where in the journal the runs' bytes begin.
    fn data_offset(&self) -> Option<u64> {
        let table = self.runs.checked_mul(RUN_BYTES as u64)?;
        table.checked_add(HEADER_BYTES as u64)
    }

    /// Writes the runs to the file. A checksum proves no good will, so each is checked, too.
    fn replay(&self, storage: &mut impl Storage) -> io::Result<()> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "a run is not in the file");
        let mut from = self.data_offset().ok_or_else(invalid)?;
        let mut left = self.bytes;
        let mut block = vec![0; clip(self.bytes)];
        for run in 0..self.runs {
            let mut entry = [0; RUN_BYTES];
            let at = HEADER_BYTES as u64 + run * RUN_BYTES as u64;
            storage.read_journal(at, &mut entry)?;
            let mut to = u64::from_le_bytes(field(&entry, 0));
            let len = u64::from_le_bytes(field(&entry, 8));
            let end = to.checked_add(len).ok_or_else(invalid)?;
            left = left.checked_sub(len).ok_or_else(invalid)?;
            if end > self.identity.len {
                return Err(invalid());
            }
            while to < end {
                let part = block.get_mut(..clip(end - to)).unwrap_or_default();
                storage.read_journal(from, part)?;
                storage.write_file(to, part)?;
                storage.reached("replayed")?;
                from += part.len() as u64;
                to += part.len() as u64;
            }
        }
        storage.sync_file()?;
        storage.reached("recovered")
    }
}

/// Some bytes of a header, which has them all.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let field = bytes.get(at..at + N);
    field
        .and_then(|field| field.try_into().ok())
        .unwrap_or([0; N])
}
