//! Watching stores that are none of folio's.
#![expect(
    unsafe_code,
    reason = "stores to mapped bytes, as other code makes them"
)]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::sync::atomic::{AtomicU8, Ordering};

use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{Extent, MappingMut, Span};
use folio_sys::watch::{Method, Watch};

fn methods() -> Vec<Method> {
    let map = map(1);
    let mut methods = Vec::new();
    if cfg!(any(
        target_arch = "x86_64",
        target_arch = "x86",
        target_arch = "aarch64"
    )) {
        methods.push(Method::Protection);
    }
    match Watch::start(map.mapping(), Method::Userfaultfd) {
        Ok(_) => methods.push(Method::Userfaultfd),
        Err(error) => {
            // Before Linux 6.7, and in some sandboxes.
            let refusals = [libc::EPERM, libc::ENOSYS, libc::EINVAL];
            let refused = error
                .raw_os_error()
                .filter(|error| refusals.contains(error));
            assert!(refused.is_some(), "{error:?}");
            assert!(std::env::var_os("CI").is_none(), "userfaultfd: {error}");
            println!("skipped: userfaultfd's asynchronous write-protection: {error}");
        }
    }
    methods
}

fn map(pages: usize) -> MappingMut {
    let extent = Extent::new(0, pages * folio_sys::page::size());
    MappingMut::anonymous(extent, FaultPolicy::Handler).unwrap()
}

/// Stores to a page by its address.
fn store(map: &MappingMut, page: usize, value: u8) {
    let span = Span::of(map.mapping().clone());
    let address = span
        .as_ptr()
        .wrapping_add(page * folio_sys::page::size() + 5);
    // SAFETY: a mapped byte, which is only ever used as an atomic here.
    let byte = unsafe { AtomicU8::from_ptr(address.cast_mut()) };
    byte.store(value, Ordering::SeqCst);
    assert_eq!(byte.load(Ordering::SeqCst), value);
}

fn taken(watch: &mut Watch) -> Vec<usize> {
    let mut pages = Vec::new();
    watch.take(&mut |run| pages.extend(run)).unwrap();
    pages
}

#[test]
fn stores_of_other_code_are_seen() {
    for method in methods() {
        let map = map(200);
        store(&map, 3, 1);
        let mut watch = Watch::start(map.mapping(), method).unwrap();
        assert_eq!(taken(&mut watch), [], "what was written before is not");
        for value in 0..3 {
            for page in [0, 3, 4, 70, 199] {
                store(&map, page, value);
                store(&map, page, value + 1);
            }
            assert_eq!(taken(&mut watch), [0, 3, 4, 70, 199]);
            assert_eq!(taken(&mut watch), []);
        }
        drop(watch);
        store(&map, 5, 1);
        let mut watch = Watch::start(map.mapping(), method).unwrap();
        store(&map, 6, 1);
        assert_eq!(taken(&mut watch), [6]);
    }
}

#[test]
fn stores_and_watches_that_come_and_go() {
    for method in methods() {
        let map = map(16);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (map, stop) = (&map, &stop);
                scope.spawn(move || {
                    let mut page = thread;
                    while !stop.load(Ordering::Relaxed) {
                        store(map, page % 5 * 3 + thread, 1);
                        page += 1;
                    }
                });
            }
            // A fault that was raised under one watch is handled under the next, or under none.
            for _ in 0..2000 {
                let mut watch = Watch::start(map.mapping(), method).unwrap();
                taken(&mut watch);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn what_is_only_read_is_not_watched() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(10).unwrap();
    let mapping = folio_sys::mapping::Mapping::of_file(&file, 0, 10, FaultPolicy::Handler).unwrap();
    let refused = Watch::start(&mapping.into(), Method::Protection).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
}
