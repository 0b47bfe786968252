//! Lost pages are errors, whoever lost them, at the exact byte.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod lost_page;

use std::sync::atomic::{AtomicUsize, Ordering};

use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{CopyError, Mapping, ReadError};
use folio_sys::page;
use lost_page::{file_of, span_of};

const POLICIES: [FaultPolicy; 2] = [FaultPolicy::Handler, FaultPolicy::Syscall];

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[test]
fn any_offset_and_length_reads_what_the_file_has() {
    let page = page::size();
    let content = pattern(3 * page + 100);
    let file = file_of(&content);
    for policy in POLICIES {
        for offset in [0, 1, 7, page - 1, page, page + 1, 2 * page + 99] {
            for len in [0, 1, 64, page, content.len() - offset] {
                let len = len.min(content.len() - offset);
                let mapping = span_of(&file, offset as u64, len, policy);
                let mut bytes = vec![0; len + 10];
                let count = mapping.read_at(0, &mut bytes).unwrap();
                assert_eq!(&bytes[..count], &content[offset..offset + len]);
                assert_eq!(mapping.read_at(len, &mut bytes).unwrap(), 0);
                assert_eq!(mapping.read_at(len + 1, &mut bytes).unwrap(), 0);
                assert_eq!(mapping.read_at(usize::MAX, &mut bytes).unwrap(), 0);
                let past = mapping.read_exact_at(0, &mut bytes);
                assert!(matches!(past, Err(ReadError::OutOfRange)));
                let past = mapping.read_exact_at(usize::MAX, &mut bytes);
                assert!(matches!(past, Err(ReadError::OutOfRange)));
                let tail = mapping.part(len / 3, len - len / 3).unwrap();
                let count = tail.read_at(0, &mut bytes).unwrap();
                assert_eq!(&bytes[..count], &content[offset + len / 3..offset + len]);
                assert!(mapping.part(len / 3, len - len / 3 + 1).is_none());
                assert!(mapping.part(usize::MAX, 2).is_none());
            }
        }
    }
}

#[test]
fn a_truncated_file_is_a_fault_at_the_exact_byte() {
    let page = page::size();
    let content = pattern(4 * page);
    for policy in POLICIES {
        let file = file_of(&content);
        let mapping = span_of(&file, 0, 4 * page, policy);
        for pages in (0..4).rev() {
            let cut = pages * page;
            file.set_len(cut as u64).unwrap();
            for before in [0, 1, 3, 8, 15, 16, 40, 63, 64, 100, 500, 1000, 3000] {
                for after in [1, 2, 5, 9, 17, 33, 48, 65, 130, 700, 1025, 4000] {
                    let before = before.min(cut);
                    let mut bytes = vec![0xEE; before + after];
                    let outcome = mapping.read_at(cut - before, &mut bytes);
                    assert!(
                        matches!(outcome, Err(ReadError::Copy(CopyError::Fault { copied })) if copied == before),
                        "{policy:?}, {before} bytes before the cut at page {pages}: {outcome:?}"
                    );
                    assert_eq!(bytes[..before], content[cut - before..cut]);
                }
            }
        }
        // The pages come back with the file.
        file.set_len(4 * page as u64).unwrap();
        let mut bytes = vec![0xEE; 4 * page];
        assert_eq!(mapping.read_at(0, &mut bytes).unwrap(), 4 * page);
        assert!(bytes.iter().all(|&byte| byte == 0));
    }
}

#[test]
fn what_is_appended_is_all_there_or_nothing_is() {
    let page = page::size();
    let content = pattern(2 * page);
    for policy in POLICIES {
        let file = file_of(&content);
        let span = span_of(&file, 0, 2 * page, policy);
        let appended = |offset: usize, len: usize| {
            let mut out = b"before".to_vec();
            if len % 2 == 0 {
                out.reserve(len);
            }
            let is_small = span.append_small_at(offset, len, &mut out);
            if !is_small {
                assert_eq!(out, b"before");
                let appended = span.append_exact_at(offset, len, &mut out);
                assert_eq!(out.len() > 6, appended.is_ok() && len > 0);
                appended?;
            }
            assert!(!is_small || len <= 64 && policy == FaultPolicy::Handler);
            assert_eq!(out[..6], *b"before");
            Ok(out.split_off(6))
        };
        for len in (0..70).chain([100, 511, 512, 1000, page, 2 * page]) {
            for offset in [0, 1, page - 5, page, 2 * page - 64, 2 * page - 1, 2 * page] {
                let expected = content.get(offset..offset + len);
                match (appended(offset, len), expected) {
                    (Ok(bytes), Some(expected)) => assert_eq!(bytes, expected),
                    (Err(ReadError::OutOfRange), None) => {}
                    (other, _) => panic!("{len} bytes from {offset}: {other:?}"),
                }
                if let Some(bytes) = expected {
                    let is_same = span.equals_small_at(offset, bytes);
                    assert_ne!(is_same, Some(false));
                    let is_small = (1..=64).contains(&len) && offset + 64 <= 2 * page;
                    let is_small = is_small && policy == FaultPolicy::Handler;
                    assert_eq!(is_same.is_some(), is_small, "{len} bytes from {offset}");
                }
            }
        }
        let mut out = Vec::new();
        for (offset, len) in [(usize::MAX, 1), (1, usize::MAX), (0, usize::MAX)] {
            // No room is made for what is not there.
            let outcome = span.append_exact_at(offset, len, &mut out);
            assert!(matches!(outcome, Err(ReadError::OutOfRange)));
        }
        file.set_len(page as u64).unwrap();
        for (before, len) in [(0, 1), (3, 5), (10, 32), (60, 64), (40, 100), (700, 1000)] {
            let outcome = appended(page - before, len);
            assert!(
                matches!(outcome, Err(ReadError::Copy(CopyError::Fault { copied })) if copied == before),
                "{policy:?}, {before} of {len} bytes: {outcome:?}"
            );
            let bytes = &content[page - before..page - before + len];
            assert_eq!(span.equals_small_at(page - before, bytes), None);
        }
    }
}

#[test]
fn populating_a_lost_page_is_an_error() {
    if std::env::var_os("FOLIO_TEST_RUNNER").is_some() {
        println!("skipped: the emulator takes this advice and does nothing");
        return;
    }
    let page = page::size();
    let file = file_of(&pattern(8 * page));
    let mapping = Mapping::of_file(&file, 100, 7 * page, FaultPolicy::Handler).unwrap();
    mapping.populate().unwrap();
    file.set_len(page as u64).unwrap();
    if cfg!(target_os = "linux") {
        let error = mapping.populate().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}

#[test]
fn what_cannot_be_mapped_says_so() {
    let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let error = Mapping::of_file(&reader, 0, 10, FaultPolicy::Handler).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    let file = file_of(b"x");
    let error = Mapping::of_file(&file, u64::MAX - 5000, 10_000, FaultPolicy::Handler).unwrap_err();
    assert!(error.raw_os_error().is_some() || error.kind() == std::io::ErrorKind::InvalidInput);
    let error = Mapping::of_file(&file, 0, usize::MAX, FaultPolicy::Handler).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn reads_survive_truncation_under_threads() {
    let page = page::size();
    let content = pattern(64 * page);
    let file = file_of(&content);
    let mapping = span_of(&file, 0, content.len(), FaultPolicy::Handler);
    let reads = AtomicUsize::new(0);
    let faults = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (mapping, content, reads, faults) = (&mapping, &content, &reads, &faults);
            scope.spawn(move || {
                let mut bytes = vec![0; 5000];
                let mut offset = thread * 977;
                for _ in 0..20_000 {
                    offset = (offset * 31 + 7919) % (content.len() - bytes.len());
                    match mapping.read_at(offset, &mut bytes) {
                        Ok(count) => {
                            assert_eq!(count, bytes.len());
                            reads.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(ReadError::Copy(CopyError::Fault { copied })) => {
                            assert!(copied < bytes.len());
                            faults.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
        for round in 0..500_u64 {
            file.set_len(round % 64 * page as u64).unwrap();
            file.set_len(64 * page as u64).unwrap();
        }
    });
    assert_eq!(
        reads.into_inner() + faults.into_inner(),
        80_000,
        "every read ended, one way or the other"
    );
}
