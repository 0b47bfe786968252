//! Guarded code for x86, 64 bits and 32 with SSE2 (as all of Rust's i686 targets have).
//!
//! Before it resumes guarded code, the handler sets eax to 1. That is how the inlined
//! runs learn that they faulted, without code of their own for it.

#[cfg(target_arch = "x86")]
use std::arch::x86::__m128i;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m128i;

use std::arch::asm;

use crate::copy::fault_table::{fault_entry, resume_at};

#[path = "x86/exact.rs"]
pub(in crate::copy) mod exact;
#[cfg(target_arch = "x86")]
#[path = "x86/routine_32.rs"]
mod routine;
#[cfg(target_arch = "x86_64")]
#[path = "x86/routine_64.rs"]
mod routine;

#[cfg(target_arch = "x86_64")]
pub(in crate::copy) use routine::{WIDE, copy_wide};

#[cfg(target_arch = "x86")]
use libc::{REG_EAX as FLAG, REG_EIP as PC};
#[cfg(target_arch = "x86_64")]
use libc::{REG_RAX as FLAG, REG_RIP as PC};

/// Resumes guarded code that faulted. False, and nothing is changed, for other code.
pub(crate) fn resume(context: &mut libc::mcontext_t) -> bool {
    let registers = &mut context.gregs;
    let Some(pc) = registers.get_mut(PC as usize) else {
        return false;
    };
    #[expect(
        clippy::cast_sign_loss,
        reason = "an address, which the kernel's type calls signed"
    )]
    #[cfg_attr(
        target_pointer_width = "64",
        expect(
            clippy::cast_possible_truncation,
            reason = "an address, whose type is as wide as an address"
        )
    )]
    let Some(resume) = resume_at(*pc as usize) else {
        return false;
    };
    #[expect(clippy::cast_possible_wrap, reason = "as above")]
    let resume = resume as libc::greg_t;
    *pc = resume;
    if let Some(flag) = registers.get_mut(FLAG as usize) {
        *flag = 1;
    }
    true
}

/// 64 bytes.
pub(in crate::copy) type Run64 = [__m128i; 4];
/// 32 bytes.
pub(in crate::copy) type Run32 = [__m128i; 2];
/// 16 bytes.
pub(in crate::copy) type Run16 = __m128i;
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
    let failed: u32;
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
            out("eax") failed,
            options(nostack, readonly),
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
    let failed: u32;
    let ([a, b], [c, d]) = runs;
    // SAFETY: writes to what the caller vouches for.
    unsafe {
        asm!(
            "xor eax, eax",
            "2:",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{end} - 32], {c}",
            "movups [{end} - 16], {d}",
            "3:",
            fault_entry!("2b", "3b", "3b"),
            to = in(reg) to,
            end = in(reg) end,
            a = in(xmm_reg) a,
            b = in(xmm_reg) b,
            c = in(xmm_reg) c,
            d = in(xmm_reg) d,
            out("eax") failed,
            options(nostack),
        );
    }
    failed == 0
}

/// Writes the functions that load and store two runs, each of one register.
macro_rules! two {
    ($load:ident, $store:ident, $run:ty, $class:ident, $move:literal, $form:literal, $size:literal) => {
        #[doc = concat!("The two runs of ", $size, " bytes from `from` on and up to `end`; `None` if a page is lost.")]
        ///
        /// # Safety
        ///
        /// As for [`load_two_32`].
        #[inline(always)]
        pub(in crate::copy) unsafe fn $load(from: *const u8, end: *const u8) -> Option<($run, $run)> {
            let failed: u32;
            let (first, last): ($run, $run);
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
                    out("eax") failed,
                    options(nostack, readonly),
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
        pub(in crate::copy) unsafe fn $store(to: *mut u8, end: *mut u8, (first, last): ($run, $run)) -> bool {
            let failed: u32;
            // SAFETY: as in store_two_32.
            unsafe {
                asm!(
                    "xor eax, eax",
                    "2:",
                    concat!($move, " [{to}], {first", $form, "}"),
                    concat!($move, " [{end} - ", $size, "], {last", $form, "}"),
                    "3:",
                    fault_entry!("2b", "3b", "3b"),
                    to = in(reg) to,
                    end = in(reg) end,
                    first = in($class) first,
                    last = in($class) last,
                    out("eax") failed,
                    options(nostack),
                );
            }
            failed == 0
        }
    };
}

two!(load_two_16, store_two_16, Run16, xmm_reg, "movups", "", 16);
#[cfg(target_arch = "x86_64")]
two!(load_two_8, store_two_8, Run8, reg, "mov", "", 8);
#[cfg(target_arch = "x86")]
use eight_of_sixteen::lower;
#[cfg(target_arch = "x86")]
pub(in crate::copy) use eight_of_sixteen::{load_two_8, store_two_8};
#[cfg(target_arch = "x86_64")]
two!(load_two_4, store_two_4, Run4, reg, "mov", ":e", 4);
#[cfg(target_arch = "x86")]
two!(load_two_4, store_two_4, Run4, reg, "mov", "", 4);

/// Runs of 8 bytes on 32-bit processors, in the lower halves of registers of 16: no others
/// have as many.
#[cfg(target_arch = "x86")]
mod eight_of_sixteen {
    use super::{__m128i, Run8, asm, fault_entry};

    two!(load_halves, store_halves, __m128i, xmm_reg, "movq", "", 8);

    /// The two runs of 8 bytes from `from` on and up to `end`; `None` if a page is lost.
    ///
    /// # Safety
    ///
    /// As for [`load_two_32`](super::load_two_32).
    #[inline(always)]
    pub(in crate::copy) unsafe fn load_two_8(
        from: *const u8,
        end: *const u8,
    ) -> Option<(Run8, Run8)> {
        // SAFETY: the caller's obligations are the same.
        unsafe { load_halves(from, end) }.map(|(first, last)| (lower(first), lower(last)))
    }

    /// Stores a run of 8 bytes from `to` on and one up to `end`; false if a page is lost.
    ///
    /// # Safety
    ///
    /// As for [`store_two_32`](super::store_two_32).
    #[inline(always)]
    pub(in crate::copy) unsafe fn store_two_8(
        to: *mut u8,
        end: *mut u8,
        (first, last): (Run8, Run8),
    ) -> bool {
        // SAFETY: the caller's obligations are the same.
        unsafe { store_halves(to, end, (widened(first), widened(last))) }
    }

    pub(super) fn lower(register: __m128i) -> u64 {
        // SAFETY: both are 16 bytes of which each bit pattern is a value.
        let [lower, _] = unsafe { std::mem::transmute::<__m128i, [u64; 2]>(register) };
        lower
    }

    fn widened(lower: u64) -> __m128i {
        // SAFETY: both are 16 bytes of which each bit pattern is a value.
        unsafe { std::mem::transmute::<[u64; 2], __m128i>([lower, 0]) }
    }
}
