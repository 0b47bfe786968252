//! Writing, growing, flushing and advising: any range, and no byte beside it.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use folio_sys::advice::Advice;
use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{CopyError, Extent, Mapping, MappingMut, ReadError, Span, WriteError};
use folio_sys::page;

const POLICIES: [FaultPolicy; 2] = [FaultPolicy::Handler, FaultPolicy::Syscall];

const EVERY_ADVICE: [Advice; 10] = [
    Advice::Normal,
    Advice::Random,
    Advice::Sequential,
    Advice::WillNeed,
    Advice::Populate,
    Advice::Cold,
    Advice::PageOut,
    Advice::DontNeed,
    Advice::HugePage,
    Advice::NoHugePage,
];

/// A file of this content on each file system at hand: the build folder's, and memory's.
fn files_of(content: &[u8]) -> Vec<File> {
    let mut files = vec![tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap()];
    files.extend(tempfile::tempfile_in("/dev/shm"));
    for file in &mut files {
        file.write_all(content).unwrap();
    }
    files
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn descriptor(file: &File) -> OwnedFd {
    file.try_clone().unwrap().into()
}

fn content_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn writes_reach_the_file_and_no_byte_beside() {
    let page = page::size();
    for policy in POLICIES {
        for file in files_of(&pattern(3 * page)) {
            let mut expected = pattern(3 * page);
            let offset = page - 5;
            let extent = Extent::new(offset as u64, page + 10);
            let mapping = MappingMut::of_file(descriptor(&file), extent, policy).unwrap();
            for (at, len) in [
                (0, 1),
                (3, 7),
                (5, page),
                (page, 10),
                (page + 10, 0),
                (2, page + 8),
            ] {
                let bytes: Vec<u8> = (0..len)
                    .map(|i| 255 - u8::try_from(i % 241).unwrap())
                    .collect();
                mapping.write_all_at(at, &bytes).unwrap();
                expected[offset + at..offset + at + len].copy_from_slice(&bytes);
                assert_eq!(content_of(&file), expected);
            }
            for (at, len) in [
                (0, page + 11),
                (page + 10, 1),
                (page + 11, 0),
                (usize::MAX, 2),
            ] {
                let outcome = mapping.write_all_at(at, &vec![1; len]);
                assert!(
                    matches!(outcome, Err(WriteError::OutOfRange)),
                    "{outcome:?}"
                );
            }
            assert_eq!(content_of(&file), expected);
        }
    }
}

#[test]
fn a_write_to_a_lost_page_is_a_fault_at_the_exact_byte() {
    let page = page::size();
    for policy in POLICIES {
        for file in files_of(&pattern(3 * page)) {
            let extent = Extent::new(0, 3 * page);
            let mapping = MappingMut::of_file(descriptor(&file), extent, policy).unwrap();
            file.set_len(page as u64).unwrap();
            for before in [0, 1, 7, 16, 40, 100, 1000, 2000] {
                let outcome = mapping.write_all_at(page - before, &vec![9; before + 50]);
                assert!(
                    matches!(outcome, Err(WriteError::Copy(CopyError::Fault { copied })) if copied == before),
                    "{policy:?}, {before} bytes before the end: {outcome:?}"
                );
                assert_eq!(content_of(&file)[page - before..], vec![9; before]);
            }
        }
    }
}

#[test]
fn what_may_not_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"content").unwrap();
    let read_only: OwnedFd = File::open(&path).unwrap().into();
    let extent = Extent::new(0, 7);
    let error = MappingMut::of_file(read_only, extent, FaultPolicy::Handler).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    for extent in [extent, extent.reserve(1 << 20)] {
        let reader = reader.try_clone().unwrap();
        let error = MappingMut::of_file(reader, extent, FaultPolicy::Handler).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
    }
}

#[test]
fn protection_changes_and_writing_follows() {
    for file in files_of(&pattern(10_000)) {
        let extent = Extent::new(5, 9000);
        let mut mapping =
            MappingMut::of_file(descriptor(&file), extent, FaultPolicy::Handler).unwrap();
        assert_protection_works(&mut mapping);
    }
    let extent = Extent::new(0, 9000);
    let mut mapping = MappingMut::anonymous(extent, FaultPolicy::Handler).unwrap();
    assert_protection_works(&mut mapping);
    let mut empty = MappingMut::anonymous(Extent::new(0, 0), FaultPolicy::Handler).unwrap();
    empty.set_writable(false).unwrap();
    empty.set_writable(true).unwrap();
}

fn assert_protection_works(mapping: &mut MappingMut) {
    let span = Span::of(Arc::clone(mapping.mapping()));
    mapping.write_all_at(8000, b"one").unwrap();
    mapping.set_writable(false).unwrap();
    assert!(!mapping.is_writable());
    let outcome = mapping.write_all_at(8000, b"two");
    assert!(matches!(outcome, Err(WriteError::ReadOnly)), "{outcome:?}");
    let mut bytes = [0; 3];
    span.read_exact_at(8000, &mut bytes).unwrap();
    assert_eq!(&bytes, b"one");
    mapping.set_writable(true).unwrap();
    mapping.write_all_at(8000, b"two").unwrap();
    span.read_exact_at(8000, &mut bytes).unwrap();
    assert_eq!(&bytes, b"two");
}

#[test]
fn grows_in_place_while_spans_live() {
    let page = page::size();
    for policy in POLICIES {
        for file in files_of(&pattern(page + 100)) {
            let extent = Extent::new(50, page).reserve(40 * page);
            let mapping = MappingMut::of_file(descriptor(&file), extent, policy).unwrap();
            assert!(mapping.capacity() >= 40 * page);
            let before = Span::of(Arc::clone(mapping.mapping()));
            let address = before.as_ptr();
            for len in [
                page,
                page + 1,
                2 * page,
                7 * page + 3,
                7 * page + 4,
                40 * page,
            ] {
                file.set_len((50 + len) as u64).unwrap();
                mapping.grow(len).unwrap();
                assert_eq!(mapping.mapping().len(), len);
                mapping.write_all_at(len - 1, &[77]).unwrap();
                let mut byte = [0];
                file.read_exact_at(&mut byte, (50 + len - 1) as u64)
                    .unwrap();
                assert_eq!(byte, [77]);
                let after = Span::of(Arc::clone(mapping.mapping()));
                assert_eq!((after.len(), after.as_ptr()), (len, address));
            }
            assert_eq!(before.len(), page);
            let mut bytes = vec![0; page - 1];
            before.read_exact_at(0, &mut bytes).unwrap();
            assert_eq!(bytes, pattern(page + 100)[50..50 + page - 1]);
            mapping.grow(page).unwrap();
            assert_eq!(mapping.mapping().len(), 40 * page, "nothing shrinks");
            let too_much = mapping.grow(mapping.capacity() + 1).unwrap_err();
            assert_eq!(too_much.kind(), io::ErrorKind::OutOfMemory);
            assert!(mapping.grow(usize::MAX).is_err());
        }
    }
}

#[test]
fn grows_from_nothing_and_without_a_file() {
    let page = page::size();
    let file = tempfile::tempfile().unwrap();
    let extent = Extent::new(3, 0).reserve(10 * page);
    let mapping = MappingMut::of_file(descriptor(&file), extent, FaultPolicy::Handler).unwrap();
    assert!(mapping.mapping().is_empty());
    let past_end = mapping.write_all_at(0, b"x");
    assert!(matches!(past_end, Err(WriteError::OutOfRange)));
    file.set_len(2 * page as u64).unwrap();
    mapping.grow(page).unwrap();
    mapping.write_all_at(0, b"x").unwrap();
    assert_eq!(content_of(&file)[3], b'x');

    let mapping = MappingMut::anonymous(extent, FaultPolicy::Handler).unwrap();
    mapping.grow(5 * page + 1).unwrap();
    mapping.write_all_at(5 * page, b"y").unwrap();
    let fixed = MappingMut::anonymous(Extent::new(0, 1), FaultPolicy::Handler).unwrap();
    fixed.grow(page).unwrap();
    assert!(fixed.grow(page + 1).is_err());
}

#[test]
fn growth_and_readers_and_writers_run_beside_each_other() {
    let page = page::size();
    let file = tempfile::tempfile().unwrap();
    file.set_len(256 * page as u64).unwrap();
    let extent = Extent::new(0, page).reserve(256 * page);
    let mapping = MappingMut::of_file(descriptor(&file), extent, FaultPolicy::Handler).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3_u8 {
            let (mapping, done) = (&mapping, &done);
            scope.spawn(move || {
                let at = usize::from(thread);
                while !done.load(Ordering::Acquire) {
                    // The last bytes there are, which were mapped an instant ago.
                    let len = mapping.mapping().len();
                    mapping.write_all_at(len - 3 + at, &[thread + 1]).unwrap();
                    let mut byte = [0];
                    mapping
                        .mapping()
                        .read_exact_at(len - 3 + at, &mut byte)
                        .unwrap();
                    assert_eq!(byte, [thread + 1]);
                }
            });
        }
        let growers: Vec<_> = (0..2)
            .map(|_| {
                let mapping = &mapping;
                scope.spawn(move || {
                    for pages in 2..=256 {
                        let len = pages * page;
                        mapping.grow(len).unwrap();
                        assert!(mapping.mapping().len() >= len);
                    }
                })
            })
            .collect();
        for grower in growers {
            grower.join().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(mapping.mapping().len(), 256 * page);
}

#[test]
fn any_range_is_flushed_advised_locked_and_no_neighbour_is() {
    let page = page::size();
    for file in files_of(&pattern(6 * page)) {
        let extent = Extent::new(page as u64 + 9, 3 * page);
        let mapping = MappingMut::of_file(descriptor(&file), extent, FaultPolicy::Handler).unwrap();
        mapping.write_all_at(100, b"changed").unwrap();
        let mut expected = pattern(6 * page);
        expected[page + 109..page + 116].copy_from_slice(b"changed");
        let len = 3 * page;
        for (at, count) in [
            (0, len),
            (0, 0),
            (len, 0),
            (1, 1),
            (page - 10, 2),
            (len - 1, 1),
        ] {
            mapping.flush(at, count).unwrap();
            mapping.flush_async(at, count).unwrap();
            for advice in EVERY_ADVICE {
                match mapping.mapping().advise(at, count, advice) {
                    Ok(()) => {}
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{advice:?}");
                    }
                }
            }
            mapping.mapping().lock(at, count).unwrap();
            mapping.mapping().unlock(at, count).unwrap();
            let mut bytes = vec![0; len];
            mapping.mapping().read_exact_at(0, &mut bytes).unwrap();
            assert_eq!(bytes, expected[page + 9..4 * page + 9]);
        }
        for (at, count) in [
            (0, len + 1),
            (len, 1),
            (len + 1, 0),
            (usize::MAX, 2),
            (1, usize::MAX),
        ] {
            let refused = |outcome: io::Result<()>| {
                assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidInput);
            };
            refused(mapping.flush(at, count));
            refused(mapping.flush_async(at, count));
            refused(mapping.mapping().lock(at, count));
            refused(mapping.mapping().unlock(at, count));
            for advice in EVERY_ADVICE {
                refused(mapping.mapping().advise(at, count, advice));
            }
        }
    }
}

#[test]
fn populating_part_of_a_file_finds_its_lost_pages() {
    let page = page::size();
    let content = pattern(8 * page);
    for file in files_of(&content) {
        let mapping = Mapping::of_file(&file, 0, 8 * page, FaultPolicy::Handler).unwrap();
        mapping.advise(0, 8 * page, Advice::DontNeed).unwrap();
        if mapping.advise(2 * page, page, Advice::Populate).is_err() {
            continue; // Before Linux 5.14.
        }
        // A lost page is an error of populating, not a signal.
        file.set_len(page as u64).unwrap();
        assert!(mapping.advise(3 * page, 1, Advice::Populate).is_err());
        assert!(mapping.populate().is_err());
        mapping.advise(10, 1, Advice::Populate).unwrap();
        let mut bytes = [0; 4];
        let lost = mapping.read_exact_at(3 * page, &mut bytes);
        assert!(matches!(
            lost,
            Err(ReadError::Copy(CopyError::Fault { copied: 0 }))
        ));
    }
}
