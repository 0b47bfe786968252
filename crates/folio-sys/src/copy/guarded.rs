//! Guarded loads, stores and copies.
//!
//! Written in assembly for two reasons: the handler must know the registers at
//! each instruction that may fault, and bytes that another process changes during
//! the copy are no data race of Rust's, as no Rust code touches them.
//!
//! What is here is the same on every architecture; what is not is in [`arch`]:
//!
//! - `resume`, by which the handler sends guarded code that faulted on its way;
//! - `load_N`, inlined, for one run of `N` bytes, 1 to 64;
//! - `load_two_N` and `store_two_N`, inlined, for two runs of `N` bytes, `Run32` to `Run4`;
//! - `folio_guarded_copy`, the routine for any length.
//!
//! What is loaded is stored elsewhere ([`load_small`]) or compared in registers ([`equals_small`]).

#[cfg_attr(any(target_arch = "x86_64", target_arch = "x86"), path = "x86.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod arch;

use arch::exact::{load_1, load_2, load_4, load_8, load_16, load_32, load_64};
pub(crate) use arch::resume;
use arch::{Run4, Run8, Run16, Run32};
use arch::{load_two_4, load_two_8, load_two_16, load_two_32};
use arch::{store_two_4, store_two_8, store_two_16, store_two_32};

/// Copies `len` bytes and returns how many of them, at the end, could not be copied.
///
/// Both its loads and its stores may fault: it copies out of mappings and into them.
///
/// # Safety
///
/// As for [`copy_out`](crate::copy::copy_out) or for [`copy_in`](crate::copy::copy_in), under
/// `FaultPolicy::Handler`.
#[inline]
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if arch::WIDE.contains(&len) && std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the caller's obligations are the same; a wide length, and AVX is there.
        return unsafe { arch::copy_wide(to, from, len) };
    }
    // SAFETY: the caller's obligations are the same.
    unsafe { copy_any(to, from, len) }
}

unsafe extern "C" {
    /// [`copy`], for any length, on any processor of the architecture.
    #[link_name = "folio_guarded_copy"]
    pub(super) fn copy_any(to: *mut u8, from: *const u8, len: usize) -> usize;
}

/// Copies 1, 2 or 4 to 64 bytes from a mapping without a call. False if a page is lost, and for
/// other lengths: then [`copy()`] does it, and finds the exact byte.
///
/// Two runs, one from the start and one to the end, cover every length from that of one run
/// to that of both; a length that is a run's takes that run alone. Where the compiler knows the
/// length, one run or one pair of runs is all that is left of this.
///
/// # Safety
///
/// As for [`copy_out`](crate::copy::copy_out), under `FaultPolicy::Handler`.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a known length must reach the match, or nothing is gained"
)]
pub(crate) unsafe fn load_small(to: *mut u8, from: *const u8, len: usize) -> bool {
    let (to_end, from_end) = (to.wrapping_add(len), from.wrapping_add(len));
    // SAFETY, of each arm: with its lengths, a run of its size fits into the source and
    // into the target, at the start as well as at the end.
    macro_rules! run {
        ($load:ident) => {{
            // SAFETY: see above.
            match unsafe { $load(from) } {
                // SAFETY: see above.
                Some(run) => unsafe { write_one(to, run) },
                None => return false,
            }
        }};
    }
    macro_rules! runs {
        ($load:ident, $run:ty) => {{
            // SAFETY: see above.
            match unsafe { $load(from, from_end) } {
                // SAFETY: see above.
                Some(runs) => unsafe { write_two::<$run>(to, to_end, runs) },
                None => return false,
            }
        }};
    }
    match len {
        64 => run!(load_64),
        33..64 => runs!(load_two_32, Run32),
        32 => run!(load_32),
        17..32 => runs!(load_two_16, Run16),
        16 => run!(load_16),
        9..16 => runs!(load_two_8, Run8),
        8 => run!(load_8),
        5..8 => runs!(load_two_4, Run4),
        4 => run!(load_4),
        2 => run!(load_2),
        1 => run!(load_1),
        _ => return false,
    }
    true
}

/// [`load_small`] for lengths that the compiler does not know, up to 64. False if a page is lost, and for
/// longer ones.
///
/// A length is found by few comparisons, which a processor foresees, and not by a jump through
/// a table; a run that is as long as the copy is loaded twice rather than told apart.
///
/// # Safety
///
/// As for [`load_small`].
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "to be a few instructions of a caller's"
)]
pub(crate) unsafe fn load_up_to_64(to: *mut u8, from: *const u8, len: usize) -> bool {
    let (to_end, from_end) = (to.wrapping_add(len), from.wrapping_add(len));
    // SAFETY, of each arm: as in load_small.
    macro_rules! runs {
        ($load:ident, $run:ty) => {{
            // SAFETY: see above.
            match unsafe { $load(from, from_end) } {
                // SAFETY: see above.
                Some(runs) => unsafe { write_two::<$run>(to, to_end, runs) },
                None => return false,
            }
        }};
    }
    if len > 64 {
        return false;
    } else if len > 32 {
        runs!(load_two_32, Run32);
    } else if len > 16 {
        runs!(load_two_16, Run16);
    } else if len >= 8 {
        runs!(load_two_8, Run8);
    } else if len >= 4 {
        runs!(load_two_4, Run4);
    } else {
        // SAFETY: the caller's obligations are the same.
        return unsafe { load_up_to_3(to, from, len) };
    }
    true
}

/// The rest of [`load_up_to_64`].
///
/// # Safety
///
/// As for [`load_small`].
#[inline]
unsafe fn load_up_to_3(to: *mut u8, from: *const u8, len: usize) -> bool {
    if len == 3 {
        let (to_last, from_last) = (to.wrapping_add(2), from.wrapping_add(2));
        // SAFETY: the last one of three bytes, for which the caller vouches.
        return unsafe { load_small(to_last, from_last, 1) }
            // SAFETY: the first two of them.
            && unsafe { load_small(to, from, 2) };
    }
    // SAFETY: the caller's obligations are the same.
    len == 0 || unsafe { load_small(to, from, len) }
}

/// Whether the `len` bytes, 1 to 64, of a mapping from `from` on are those from `with` on, which are
/// plain memory. They are compared in registers. `None` if a page is lost, and for other lengths.
///
/// The runs are those of [`load_small`].
///
/// # Safety
///
/// `with` is valid for reads of `len` bytes, which nobody writes to meanwhile. `from` to `from + len` lies in
/// mappings that stay mapped for the duration, under `FaultPolicy::Handler`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for load_small")]
pub(crate) unsafe fn equals_small(from: *const u8, with: *const u8, len: usize) -> Option<bool> {
    let (from_end, with_end) = (from.wrapping_add(len), with.wrapping_add(len));
    // SAFETY, of each arm: with its lengths, a run of its size fits into both, at the start as
    // well as at the end. Any bytes are a value of a run, and of as many words.
    macro_rules! run {
        ($load:ident, $words:ty) => {{
            // SAFETY: see above.
            let run = unsafe { $load(from) }?;
            // SAFETY: see above.
            unsafe { differs::<_, $words>(run, with) }
        }};
    }
    macro_rules! runs {
        ($load:ident, $words:ty) => {{
            // SAFETY: see above.
            let (first, last) = unsafe { $load(from, from_end) }?;
            // SAFETY: see above.
            let first_differs = unsafe { differs::<_, $words>(first, with) };
            let last_run = with_end.wrapping_sub(size_of::<$words>());
            // SAFETY: see above.
            first_differs | unsafe { differs::<_, $words>(last, last_run) }
        }};
    }
    let differs = match len {
        64 => run!(load_64, [u128; 4]),
        33..64 => runs!(load_two_32, [u128; 2]),
        32 => run!(load_32, [u128; 2]),
        17..32 => runs!(load_two_16, u128),
        16 => run!(load_16, u128),
        9..16 => runs!(load_two_8, u64),
        8 => run!(load_8, u64),
        5..8 => runs!(load_two_4, u32),
        4 => run!(load_4, u32),
        3 => {
            // SAFETY: see above.
            let first = unsafe { load_2(from) }?;
            // SAFETY: see above.
            let first_differs = unsafe { differs::<_, u16>(first, with) };
            // SAFETY: see above.
            let last = unsafe { load_2(from.wrapping_add(1)) }?;
            // SAFETY: see above.
            first_differs | unsafe { differs::<_, u16>(last, with.wrapping_add(1)) }
        }
        2 => run!(load_2, u16),
        1 => run!(load_1, u8),
        _ => return None,
    };
    Some(!differs)
}

/// Copies 4 to 64 bytes into a mapping without a call; the counterpart of [`load_small`].
///
/// # Safety
///
/// As for [`copy_in`](crate::copy::copy_in), under `FaultPolicy::Handler`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for load_small")]
pub(crate) unsafe fn store_small(to: *mut u8, from: *const u8, len: usize) -> bool {
    let (to_end, from_end) = (to.wrapping_add(len), from.wrapping_add(len));
    // SAFETY, of each arm: as in load_small.
    macro_rules! runs {
        ($store:ident, $run:ty) => {{
            // SAFETY: see above.
            let runs = unsafe { read_two::<$run>(from, from_end) };
            // SAFETY: see above.
            unsafe { $store(to, to_end, runs) }
        }};
    }
    match len {
        33..=64 => runs!(store_two_32, Run32),
        17..=32 => runs!(store_two_16, Run16),
        8..=16 => runs!(store_two_8, Run8),
        4..=7 => runs!(store_two_4, Run4),
        _ => false,
    }
}

/// Stores one run from `to` on, in plain memory.
///
/// # Safety
///
/// It is valid for writes.
#[inline]
unsafe fn write_one<T>(to: *mut u8, run: T) {
    // SAFETY: the caller vouches for it.
    unsafe { to.cast::<T>().write_unaligned(run) };
}

/// Stores one run from `to` on and one up to `end`, in plain memory.
///
/// # Safety
///
/// Both runs are valid for writes.
#[inline]
unsafe fn write_two<T>(to: *mut u8, end: *mut u8, (first, last): (T, T)) {
    // SAFETY: the caller vouches for it.
    unsafe { to.cast::<T>().write_unaligned(first) };
    let last_run = end.wrapping_sub(size_of::<T>()).cast::<T>();
    // SAFETY: the caller vouches for it.
    unsafe { last_run.write_unaligned(last) };
}

/// Numbers that a run is made of, to be compared.
trait Words: Copy {
    fn differ(self, other: Self) -> bool;
}

macro_rules! one_word {
    ($($word:ty),*) => {$(
        impl Words for $word {
            #[inline]
            fn differ(self, other: Self) -> bool {
                self != other
            }
        }
    )*};
}

one_word!(u8, u16, u32, u64, u128);

impl<const N: usize> Words for [u128; N] {
    #[inline]
    fn differ(self, other: Self) -> bool {
        let pairs = self.into_iter().zip(other);
        pairs.fold(0, |bits, (one, other)| bits | (one ^ other)) != 0
    }
}

/// Whether a run is another one than that which begins at `with`, in plain memory.
///
/// # Safety
///
/// That one is valid for reads. A run is as long as its words, and any bytes are a value of both.
#[inline]
unsafe fn differs<T: Copy, W: Words>(run: T, with: *const u8) -> bool {
    const { assert!(size_of::<T>() == size_of::<W>()) };
    // SAFETY: it is as long, and any bytes are a value.
    let run = unsafe { std::mem::transmute_copy::<T, W>(&run) };
    // SAFETY: the caller vouches for it.
    let with = unsafe { with.cast::<W>().read_unaligned() };
    run.differ(with)
}

/// Loads one run from `from` on and one up to `end`, from plain memory.
///
/// # Safety
///
/// Both runs are valid for reads, and any bytes are a value of `T`.
#[inline]
unsafe fn read_two<T>(from: *const u8, end: *const u8) -> (T, T) {
    // SAFETY: the caller vouches for it.
    let first = unsafe { from.cast::<T>().read_unaligned() };
    let last_run = end.wrapping_sub(size_of::<T>()).cast::<T>();
    // SAFETY: the caller vouches for it.
    let last = unsafe { last_run.read_unaligned() };
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = unsafe fn(*mut u8, *const u8, usize) -> bool;

    #[test]
    fn small_copies_are_exact() {
        let from: Vec<u8> = (0..100).collect();
        let routines = [
            (load_small as Small, &[1, 2][..]),
            (load_up_to_64, &[0, 1, 2, 3]),
            (store_small, &[]),
        ];
        for (len, (small, also)) in (0..80).flat_map(|len| routines.map(|it| (len, it))) {
            let mut to = vec![0xAA; len + 2];
            let target = to.as_mut_ptr().wrapping_add(1);
            // SAFETY: `to` has len + 2 bytes and `from` more than len + 3.
            let copied = unsafe { small(target, from.as_ptr().wrapping_add(3), len) };
            assert_eq!(copied, also.contains(&len) || (4..=64).contains(&len));
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
    fn small_comparisons_see_every_byte_and_none_beside() {
        let from: Vec<u8> = (0..100).collect();
        for len in 0..80 {
            let mut with = from[2..len + 4].to_vec();
            let mut is_same = |at: usize, bit: u8| {
                with[at] ^= bit;
                let other = with.as_ptr().wrapping_add(1);
                // SAFETY: `with` has len + 2 bytes, and `from` more than len + 3.
                let same = unsafe { equals_small(from.as_ptr().wrapping_add(3), other, len) };
                with[at] ^= bit;
                same
            };
            if !(1..=64).contains(&len) {
                assert_eq!(is_same(0, 0), None);
                continue;
            }
            for bit in [1, 0x80] {
                assert_eq!(is_same(0, bit), Some(true), "{len} bytes");
                assert_eq!(is_same(len + 1, bit), Some(true), "{len} bytes");
                for at in 1..=len {
                    assert_eq!(is_same(at, bit), Some(false), "byte {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn copies_every_length_and_nothing_beside() {
        let from: Vec<u8> = (0..90_000_u32).map(|i| (i % 251) as u8).collect();
        let routines: [unsafe fn(*mut u8, *const u8, usize) -> usize; 2] =
            // SAFETY: the caller's obligations are the same.
            [copy, |to, from, len| unsafe { copy_any(to, from, len) }];
        for len in (0..1200).chain([2048, 2049, 2999, 4096, 65535, 65536, 65537, 89_998]) {
            for (copy, skew) in [(routines[0], 0), (routines[0], 1), (routines[1], 1)] {
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
