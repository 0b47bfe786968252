//! The fault table: which instructions may fault, and where to go on when they do.
//!
//! Each guarded piece of assembly enters itself into the section `folio_faults`, wherever
//! the compiler has inlined it. The linker gathers the entries and names the section's
//! two ends. Entries hold distances, not addresses, so that a position-independent
//! program needs no relocations for them.

use std::arch::asm;

/// One entry, as `fault_entry!` writes it: three distances, each from its own place.
///
/// To the first instruction that may fault; to the byte after the last; to where to go on.
type Entry = [i32; 3];

unsafe extern "C" {
    #[link_name = "__start_folio_faults"]
    static FIRST: Entry;
    #[link_name = "__stop_folio_faults"]
    static END: Entry;
}

/// The assembly that enters the code between two labels into the table.
///
/// The flag `R` (`SHF_GNU_RETAIN`) keeps the section where the linker would drop it as unused:
/// nothing refers to it but its two ends.
macro_rules! fault_entry {
    ($start:literal, $end:literal, $resume:literal) => {
        concat!(
            ".pushsection folio_faults,\"aR\",@progbits\n",
            ".p2align 2\n",
            ".long ",
            $start,
            " - .\n",
            ".long ",
            $end,
            " - .\n",
            ".long ",
            $resume,
            " - .\n",
            ".popsection",
        )
    };
}
pub(super) use fault_entry;

/// Where to go on after a fault at `pc`, if that is one of ours.
///
/// Async-signal-safe: it reads constants. The search is linear: a fault costs
/// microseconds anyway, and there are some hundreds of entries at most.
pub(crate) fn resume_at(pc: usize) -> Option<usize> {
    // SAFETY: no instruction. A program that copies nothing has no entries, and then the section that
    // is searched here would be missing: so this makes one, for no instructions at all.
    unsafe {
        asm!(
            "2:",
            fault_entry!("2b", "2b", "2b"),
            options(nomem, nostack, preserves_flags)
        );
    }
    let end = &raw const END;
    let mut entry = &raw const FIRST;
    while entry < end {
        // SAFETY: from one end of the section to the other there are entries, all of
        // which `fault_entry!` wrote; they are constants.
        let [start, end, resume] = unsafe { entry.read() };
        let place = entry.addr();
        let start = place.wrapping_add_signed(start as isize);
        let end = (place + 4).wrapping_add_signed(end as isize);
        let resume = (place + 8).wrapping_add_signed(resume as isize);
        if (start..end).contains(&pc) {
            return Some(resume);
        }
        entry = entry.wrapping_add(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_guarded_code_only() {
        assert_eq!(resume_at(0), None);
        assert_eq!(resume_at(usize::MAX), None);
        assert_eq!(
            resume_at(knows_guarded_code_only as *const () as usize),
            None
        );
        let routine = crate::copy::guarded::copy_any as *const () as usize;
        assert!((routine..routine + 32).any(|pc| resume_at(pc).is_some()));
        assert!(resume_at(routine - 1).is_none());
    }
}
