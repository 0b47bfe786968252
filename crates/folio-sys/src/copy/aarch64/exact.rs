//! Guarded loads of one run, for lengths that are a power of two: one address, and no
//! byte twice.

use std::arch::aarch64::uint8x16_t;
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
            let failed: u64;
            $(let $register: $value;)+
            // SAFETY: reads what the caller vouches for, writes to its outputs alone. Outputs
            // are not `late`, so none shares a register with the address. After a fault, which
            // the table leads to 3, they hold anything, which is a valid value of their types.
            unsafe {
                asm!(
                    "mov x9, xzr",
                    "2:",
                    $($line,)+
                    "3:",
                    fault_entry!("2b", "3b", "3b"),
                    from = in(reg) from,
                    $($register = out($class) $register,)+
                    out("x9") failed,
                    options(nostack, readonly, preserves_flags),
                );
            }
            (failed == 0).then_some($result)
        }
    };
}

#[rustfmt::skip]
run!("64", load_64 -> Run64, vreg uint8x16_t,
    ["ldp {a:q}, {b:q}, [{from}]", "ldp {c:q}, {d:q}, [{from}, #32]"],
    [a, b, c, d], [a, b, c, d]);
#[rustfmt::skip]
run!("32", load_32 -> Run32, vreg uint8x16_t, ["ldp {a:q}, {b:q}, [{from}]"], [a, b], [a, b]);
#[rustfmt::skip]
run!("16", load_16 -> Run16, vreg uint8x16_t, ["ldr {a:q}, [{from}]"], [a], a);
#[rustfmt::skip]
run!("8", load_8 -> Run8, reg u64, ["ldr {a:x}, [{from}]"], [a], a);
#[rustfmt::skip]
run!("4", load_4 -> Run4, reg u32, ["ldr {a:w}, [{from}]"], [a], a);
#[rustfmt::skip]
run!("2", load_2 -> u16, reg u32, ["ldrh {a:w}, [{from}]"], [a], lowest_16(a));
#[rustfmt::skip]
run!("1", load_1 -> u8, reg u32, ["ldrb {a:w}, [{from}]"], [a], lowest_8(a));

fn lowest_8(register: u32) -> u8 {
    let [byte, ..] = register.to_le_bytes();
    byte
}

fn lowest_16(register: u32) -> u16 {
    let [low, high, ..] = register.to_le_bytes();
    u16::from_le_bytes([low, high])
}
