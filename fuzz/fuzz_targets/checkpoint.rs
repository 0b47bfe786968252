//! Whatever is taken for a chain of checkpoints is restored or refused, and leaves what was there where it
//! is refused.
//!
//! Checksums of the first header and record are put right, or else nothing would come past them.
#![no_main]

use std::fs;

use folio::Checkpoint;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

/// A map of more bytes than this is one of no fuzzer.
const MOST_BYTES: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((split, files)) = input.split_first() else {
        return;
    };
    let (full, delta) = files.split_at(files.len() * usize::from(*split) / 256);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("full"), mend(full, 1)).unwrap();
    fs::write(path("delta"), mend(delta, 2)).unwrap();
    fs::write(path("target"), b"as it was").unwrap();
    let restored = Checkpoint::restore(path("full"), &[path("delta")], path("target"));
    if restored.is_err() {
        assert_eq!(fs::read(path("target")).unwrap(), b"as it was");
    }
    let _ = Checkpoint::restore(path("full"), &[] as &[&str], path("target"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
});

fn mend(bytes: &[u8], kind: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() < 152 {
        return bytes;
    }
    bytes[..16].copy_from_slice(b"FOLIOCP\0\x01\0\0\0\0\0\0\0");
    bytes[12] = kind;
    let map_len = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) % MOST_BYTES;
    bytes[40..48].copy_from_slice(&map_len.to_le_bytes());
    let checksum = xxh3_64(&bytes[..120]).to_le_bytes();
    bytes[120..128].copy_from_slice(&checksum);
    let len = usize::from(u16::from_le_bytes([bytes[136], bytes[137]]));
    if let Some(record) = bytes.get(152..152 + len) {
        let checksum = xxh3_64(record).to_le_bytes();
        bytes[144..152].copy_from_slice(&checksum);
    }
    bytes
}
