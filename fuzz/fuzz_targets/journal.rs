//! Whatever stands beside a file in its journal's place: the draft opens or is refused, and the file stays
//! as long as it was.
//!
//! The header's first words and the checksum are put right, or else nothing would come past them.
#![no_main]

use std::fs;
use std::os::unix::fs::MetadataExt;

use folio::Draft;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

const FILE_BYTES: usize = 9_000;

fuzz_target!(|input: &[u8]| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let journal = folder.path().join("file.draft-journal");
    fs::write(&path, [7; FILE_BYTES]).unwrap();
    fs::write(&journal, mend(input, fs::metadata(&path).unwrap().ino())).unwrap();
    if let Ok(mut draft) = Draft::open(&path) {
        assert!(!journal.exists());
        draft.put(0, b"works").unwrap();
        draft.commit().unwrap();
        assert_eq!(draft.get::<[u8; 5]>(0).unwrap(), *b"works");
    }
    assert_eq!(fs::read(&path).unwrap().len(), FILE_BYTES);
});

fn mend(bytes: &[u8], inode: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() < 64 {
        return bytes;
    }
    bytes[..16].copy_from_slice(b"FOLIODJ\0\x01\0\0\0\0\0\0\0");
    bytes[16..24].copy_from_slice(&inode.to_le_bytes());
    bytes[24..32].copy_from_slice(&(FILE_BYTES as u64).to_le_bytes());
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let end = word(32)
        .saturating_mul(16)
        .saturating_add(word(40))
        .saturating_add(64);
    if let Some(payload) = usize::try_from(end).ok().and_then(|end| bytes.get(64..end)) {
        let checksum = xxh3_64(&[&bytes[..56], payload].concat()).to_le_bytes();
        bytes[56..64].copy_from_slice(&checksum);
    }
    bytes
}
