//! Memory that others change, and cut short, while it is used.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use folio_sys::mapping::{CopyError, ReadError, WriteError};
use folio_sys::page;
use folio_sys::robust::RobustWord;
use folio_sys::shared_memory::{Access, SharedMemory};

/// A file of so many bytes on each file system at hand: the build folder's, and memory's.
fn files_of(len: usize) -> Vec<File> {
    let mut files = vec![tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap()];
    files.extend(tempfile::tempfile_in("/dev/shm"));
    for file in &files {
        file.set_len(len as u64).unwrap();
    }
    files
}

fn map(file: &File, len: usize, capacity: usize) -> Arc<SharedMemory> {
    let file = file.try_clone().unwrap().into();
    Arc::new(SharedMemory::map(file, len, capacity, Access::ReadWrite).unwrap())
}

#[test]
fn what_one_writes_others_see() {
    let page = page::size();
    for mut file in files_of(2 * page) {
        let (one, two) = (map(&file, 2 * page, 0), map(&file, page, 0));
        one.u32_at(8).unwrap().store(0x0505_0505, Ordering::Relaxed);
        two.u64_at(16).unwrap().store(u64::MAX, Ordering::Relaxed);
        one.write_at(24, b"hello").unwrap();
        let mut bytes = [0; 29];
        file.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[8..12], [5; 4]);
        assert_eq!(&bytes[16..], b"\xff\xff\xff\xff\xff\xff\xff\xffhello");
        let mut copied = [0; 29];
        two.read_at(0, &mut copied).unwrap();
        assert_eq!(copied, bytes);
        assert_eq!((one.len(), one.capacity()), (2 * page, 2 * page));
        assert_eq!((two.len(), two.capacity()), (page, page));
        assert_eq!((one.lost_pages(), two.lost_pages()), (0, 0));
    }
}

#[test]
fn atomics_are_had_where_all_of_them_is() {
    let page = page::size();
    for len in [0, 3, 4, 7, 8, 9, 39, 40, 47, 48, page - 4, page, page + 6] {
        let memory = map(&files_of(2 * page)[0], len, 2 * page);
        for offset in (0..50).chain(len.saturating_sub(50)..len + 50) {
            let fits = |size: usize, align| offset + size <= len && offset % align == 0;
            let of_4 = fits(4, 4);
            assert_eq!(memory.u32_at(offset).is_some(), of_4, "{offset} of {len}");
            assert_eq!(memory.pin::<AtomicU32>(offset).is_some(), of_4);
            let of_8 = fits(8, 8);
            assert_eq!(memory.u64_at(offset).is_some(), of_8, "{offset} of {len}");
            assert_eq!(memory.pin::<AtomicU64>(offset).is_some(), of_8);
            let robust = fits(size_of::<RobustWord>(), 8);
            assert_eq!(memory.pin::<RobustWord>(offset).is_some(), robust);
        }
        for offset in [
            usize::MAX,
            usize::MAX - 3,
            usize::MAX - 7,
            1 << (usize::BITS - 1),
        ] {
            assert!(memory.u32_at(offset).is_none() && memory.u64_at(offset).is_none());
            assert!(memory.pin::<AtomicU32>(offset).is_none());
            assert!(matches!(
                memory.read_at(offset, &mut [0]),
                Err(ReadError::OutOfRange)
            ));
            assert!(matches!(
                memory.write_at(offset, &[0]),
                Err(WriteError::OutOfRange)
            ));
        }
    }
}

#[test]
fn observers_copy_and_change_nothing() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"content!").unwrap();
    let read_only = File::open(file.path()).unwrap();
    let refused = SharedMemory::map(
        read_only.try_clone().unwrap().into(),
        8,
        8,
        Access::ReadWrite,
    );
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    let memory = Arc::new(SharedMemory::map(read_only.into(), 8, 8, Access::ReadOnly).unwrap());
    assert_eq!(memory.access(), Access::ReadOnly);
    assert!(memory.u32_at(0).is_none() && memory.u64_at(0).is_none());
    assert!(memory.pin::<AtomicU32>(0).is_none());
    assert!(matches!(
        memory.write_at(0, b"x"),
        Err(WriteError::ReadOnly)
    ));
    let mut bytes = [0; 8];
    memory.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"content!");
    file.as_file().set_len(0).unwrap();
    assert!(memory.read_at(0, &mut bytes).is_err());
    assert_eq!(memory.lost_pages(), 1);
}

#[test]
fn grows_under_those_who_use_it() {
    const PAGES: usize = 64;
    let page = page::size();
    for file in files_of(PAGES * page) {
        let memory = map(&file, page, PAGES * page);
        let first = memory.pin::<AtomicU64>(0).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    // Whoever is told of a length finds as much.
                    loop {
                        let len = memory.len();
                        memory
                            .u64_at(len - 8)
                            .unwrap()
                            .fetch_add(1, Ordering::Relaxed);
                        first.fetch_add(1, Ordering::Relaxed);
                        memory.write_at(len - 16, &[1; 8]).unwrap();
                        if len == PAGES * page {
                            break;
                        }
                    }
                });
            }
            for pages in 2..=PAGES {
                memory.grow(pages * page).unwrap();
                memory.grow(page).unwrap();
                assert_eq!(memory.len(), pages * page);
            }
        });
        assert!(first.load(Ordering::Relaxed) >= 2);
        let refused = memory.grow(PAGES * page + 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
        assert_eq!((memory.len(), memory.lost_pages()), (PAGES * page, 0));
    }
}

/// When the system refuses more, what is there stays.
#[cfg(target_os = "linux")]
#[test]
fn what_could_not_grow_is_what_it_was() {
    let page = page::size();
    let file = File::from(folio_sys::memfd::create("sealed").unwrap());
    file.set_len(4 * page as u64).unwrap();
    let memory = map(&file, page + 1, 4 * page);
    memory.write_at(page, b"x").unwrap();
    rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::FUTURE_WRITE).unwrap();
    let refused = memory.grow(3 * page).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(memory.len(), page + 1);
    memory.grow(2 * page).unwrap();
    assert!(memory.grow(2 * page + 1).is_err());
    assert!(memory.u32_at(2 * page).is_none());
    memory.write_at(2 * page - 1, b"y").unwrap();
    assert!(cfg!(not(guarded)) || is_replaced(&file, &memory));
}

/// Whether pages are replaced that the file has lost.
#[cfg(target_os = "linux")]
fn is_replaced(file: &File, memory: &SharedMemory) -> bool {
    file.set_len(0).unwrap();
    memory.u32_at(0).unwrap().fetch_add(1, Ordering::Relaxed);
    memory.lost_pages() == 1
}

#[test]
fn grows_by_less_than_a_page() {
    let page = page::size();
    let memory = map(&files_of(2 * page)[0], 0, page + 5);
    assert!(memory.is_empty());
    for len in [1, 4, 5, page - 1, page, page + 1, page + 5] {
        memory.grow(len).unwrap();
        assert_eq!(memory.len(), len);
        memory.write_at(len - 1, b"x").unwrap();
        assert!(memory.write_at(len - 1, b"xx").is_err());
    }
    assert!(memory.grow(page + 6).is_err());
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for (len, capacity) in [(0, usize::MAX), (usize::MAX, 0), (1, usize::MAX / 2 + 2)] {
        let file = tempfile::tempfile().unwrap().into();
        let refused = SharedMemory::map(file, len, capacity, Access::ReadWrite).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    assert!(SharedMemory::map(pipe, 1, 1, Access::ReadOnly).is_err());
}

#[test]
fn copies_of_lost_bytes_are_errors_and_counted() {
    let page = page::size();
    for file in files_of(3 * page) {
        let memory = map(&file, 3 * page, 0);
        file.set_len(page as u64).unwrap();
        let lost = memory.read_at(page - 3, &mut [0; 10]);
        assert!(matches!(
            lost,
            Err(ReadError::Copy(CopyError::Fault { .. }))
        ));
        assert_eq!(memory.lost_pages(), 1);
        for len in [1, 4, 8, 64, 1000] {
            let lost = memory.write_at(2 * page, &vec![1; len]);
            assert!(matches!(
                lost,
                Err(WriteError::Copy(CopyError::Fault { copied: 0 }))
            ));
        }
        assert_eq!(memory.lost_pages(), 6);
        memory.write_at(page - 3, b"abc").unwrap();
        assert!(memory.read_at(3 * page, &mut [0]).is_err());
        assert_eq!(memory.lost_pages(), 6, "no page is lost there");
    }
}

#[cfg(guarded)]
#[test]
fn atomics_in_lost_pages_are_this_process_s_own() {
    let page = page::size();
    for file in files_of(4 * page) {
        let (one, two) = (map(&file, 4 * page, 8 * page), map(&file, 4 * page, 0));
        let word = one.pin::<AtomicU32>(2 * page + 8).unwrap();
        word.store(7, Ordering::Relaxed);
        file.set_len(page as u64).unwrap();
        assert_eq!(one.lost_pages(), 0);
        assert_eq!(word.fetch_add(5, Ordering::Relaxed), 0);
        assert_eq!((one.lost_pages(), two.lost_pages()), (1, 0));
        assert_eq!(word.load(Ordering::Relaxed), 5);
        assert_eq!(one.u64_at(3 * page).unwrap().swap(1, Ordering::Relaxed), 0);
        assert_eq!(one.lost_pages(), 2);
        assert_eq!(two.u32_at(2 * page + 8).unwrap().load(Ordering::Relaxed), 0);
        assert_eq!(two.lost_pages(), 1);
        // What is left is shared still.
        one.u32_at(0).unwrap().store(9, Ordering::Relaxed);
        assert_eq!(two.u32_at(0).unwrap().load(Ordering::Relaxed), 9);
        // Pages that the file does not have yet are lost ones, too, and have places in the range.
        one.grow(8 * page).unwrap();
        assert_eq!(one.u32_at(7 * page).unwrap().load(Ordering::Relaxed), 0);
        assert_eq!(one.lost_pages(), 3);
    }
}

#[cfg(guarded)]
#[test]
fn threads_live_on_while_the_file_is_cut_short() {
    let page = page::size();
    for file in files_of(64 * page) {
        let memory = map(&file, 64 * page, 0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for first in 0..4 {
                let (memory, done) = (&memory, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        for offset in (first * 8..64 * page).step_by(264) {
                            let word = memory.u64_at(offset & !7).unwrap();
                            word.fetch_add(1, Ordering::Relaxed);
                            let _ = memory.read_at(offset, &mut [0; 8]);
                            let _ = memory.write_at(offset, &[0; 8]);
                        }
                    }
                });
            }
            for pages in (0..64).rev() {
                file.set_len(pages * page as u64).unwrap();
                std::thread::yield_now();
            }
            done.store(true, Ordering::Relaxed);
        });
        memory.u32_at(0).unwrap().fetch_add(1, Ordering::Relaxed);
        assert!(memory.lost_pages() > 0);
    }
}

#[test]
fn pinned_words_keep_the_memory() {
    let page = page::size();
    let file = &files_of(page)[0];
    let memory = map(file, page, 0);
    let word = memory.pin::<AtomicU64>(64).unwrap();
    assert_eq!(word.offset(), 64);
    assert!(Arc::ptr_eq(word.memory(), &memory));
    drop(memory);
    let clone = word.clone();
    drop(word);
    std::thread::spawn(move || clone.store(5, Ordering::Relaxed))
        .join()
        .unwrap();
    let again = map(file, page, 0);
    assert_eq!(again.u64_at(64).unwrap().load(Ordering::Relaxed), 5);
}
