//! The guarded copy for x86-64, in assembly, with its fault table.
//!
//! Written in assembly for two reasons: the handler must know the registers at
//! each instruction that may fault, and bytes that another process changes during
//! the copy are no data race of Rust's, as no Rust code reads them.

use std::arch::global_asm;

// folio_guarded_copy(rdi: to, rsi: from, rdx: len) -> rax: bytes not copied
//
// Up to 1 KiB by 16-byte moves; the last ones overlap those before, so that no
// length needs a loop of single bytes. From there by `rep movsb`, which processors
// with ERMS (2013 and later) run in cache lines.
//
// Every instruction from _begin to _moves_end leaves rdi, rsi and rdx alone. When
// one of them faults, the handler resumes at _again, which copies anew by
// `rep movsb`: that one stops at the exact byte, with the count of those left in rcx
// (Intel SDM vol. 2B, REP: "the registers reflect the last successful iteration").
// When `rep movsb` faults, the handler resumes at _short, which returns that count.
global_asm!(
    ".pushsection .text.folio_guarded_copy,\"ax\",@progbits",
    ".p2align 6",
    ".globl folio_guarded_copy",
    ".hidden folio_guarded_copy",
    ".type folio_guarded_copy,@function",
    "folio_guarded_copy:",
    ".cfi_startproc",
    ".globl folio_guarded_copy_begin",
    ".hidden folio_guarded_copy_begin",
    "folio_guarded_copy_begin:",
    "cmp rdx, 16",
    "jb 20f",
    "cmp rdx, 32",
    "ja 10f",
    // 16 to 32
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "xor eax, eax",
    "ret",
    "10:",
    "cmp rdx, 64",
    "ja 11f",
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
    "11:",
    "cmp rdx, 1024",
    "ja 30f",
    // 65 to 1024: 64 at a time while more than 64 are left, then the last 64.
    "lea r9, [rdx - 64]",
    "xor r8d, r8d",
    "12:",
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
    "jb 12b",
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
    ".globl folio_guarded_copy_moves_end",
    ".hidden folio_guarded_copy_moves_end",
    "folio_guarded_copy_moves_end:",
    ".globl folio_guarded_copy_again",
    ".hidden folio_guarded_copy_again",
    "folio_guarded_copy_again:",
    "30:",
    "mov rcx, rdx",
    ".globl folio_guarded_copy_rep",
    ".hidden folio_guarded_copy_rep",
    "folio_guarded_copy_rep:",
    "rep movsb",
    ".globl folio_guarded_copy_short",
    ".hidden folio_guarded_copy_short",
    "folio_guarded_copy_short:",
    "mov rax, rcx",
    "ret",
    ".cfi_endproc",
    ".size folio_guarded_copy, . - folio_guarded_copy",
    ".popsection",
);

unsafe extern "C" {
    /// Copies and returns how many bytes, at the end, could not be copied.
    #[link_name = "folio_guarded_copy"]
    pub(crate) fn copy(to: *mut u8, from: *const u8, len: usize) -> usize;

    static folio_guarded_copy_begin: u8;
    static folio_guarded_copy_moves_end: u8;
    static folio_guarded_copy_again: u8;
    static folio_guarded_copy_rep: u8;
    static folio_guarded_copy_short: u8;
}

/// Resumes at the routine's error exit if it was the routine that faulted.
pub(crate) fn resume(registers: &mut [i64]) -> bool {
    let Some(pc) = registers.get_mut(libc::REG_RIP as usize) else {
        return false;
    };
    #[expect(clippy::cast_sign_loss, reason = "an address, in a signed register")]
    let found = landing(*pc as u64);
    if let Some(landing) = found {
        #[expect(
            clippy::cast_possible_wrap,
            reason = "an address, in a signed register"
        )]
        let landing = landing as i64;
        *pc = landing;
    }
    found.is_some()
}

/// The fault table: where to resume after a fault at `pc`, if that is ours.
fn landing(pc: u64) -> Option<u64> {
    let at = |symbol: *const u8| symbol as u64;
    let moves =
        at(&raw const folio_guarded_copy_begin)..at(&raw const folio_guarded_copy_moves_end);
    if moves.contains(&pc) {
        Some(at(&raw const folio_guarded_copy_again))
    } else if pc == at(&raw const folio_guarded_copy_rep) {
        Some(at(&raw const folio_guarded_copy_short))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_table_knows_its_routine_only() {
        let begin = (&raw const folio_guarded_copy_begin) as u64;
        assert!(landing(begin).is_some());
        assert!(landing(begin - 1).is_none());
        assert!(landing((&raw const folio_guarded_copy_short) as u64).is_none());
        assert!(landing(0).is_none());
    }
}
