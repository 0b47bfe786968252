//! What a view does with bytes that it only copies.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::Write;

use folio::{Error, ReadAt, Source, View};

/// Larger than several of the chunks that views work in.
const LEN: usize = 100_000;

fn view_of(content: &[u8]) -> View {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Source::from_fd(file).unwrap().whole().unwrap()
}

fn text(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + u8::try_from(state >> 30).unwrap()
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn finds_what_memmem_finds() {
    let content = text(LEN);
    let view = view_of(&content);
    for len in [1, 2, 5, 9, 17, 1000, 16_384, 16_385, 40_000] {
        for at in [0, 1, 16_383, 16_384, 32_760, LEN - len] {
            let at = at.min(LEN - len);
            let needle = &content[at..at + len];
            for from in [0, 1, at, at + 1, LEN - 1, LEN] {
                let expected = memchr::memmem::find(&content[from..], needle).map(|i| from + i);
                let found = view.find(from as u64, needle).unwrap();
                assert_eq!(found, expected.map(|i| i as u64), "{len} bytes from {from}");
            }
        }
    }
    assert_eq!(view.find(0, &[b'z'; 20]).unwrap(), None);
    assert_eq!(view.find(7, b"").unwrap(), Some(7));
    assert_eq!(view.find(LEN as u64, b"").unwrap(), Some(LEN as u64));
    assert_eq!(view.find(LEN as u64 + 1, b"").unwrap(), None);
    assert_eq!(view.find(u64::MAX, b"a").unwrap(), None);
    assert_eq!(view_of(b"ab").find(0, &text(100_000)).unwrap(), None);
}

#[test]
fn equal_means_every_byte() {
    let content = text(LEN);
    let view = view_of(&content);
    assert!(view.eq(&content).unwrap());
    assert!(view.eq(&view).unwrap());
    for at in [0, 16_383, 16_384, LEN - 1] {
        let mut other = content.clone();
        other[at] ^= 1;
        assert!(!view.eq(&other).unwrap(), "byte {at}");
    }
    assert!(!view.eq(&content[1..]).unwrap());
    assert!(view_of(b"").eq(b"".as_slice()).unwrap());
}

#[test]
fn chunks_come_in_order_and_stop_when_told() {
    let content = text(LEN);
    let view = view_of(&content).part(3, LEN as u64 - 10).unwrap();
    let mut seen = Vec::new();
    view.for_each_chunk(|chunk| {
        seen.extend_from_slice(chunk);
        Ok::<(), Error>(())
    })
    .unwrap();
    assert_eq!(seen, content[3..LEN - 7]);
    let mut calls = 0;
    let stopped = view.for_each_chunk(|_| {
        calls += 1;
        Err(Error::Unsupported {
            path: "here".into(),
            reason: "enough",
        })
    });
    assert!(stopped.is_err());
    assert_eq!(calls, 1);
}

#[test]
fn a_copy_that_memory_cannot_hold_is_an_error() {
    let file = tempfile::tempfile().unwrap();
    // Sparse; larger than any machine's memory, and than what 32 bits address.
    if file.set_len(1 << 43).is_err() {
        println!("skipped: the file system has no file of 8 TiB");
        return;
    }
    let view = Source::from_fd(file).unwrap().whole().unwrap();
    assert_eq!(view.len(), 1 << 43);
    let mut word = [1; 8];
    view.read_exact_at((1 << 43) - 8, &mut word).unwrap();
    assert_eq!(word, [0; 8]);
    if let Ok(bytes) = view.part(0, 1 << 42).unwrap().to_vec() {
        panic!("{} bytes copied", bytes.len());
    }
}
