//! Maps of any range, with every option.
#![cfg_attr(
    all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")
    ),
    expect(unsafe_code, reason = "slices of mapped bytes are had by promise")
)]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use folio::{Advice, Error, FaultPolicy, HugePages, Map, ReadAt};

/// A file of this content on each file system at hand: the build folder's, and memory's.
fn files_of(content: &[u8]) -> Vec<tempfile::NamedTempFile> {
    let mut files = vec![tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()];
    files.extend(tempfile::NamedTempFile::new_in("/dev/shm"));
    for file in &mut files {
        file.write_all(content).unwrap();
    }
    files
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn page() -> usize {
    rustix::param::page_size()
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(word).unwrap() % limit.max(1)
    }
}

const EVERY_ADVICE: [Advice; 9] = [
    Advice::Normal,
    Advice::Random,
    Advice::Sequential,
    Advice::WillNeed,
    Advice::Cold,
    Advice::PageOut,
    Advice::DontNeed,
    Advice::HugePage,
    Advice::NoHugePage,
];

#[test]
fn any_options_give_the_bytes_of_the_file() {
    let content = pattern(5 * page() + 123);
    let mut numbers = Numbers(7);
    for file in files_of(&content) {
        for _ in 0..300 {
            let offset = numbers.below(content.len() + 2);
            let len = numbers.below(content.len() + 2);
            let fits = offset <= content.len() && len <= content.len() - offset;
            let mut options = Map::options().offset(offset as u64).len(len as u64);
            if numbers.below(2) == 0 {
                options = options.fault_policy(FaultPolicy::Syscall);
            }
            if numbers.below(2) == 0 {
                options = options.advice(EVERY_ADVICE[numbers.below(9)]);
            }
            if numbers.below(4) == 0 {
                options = options.huge_pages(HugePages::Transparent);
            }
            options = options
                .populate(numbers.below(3) == 0)
                .lock(numbers.below(3) == 0)
                .reserve(numbers.below(1 << 20) as u64);
            let map = match options.open(&file) {
                Ok(map) => map,
                Err(error) => {
                    assert!(!fits, "{offset}+{len}: {error}");
                    assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
                    continue;
                }
            };
            assert!(fits, "{offset}+{len} are not all there");
            let expected = &content[offset..offset + len];
            assert_eq!(map.len(), len as u64);
            let map = Arc::new(map);
            assert_eq!(map.view(0, len as u64).unwrap().to_vec().unwrap(), expected);
            for _ in 0..5 {
                let at = numbers.below(len + 2);
                let count = numbers.below(200);
                let mut bytes = vec![0; count];
                let read = map.read_at(at as u64, &mut bytes).unwrap();
                let expected = expected.get(at..).unwrap_or_default();
                assert_eq!(bytes[..read], expected[..count.min(expected.len())]);
                assert_eq!(
                    map.read_exact_at(at as u64, &mut bytes).is_ok(),
                    count <= expected.len() && at <= len
                );
            }
        }
    }
}

#[test]
fn a_map_past_the_end_waits_for_the_file() {
    let page = page() as u64;
    for file in files_of(b"begun") {
        let options = Map::options().len(3 * page);
        assert!(matches!(
            options.open(&file),
            Err(Error::OutOfRange { size: 5, .. })
        ));
        let map = options.past_end(true).open(&file).unwrap();
        assert_eq!(map.get::<[u8; 7]>(0).unwrap(), *b"begun\0\0");
        let error = map.get::<u8>(2 * page).unwrap_err();
        assert!(
            matches!(error, Error::Fault { offset, .. } if offset == 2 * page),
            "{error}"
        );
        file.as_file().set_len(3 * page).unwrap();
        assert_eq!(map.get::<u8>(2 * page).unwrap(), 0);
        let far = Map::options()
            .offset(100 * page)
            .len(10)
            .past_end(true)
            .open(&file)
            .unwrap();
        assert!(far.get::<u8>(0).unwrap_err().is_fault());
        // Populating finds the loss at once, where the kernel can.
        let populated = Map::options()
            .len(4 * page)
            .past_end(true)
            .populate(true)
            .open(&file);
        assert!(populated.is_err() || populated.unwrap().get::<u8>(3 * page).is_err());
    }
}

#[test]
fn offsets_beyond_what_an_address_can_be() {
    for folder in [env!("CARGO_TARGET_TMPDIR"), "/dev/shm"] {
        let Ok(file) = tempfile::NamedTempFile::new_in(folder) else {
            continue;
        };
        let mark = 10_000_000_007_u64;
        std::os::unix::fs::FileExt::write_all_at(file.as_file(), b"far", mark).unwrap();
        let map = Map::options().offset(mark).open(&file).unwrap();
        assert_eq!(map.get::<[u8; 3]>(0).unwrap(), *b"far");
        let error = Map::options().len(u64::MAX).open(&file).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        for (offset, len) in [
            (u64::MAX, 0),
            (u64::MAX, 1),
            (0, u64::MAX),
            (1, u64::MAX),
            (1 << 63, 1),
        ] {
            let options = Map::options().offset(offset).len(len).past_end(true);
            match options.open(&file) {
                Ok(map) => assert_eq!(map.len(), 0),
                Err(error) => {
                    assert!(
                        matches!(error, Error::Io { .. } | Error::OutOfRange { .. }),
                        "{error}"
                    );
                }
            }
        }
        #[cfg(target_pointer_width = "32")]
        assert!(matches!(Map::open(&file), Err(Error::Io { source, .. })
                if source.kind() == std::io::ErrorKind::OutOfMemory));
    }
}

#[test]
fn ranges_outside_are_refused_by_name() {
    let file = &files_of(&pattern(1000))[0];
    let map = Arc::new(Map::open(file).unwrap());
    for (error, offset, len) in [
        (map.advise(999..1001, Advice::Random).unwrap_err(), 999, 2),
        (map.lock(1001..).unwrap_err(), 1001, 0),
        (map.unlock(u64::MAX..).unwrap_err(), u64::MAX, 0),
        (map.view(1, 1000).unwrap_err(), 1, 1000),
        (map.view(u64::MAX, 2).unwrap_err(), u64::MAX, 2),
    ] {
        assert!(
            matches!(error, Error::OutOfRange { offset: o, len: l, size: 1000, .. } if (o, l) == (offset, len)),
            "{error}"
        );
    }
    map.lock(..).unwrap();
    map.unlock(..=999).unwrap();
    map.advise(1000.., Advice::WillNeed).unwrap();
}

#[test]
fn what_is_no_file_of_bytes_says_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Map::open(folder.path()), Err(Error::Io { .. })));
    let missing = Map::open(folder.path().join("none")).unwrap_err();
    assert!(
        matches!(missing, Error::Io { action: "open", .. }),
        "{missing}"
    );
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    let error = Map::options()
        .past_end(true)
        .len(10)
        .map(&File::from(pipe), "<pipe>");
    assert!(matches!(error, Err(Error::Io { action: "map", .. })));
}

#[test]
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")
))]
fn a_map_survives_truncation_under_a_slice() {
    for file in files_of(&pattern(3 * page())) {
        let map = Map::options().survive_truncation(true).open(&file).unwrap();
        let map = Arc::new(map);
        file.as_file().set_len(page() as u64).unwrap();
        // SAFETY: the file is this test's own, and was cut short before. Lost pages
        // are zeros, from the first look on.
        let slice = unsafe { map.as_slice() };
        assert_eq!(slice[..page()], pattern(page()));
        assert_eq!(map.torn(), 0);
        assert!(slice[page()..].iter().all(|&byte| byte == 0));
        assert_eq!(map.torn(), 2);
        let view = map.view(10, 20).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { view.as_slice() }.unwrap(), &pattern(30)[10..]);
    }
    let file = &files_of(b"content")[0];
    let options = Map::options().survive_truncation(true);
    let error = options
        .fault_policy(FaultPolicy::Syscall)
        .open(file)
        .unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
