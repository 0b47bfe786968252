//! Guarded loads and copies for x86-64.
//!
//! Written in assembly for two reasons: the handler must know the registers at
//! each instruction that may fault, and bytes that another process changes during
//! the copy are no data race of Rust's, as no Rust code reads them.
//!
//! Before it resumes guarded code, the handler sets rax to 1. That is how the inlined
//! loads learn that they faulted, without code of their own for it.

use std::arch::x86_64::__m128i;
use std::arch::{asm, global_asm};

use crate::copy::fault_table::{fault_entry, resume_at};

/// Resumes guarded code that faulted. False, and nothing is changed, for other code.
pub(crate) fn resume(context: &mut libc::mcontext_t) -> bool {
    let registers = &mut context.gregs;
    let Some(pc) = registers.get_mut(libc::REG_RIP as usize) else {
        return false;
    };
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "an address, which the kernel's type calls signed"
    )]
    let Some(resume) = resume_at(*pc as usize) else {
        return false;
    };
    #[expect(clippy::cast_possible_wrap, reason = "as above")]
    let resume = resume as libc::greg_t;
    *pc = resume;
    if let Some(rax) = registers.get_mut(libc::REG_RAX as usize) {
        *rax = 1;
    }
    true
}

/// Copies 4 to 64 bytes without a call. False if a page is lost, and for other
/// lengths: then [`copy`] does it, and finds the exact byte.
///
/// Two runs, one from the start and one to the end, cover every length from that of one run
/// to that of both. Where the compiler knows the length, one pair of runs is all that
/// is left of this.
///
/// # Safety
///
/// As for [`copy_out`](crate::copy::copy_out), under `FaultPolicy::Handler`.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a known length must reach the match, or nothing is gained"
)]
pub(crate) unsafe fn copy_small(to: *mut u8, from: *const u8, len: usize) -> bool {
    let (to_end, from_end) = (to.wrapping_add(len), from.wrapping_add(len));
    // SAFETY, of each arm: with its lengths, a run of its size fits into the source and
    // into the target, at the start as well as at the end.
    macro_rules! runs {
        ($load:ident) => {{
            // SAFETY: see above.
            match unsafe { $load(from, from_end) } {
                // SAFETY: see above.
                Some(runs) => unsafe { store_two(to, to_end, runs) },
                None => return false,
            }
        }};
    }
    match len {
        33..=64 => runs!(load_two_32),
        17..=32 => runs!(load_two_16),
        8..=16 => runs!(load_two_8),
        4..=7 => runs!(load_two_4),
        _ => return false,
    }
    true
}

/// Stores one run from `to` on and one up to `end`.
///
/// # Safety
///
/// Both runs are valid for writes.
#[inline]
unsafe fn store_two<T>(to: *mut u8, end: *mut u8, (first, last): (T, T)) {
    // SAFETY: the caller vouches for it.
    unsafe { to.cast::<T>().write_unaligned(first) };
    let last_run = end.wrapping_sub(size_of::<T>()).cast::<T>();
    // SAFETY: the caller vouches for it.
    unsafe { last_run.write_unaligned(last) };
}

/// The two runs of 32 bytes from `from` on and up to `end`; `None` if a page is lost.
///
/// # Safety
///
/// Both runs lie in mappings that stay mapped for the duration.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for copy_small")]
unsafe fn load_two_32(from: *const u8, end: *const u8) -> Option<([__m128i; 2], [__m128i; 2])> {
    let failed: u64;
    let (a, b, c, d): (__m128i, __m128i, __m128i, __m128i);
    // SAFETY: reads what the caller vouches for, writes to its outputs alone. Outputs are
    // not `late`, so none shares a register with an address. After a fault, which the
    // table leads to 3, they hold anything, which is a valid value of their types.
    unsafe {
        asm!(
            "xor eax, eax",
            "2:",
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{end} - 32]",
            "movups {d}, [{end} - 16]",
            "3:",
            fault_entry!("2b", "3b", "3b"),
            from = in(reg) from,
            end = in(reg) end,
            a = out(xmm_reg) a,
            b = out(xmm_reg) b,
            c = out(xmm_reg) c,
            d = out(xmm_reg) d,
            out("rax") failed,
            options(nostack, readonly),
        );
    }
    (failed == 0).then_some(([a, b], [c, d]))
}

/// Writes a function that loads two runs, each into one register.
macro_rules! load_two {
    ($name:ident, $type:ty, $class:ident, $move:literal, $form:literal, $size:literal) => {
        #[doc = concat!("The two runs of ", $size, " bytes from `from` on and up to `end`; `None` if a page is lost.")]
        ///
        /// # Safety
        ///
        /// Both runs lie in mappings that stay mapped for the duration.
        #[inline(always)]
        unsafe fn $name(from: *const u8, end: *const u8) -> Option<($type, $type)> {
            let failed: u64;
            let (first, last): ($type, $type);
            // SAFETY: as in load_two_32.
            unsafe {
                asm!(
                    "xor eax, eax",
                    "2:",
                    concat!($move, " {first", $form, "}, [{from}]"),
                    concat!($move, " {last", $form, "}, [{end} - ", $size, "]"),
                    "3:",
                    fault_entry!("2b", "3b", "3b"),
                    from = in(reg) from,
                    end = in(reg) end,
                    first = out($class) first,
                    last = out($class) last,
                    out("rax") failed,
                    options(nostack, readonly),
                );
            }
            (failed == 0).then_some((first, last))
        }
    };
}

load_two!(load_two_16, __m128i, xmm_reg, "movups", "", 16);
load_two!(load_two_8, u64, reg, "mov", "", 8);
load_two!(load_two_4, u32, reg, "mov", ":e", 4);

// folio_guarded_copy(rdi: to, rsi: from, rdx: len) -> rax: bytes not copied
//
// Up to 1 KiB by 16-byte moves; the last ones overlap those before, so that no
// length needs a loop of single bytes. From there by `rep movsb`, which processors
// with ERMS (2013 and later) run in cache lines.
//
// Every instruction from 40 to 41 leaves rdi, rsi and rdx alone. When one of them faults,
// the handler resumes at 30, which copies anew by `rep movsb`: that one stops at
// the exact byte, with the count of those left in rcx (an exception leaves the registers
// as after the last whole iteration: Intel SDM vol. 2B, REP). When `rep movsb` faults, the
// handler resumes at 32, which returns that count. That the handler sets rax matters to neither.
global_asm!(
    ".pushsection .text.folio_guarded_copy,\"ax\",@progbits",
    ".p2align 6",
    ".globl folio_guarded_copy",
    ".hidden folio_guarded_copy",
    ".type folio_guarded_copy,@function",
    "folio_guarded_copy:",
    ".cfi_startproc",
    "40:",
    "cmp rdx, 16",
    "jb 20f",
    "cmp rdx, 32",
    "ja 24f",
    // 16 to 32
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "xor eax, eax",
    "ret",
    "24:",
    "cmp rdx, 64",
    "ja 25f",
    // 33 to 64
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups xmm2, [rsi + rdx - 32]",
    "movups xmm3, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "movups [rdi + rdx - 32], xmm2",
    "movups [rdi + rdx - 16], xmm3",
    "xor eax, eax",
    "ret",
    "25:",
    "cmp rdx, 1024",
    "ja 30f",
    // 65 to 1024: 64 at a time while more than 64 are left, then the last 64.
    "lea r9, [rdx - 64]",
    "xor r8d, r8d",
    "26:",
    "movups xmm0, [rsi + r8]",
    "movups xmm1, [rsi + r8 + 16]",
    "movups xmm2, [rsi + r8 + 32]",
    "movups xmm3, [rsi + r8 + 48]",
    "movups [rdi + r8], xmm0",
    "movups [rdi + r8 + 16], xmm1",
    "movups [rdi + r8 + 32], xmm2",
    "movups [rdi + r8 + 48], xmm3",
    "add r8, 64",
    "cmp r8, r9",
    "jb 26b",
    "movups xmm0, [rsi + r9]",
    "movups xmm1, [rsi + r9 + 16]",
    "movups xmm2, [rsi + r9 + 32]",
    "movups xmm3, [rsi + r9 + 48]",
    "movups [rdi + r9], xmm0",
    "movups [rdi + r9 + 16], xmm1",
    "movups [rdi + r9 + 32], xmm2",
    "movups [rdi + r9 + 48], xmm3",
    "xor eax, eax",
    "ret",
    "20:",
    "cmp edx, 8",
    "jb 21f",
    // 8 to 15
    "mov rax, [rsi]",
    "mov rcx, [rsi + rdx - 8]",
    "mov [rdi], rax",
    "mov [rdi + rdx - 8], rcx",
    "xor eax, eax",
    "ret",
    "21:",
    "cmp edx, 4",
    "jb 22f",
    // 4 to 7
    "mov eax, [rsi]",
    "mov ecx, [rsi + rdx - 4]",
    "mov [rdi], eax",
    "mov [rdi + rdx - 4], ecx",
    "xor eax, eax",
    "ret",
    "22:",
    "test edx, edx",
    "jz 23f",
    // 1 to 3: first, middle, last
    "movzx eax, byte ptr [rsi]",
    "movzx ecx, byte ptr [rsi + rdx - 1]",
    "mov r8, rdx",
    "shr r8, 1",
    "movzx r9d, byte ptr [rsi + r8]",
    "mov [rdi], al",
    "mov [rdi + r8], r9b",
    "mov [rdi + rdx - 1], cl",
    "23:",
    "xor eax, eax",
    "ret",
    "41:",
    "30:",
    "mov rcx, rdx",
    "31:",
    "rep movsb",
    "32:",
    "mov rax, rcx",
    "ret",
    ".cfi_endproc",
    ".size folio_guarded_copy, . - folio_guarded_copy",
    fault_entry!("40b", "41b", "30b"),
    fault_entry!("31b", "32b", "32b"),
    ".popsection",
);

unsafe extern "C" {
    /// Copies `len` bytes and returns how many of them, at the end, could not be copied.
    #[link_name = "folio_guarded_copy"]
    pub(crate) fn copy(to: *mut u8, from: *const u8, len: usize) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_copies_are_exact() {
        let from: Vec<u8> = (0..100).collect();
        for len in 0..80 {
            let mut to = vec![0xAA; len + 2];
            let target = to.as_mut_ptr().wrapping_add(1);
            // SAFETY: `to` has len + 2 bytes and `from` more than len + 3.
            let copied = unsafe { copy_small(target, from.as_ptr().wrapping_add(3), len) };
            assert_eq!(copied, (4..=64).contains(&len));
            let expected = if copied {
                from[3..3 + len].to_vec()
            } else {
                vec![0xAA; len]
            };
            assert_eq!(to[1..=len], expected);
            assert_eq!((to[0], to[len + 1]), (0xAA, 0xAA));
        }
    }

    #[test]
    fn copies_every_length_and_nothing_beside() {
        let from: Vec<u8> = (0..3000_u32).map(|i| (i % 251) as u8).collect();
        for len in (0..1200).chain([2048, 2049, 2999]) {
            for skew in [0, 1] {
                let mut to = vec![0xAA; len + 2];
                let target = to.as_mut_ptr().wrapping_add(1);
                let source = from.as_ptr().wrapping_add(skew);
                // SAFETY: `to` has len + 2 bytes and `from` at least len + skew.
                let left = unsafe { copy(target, source, len) };
                assert_eq!(left, 0);
                assert_eq!(to[0], 0xAA);
                assert_eq!(to[len + 1], 0xAA);
                assert_eq!(to[1..=len], from[skew..skew + len], "{len} bytes");
            }
        }
    }
}
