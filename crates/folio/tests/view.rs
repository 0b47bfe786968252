//! What a view does with bytes that it only copies.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::Write;
use std::sync::Arc;

use folio::{Error, Frozen, Kind, Map, ReadAt, Source, View};

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

/// Whatever has bytes gives the same ones in each of the ways there are.
#[test]
fn all_ways_to_read_agree() {
    let content = text(5000);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    let map = Arc::new(Map::open(&file).unwrap());
    let view = map.view(0, 5000).unwrap();
    let sources: [(&str, Box<dyn ReadAt>); 6] = [
        ("vector", Box::new(content.clone())),
        ("slice", Box::new(content.as_slice())),
        ("frozen", Box::new(Frozen::from(content.clone()))),
        ("map", Box::new(map)),
        ("view", Box::new(view)),
        ("plain", Box::new(Plain(content.clone()))),
    ];
    for (name, source) in &sources {
        for len in (0..70).chain([100, 1000, 4999, 5000, 5001]) {
            for offset in [0, 1, 63, 2500, 4930, 4936, 4937, 4999, 5000, 5001, 1 << 40] {
                let expected = usize::try_from(offset)
                    .ok()
                    .and_then(|offset| content.get(offset..)?.get(..len));
                let mut out = b"before".to_vec();
                let appended = source.append_at(offset, len, &mut out);
                match (appended, expected) {
                    (Ok(()), Some(expected)) => assert_eq!(out, [b"before", expected].concat()),
                    (Err(Error::OutOfRange { size: 5000, .. }), None) => assert_eq!(out, b"before"),
                    (other, _) => panic!("{name}, {len} bytes from {offset}: {other:?}"),
                }
                let mut buf = vec![0xEE; len];
                if source.read_small_at(offset, &mut buf) {
                    assert_eq!(Some(buf.as_slice()), expected, "{name}");
                } else {
                    assert!(buf.iter().all(|&byte| byte == 0xEE), "{name}");
                }
                let Some(expected) = expected else {
                    assert_eq!(source.equals_small_at(offset, &buf), None, "{name}");
                    continue;
                };
                assert_ne!(
                    source.equals_small_at(offset, expected),
                    Some(false),
                    "{name}"
                );
                if let Some((last, others)) = expected.split_last() {
                    let other = [others, &[last ^ 1]].concat();
                    assert_ne!(source.equals_small_at(offset, &other), Some(true), "{name}");
                }
            }
        }
        let mut out = Vec::new();
        let endless = source.append_at(0, usize::MAX, &mut out);
        assert!(matches!(endless, Err(Error::OutOfRange { .. })), "{name}");
        assert_eq!(out.capacity(), 0, "{name}");
    }
}

/// Bytes that are read in no other way than every source must have.
struct Plain(Vec<u8>);

impl ReadAt for Plain {
    fn len(&self) -> u64 {
        ReadAt::len(&self.0)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> folio::Result<usize> {
        self.0.read_at(offset_bytes, buf)
    }
}

#[test]
fn what_is_lost_is_not_appended() {
    let page = 1 << 16;
    let content = text(2 * page);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let source = Source::from_fd(file.try_clone().unwrap()).unwrap();
    assert_eq!(source.kind(), Kind::Mapped);
    let view = source.whole().unwrap();
    file.set_len(page as u64).unwrap();
    for (before, len) in [(0_u64, 1), (20, 32), (100, 200), (100, 5000)] {
        let at = page as u64 - before;
        let mut out = Vec::with_capacity(300);
        out.push(7);
        let appended = view.append_at(at, len, &mut out);
        let is_fault =
            matches!(appended, Err(Error::Fault { offset, .. }) if offset == page as u64);
        assert!(is_fault, "{appended:?}");
        assert_eq!(out, [7]);
        let mut buf = vec![0; len.min(usize::try_from(before).unwrap() + 1)];
        assert!(!view.read_small_at(at, &mut buf));
        assert_eq!(view.equals_small_at(at, &buf), None);
    }
}
