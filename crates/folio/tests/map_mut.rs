//! Writing to maps, against a plain `Vec<u8>` to which the same is done.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use folio::{
    Advice, Error, FaultPolicy, HugePages, Map, MapMut, MapOptions, Protection, ReadAt, View,
};

/// An empty file on each file system at hand: the build folder's, and memory's.
fn files() -> Vec<tempfile::NamedTempFile> {
    let mut files = vec![tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()];
    files.extend(tempfile::NamedTempFile::new_in("/dev/shm"));
    files
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

    /// Often a small number, sometimes any.
    fn size_below(&mut self, limit: usize) -> usize {
        let limit = if self.below(3) == 0 {
            limit
        } else {
            limit.min(100)
        };
        self.below(limit)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| u8::try_from(self.below(256)).unwrap())
            .collect()
    }
}

/// A map, what it should hold, and views with what they should begin at.
struct Pair {
    map: MapMut,
    model: Vec<u8>,
    /// The file and where in it the map begins, if there is one.
    file: Option<(File, usize)>,
    views: Vec<(View, usize)>,
    protection: Protection,
}

impl Pair {
    fn step(&mut self, numbers: &mut Numbers) {
        let len = self.model.len();
        let at = numbers.below(len + 3);
        match numbers.below(12) {
            0..=2 => self.write(numbers, at),
            3 => self.put(at),
            4 | 5 => self.read(numbers, at),
            6 => self.view(at, numbers.size_below(len + 3)),
            7 => self.grow(len + numbers.size_below(3 * page())),
            8 => self.flush(at, numbers.size_below(len + 3)),
            9 => self.advise(numbers, at),
            10 => self.protect(numbers),
            _ => self.write_to_the_file(numbers, at),
        }
        for (view, start) in &self.views {
            let mut bytes = [0; 16];
            let count = view.read_at(0, &mut bytes).unwrap();
            assert_eq!(bytes[..count], self.model[*start..start + count]);
        }
        assert_eq!(self.map.len(), self.model.len() as u64);
    }

    fn has(&self, at: usize, len: usize) -> bool {
        at <= self.model.len() && len <= self.model.len() - at
    }

    fn assert_refused(&self, outcome: Result<(), Error>, at: usize, len: usize) -> bool {
        match outcome {
            Ok(()) => {
                assert!(self.has(at, len) && self.protection == Protection::ReadWrite);
                return false;
            }
            Err(Error::OutOfRange { .. }) => assert!(!self.has(at, len)),
            Err(Error::Unsupported { .. }) => assert_eq!(self.protection, Protection::ReadOnly),
            Err(error) => panic!("{error}"),
        }
        true
    }

    fn write(&mut self, numbers: &mut Numbers, at: usize) {
        let len = numbers.size_below(2 * page());
        let bytes = numbers.bytes(len);
        let outcome = self.map.write_all_at(at as u64, &bytes);
        if !self.assert_refused(outcome, at, len) {
            self.model[at..at + len].copy_from_slice(&bytes);
        }
    }

    fn put(&mut self, at: usize) {
        let outcome = self.map.put(at as u64, &0x0102_0304_0506_0708_u64.to_be());
        if !self.assert_refused(outcome, at, 8) {
            self.model[at..at + 8].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        }
    }

    fn read(&mut self, numbers: &mut Numbers, at: usize) {
        let len = numbers.size_below(3 * page());
        let mut bytes = vec![0xEE; len];
        let count = self.map.read_at(at as u64, &mut bytes).unwrap();
        let expected = self.model.as_slice().get(at..).unwrap_or_default();
        assert_eq!(bytes[..count], expected[..len.min(expected.len())]);
        let all = self.map.read_exact_at(at as u64, &mut bytes).is_ok();
        assert_eq!(all, self.has(at, len));
        if let Some((file, offset)) = &self.file {
            let mut from_file = vec![0xEE; count];
            file.read_exact_at(&mut from_file, (offset + at) as u64)
                .unwrap_or_else(|error| {
                    assert_eq!(count, 0, "{error}");
                });
            assert_eq!(from_file, expected[..count]);
        }
    }

    fn view(&mut self, at: usize, len: usize) {
        let view = self.map.view(at as u64, len as u64);
        assert_eq!(view.is_ok(), self.has(at, len));
        if let Ok(view) = view {
            assert_eq!(view.to_vec().unwrap(), self.model[at..at + len]);
            if self.views.len() == 5 {
                self.views.remove(0);
            }
            self.views.push((view, at));
        }
    }

    fn grow(&mut self, len: usize) {
        match self.map.grow(len as u64) {
            Ok(()) => {
                assert!(len as u64 <= self.map.capacity());
                let old_len = self.model.len();
                self.model.resize(len, 0);
                if let Some((file, offset)) = &self.file {
                    // What the file had already beyond the map is seen now.
                    let new = &mut self.model[old_len..];
                    file.read_exact_at(new, (offset + old_len) as u64).unwrap();
                }
            }
            Err(Error::NoRoom { capacity, .. }) => {
                assert_eq!(capacity, self.map.capacity());
                assert!(len as u64 > capacity);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn flush(&mut self, at: usize, len: usize) {
        let range = at as u64..(at + len) as u64;
        assert_eq!(self.map.flush(range.clone()).is_ok(), self.has(at, len));
        assert_eq!(self.map.flush_async(range).is_ok(), self.has(at, len));
    }

    fn advise(&mut self, numbers: &mut Numbers, at: usize) {
        let len = numbers.size_below(self.model.len() + 3);
        let range = at as u64..(at + len) as u64;
        let advice = [
            Advice::Random,
            Advice::WillNeed,
            Advice::Cold,
            Advice::PageOut,
            Advice::DontNeed,
            Advice::Populate,
        ][numbers.below(6)];
        match self.map.advise(range.clone(), advice) {
            Ok(()) => assert!(self.has(at, len)),
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::Unsupported);
            }
            Err(_) => assert!(!self.has(at, len)),
        }
        assert_eq!(self.map.lock(range.clone()).is_ok(), self.has(at, len));
        assert_eq!(self.map.unlock(range).is_ok(), self.has(at, len));
    }

    fn protect(&mut self, numbers: &mut Numbers) {
        self.protection = if numbers.below(3) == 0 {
            Protection::ReadOnly
        } else {
            Protection::ReadWrite
        };
        self.map.protect(self.protection).unwrap();
        assert_eq!(self.map.protection(), self.protection);
    }

    fn write_to_the_file(&mut self, numbers: &mut Numbers, at: usize) {
        let len = numbers
            .size_below(page())
            .min(self.model.len().saturating_sub(at));
        if let Some((file, offset)) = &self.file {
            let bytes = numbers.bytes(len);
            file.write_all_at(&bytes, (offset + at) as u64).unwrap();
            if len > 0 {
                self.model[at..at + len].copy_from_slice(&bytes);
            }
        }
    }
}

fn run(mut pair: Pair, numbers: &mut Numbers) {
    for _ in 0..200 {
        pair.step(numbers);
    }
    let mut all = vec![0; pair.model.len()];
    pair.map.read_exact_at(0, &mut all).unwrap();
    assert!(all == pair.model);
    if let Some((file, offset)) = &pair.file {
        file.read_exact_at(&mut all, *offset as u64).unwrap();
        assert!(all == pair.model);
    }
}

fn random_options(numbers: &mut Numbers) -> MapOptions {
    let mut options = MapMut::options()
        .populate(numbers.below(4) == 0)
        .lock(numbers.below(8) == 0);
    if numbers.below(2) == 0 {
        options = options.fault_policy(FaultPolicy::Syscall);
    }
    if numbers.below(2) == 0 {
        options = options.reserve(numbers.below(40 * page()) as u64);
    }
    if numbers.below(4) == 0 {
        options = options.huge_pages(HugePages::Transparent);
    }
    if numbers.below(4) == 0 {
        options = options.advice(Advice::Sequential);
    }
    options
}

#[test]
fn random_operations_on_files_match_a_vec() {
    let mut numbers = Numbers(2026);
    for file in files() {
        for _ in 0..25 {
            let size = numbers.size_below(6 * page());
            let content = numbers.bytes(size);
            std::fs::write(&file, &content).unwrap();
            let offset = numbers.below(size + 1);
            let len = numbers.below(size - offset + 1);
            let options = random_options(&mut numbers)
                .offset(offset as u64)
                .len(len as u64);
            let pair = Pair {
                map: options.open_mut(&file).unwrap(),
                model: content[offset..offset + len].to_vec(),
                file: Some((file.reopen().unwrap(), offset)),
                views: Vec::new(),
                protection: Protection::ReadWrite,
            };
            run(pair, &mut numbers);
        }
    }
}

#[test]
fn random_operations_on_memory_match_a_vec() {
    let mut numbers = Numbers(77);
    for round in 0..40 {
        let len = numbers.size_below(6 * page());
        let options = random_options(&mut numbers);
        let map = if round % 2 == 0 {
            options.anonymous(len as u64).unwrap()
        } else {
            options.memfd("model", len as u64).unwrap()
        };
        let file = map
            .file()
            .map(|fd| (File::from(fd.try_clone_to_owned().unwrap()), 0));
        assert_eq!(file.is_some(), round % 2 == 1);
        let pair = Pair {
            map,
            model: vec![0; len],
            file,
            views: Vec::new(),
            protection: Protection::ReadWrite,
        };
        run(pair, &mut numbers);
    }
}

#[test]
fn huge_pages_are_wished_for_and_what_was_got_is_told() {
    for wanted in [HugePages::None, HugePages::Transparent, HugePages::Pool] {
        let options = MapMut::options().huge_pages(wanted);
        for map in [
            options.anonymous(3_000_000).unwrap(),
            options.memfd("huge", 3_000_000).unwrap(),
        ] {
            if wanted == HugePages::None {
                assert_eq!(map.huge_pages(), HugePages::None);
            }
            if map.huge_pages() == HugePages::Pool {
                assert_eq!(wanted, HugePages::Pool);
            }
            map.put(2_999_999, &7_u8).unwrap();
            assert_eq!(map.get::<u8>(2_999_999).unwrap(), 7);
            assert!(map.put(3_000_000, &7_u8).is_err());
        }
    }
}

#[test]
fn a_map_grows_while_others_read_and_write() {
    let page = page() as u64;
    for file in files() {
        file.as_file().set_len(page).unwrap();
        let options = Map::options().reserve(200 * page);
        // Two maps of one file, as two processes have them: both grow it.
        let maps = [
            options.open_mut(&file).unwrap(),
            options.open_mut(&file).unwrap(),
        ];
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for map in &maps {
                let done = &done;
                scope.spawn(move || {
                    let first = map.view(0, page).unwrap();
                    while !done.load(Ordering::Acquire) {
                        let len = map.len();
                        map.put(len - 8, &len).unwrap();
                        assert_eq!(map.get::<u64>(len - 8).unwrap(), len);
                        let view = map.view(len - 8, 8).unwrap();
                        assert_eq!(view.get::<u64>(0).unwrap(), len);
                        assert_eq!(first.len(), page);
                        first.get::<u64>(0).unwrap();
                    }
                });
            }
            let growers: Vec<_> = maps
                .iter()
                .map(|map| scope.spawn(move || (2..=200).for_each(|n| map.grow(n * page).unwrap())))
                .collect();
            for grower in growers {
                grower.join().unwrap();
            }
            done.store(true, Ordering::Release);
        });
        assert_eq!(file.as_file().metadata().unwrap().len(), 200 * page);
        assert!(matches!(
            maps[0].grow(201 * page),
            Err(Error::NoRoom { .. })
        ));
        assert!(matches!(maps[0].grow(u64::MAX), Err(Error::NoRoom { .. })));
    }
}

#[test]
fn a_file_cut_short_gives_faults_to_writers() {
    let page = page() as u64;
    for file in files() {
        file.as_file().set_len(4 * page).unwrap();
        let map = MapMut::options().offset(10).open_mut(&file).unwrap();
        file.as_file().set_len(page).unwrap();
        let error = map.write_all_at(page - 20, &[1; 100]).unwrap_err();
        assert!(
            matches!(error, Error::Fault { offset, .. } if offset == page),
            "{error}"
        );
        let mut last = [0; 10];
        file.as_file().read_exact_at(&mut last, page - 10).unwrap();
        assert_eq!(last, [1; 10]);
        assert!(map.get::<u64>(2 * page).unwrap_err().is_fault());
        file.as_file().set_len(4 * page).unwrap();
        map.write_all_at(page - 20, &[2; 100]).unwrap();
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let file = &files()[0];
    std::fs::write(file, b"content").unwrap();
    let read_only = File::open(file.path()).unwrap();
    let error = Map::options().map_mut(&read_only, "it").unwrap_err();
    assert!(
        matches!(
            error,
            Error::Io {
                action: "map for writing",
                ..
            }
        ),
        "{error}"
    );
    let error = Map::options().len(8).open_mut(file).unwrap_err();
    assert!(
        matches!(error, Error::OutOfRange { size: 7, .. }),
        "{error}"
    );
    let error = Map::options()
        .len(8)
        .past_end(true)
        .open_mut(file)
        .unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let options = Map::options().reserve(u64::MAX);
    assert!(options.open_mut(file).is_err());
    assert!(options.anonymous(1).is_err());
    assert!(Map::options().memfd("x", u64::MAX).is_err());
}
