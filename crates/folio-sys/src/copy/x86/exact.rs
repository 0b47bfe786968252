//! Guarded loads of one run, for lengths that are a power of two: one address, and no
//! byte twice.

#[cfg(target_arch = "x86")]
use std::arch::x86::__m128i;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m128i;

use std::arch::asm;

use super::{Run4, Run8, Run16, Run32, Run64};
use crate::copy::fault_table::fault_entry;

/// Writes a function that loads one run: its instructions, and the registers they fill.
macro_rules! run {
    (
        $size:literal, $load:ident -> $run:ty, $class:ident $value:ty,
        [$($line:literal),+], [$($register:ident),+], $result:expr
    ) => {
        #[doc = concat!("The ", $size, " bytes from `from` on; `None` if a page is lost.")]
        ///
        /// # Safety
        ///
        /// They lie in mappings that stay mapped for the duration.
        #[inline(always)]
        pub(in crate::copy) unsafe fn $load(from: *const u8) -> Option<$run> {
            let failed: u32;
            $(let $register: $value;)+
            // SAFETY: reads what the caller vouches for, writes to its outputs alone. Outputs
            // are not `late`, so none shares a register with the address. After a fault, which
            // the table leads to 3, they hold anything, which is a valid value of their types.
            unsafe {
                asm!(
                    "xor eax, eax",
                    "2:",
                    $($line,)+
                    "3:",
                    fault_entry!("2b", "3b", "3b"),
                    from = in(reg) from,
                    $($register = out($class) $register,)+
                    out("eax") failed,
                    options(nostack, readonly),
                );
            }
            (failed == 0).then_some($result)
        }
    };
}

#[rustfmt::skip]
run!("64", load_64 -> Run64, xmm_reg __m128i,
    ["movups {a}, [{from}]", "movups {b}, [{from} + 16]",
     "movups {c}, [{from} + 32]", "movups {d}, [{from} + 48]"],
    [a, b, c, d], [a, b, c, d]);
#[rustfmt::skip]
run!("32", load_32 -> Run32, xmm_reg __m128i,
    ["movups {a}, [{from}]", "movups {b}, [{from} + 16]"],
    [a, b], [a, b]);
#[rustfmt::skip]
run!("16", load_16 -> Run16, xmm_reg __m128i, ["movups {a}, [{from}]"], [a], a);
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
run!("8", load_8 -> Run8, reg u64, ["mov {a}, [{from}]"], [a], a);
#[cfg(target_arch = "x86")]
#[rustfmt::skip]
run!("8", load_8 -> Run8, xmm_reg __m128i, ["movq {a}, [{from}]"], [a], super::lower(a));
#[rustfmt::skip]
run!("4", load_4 -> Run4, reg u32, ["mov {a:e}, [{from}]"], [a], a);
#[rustfmt::skip]
run!("2", load_2 -> u16, reg u32, ["movzx {a:e}, word ptr [{from}]"], [a], lowest_16(a));
#[rustfmt::skip]
run!("1", load_1 -> u8, reg u32, ["movzx {a:e}, byte ptr [{from}]"], [a], lowest_8(a));

fn lowest_8(register: u32) -> u8 {
    let [byte, ..] = register.to_le_bytes();
    byte
}

fn lowest_16(register: u32) -> u16 {
    let [low, high, ..] = register.to_le_bytes();
    u16::from_le_bytes([low, high])
}
