//! The copy of any length for 64-bit x86.

use std::arch::global_asm;

use crate::copy::fault_table::fault_entry;

unsafe extern "C" {
    /// The same as `folio_guarded_copy`, for 128 bytes and more, on processors with AVX.
    ///
    /// For [`WIDE`] lengths it is the faster one. On an AMD Zen 4, in ns/KiB, with the target in the first
    /// cache: from the second cache, 4 KiB and 16 KiB at a time, 9.4 and 10.6 (`rep movsb` 11.4
    /// and 14.4, 16-byte moves 17.3 and 17.4, memcpy 11.0 and 14.7); from main memory,
    /// each 4 KiB looked at before the next, 31 (37, 34, 39), where looking at the bytes in their
    /// place takes 27.5. Below and above they are alike, or `rep movsb` is ahead.
    #[link_name = "folio_guarded_copy_wide"]
    pub(in crate::copy) fn copy_wide(to: *mut u8, from: *const u8, len: usize) -> usize;
}

/// The lengths that [`copy_wide`] is for.
pub(in crate::copy) const WIDE: std::ops::Range<usize> = 512..(64 << 10) + 1;

// folio_guarded_copy(rdi: to, rsi: from, rdx: len) -> rax: bytes not copied
//
// Up to 1 KiB by 16-byte moves; the last ones overlap those before, so that no
// length needs a loop of single bytes. From there by `rep movsb`, which processors
// with ERMS (2013 and later) run in cache lines.
//
// Every instruction from 40 to 41 leaves rdi, rsi and rdx alone. When one of them faults,
// the handler resumes at 30, which copies anew by `rep movsb`: that one stops at
// the exact byte, where rdi then points (an exception leaves the registers
// as after the last whole iteration: Intel SDM vol. 2B, REP). When `rep movsb` faults, the
// handler resumes at 32, which returns how far that is from the end. The count in rcx would say the
// same, but not in valgrind, which counts down before it copies. That the handler sets
// rax matters to nobody.
//
// folio_guarded_copy_wide, with the same arguments, takes steps of 128 bytes by 32-byte moves, and
// moves all three registers on after each. What is left when less than a step is, or when one
// faults, is folio_guarded_copy's work: what that leaves is then the answer.
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
    "add rdx, rdi",
    "31:",
    "rep movsb",
    "32:",
    "mov rax, rdx",
    "sub rax, rdi",
    "ret",
    ".cfi_endproc",
    ".size folio_guarded_copy, . - folio_guarded_copy",
    ".p2align 6",
    ".globl folio_guarded_copy_wide",
    ".hidden folio_guarded_copy_wide",
    ".type folio_guarded_copy_wide,@function",
    "folio_guarded_copy_wide:",
    ".cfi_startproc",
    "60:",
    "vmovdqu ymm0, [rsi]",
    "vmovdqu ymm1, [rsi + 32]",
    "vmovdqu ymm2, [rsi + 64]",
    "vmovdqu ymm3, [rsi + 96]",
    "vmovdqu [rdi], ymm0",
    "vmovdqu [rdi + 32], ymm1",
    "vmovdqu [rdi + 64], ymm2",
    "vmovdqu [rdi + 96], ymm3",
    "61:",
    "add rsi, 128",
    "add rdi, 128",
    "sub rdx, 128",
    "cmp rdx, 128",
    "jae 60b",
    // AVX's upper halves, if left in use, slow down whoever uses SSE next.
    "vzeroupper",
    "jmp 40b",
    "62:",
    "vzeroupper",
    "jmp 30b",
    ".cfi_endproc",
    ".size folio_guarded_copy_wide, . - folio_guarded_copy_wide",
    fault_entry!("40b", "41b", "30b"),
    fault_entry!("31b", "32b", "32b"),
    fault_entry!("60b", "61b", "62b"),
    ".popsection",
);
