//! Telling the processor what will be read soon.

/// The size of a cache line on the machines that folio is used on, in bytes. Where lines are
/// larger, some hints are given twice.
const LINE_BYTES: usize = 64;

/// Has the cache lines of `bytes` brought near the processor, without waiting for them.
///
/// A hint: it reads nothing in the sense of the language, and it never faults. On processors
/// other than x86-64, x86 with SSE and aarch64 it does nothing.
///
/// ```
/// let bytes = vec![1_u8; 4096];
/// folio_sys::prefetch::prefetch(&bytes);
/// ```
#[inline]
pub fn prefetch(bytes: &[u8]) {
    prefetch_range(bytes.as_ptr(), bytes.len());
}

/// As [`prefetch`], of addresses that need not be mapped.
#[inline]
pub(crate) fn prefetch_range(start: *const u8, len: usize) {
    if len == 0 {
        return;
    }
    prefetch_line(start);
    let mut ahead = LINE_BYTES - start.addr() % LINE_BYTES;
    while ahead < len {
        prefetch_line(start.wrapping_add(ahead));
        ahead = ahead.wrapping_add(LINE_BYTES);
    }
}

#[inline]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address is allowed, and never faults (Intel SDM,
        // PREFETCHh); every x86-64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(all(target_arch = "x86", target_feature = "sse"))]
    {
        use std::arch::x86::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: as above; the target has SSE, which brought the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch of any address is allowed, and never faults (Arm ARM, PRFM). It
    // changes neither registers nor memory.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{address}]",
            address = in(reg) address,
            options(nostack, readonly, preserves_flags),
        );
    }
    #[cfg(not(any(
        target_arch = "x86_64",
        all(target_arch = "x86", target_feature = "sse"),
        target_arch = "aarch64"
    )))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        let bytes = [3_u8; 300];
        for start in 0..300 {
            prefetch(&bytes[start..]);
            prefetch(&bytes[start..start]);
        }
        prefetch_range(std::ptr::null(), 200);
        prefetch_range(std::ptr::without_provenance(usize::MAX - 70), 200);
        prefetch_range(std::ptr::without_provenance(usize::MAX), 1);
        assert_eq!(bytes, [3; 300]);
    }
}
