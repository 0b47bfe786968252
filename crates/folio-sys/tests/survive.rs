//! Slices whose file is cut short read zeros, and the process lives.
#![cfg(guarded)]
#![expect(unsafe_code, reason = "slices of mapped bytes are had by promise")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{CopyError, Mapping, ReadError, Span};
use folio_sys::page;

/// A file of this content on each file system at hand: the build folder's, and memory's.
fn files_of(content: &[u8]) -> Vec<File> {
    let mut files = vec![tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap()];
    files.extend(tempfile::tempfile_in("/dev/shm"));
    for file in &mut files {
        file.write_all(content).unwrap();
    }
    files
}

fn map(file: &File, len: usize) -> Span {
    let mapping = Mapping::of_file(file, 0, len, FaultPolicy::Handler).unwrap();
    Span::of(Arc::new(mapping.survive_truncation().unwrap()))
}

/// Reads a byte as compiled code does, and never from what the compiler remembers.
fn byte_at(span: &Span, offset: usize) -> u8 {
    assert!(offset < span.len());
    // SAFETY: in bounds of the mapping, which lives; a lost page is replaced.
    unsafe { span.as_ptr().wrapping_add(offset).read_volatile() }
}

#[test]
fn a_lost_page_reads_as_zeros_and_is_counted() {
    let page = page::size();
    for file in files_of(&vec![7; 4 * page]) {
        let span = map(&file, 4 * page);
        let neighbour = map(&file, 4 * page);
        // SAFETY: nobody changes the file while this slice lives.
        assert!(unsafe { span.as_slice() }.iter().all(|&byte| byte == 7));
        file.set_len(page as u64).unwrap();
        let lost = span.read_exact_at(2 * page, &mut [0]);
        assert!(matches!(
            lost,
            Err(ReadError::Copy(CopyError::Fault { copied: 0 }))
        ));
        assert_eq!(span.mapping().torn_pages(), 0, "an error tears nothing");
        assert_eq!(byte_at(&span, page - 1), 7);
        assert_eq!(byte_at(&span, 2 * page + 5), 0);
        assert_eq!(span.mapping().torn_pages(), 1);
        assert_eq!(byte_at(&span, 2 * page + 6), 0);
        assert_eq!(byte_at(&span, 4 * page - 1), 0);
        assert_eq!(span.mapping().torn_pages(), 2);
        let lost = span.read_exact_at(page, &mut [0]);
        assert!(lost.is_err(), "the page between is lost still");
        assert_eq!(neighbour.mapping().torn_pages(), 0);
        assert!(neighbour.read_exact_at(2 * page, &mut [0]).is_err());
    }
}

#[test]
fn threads_that_read_slices_survive() {
    let page = page::size();
    for file in files_of(&vec![7; 64 * page]) {
        let spans: Vec<Span> = (0..8).map(|_| map(&file, 64 * page)).collect();
        std::thread::scope(|scope| {
            for span in &spans {
                for first in 0..2 {
                    scope.spawn(move || {
                        for offset in (first..64 * page).step_by(97) {
                            assert!(matches!(byte_at(span, offset), 0 | 7));
                        }
                    });
                }
            }
            for pages in (0..64).rev() {
                file.set_len(pages * page as u64).unwrap();
            }
        });
        for span in &spans {
            assert_eq!(byte_at(span, 64 * page - 1), 0);
            assert!(span.mapping().torn_pages() > 0);
        }
    }
}

#[test]
fn mappings_that_come_and_go_leave_nothing_behind() {
    let page = page::size();
    for file in files_of(&vec![7; page]) {
        for _ in 0..200 {
            let span = map(&file, page);
            file.set_len(0).unwrap();
            assert_eq!(byte_at(&span, 3), 0);
            assert_eq!(span.mapping().torn_pages(), 1);
            drop(span);
            file.set_len(page as u64).unwrap();
            let span = map(&file, page);
            assert_eq!(span.mapping().torn_pages(), 0);
        }
    }
}

#[test]
fn only_the_handler_replaces_pages() {
    let file = &files_of(b"content")[0];
    let mapping = Mapping::of_file(file, 0, 7, FaultPolicy::Syscall).unwrap();
    let error = mapping.survive_truncation().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let empty = Mapping::of_file(file, 0, 0, FaultPolicy::Handler).unwrap();
    assert_eq!(empty.survive_truncation().unwrap().torn_pages(), 0);
}

const CHILD: &str = "FOLIO_SURVIVE_CHILD";

#[test]
fn without_the_option_the_process_ends_by_its_signal() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_without_the_option"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(libc::SIGBUS));
}

#[test]
fn child_without_the_option() {
    if std::env::var_os(CHILD).is_some() {
        let file = &files_of(b"content")[0];
        let survivor = map(file, 7);
        let mapping = Mapping::of_file(file, 0, 7, FaultPolicy::Handler).unwrap();
        let span = Span::of(Arc::new(mapping));
        file.set_len(0).unwrap();
        assert_eq!(byte_at(&survivor, 0), 0);
        byte_at(&span, 0);
    }
}
