//! Tables whose checksums are checked while they are used.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use folio::ReadAt;
use folio_table::{Builder, Checked, Error, Findings, IndexKind, SectionKind, Table, Verify};

use crate::random::Random;
use crate::small::{self, PAGE, Section};

const MODES: [Verify; 4] = [Verify::Never, Verify::Open, Verify::Touch, Verify::Always];

fn open<B: ReadAt>(bytes: B, verify: Verify) -> folio_table::Result<Table<Checked<B>>> {
    Table::options().verify(verify).from_bytes(bytes, "checked")
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// A table of few pages: of each section one.
fn few(index: IndexKind) -> (Records, Vec<u8>) {
    let mut builder = Builder::new().index(index);
    let records: Vec<_> = (0..12_u8)
        .map(|n| (vec![b'k', n], vec![n; usize::from(n)]))
        .collect();
    for (key, value) in &records {
        builder.add(1, key, value).unwrap();
    }
    (records, builder.to_vec().unwrap())
}

#[test]
fn the_bytes_are_the_same_in_every_mode() {
    let bytes = small::table();
    let mut random = Random::new(11);
    for verify in MODES {
        let table = open(bytes.as_slice(), verify).unwrap();
        let checked = table.bytes();
        assert_eq!(checked.len(), bytes.len() as u64);
        for _ in 0..3000 {
            let offset = random.below(bytes.len() + 10);
            let len = [1, 64, 3 * PAGE][random.below(3)];
            let mut buf = vec![0xEE; random.below(len) + 1];
            let expected = bytes.get(offset..).unwrap_or_default();
            let there = expected.len().min(buf.len());
            let exact = checked.read_exact_at(offset as u64, &mut buf);
            if there == buf.len() {
                exact.unwrap();
                assert!(buf == expected[..there]);
            } else {
                assert!(matches!(exact, Err(folio::Error::OutOfRange { .. })));
            }
            assert_eq!(checked.read_at(offset as u64, &mut buf).unwrap(), there);
            assert!(buf[..there] == expected[..there]);
        }
        assert!(checked.read_exact_at(u64::MAX, &mut [0; 2]).is_err());
        assert_eq!(checked.read_at(u64::MAX, &mut [0; 2]).unwrap(), 0);
        let records: Vec<_> = table.iter().map(Result::unwrap).collect();
        assert_eq!(records.len(), small::records().len());
        table.verify(|_| ()).unwrap();
    }
}

#[test]
fn no_flipped_bit_gives_a_wrong_value() {
    // Each bit of the pages of records and of the index, padding included, is seen by lookups.
    for (index, pages) in [(IndexKind::Hash, 2), (IndexKind::Perfect, 3)] {
        flip_each_bit_of_few(index, pages);
    }
}

fn flip_each_bit_of_few(index: IndexKind, pages: u32) {
    let (records, mut bytes) = few(index);
    let footer = bytes.len() - small::FOOTER;
    let (mut refused, mut unseen) = (0, 0);
    for at in PAGE..footer {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let damaged = bytes.as_slice();
            if bit == at % 8 {
                let error = open(damaged, Verify::Open).unwrap_err();
                assert!(matches!(error, Error::Checksum { .. }), "{error}");
            }
            let touch = open(damaged, Verify::Touch).unwrap();
            let always = open(damaged, Verify::Always).unwrap();
            let mut is_refused = false;
            for (n, (key, value)) in records.iter().enumerate() {
                is_refused |= !is_right(&touch, key, value, at);
                // A few of the keys: each takes several checksums.
                if (at * 8 + bit) % records.len() == n {
                    is_right(&always, key, value, at);
                }
            }
            assert!(
                touch.get(b"no such key").is_err() || touch.get(b"nor this").unwrap().is_none()
            );
            refused += u32::from(is_refused);
            unseen += u32::from(!is_refused);
            bytes[at] ^= 1 << bit;
        }
    }
    assert!(
        refused >= pages * 8 * 4096,
        "{refused} refused, {unseen} unseen"
    );
}

/// Whether the value of a key is the right one. An error must be about the damage; nothing else may be.
fn is_right(table: &Table<Checked<&[u8]>>, key: &[u8], value: &[u8], damaged: usize) -> bool {
    match table.get(key) {
        Ok(found) => {
            assert_eq!(found.as_deref(), Some(value), "byte {damaged}");
            true
        }
        Err(Error::Checksum { what, offset, .. }) => {
            let sums = table.info().sections.last().unwrap().offset_bytes;
            if what == "page" {
                assert_eq!(offset, (damaged - damaged % PAGE) as u64);
            } else {
                assert_eq!((what, offset), ("checksums section", sums));
            }
            false
        }
        Err(other) => panic!("byte {damaged}: {other}"),
    }
}

#[test]
fn all_ways_to_read_a_damaged_page_are_refused() {
    let bytes = small::table();
    let records = small::range(&bytes, Section::Records);
    let (last, value) = small::records().last().unwrap();
    // The middle of the value of 5,000 bytes, which begins in an earlier page.
    let mut damaged = bytes.clone();
    damaged[records.end - 10] ^= 0x10;
    let page = records.end - 10 - (records.end - 10) % PAGE;
    for verify in [Verify::Touch, Verify::Always] {
        let table = open(damaged.as_slice(), verify).unwrap();
        let range = table.locate(last).unwrap().unwrap();
        assert_eq!(range.len, value.len() as u64);
        let mut out = b"before".to_vec();
        for error in [
            table.get(last).unwrap_err(),
            table.get_into(last, &mut out).unwrap_err(),
            table.read_value(range, &mut out).unwrap_err(),
            table.iter().find_map(Result::err).unwrap(),
            table.verify(|_| ()).unwrap_err(),
        ] {
            let Error::Checksum { what, offset, .. } = error else {
                panic!("{error}");
            };
            assert_eq!((what, offset), ("page", page as u64));
        }
        assert_eq!(out, b"before");
        // Elsewhere all is well.
        let (first, value) = &small::records()[0];
        assert_eq!(table.get(first).unwrap().as_ref(), Some(value));
    }
}

/// Bytes that count how often whole pages of them are read, as one does to check them.
struct Counted<'a> {
    bytes: &'a [u8],
    pages: AtomicUsize,
}

impl ReadAt for Counted<'_> {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> folio::Result<usize> {
        if buf.len() == PAGE {
            self.pages.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes.read_at(offset, buf)
    }
}

#[test]
fn a_page_is_checked_as_often_as_asked_for() {
    let bytes = small::table();
    let counts = MODES.map(|verify| {
        let bytes = Counted {
            bytes: &bytes,
            pages: AtomicUsize::new(0),
        };
        let table = open(bytes, verify).unwrap();
        let pages = &table.bytes().unchecked().pages;
        pages.store(0, Ordering::Relaxed);
        [(); 3].map(|()| {
            for (key, value) in small::records() {
                assert_eq!(table.get(key).unwrap().as_ref(), Some(value));
            }
            pages.swap(0, Ordering::Relaxed)
        })
    });
    let [never, open, touch, always] = counts;
    assert_eq!((never, open), ([0; 3], [0; 3]));
    let sections = [Section::Records, Section::Index];
    let lens = sections.map(|section| small::range(&bytes, section).len().div_ceil(PAGE));
    assert_eq!(touch, [lens[0] + lens[1], 0, 0], "once each");
    assert!(
        always
            .iter()
            .all(|&count| count >= 2 * small::records().len()),
        "{always:?}"
    );
}

#[test]
fn what_one_thread_has_checked_no_other_checks() {
    let bytes = small::table();
    let counted = Counted {
        bytes: &bytes,
        pages: AtomicUsize::new(0),
    };
    let table = open(counted, Verify::Touch).unwrap();
    let pages = &table.bytes().unchecked().pages;
    let look = || {
        for (key, value) in small::records() {
            assert_eq!(table.get(key).unwrap().as_ref(), Some(value));
        }
    };
    pages.store(0, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(look);
        }
    });
    let first = pages.swap(0, Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(look);
    });
    assert!(first > 0);
    assert_eq!(pages.load(Ordering::Relaxed), 0);
}

/// Bytes of which now and then a bit is another, as those of a file that is written to meanwhile.
struct Flicker<'a> {
    bytes: &'a [u8],
    random: Mutex<Random>,
}

impl ReadAt for Flicker<'_> {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> folio::Result<usize> {
        let count = self.bytes.read_at(offset, buf)?;
        let mut random = self.random.lock().unwrap();
        if count > 0 && random.below(5) == 0 {
            buf[random.below(count)] ^= 1 << random.below(8);
        }
        Ok(count)
    }

    fn source_path(&self) -> &Path {
        Path::new("flicker")
    }
}

#[test]
fn bytes_that_change_between_check_and_use_are_never_used() {
    let bytes = small::table();
    let flicker = || Flicker {
        bytes: &bytes,
        random: Mutex::new(Random::new(5)),
    };
    let table = (0..1000)
        .find_map(|_| open(flicker(), Verify::Always).ok())
        .unwrap();
    let (mut right, mut refused) = (0, 0);
    for _ in 0..30 {
        for (key, value) in small::records() {
            match table.get(key) {
                Ok(found) => {
                    assert_eq!(found.as_ref(), Some(value));
                    right += 1;
                }
                Err(Error::Checksum { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(right > 100 && refused > 100, "{right} {refused}");
}

#[test]
fn a_file_that_changes_is_seen_where_it_is_always_checked() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut bytes = small::table();
    std::fs::write(&file, &bytes).unwrap();
    let tables = [Verify::Touch, Verify::Always]
        .map(|verify| Table::options().verify(verify).open(&file).unwrap());
    let (key, value) = &small::records()[0];
    for table in &tables {
        assert_eq!(table.get(key).unwrap().as_ref(), Some(value));
    }
    let at = usize::try_from(tables[0].locate(key).unwrap().unwrap().offset_bytes).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let error = tables[1].get(key).unwrap_err();
    assert!(
        matches!(error, Error::Checksum { what: "page", .. }),
        "{error}"
    );
    // Opened anew, it is seen once more.
    let table = Table::options().verify(Verify::Touch).open(&file).unwrap();
    assert!(table.get(key).is_err());
}

#[test]
fn tables_of_nothing() {
    let bytes = Builder::new().to_vec().unwrap();
    for verify in MODES {
        let table = open(bytes.as_slice(), verify).unwrap();
        assert_eq!(table.get(b"key").unwrap(), None);
        assert_eq!(table.iter().count(), 0);
    }
}

fn verify_all(bytes: &[u8], threads: usize) -> Findings {
    let table = Table::from_bytes(bytes, "all").unwrap();
    let done = AtomicU64::new(0);
    let found = table.verify_all(NonZeroUsize::new(threads).unwrap(), |bytes| {
        assert!(bytes <= table.info().file_len);
        done.fetch_max(bytes, Ordering::Relaxed);
    });
    assert_eq!(done.into_inner(), table.info().file_len);
    found
}

/// Some hundred pages of records; values of all lengths, a few of many pages.
fn many() -> Vec<u8> {
    let mut random = Random::new(2);
    let mut builder = Builder::new();
    for n in 0..3000 {
        let len = match n % 500 {
            0 => 40_000,
            rest => rest % 90,
        };
        let value = random.bytes(len);
        builder
            .add(1, format!("{n:05}").as_bytes(), &value)
            .unwrap();
    }
    builder.to_vec().unwrap()
}

#[test]
fn all_that_is_damaged_is_found_whatever_the_threads() {
    let whole = many();
    let records = small::range(&whole, Section::Records);
    let index = small::range(&whole, Section::Index);
    let order = small::range(&whole, Section::Order);
    let sums = small::range(&whole, Section::Sums);
    for threads in [1, 2, 3, 7, 64] {
        assert!(verify_all(&whole, threads).is_whole());
        let mut bytes = whole.clone();
        let places = [
            records.start,
            records.end - 1,
            index.start + 5000,
            order.start + 16,
        ];
        for at in places {
            bytes[at] ^= 4;
        }
        let found = verify_all(&bytes, threads);
        assert_eq!(found.count, 4);
        let found: Vec<_> = (found.damages.iter())
            .map(|damage| (damage.section.unwrap(), damage.offset_bytes))
            .collect();
        let pages = places.map(|at| (at - at % PAGE) as u64);
        let expected = [
            (SectionKind::Records, pages[0]),
            (SectionKind::Records, pages[1]),
            (SectionKind::HashIndex, pages[2]),
            (SectionKind::Order, pages[3]),
        ];
        assert_eq!(found, expected);
        // A checksum itself: that of the second page.
        let mut bytes = whole.clone();
        bytes[sums.start + 8] ^= 1;
        let found = verify_all(&bytes, threads);
        assert_eq!(found.count, 2);
        assert_eq!(found.damages[0].offset_bytes, 2 * PAGE as u64);
        assert_eq!(found.damages[1].section, Some(SectionKind::Checksums));
    }
}

#[test]
fn more_damage_than_is_kept_is_counted() {
    let mut builder = Builder::new();
    builder.add(1, b"key", &vec![7; 1100 * PAGE]).unwrap();
    let mut bytes = builder.to_vec().unwrap();
    for page in bytes.chunks_mut(PAGE).skip(1).take(1050) {
        page[9] = 8;
    }
    let found = verify_all(&bytes, 2);
    assert_eq!((found.count, found.damages.len()), (1050, Findings::MOST));
}

#[test]
fn what_contradicts_itself_is_found_whatever_the_threads() {
    let whole = many();
    let sums = small::range(&whole, Section::Sums);
    let mut random = Random::new(9);
    let mut stood = 0;
    for round in 0..60 {
        let mut bytes = whole.clone();
        let section = [Section::Records, Section::Index, Section::Order][round % 3];
        let range = small::range(&whole, section);
        let at = range.start + random.below(range.len());
        bytes[at] = bytes[at].wrapping_add(1 + u8::try_from(random.below(255)).unwrap());
        small::mend_pages(&mut bytes, sums.clone());
        let table = Table::from_bytes(bytes.as_slice(), "all").unwrap();
        let stands = table.verify(|_| ()).is_ok();
        stood += u32::from(stands);
        for threads in [1, 4] {
            let found = verify_all(&bytes, threads);
            assert_eq!(found.is_whole(), stands, "byte {at}: {found:?}");
        }
    }
    // Bytes of values, and the filter of an index line that lets more pass.
    assert!((6..30).contains(&stood), "{stood}");
}

#[test]
fn a_file_cut_short_while_it_is_verified_is_damage() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes = many();
    std::fs::write(&file, &bytes).unwrap();
    let table = Table::open(&file).unwrap();
    file.as_file().set_len(100_000).unwrap();
    let found = table.verify_all(NonZeroUsize::new(2).unwrap(), |_| ());
    let is_fault = |error: &Error| error.is_fault();
    assert!(found.damages.iter().any(|damage| is_fault(&damage.error)));
    assert!(
        found
            .damages
            .iter()
            .all(|damage| damage.offset_bytes >= 98_304),
        "{found:?}"
    );
}
