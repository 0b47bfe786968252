//! Lost pages are errors; everybody else's SIGBUS stays theirs.
#![expect(
    unsafe_code,
    reason = "signal actions are set and faults raised by hand"
)]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use folio_sys::fault::FaultPolicy;
use folio_sys::mapping::{CopyError, Mapping, ReadError, Span};
use folio_sys::page;

const POLICIES: [FaultPolicy; 2] = [FaultPolicy::Handler, FaultPolicy::Syscall];

fn file_of(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

fn span_of(file: &File, offset: u64, len: usize, policy: FaultPolicy) -> Span {
    Span::of(Arc::new(
        Mapping::of_file(file, offset, len, policy).unwrap(),
    ))
}

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
fn populating_a_lost_page_is_an_error() {
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

/// Runs one of the `child_` tests below in a process of its own.
fn run_child(name: &str) -> ExitStatus {
    let this = std::env::current_exe().unwrap();
    Command::new(this)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("FOLIO_FAULT_CHILD", "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

fn is_child() -> bool {
    std::env::var_os("FOLIO_FAULT_CHILD").is_some()
}

/// A mapping whose one page is lost, and folio's handler installed.
fn lost_page() -> Span {
    let file = file_of(&[1]);
    let mapping = span_of(&file, 0, 1, FaultPolicy::Handler);
    file.set_len(0).unwrap();
    assert!(mapping.read_at(0, &mut [0]).is_err());
    mapping
}

/// Reads a lost page as no guarded routine does.
fn touch(span: &Span) {
    // SAFETY: mapped; that the page is lost, and raises SIGBUS, is the point.
    unsafe { span.as_ptr().read_volatile() };
}

fn set_action(handler: usize, flags: i32) {
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: a whole action, with a handler of the form that its flags say.
    let status = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) };
    assert_eq!(status, 0);
}

fn raise() {
    // SAFETY: raise has no obligations.
    unsafe { libc::raise(libc::SIGBUS) };
}

#[test]
fn a_foreign_fault_ends_the_process_by_its_signal() {
    for name in [
        "child_default_fault",
        "child_default_sent",
        "child_ignored_fault",
        "child_untouched_std_action",
    ] {
        assert_eq!(run_child(name).signal(), Some(libc::SIGBUS), "{name}");
    }
}

#[test]
fn a_foreign_signal_reaches_the_handler_before() {
    for name in [
        "child_ignored_sent",
        "child_plain_handler",
        "child_siginfo_handler",
        "child_reset_handler",
    ] {
        let status = run_child(name);
        assert!(status.success(), "{name}: {status}");
    }
}

#[test]
fn child_default_fault() {
    if is_child() {
        set_action(libc::SIG_DFL, 0);
        touch(&lost_page());
    }
}

#[test]
fn child_default_sent() {
    if is_child() {
        set_action(libc::SIG_DFL, 0);
        let _lost = lost_page();
        raise();
    }
}

#[test]
fn child_ignored_fault() {
    if is_child() {
        set_action(libc::SIG_IGN, 0);
        touch(&lost_page());
    }
}

#[test]
fn child_untouched_std_action() {
    if is_child() {
        touch(&lost_page());
    }
}

#[test]
fn child_ignored_sent() {
    if is_child() {
        set_action(libc::SIG_IGN, 0);
        let _lost = lost_page();
        raise();
    }
}

static PLAIN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn plain(signal: libc::c_int) {
    assert_eq!(signal, libc::SIGBUS);
    PLAIN.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn child_plain_handler() {
    if is_child() {
        set_action(plain as *const () as usize, 0);
        let _lost = lost_page();
        assert_eq!(PLAIN.load(Ordering::SeqCst), 0, "ours was passed on");
        raise();
        raise();
        assert_eq!(PLAIN.load(Ordering::SeqCst), 2);
    }
}

static EXPECTED: AtomicUsize = AtomicUsize::new(0);

/// Ends the test well if it sees the address that faulted.
extern "C" fn with_siginfo(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel's siginfo, valid while its handler runs.
    let info = unsafe { &*info };
    // SAFETY: SIGBUS is a signal that has an address.
    let address = unsafe { info.si_addr() };
    let right = signal == libc::SIGBUS
        && !context.is_null()
        && address.addr() == EXPECTED.load(Ordering::SeqCst);
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(i32::from(!right)) };
}

#[test]
fn child_siginfo_handler() {
    if is_child() {
        set_action(with_siginfo as *const () as usize, libc::SA_SIGINFO);
        let lost = lost_page();
        EXPECTED.store(lost.as_ptr().addr(), Ordering::SeqCst);
        touch(&lost);
        unreachable!("the handler ends the process");
    }
}

#[test]
fn child_reset_handler() {
    if is_child() {
        set_action(plain as *const () as usize, libc::SA_RESETHAND);
        let _lost = lost_page();
        raise();
        assert_eq!(PLAIN.load(Ordering::SeqCst), 1);
        // From now on the default action, which a fork shows without ending this test.
        // SAFETY: the child calls only async-signal-safe functions.
        let child = unsafe { libc::fork() };
        if child == 0 {
            raise();
            // SAFETY: _exit is async-signal-safe.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: a child of ours, and a place for its status.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(ExitStatus::from_raw(status).signal(), Some(libc::SIGBUS));
    }
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
