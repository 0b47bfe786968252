//! Tables whose checksums are checked while they are used.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use folio::ReadAt;
use folio_table::{Builder, Checked, Error, Table, Verify};

use crate::random::Random;
use crate::small::{self, PAGE, Section};

const MODES: [Verify; 4] = [Verify::Never, Verify::Open, Verify::Touch, Verify::Always];

fn open<B: ReadAt>(bytes: B, verify: Verify) -> folio_table::Result<Table<Checked<B>>> {
    Table::options().verify(verify).from_bytes(bytes, "checked")
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// A table of few pages: of records, index and order one each.
fn few() -> (Records, Vec<u8>) {
    let mut builder = Builder::new();
    let records: Vec<_> = (0..24_u8)
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
    let (records, mut bytes) = few();
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
    // Each bit of the pages of records and of the index, padding included, is seen by lookups.
    assert!(
        refused >= 2 * 8 * 4096,
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
            let sums = table.info().sections[3].offset_bytes;
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
