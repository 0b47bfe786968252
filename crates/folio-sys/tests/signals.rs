//! Whoever else has a handler of SIGBUS or SIGSEGV: everything that is not folio's
//! reaches them as if folio were not there. Each case in a process of its own.
#![cfg(guarded)]
#![expect(
    unsafe_code,
    reason = "signal actions are set and faults raised by hand"
)]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod child_process;
mod lost_page;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

use child_process::{assert_killed, assert_reaches_end, child, run};
use folio_sys::fault::{self, FaultPolicy};
use folio_sys::mapping::Span;
use folio_sys::page;
use libc::{SIG_DFL, SIG_IGN, SIGABRT, SIGBUS, SIGSEGV, c_int, c_void, siginfo_t};
use lost_page::{file_of, span_of};

const BOTH: [c_int; 2] = [SIGBUS, SIGSEGV];

/// A page of folio's that raises the signal when it is touched.
fn bad_page(signal: c_int) -> Span {
    let file = file_of(&[1]);
    let span = span_of(&file, 0, 1, FaultPolicy::Handler);
    match signal {
        SIGBUS => file.set_len(0).unwrap(),
        _ => protect(&span, libc::PROT_NONE),
    }
    assert_guarded(&span);
    span
}

fn protect(span: &Span, protection: c_int) {
    let address = span.as_ptr().cast_mut().cast();
    // SAFETY: a page of the mapping, which nothing refers to.
    let status = unsafe { libc::mprotect(address, page::size(), protection) };
    assert_eq!(status, 0);
}

/// Folio's own read of a bad page is an error, and no more.
fn assert_guarded(span: &Span) {
    assert!(span.read_at(0, &mut [0]).is_err());
}

/// Reads a page as no guarded routine does.
fn touch(span: &Span) {
    // SAFETY: mapped; that it raises a signal is the point.
    unsafe { span.as_ptr().read_volatile() };
}

fn action(handler: usize, flags: c_int) -> libc::sigaction {
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

/// Installs an action and returns the one that stood there.
fn exchange(signal: c_int, action: &libc::sigaction) -> libc::sigaction {
    // SAFETY: all zeros is a valid sigaction.
    let mut found: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a whole action, whose handler is of the form that its flags say.
    let status = unsafe { libc::sigaction(signal, action, &raw mut found) };
    assert_eq!(status, 0);
    found
}

fn set_action(signal: c_int, handler: usize, flags: c_int) {
    exchange(signal, &action(handler, flags));
}

fn raise(signal: c_int) {
    // SAFETY: raise has no obligations.
    unsafe { libc::raise(signal) };
}

/// Ends the process well, from a handler, if what it saw was right.
fn end(right: bool) -> ! {
    let status = if right { child_process::REACHED_END } else { 1 };
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(status) }
}

/// How a process ends that never heard of folio, with whatever cores this machine writes.
fn killed_without_folio(signal: c_int) -> ExitStatus {
    let status = run("child_without_folio", signal).status;
    assert_eq!(status.signal(), Some(signal));
    status
}

#[test]
fn child_without_folio() {
    child("child_without_folio", |signal| {
        allow_cores();
        set_action(signal, SIG_DFL, 0);
        let file = file_of(&[1]);
        let span = span_of(&file, 0, 1, FaultPolicy::Syscall);
        file.set_len(0).unwrap();
        if signal == SIGSEGV {
            protect(&span, libc::PROT_NONE);
        }
        touch(&span);
    });
}

/// Lets the kernel write a core, so that the status says whether the signal makes one.
fn allow_cores() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: room for the limits.
    unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: a whole rlimit.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
}

#[test]
fn a_foreign_fault_ends_the_process_by_its_signal() {
    for signal in BOTH {
        let expected = killed_without_folio(signal);
        for name in [
            "child_default_fault",
            "child_default_sent",
            "child_ignored_fault",
            "child_untouched_std_action",
        ] {
            assert_killed(name, signal, expected);
        }
    }
}

#[test]
fn a_fault_whose_signal_is_blocked_ends_the_process() {
    if child_process::is_emulated() {
        println!("skipped: the emulator raises a blocked fault again and again");
        return;
    }
    for signal in BOTH {
        let expected = killed_without_folio(signal);
        assert_killed("child_nested_deferred", signal, expected);
        assert_killed("child_blocked", signal, expected);
    }
}

#[test]
fn child_default_fault() {
    child("child_default_fault", |signal| {
        allow_cores();
        set_action(signal, SIG_DFL, 0);
        touch(&bad_page(signal));
    });
}

#[test]
fn child_default_sent() {
    child("child_default_sent", |signal| {
        allow_cores();
        set_action(signal, SIG_DFL, 0);
        let _page = bad_page(signal);
        raise(signal);
    });
}

#[test]
fn child_ignored_fault() {
    child("child_ignored_fault", |signal| {
        allow_cores();
        set_action(signal, SIG_IGN, 0);
        touch(&bad_page(signal));
    });
}

#[test]
fn child_untouched_std_action() {
    child("child_untouched_std_action", |signal| {
        allow_cores();
        touch(&bad_page(signal));
    });
}

/// What the kernel sends when memory failed that nobody touched: it has a positive code, as
/// faults have, and does not recur.
fn tell_of_failed_memory(signal: c_int) {
    // SAFETY: all zeros is a valid siginfo.
    let mut info: siginfo_t = unsafe { std::mem::zeroed() };
    info.si_signo = signal;
    info.si_code = if signal == SIGBUS {
        libc::BUS_MCEERR_AO
    } else {
        libc::SI_QUEUE
    };
    // SAFETY: getpid has no obligations.
    let pid = unsafe { libc::getpid() };
    // SAFETY: gettid has no obligations.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    // SAFETY: a whole siginfo; a process may send itself any.
    let status = unsafe {
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            pid,
            thread,
            signal,
            &raw const info,
        )
    };
    assert_eq!(status, 0);
}

/// It is a signal that was sent, not a fault.
#[test]
fn news_of_failed_memory_is_passed_on() {
    if child_process::is_emulated() {
        println!("skipped: the emulator does not let a process queue itself such a signal");
        return;
    }
    for signal in BOTH {
        let name = "child_default_told_of_failed_memory";
        assert_killed(name, signal, killed_without_folio(signal));
        assert_reaches_end("child_ignored_told_of_failed_memory", signal);
    }
}

#[test]
fn child_ignored_told_of_failed_memory() {
    child("child_ignored_told_of_failed_memory", |signal| {
        set_action(signal, SIG_IGN, 0);
        let page = bad_page(signal);
        tell_of_failed_memory(signal);
        assert_guarded(&page);
    });
}

#[test]
fn child_default_told_of_failed_memory() {
    child("child_default_told_of_failed_memory", |signal| {
        allow_cores();
        set_action(signal, SIG_DFL, 0);
        let _page = bad_page(signal);
        tell_of_failed_memory(signal);
    });
}

/// As the documentation says: nothing helps a thread that blocks the signal of a fault.
#[test]
fn child_blocked() {
    child("child_blocked", |signal| {
        allow_cores();
        let page = bad_page(signal);
        block(signal);
        assert_guarded(&page);
    });
}

fn block(signal: c_int) {
    // SAFETY: all zeros is a valid signal set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: a whole signal set.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    // SAFETY: a whole signal set; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
}

fn is_blocked(signal: c_int) -> bool {
    // SAFETY: all zeros is a valid signal set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: a null new set only queries; there is room for the old one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut set) };
    // SAFETY: a whole signal set.
    unsafe { libc::sigismember(&raw const set, signal) == 1 }
}

#[test]
fn a_foreign_signal_reaches_the_handler_before() {
    for signal in BOTH {
        for name in [
            "child_ignored_sent",
            "child_plain_handler",
            "child_plain_handler_of_a_fault",
            "child_siginfo_handler",
            "child_reset_handler",
            "child_mask",
            "child_alternate_stack",
            "child_own_stack",
            "child_nodefer",
            "child_deferred",
            "child_nested",
            "child_repairing_handler",
            "child_threads",
            "child_forks",
        ] {
            assert_reaches_end(name, signal);
        }
    }
}

#[test]
fn child_ignored_sent() {
    child("child_ignored_sent", |signal| {
        set_action(signal, SIG_IGN, 0);
        let page = bad_page(signal);
        raise(signal);
        assert_guarded(&page);
    });
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn plain(_: c_int) {
    CALLS.fetch_add(1, SeqCst);
}

#[test]
fn child_plain_handler() {
    child("child_plain_handler", |signal| {
        set_action(signal, plain as *const () as usize, 0);
        let page = bad_page(signal);
        assert_eq!(CALLS.load(SeqCst), 0, "ours was passed on");
        raise(signal);
        raise(signal);
        assert_eq!(CALLS.load(SeqCst), 2);
        assert_guarded(&page);
        assert_eq!(CALLS.load(SeqCst), 2);
    });
}

extern "C" fn plain_end(_: c_int) {
    end(true);
}

#[test]
fn child_plain_handler_of_a_fault() {
    child("child_plain_handler_of_a_fault", |signal| {
        set_action(signal, plain_end as *const () as usize, 0);
        touch(&bad_page(signal));
        unreachable!("the handler ends the process");
    });
}

static EXPECTED: AtomicUsize = AtomicUsize::new(0);

/// Ends the process well if it sees the address that faulted.
extern "C" fn with_siginfo(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's siginfo, valid while its handler runs.
    let info = unsafe { &*info };
    // SAFETY: both signals have an address.
    let address = unsafe { info.si_addr() };
    end(!context.is_null() && info.si_code > 0 && address.addr() == EXPECTED.load(SeqCst));
}

#[test]
fn child_siginfo_handler() {
    child("child_siginfo_handler", |signal| {
        set_action(signal, with_siginfo as *const () as usize, libc::SA_SIGINFO);
        let page = bad_page(signal);
        EXPECTED.store(page.as_ptr().addr(), SeqCst);
        touch(&page);
        unreachable!("the handler ends the process");
    });
}

#[test]
fn child_reset_handler() {
    child("child_reset_handler", |signal| {
        set_action(signal, plain as *const () as usize, libc::SA_RESETHAND);
        let page = bad_page(signal);
        raise(signal);
        assert_eq!(CALLS.load(SeqCst), 1);
        assert_guarded(&page);
        // From now on the default action, which a fork shows without ending this test.
        assert_eq!(in_fork(|| raise(signal)).signal(), Some(signal));
        assert_eq!(in_fork(|| touch(&page)).signal(), Some(signal));
        // Installed anew, it has another run.
        set_action(signal, plain as *const () as usize, libc::SA_RESETHAND);
        assert!(fault::check().unwrap());
        raise(signal);
        assert_eq!(CALLS.load(SeqCst), 2);
        assert_eq!(in_fork(|| raise(signal)).signal(), Some(signal));
    });
}

/// How a forked process ends that does this.
fn in_fork(work: impl FnOnce()) -> ExitStatus {
    // SAFETY: the child touches memory, makes system calls, and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        work();
        // SAFETY: _exit is async-signal-safe.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: a child of ours, and a place for its status.
    let ended = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(ended, pid);
    ExitStatus::from_raw(status)
}

extern "C" fn check_mask(signal: c_int) {
    end(is_blocked(signal) && is_blocked(libc::SIGUSR1) && !is_blocked(libc::SIGUSR2));
}

#[test]
fn child_mask() {
    child("child_mask", |signal| {
        let mut action = action(check_mask as *const () as usize, 0);
        // SAFETY: a whole signal set.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, libc::SIGUSR1) };
        exchange(signal, &action);
        touch(&bad_page(signal));
    });
}

const STACK_BYTES: usize = 256 << 10;
static STACK: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Gives the thread an alternate stack of ours.
fn set_alternate_stack() {
    let memory = Box::leak(vec![0_u8; STACK_BYTES].into_boxed_slice()).as_mut_ptr();
    STACK.store(memory, SeqCst);
    let stack = libc::stack_t {
        ss_sp: memory.cast(),
        ss_flags: 0,
        ss_size: STACK_BYTES,
    };
    // SAFETY: memory that is never freed; the old stack, if any, is not in use.
    let status = unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
    assert_eq!(status, 0);
}

/// Whether the caller runs on the stack of `set_alternate_stack`.
#[inline(never)]
fn is_on_alternate_stack() -> bool {
    let local = 0_u8;
    let distance = (&raw const local)
        .addr()
        .wrapping_sub(STACK.load(SeqCst).addr());
    distance < STACK_BYTES
}

extern "C" fn end_on_alternate_stack(_: c_int) {
    end(is_on_alternate_stack());
}

extern "C" fn end_on_own_stack(_: c_int) {
    end(!is_on_alternate_stack());
}

#[test]
fn child_alternate_stack() {
    child("child_alternate_stack", |signal| {
        let handler = end_on_alternate_stack as *const () as usize;
        set_action(signal, handler, libc::SA_ONSTACK);
        let page = bad_page(signal);
        set_alternate_stack();
        assert_guarded(&page);
        touch(&page);
    });
}

#[test]
fn child_own_stack() {
    child("child_own_stack", |signal| {
        set_action(signal, end_on_own_stack as *const () as usize, 0);
        let page = bad_page(signal);
        set_alternate_stack();
        assert_guarded(&page);
        touch(&page);
    });
}

static DEPTH: AtomicUsize = AtomicUsize::new(0);
static DEEPEST: AtomicUsize = AtomicUsize::new(0);

/// Raises its own signal once while it runs.
extern "C" fn raising(signal: c_int) {
    let depth = DEPTH.fetch_add(1, SeqCst) + 1;
    DEEPEST.fetch_max(depth, SeqCst);
    if CALLS.fetch_add(1, SeqCst) == 0 {
        raise(signal);
    }
    DEPTH.fetch_sub(1, SeqCst);
}

#[test]
fn child_nodefer() {
    child("child_nodefer", |signal| {
        set_action(signal, raising as *const () as usize, libc::SA_NODEFER);
        let _page = bad_page(signal);
        raise(signal);
        assert_eq!((CALLS.load(SeqCst), DEEPEST.load(SeqCst)), (2, 2));
    });
}

#[test]
fn child_deferred() {
    child("child_deferred", |signal| {
        set_action(signal, raising as *const () as usize, 0);
        let _page = bad_page(signal);
        raise(signal);
        assert_eq!((CALLS.load(SeqCst), DEEPEST.load(SeqCst)), (2, 1));
    });
}

static PAGE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static SPAN: AtomicPtr<Span> = AtomicPtr::new(ptr::null_mut());

/// Faults itself when it runs first; reads by folio and ends well when that brings it back.
extern "C" fn faulting(_: c_int) {
    if CALLS.fetch_add(1, SeqCst) == 0 {
        // SAFETY: mapped; that it raises a signal is the point.
        unsafe { PAGE.load(SeqCst).read_volatile() };
    }
    // SAFETY: set before the fault, and never freed.
    let span = unsafe { &*SPAN.load(SeqCst) };
    end(span.read_at(0, &mut [0]).is_err() && CALLS.load(SeqCst) == 2);
}

fn prepare_faulting_handler(signal: c_int, flags: c_int) -> &'static Span {
    set_action(signal, faulting as *const () as usize, flags);
    let page = Box::leak(Box::new(bad_page(signal)));
    PAGE.store(page.as_ptr().cast_mut(), SeqCst);
    SPAN.store(page, SeqCst);
    page
}

#[test]
fn child_nested() {
    child("child_nested", |signal| {
        touch(prepare_faulting_handler(signal, libc::SA_NODEFER));
    });
}

/// Without `SA_NODEFER`, a handler that faults ends its process.
#[test]
fn child_nested_deferred() {
    child("child_nested_deferred", |signal| {
        allow_cores();
        touch(prepare_faulting_handler(signal, 0));
    });
}

/// Makes the page good and lets the instruction run again.
extern "C" fn repairing(_: c_int) {
    CALLS.fetch_add(1, SeqCst);
    let address = PAGE.load(SeqCst).cast();
    // SAFETY: a page that nothing refers to is replaced by an empty one.
    let page = unsafe {
        libc::mmap(
            address,
            page::size(),
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    assert_eq!(page, address);
}

#[test]
fn child_repairing_handler() {
    child("child_repairing_handler", |signal| {
        set_action(signal, repairing as *const () as usize, 0);
        let page = bad_page(signal);
        PAGE.store(page.as_ptr().cast_mut(), SeqCst);
        touch(&page);
        assert_eq!(CALLS.load(SeqCst), 1);
        let mut byte = [9];
        page.read_exact_at(0, &mut byte).unwrap();
        assert_eq!(byte, [0]);
    });
}

#[test]
fn child_threads() {
    child("child_threads", |signal| {
        set_action(signal, plain as *const () as usize, libc::SA_ONSTACK);
        let page = bad_page(signal);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..2000 {
                        assert_guarded(&page);
                        if round % 100 == 0 {
                            raise(signal);
                        }
                    }
                });
            }
        });
        assert_eq!(CALLS.load(SeqCst), 8 * 20);
    });
}

#[test]
fn child_forks() {
    child("child_forks", |signal| {
        set_action(signal, SIG_DFL, 0);
        let page = bad_page(signal);
        assert_eq!(in_fork(|| assert_guarded(&page)).code(), Some(0));
        assert_eq!(in_fork(|| touch(&page)).signal(), Some(signal));
        assert_guarded(&page);
    });
}

#[test]
fn a_new_program_starts_with_the_default_actions() {
    let output = run("child_executes", SIGBUS);
    assert!(output.status.success(), "{}", output.status);
    let status = String::from_utf8(output.stdout).unwrap();
    let mut seen = 0;
    for line in status.lines() {
        let Some((name, value)) = line.split_once(":\t") else {
            continue;
        };
        if !matches!(name, "SigCgt" | "SigIgn" | "SigBlk") {
            continue;
        }
        let signals = u64::from_str_radix(value, 16).unwrap();
        for signal in BOTH {
            assert_eq!(signals & (1 << (signal - 1)), 0, "{line}");
        }
        seen += 1;
    }
    assert_eq!(seen, 3, "{status}");
}

#[test]
fn child_executes() {
    child("child_executes", |signal| {
        let _page = bad_page(signal);
        assert!(fault::is_installed().unwrap());
        panic!("{}", Command::new("cat").arg("/proc/self/status").exec());
    });
}

#[test]
fn rust_still_reports_a_stack_overflow() {
    for name in [
        "child_overflows",
        "child_overflows_in_a_thread",
        "child_overflows_in_a_thread_before",
    ] {
        let output = run(name, SIGSEGV);
        assert_eq!(output.status.signal(), Some(SIGABRT), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("has overflowed its stack"), "{name}: {said}");
    }
}

#[expect(unconditional_recursion, reason = "that is what overflows the stack")]
fn overflow(depth: u64) -> u64 {
    std::hint::black_box(overflow(std::hint::black_box(depth + 1))) + depth
}

#[test]
fn child_overflows() {
    child("child_overflows", |signal| {
        let _page = bad_page(signal);
        overflow(0);
    });
}

#[test]
fn child_overflows_in_a_thread() {
    child("child_overflows_in_a_thread", |signal| {
        let _page = bad_page(signal);
        std::thread::spawn(|| overflow(0)).join().unwrap();
    });
}

#[test]
fn child_overflows_in_a_thread_before() {
    child("child_overflows_in_a_thread_before", |signal| {
        let (start, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            started.recv().unwrap();
            overflow(0)
        });
        let _page = bad_page(signal);
        start.send(()).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn the_syscall_policy_touches_no_action() {
    for signal in BOTH {
        assert_reaches_end("child_of_the_syscall_policy", signal);
    }
}

#[test]
fn child_of_the_syscall_policy() {
    child("child_of_the_syscall_policy", |signal| {
        set_action(signal, plain as *const () as usize, libc::SA_NODEFER);
        let file = file_of(&[1]);
        let span = span_of(&file, 0, 1, FaultPolicy::Syscall);
        match signal {
            SIGBUS => file.set_len(0).unwrap(),
            _ => protect(&span, libc::PROT_NONE),
        }
        assert_guarded(&span);
        assert!(!fault::is_installed().unwrap());
        let found = exchange(signal, &action(SIG_DFL, 0));
        assert_eq!(found.sa_sigaction, plain as *const () as usize);
        assert_eq!(found.sa_flags & libc::SA_NODEFER, libc::SA_NODEFER);
        assert_eq!(CALLS.load(SeqCst), 0);
    });
}

#[test]
fn a_page_that_is_unmapped_is_a_fault() {
    assert_reaches_end("child_unmaps", SIGSEGV);
}

/// In a process of its own, so that nobody takes the hole meanwhile.
#[test]
fn child_unmaps() {
    child("child_unmaps", |_| {
        let page = page::size();
        for policy in [FaultPolicy::Handler, FaultPolicy::Syscall] {
            let file = file_of(&vec![7; 3 * page]);
            let span = span_of(&file, 0, 3 * page, policy);
            let middle = span.as_ptr().wrapping_add(page).cast_mut().cast();
            let mut bytes = vec![0; 3 * page];
            // SAFETY: a page of the mapping, which nothing refers to.
            let status = unsafe { libc::munmap(middle, page) };
            assert_eq!(status, 0);
            let outcome = span.read_at(100, &mut bytes);
            // Unmapped twice, but nobody else can have mapped anything there: only `bytes`, which
            // came before, was allocated since.
            drop(span);
            let outcome = format!("{outcome:?}");
            let expected = format!("Err(Copy(Fault {{ copied: {} }}))", page - 100);
            assert_eq!(outcome, expected, "{policy:?}");
        }
    });
}

/// Jumping out of a handler needs `sigsetjmp`, which returns twice, as no Rust function may:
/// so it is called in assembly.
#[cfg(target_arch = "x86_64")]
mod jump {
    use super::*;
    use std::arch::global_asm;

    // caught(rdi: a function, rsi: a jump buffer) -> eax: whether it was left by a jump
    global_asm!(
        ".pushsection .text.folio_test_caught,\"ax\",@progbits",
        ".globl folio_test_caught",
        ".hidden folio_test_caught",
        "folio_test_caught:",
        "push rbx",
        "mov rbx, rdi",
        "mov rdi, rsi",
        "mov esi, 1",
        "call __sigsetjmp@PLT",
        "test eax, eax",
        "jnz 2f",
        "call rbx",
        "xor eax, eax",
        "2:",
        "pop rbx",
        "ret",
        ".popsection",
    );

    /// More than any C library's `sigjmp_buf` has.
    static JUMP: [AtomicUsize; 128] = [const { AtomicUsize::new(0) }; 128];

    unsafe extern "C" {
        fn folio_test_caught(work: extern "C" fn(), buffer: *const c_void) -> c_int;
        fn siglongjmp(buffer: *const c_void, value: c_int) -> !;
    }

    extern "C" fn jumping(_: c_int) {
        CALLS.fetch_add(1, SeqCst);
        // SAFETY: `folio_test_caught`, whose buffer this is, has not returned; the frames
        // between have no destructors.
        unsafe { siglongjmp(JUMP.as_ptr().cast(), 1) };
    }

    extern "C" fn touch_page() {
        // SAFETY: mapped; that it raises a signal is the point.
        unsafe { PAGE.load(SeqCst).read_volatile() };
    }

    #[test]
    fn a_handler_may_jump_out() {
        for signal in BOTH {
            assert_reaches_end("jump::child_jumps", signal);
        }
    }

    #[test]
    fn child_jumps() {
        child("jump::child_jumps", |signal| {
            for flags in [0, libc::SA_ONSTACK, libc::SA_NODEFER] {
                CALLS.store(0, SeqCst);
                set_action(signal, jumping as *const () as usize, flags);
                let page = bad_page(signal);
                PAGE.store(page.as_ptr().cast_mut(), SeqCst);
                for round in 1..=20 {
                    // SAFETY: a function and a buffer as it asks for.
                    let jumped = unsafe { folio_test_caught(touch_page, JUMP.as_ptr().cast()) };
                    assert_eq!((jumped, CALLS.load(SeqCst)), (1, round));
                    assert_guarded(&page);
                }
            }
        });
    }
}

/// Handlers that come after folio's.
mod later {
    use super::*;

    /// What stood before [`LATER`], as a handler that passes on keeps it.
    static FOUND: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
    static EARLIER: AtomicUsize = AtomicUsize::new(0);
    static LATER: AtomicUsize = AtomicUsize::new(0);
    /// The forwarding one has had its limit of calls: somebody loops.
    static LOOPED: AtomicBool = AtomicBool::new(false);

    extern "C" fn earlier(_: c_int) {
        EARLIER.fetch_add(1, SeqCst);
    }

    extern "C" fn deaf(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
        LATER.fetch_add(1, SeqCst);
    }

    extern "C" fn forwarding(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        if LATER.fetch_add(1, SeqCst) > 1000 {
            LOOPED.store(true, SeqCst);
            return;
        }
        // SAFETY: set when this handler was installed, never freed.
        let found = unsafe { &*FOUND.load(SeqCst) };
        assert!(found.sa_flags & libc::SA_SIGINFO != 0, "folio's");
        // SAFETY: with SA_SIGINFO, the word is a handler of this form.
        let handler = unsafe {
            std::mem::transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(
                found.sa_sigaction,
            )
        };
        handler(signal, info, context);
    }

    fn install_forwarding(signal: c_int) -> libc::sigaction {
        let found = action_of(signal);
        let before = FOUND.swap(Box::into_raw(Box::new(found)), SeqCst);
        if !before.is_null() {
            // SAFETY: from `into_raw`, by the call before this, and no handler is running.
            drop(unsafe { Box::from_raw(before) });
        }
        set_action(
            signal,
            forwarding as *const () as usize,
            libc::SA_SIGINFO | libc::SA_NODEFER,
        );
        found
    }

    fn action_of(signal: c_int) -> libc::sigaction {
        // SAFETY: all zeros is a valid sigaction.
        let mut found: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a null new action only queries.
        let status = unsafe { libc::sigaction(signal, ptr::null(), &raw mut found) };
        assert_eq!(status, 0);
        found
    }

    /// What a foreign signal reaches: the earlier handler and the later one, how often each.
    fn reached(signal: c_int) -> (usize, usize) {
        EARLIER.store(0, SeqCst);
        LATER.store(0, SeqCst);
        raise(signal);
        assert!(!LOOPED.load(SeqCst));
        (EARLIER.load(SeqCst), LATER.load(SeqCst))
    }

    fn with_earlier(signal: c_int) -> Span {
        set_action(signal, earlier as *const () as usize, 0);
        let page = bad_page(signal);
        assert_eq!(reached(signal), (1, 0));
        page
    }

    #[test]
    fn handlers_that_come_later() {
        for signal in BOTH {
            for name in [
                "later::child_that_passes_on",
                "later::child_that_does_not_pass_on",
                "later::child_that_is_taken_away_again",
                "later::child_that_returns_each_time",
                "later::child_of_too_many_kinds",
                "later::child_default",
            ] {
                assert_reaches_end(name, signal);
            }
        }
    }

    #[test]
    fn child_that_passes_on() {
        child("later::child_that_passes_on", |signal| {
            let page = with_earlier(signal);
            install_forwarding(signal);
            assert!(!fault::is_installed().unwrap());
            assert_guarded(&page);
            assert_eq!(reached(signal), (1, 1));
            // In front again, and still each of them once.
            assert!(fault::check().unwrap());
            assert!(fault::is_installed().unwrap());
            LATER.store(0, SeqCst);
            assert_guarded(&page);
            assert_eq!(LATER.load(SeqCst), 0);
            assert_eq!(reached(signal), (1, 1));
        });
    }

    #[test]
    fn child_that_does_not_pass_on() {
        child("later::child_that_does_not_pass_on", |signal| {
            let page = with_earlier(signal);
            set_action(signal, deaf as *const () as usize, libc::SA_SIGINFO);
            assert_eq!(reached(signal), (0, 1));
            // A new mapping puts folio in front again.
            let other = span_of(&file_of(&[3]), 0, 1, FaultPolicy::Handler);
            assert_eq!(other.mapping().policy(), FaultPolicy::Handler);
            assert!(fault::is_installed().unwrap());
            assert_guarded(&page);
            assert_eq!(reached(signal), (0, 1));
        });
    }

    #[test]
    fn child_that_is_taken_away_again() {
        child("later::child_that_is_taken_away_again", |signal| {
            let page = with_earlier(signal);
            let first = install_forwarding(signal);
            assert!(fault::check().unwrap());
            let second = action_of(signal);
            exchange(signal, &first);
            assert!(fault::check().unwrap());
            assert_guarded(&page);
            assert_eq!(reached(signal), (1, 0));
            exchange(signal, &second);
            assert_guarded(&page);
            assert_eq!(reached(signal), (1, 1));
        });
    }

    /// It finds folio's newest entry each time, which itself passes on to it.
    #[test]
    fn child_that_returns_each_time() {
        child("later::child_that_returns_each_time", |signal| {
            let page = with_earlier(signal);
            for _ in 0..50 {
                install_forwarding(signal);
                assert!(fault::check().unwrap());
                assert_guarded(&page);
                assert_eq!(reached(signal), (1, 1));
            }
        });
    }

    #[test]
    fn child_of_too_many_kinds() {
        child("later::child_of_too_many_kinds", |signal| {
            let page = with_earlier(signal);
            for other in 1..8 {
                let mut action = action(deaf as *const () as usize, libc::SA_SIGINFO);
                // SAFETY: a whole signal set.
                unsafe { libc::sigaddset(&raw mut action.sa_mask, 40 + other) };
                exchange(signal, &action);
                assert!(fault::check().unwrap());
                assert_guarded(&page);
                assert_eq!(reached(signal), (0, 1));
            }
            set_action(signal, deaf as *const () as usize, libc::SA_SIGINFO);
            assert!(!fault::check().unwrap());
            assert!(!fault::is_installed().unwrap());
            let file = file_of(&[1]);
            let span = span_of(&file, 0, 1, FaultPolicy::Handler);
            assert_eq!(span.mapping().policy(), FaultPolicy::Syscall);
            file.set_len(0).unwrap();
            assert_guarded(&span);
        });
    }

    #[test]
    fn child_default() {
        child("later::child_default", |signal| {
            let page = with_earlier(signal);
            set_action(signal, SIG_DFL, 0);
            assert!(fault::check().unwrap());
            assert_guarded(&page);
            assert_eq!(in_fork(|| touch(&page)).signal(), Some(signal));
            assert_eq!(in_fork(|| raise(signal)).signal(), Some(signal));
        });
    }
}
