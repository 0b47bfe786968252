//! What the page cache holds, and calls that are refused.
#![cfg(target_os = "linux")]
#![expect(
    unsafe_code,
    clippy::unwrap_used,
    reason = "advice that gives bytes up is unsafe; a test fails by panicking"
)]

use std::io::{ErrorKind, Write};

use folio_sys::advice::{Advice, UnsafeAdvice};
use folio_sys::cachestat::cachestat;
use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{Extent, Mapping, MappingMut};
use folio_sys::page;
use folio_sys::sandbox::{Refusable, Refusal, refuse};

const LEN: usize = 100_000;

fn file() -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; LEN]).unwrap();
    file
}

#[test]
fn both_ways_count_what_was_just_written() {
    let file = file();
    let mapping = Mapping::of_file(&file, 5000, LEN - 5000, FaultPolicy::Handler).unwrap();
    let mut pages = Vec::new();
    mapping.cached_pages(0, LEN - 5000, &mut pages).unwrap();
    let whole = (LEN.div_ceil(page::size()) - 5000 / page::size()) as u64;
    assert_eq!(pages, vec![1; usize::try_from(whole).unwrap()]);
    mapping.cached_pages(10, 1, &mut pages).unwrap();
    assert_eq!(pages.len() as u64, whole + 1);
    mapping.cached_pages(10, 0, &mut pages).unwrap();
    assert_eq!(pages.len() as u64, whole + 1);
    for (offset, len) in [(0, LEN), (LEN, 0), (usize::MAX, 2)] {
        let error = mapping.cached_pages(offset, len, &mut pages).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    match cachestat(&file, 0, LEN as u64) {
        Ok(counts) => assert_eq!(counts.cached, LEN.div_ceil(page::size()) as u64),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    assert_eq!(cachestat(&file, 0, 0).unwrap().cached, 0);
}

#[test]
fn a_refusal_looks_as_it_would() {
    // Filters are a thread's own.
    for (how, kind) in [
        (Refusal::NotImplemented, ErrorKind::Unsupported),
        (Refusal::NotPermitted, ErrorKind::PermissionDenied),
    ] {
        let refused = std::thread::spawn(move || {
            let file = file();
            let mapping = Mapping::of_file(&file, 0, LEN, FaultPolicy::Handler).unwrap();
            refuse(Refusable::CacheStat, how).unwrap();
            refuse(Refusable::Advice, how).unwrap();
            let counted = cachestat(&file, 0, 1).unwrap_err().kind();
            let advised = mapping.advise(0, LEN, Advice::Random).unwrap_err().kind();
            let mut pages = Vec::new();
            mapping.cached_pages(0, LEN, &mut pages).unwrap();
            (counted, advised, pages.len())
        });
        let pages = LEN.div_ceil(page::size());
        assert_eq!(refused.join().unwrap(), (kind, kind, pages));
    }
    assert!(
        cachestat(file(), 0, 1)
            .map_or_else(|error| error.kind() == ErrorKind::Unsupported, |_| true)
    );
}

#[test]
fn all_advice_is_the_kernels_or_unsupported_and_changes_nothing() {
    let mapping = MappingMut::of_file(file().into(), Extent::new(0, LEN), FaultPolicy::Handler);
    let mapping = mapping.unwrap();
    for advice in [
        Advice::Normal,
        Advice::Random,
        Advice::Sequential,
        Advice::WillNeed,
        Advice::Populate,
        Advice::PopulateWrite,
        Advice::Cold,
        Advice::PageOut,
        Advice::DontNeed,
        Advice::HugePage,
        Advice::NoHugePage,
        Advice::Collapse,
        Advice::DontDump,
        Advice::Dump,
        Advice::Mergeable,
        Advice::Unmergeable,
    ] {
        let outcome = mapping.mapping().advise(100, LEN - 100, advice);
        // Collapsing fails for want of huge pages, too.
        let collapses = advice == Advice::Collapse;
        assert!(
            outcome.as_ref().map_or_else(
                |error| collapses || error.kind() == ErrorKind::Unsupported,
                |()| true
            ),
            "{advice:?}: {outcome:?}"
        );
        let mut bytes = vec![0; LEN];
        mapping.mapping().read_exact_at(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 7), "{advice:?}");
    }
}

#[test]
fn what_is_removed_reads_as_zeros() {
    let page = page::size();
    let mapping = MappingMut::anonymous(Extent::new(0, 4 * page), FaultPolicy::Handler).unwrap();
    mapping.write_all_at(0, &vec![7; 4 * page]).unwrap();
    // SAFETY: nobody has a slice of it.
    unsafe {
        mapping
            .mapping()
            .advise_unsafe(page, page, UnsafeAdvice::Remove)
    }
    .unwrap();
    let mut bytes = vec![1; 4 * page];
    mapping.mapping().read_exact_at(0, &mut bytes).unwrap();
    let expected = [vec![7; page], vec![0; page], vec![7; 2 * page]].concat();
    assert_eq!(bytes, expected);
    // SAFETY: as above.
    let wrong = unsafe {
        mapping
            .mapping()
            .advise_unsafe(0, 5 * page, UnsafeAdvice::Remove)
    };
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::InvalidInput);
}
