//! Guarded code for 64-bit ARM.
//!
//! Before it resumes guarded code, the handler sets x9 to 1. That is how the inlined
//! runs learn that they faulted, without code of their own for it.

use std::arch::aarch64::uint8x16_t;
use std::arch::{asm, global_asm};

use crate::copy::fault_table::{fault_entry, resume_at};

#[path = "aarch64/exact.rs"]
pub(in crate::copy) mod exact;

/// Resumes guarded code that faulted. False, and nothing is changed, for other code.
pub(crate) fn resume(context: &mut libc::mcontext_t) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an address, whose type is as wide as an address"
    )]
    let Some(resume) = resume_at(context.pc as usize) else {
        return false;
    };
    context.pc = resume as libc::c_ulonglong;
    if let Some(flag) = context.regs.get_mut(9) {
        *flag = 1;
    }
    true
}

/// 64 bytes.
pub(in crate::copy) type Run64 = [uint8x16_t; 4];
/// 32 bytes.
pub(in crate::copy) type Run32 = [uint8x16_t; 2];
/// 16 bytes.
pub(in crate::copy) type Run16 = uint8x16_t;
/// 8 bytes.
pub(in crate::copy) type Run8 = u64;
/// 4 bytes.
pub(in crate::copy) type Run4 = u32;

/// The two runs of 32 bytes from `from` on and up to `end`; `None` if a page is lost.
///
/// # Safety
///
/// Both runs lie in mappings that stay mapped for the duration.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a known length leaves this alone")]
pub(in crate::copy) unsafe fn load_two_32(
    from: *const u8,
    end: *const u8,
) -> Option<(Run32, Run32)> {
    let failed: u64;
    let (a, b, c, d): (uint8x16_t, uint8x16_t, uint8x16_t, uint8x16_t);
    // SAFETY: reads what the caller vouches for, writes to its outputs alone. Outputs are
    // not `late`, so none shares a register with an address. After a fault, which the
    // table leads to 3, they hold anything, which is a valid value of their types.
    unsafe {
        asm!(
            "mov x9, xzr",
            "2:",
            "ldp {a:q}, {b:q}, [{from}]",
            "ldp {c:q}, {d:q}, [{end}, #-32]",
            "3:",
            fault_entry!("2b", "3b", "3b"),
            from = in(reg) from,
            end = in(reg) end,
            a = out(vreg) a,
            b = out(vreg) b,
            c = out(vreg) c,
            d = out(vreg) d,
            out("x9") failed,
            options(nostack, readonly, preserves_flags),
        );
    }
    (failed == 0).then_some(([a, b], [c, d]))
}

/// Stores a run of 32 bytes from `to` on and one up to `end`; false if a page is lost.
///
/// # Safety
///
/// Both runs lie in mappings that stay mapped for the duration, and nothing refers to them.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a known length leaves this alone")]
pub(in crate::copy) unsafe fn store_two_32(
    to: *mut u8,
    end: *mut u8,
    runs: (Run32, Run32),
) -> bool {
    let failed: u64;
    let ([a, b], [c, d]) = runs;
    // SAFETY: writes to what the caller vouches for.
    unsafe {
        asm!(
            "mov x9, xzr",
            "2:",
            "stp {a:q}, {b:q}, [{to}]",
            "stp {c:q}, {d:q}, [{end}, #-32]",
            "3:",
            fault_entry!("2b", "3b", "3b"),
            to = in(reg) to,
            end = in(reg) end,
            a = in(vreg) a,
            b = in(vreg) b,
            c = in(vreg) c,
            d = in(vreg) d,
            out("x9") failed,
            options(nostack, preserves_flags),
        );
    }
    failed == 0
}

/// Writes the functions that load and store two runs, each of one register.
macro_rules! two {
    ($load:ident, $store:ident, $run:ty, $class:ident, $form:literal, $size:literal) => {
        #[doc = concat!("The two runs of ", $size, " bytes from `from` on and up to `end`; `None` if a page is lost.")]
        ///
        /// # Safety
        ///
        /// As for [`load_two_32`].
        #[inline(always)]
        pub(in crate::copy) unsafe fn $load(
            from: *const u8,
            end: *const u8,
        ) -> Option<($run, $run)> {
            let failed: u64;
            let (first, last): ($run, $run);
            // SAFETY: as in load_two_32.
            unsafe {
                asm!(
                    "mov x9, xzr",
                    "2:",
                    concat!("ldr {first:", $form, "}, [{from}]"),
                    concat!("ldur {last:", $form, "}, [{end}, #-", $size, "]"),
                    "3:",
                    fault_entry!("2b", "3b", "3b"),
                    from = in(reg) from,
                    end = in(reg) end,
                    first = out($class) first,
                    last = out($class) last,
                    out("x9") failed,
                    options(nostack, readonly, preserves_flags),
                );
            }
            (failed == 0).then_some((first, last))
        }

        #[doc = concat!("Stores a run of ", $size, " bytes from `to` on and one up to `end`; false if a page is lost.")]
        ///
        /// # Safety
        ///
        /// As for [`store_two_32`].
        #[inline(always)]
        pub(in crate::copy) unsafe fn $store(
            to: *mut u8,
            end: *mut u8,
            (first, last): ($run, $run),
        ) -> bool {
            let failed: u64;
            // SAFETY: as in store_two_32.
            unsafe {
                asm!(
                    "mov x9, xzr",
                    "2:",
                    concat!("str {first:", $form, "}, [{to}]"),
                    concat!("stur {last:", $form, "}, [{end}, #-", $size, "]"),
                    "3:",
                    fault_entry!("2b", "3b", "3b"),
                    to = in(reg) to,
                    end = in(reg) end,
                    first = in($class) first,
                    last = in($class) last,
                    out("x9") failed,
                    options(nostack, preserves_flags),
                );
            }
            failed == 0
        }
    };
}

two!(load_two_16, store_two_16, Run16, vreg, "q", 16);
two!(load_two_8, store_two_8, Run8, reg, "x", 8);
two!(load_two_4, store_two_4, Run4, reg, "w", 4);

// folio_guarded_copy(x0: to, x1: from, x2: len) -> x0: bytes not copied
//
// 64 bytes at a time, then 32, 16, 8, 4, 2 and 1 as the length has them. x0, x1 and x2 move on after
// each step, so that at every instruction that may fault they say where the step
// began. When one of them, from 40 to 41, faults, the handler resumes at 30, which goes
// on from there byte by byte: less than 64 of them. When that faults, at 33 is the
// exact count. That the handler sets x9 matters to neither.
global_asm!(
    ".pushsection .text.folio_guarded_copy,\"ax\",@progbits",
    ".p2align 6",
    ".globl folio_guarded_copy",
    ".hidden folio_guarded_copy",
    ".type folio_guarded_copy,@function",
    "folio_guarded_copy:",
    ".cfi_startproc",
    "hint #34", // bti c: may be called through a pointer
    "40:",
    "cmp x2, #64",
    "b.lo 22f",
    "21:",
    "ldp q0, q1, [x1]",
    "ldp q2, q3, [x1, #32]",
    "stp q0, q1, [x0]",
    "stp q2, q3, [x0, #32]",
    "add x1, x1, #64",
    "add x0, x0, #64",
    "sub x2, x2, #64",
    "cmp x2, #64",
    "b.hs 21b",
    "22:",
    "tbz x2, #5, 23f",
    "ldp q0, q1, [x1]",
    "stp q0, q1, [x0]",
    "add x1, x1, #32",
    "add x0, x0, #32",
    "sub x2, x2, #32",
    "23:",
    "tbz x2, #4, 24f",
    "ldr q0, [x1]",
    "str q0, [x0]",
    "add x1, x1, #16",
    "add x0, x0, #16",
    "sub x2, x2, #16",
    "24:",
    "tbz x2, #3, 25f",
    "ldr x3, [x1]",
    "str x3, [x0]",
    "add x1, x1, #8",
    "add x0, x0, #8",
    "sub x2, x2, #8",
    "25:",
    "tbz x2, #2, 26f",
    "ldr w3, [x1]",
    "str w3, [x0]",
    "add x1, x1, #4",
    "add x0, x0, #4",
    "sub x2, x2, #4",
    "26:",
    "tbz x2, #1, 27f",
    "ldrh w3, [x1]",
    "strh w3, [x0]",
    "add x1, x1, #2",
    "add x0, x0, #2",
    "sub x2, x2, #2",
    "27:",
    "tbz x2, #0, 28f",
    "ldrb w3, [x1]",
    "strb w3, [x0]",
    "28:",
    "mov x0, xzr",
    "ret",
    "41:",
    "30:",
    "cbz x2, 33f",
    "31:",
    "ldrb w3, [x1]",
    "strb w3, [x0]",
    "32:",
    "add x1, x1, #1",
    "add x0, x0, #1",
    "sub x2, x2, #1",
    "b 30b",
    "33:",
    "mov x0, x2",
    "ret",
    ".cfi_endproc",
    ".size folio_guarded_copy, . - folio_guarded_copy",
    fault_entry!("40b", "41b", "30b"),
    fault_entry!("31b", "32b", "33b"),
    ".popsection",
);
