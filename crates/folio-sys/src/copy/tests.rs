//! Both ways, in both directions, over pages that are lost in every way there is.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;

use super::*;
use crate::page;

#[cfg(target_os = "linux")]
mod full_file_system;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod poisoned_page;

const POLICIES: [FaultPolicy; 2] = [FaultPolicy::Handler, FaultPolicy::Syscall];

/// A shared, writable mapping of a temporary file.
struct Mapped {
    base: *mut u8,
    len: usize,
    file: File,
}

impl Mapped {
    fn new(pages: usize) -> Self {
        let len = pages * page::size();
        let file = tempfile::tempfile().unwrap();
        file.set_len(len as u64).unwrap();
        Self::of(file, len)
    }

    /// Pages of an anonymous file in memory, which userfaultfd knows how to deal with.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn shared_memory(pages: usize) -> Self {
        let len = pages * page::size();
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(file);
        file.set_len(len as u64).unwrap();
        Self::of(file, len)
    }

    fn of(file: File, len: usize) -> Self {
        // SAFETY: the kernel chooses a free address.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        let base = base.cast();
        Self { base, len, file }
    }

    fn protect(&self, page: usize, protection: libc::c_int) {
        let address = self.base.wrapping_add(page * page::size());
        // SAFETY: a page of the mapping, to which nothing refers.
        let status = unsafe { libc::mprotect(address.cast(), page::size(), protection) };
        assert_eq!(status, 0);
    }

    fn fill(&self, content: &[u8]) {
        // SAFETY: as many bytes are mapped; the slice is elsewhere.
        unsafe { copy_in(self.base, content.as_ptr(), content.len(), prepared(0)) }.unwrap();
    }

    fn read(&self, offset: usize, len: usize, policy: FaultPolicy) -> (usize, Vec<u8>) {
        assert!(offset + len <= self.len);
        let mut bytes = vec![0xEE; len];
        let from = self.base.wrapping_add(offset);
        // SAFETY: within the mapping, and `bytes` has as many.
        let outcome = unsafe { copy_out(bytes.as_mut_ptr(), from, len, policy) };
        (copied(len, outcome), bytes)
    }

    fn write(&self, offset: usize, bytes: &[u8], policy: FaultPolicy) -> usize {
        assert!(offset + bytes.len() <= self.len);
        let to = self.base.wrapping_add(offset);
        // SAFETY: within the mapping, which nothing refers to.
        let outcome = unsafe { copy_in(to, bytes.as_ptr(), bytes.len(), policy) };
        copied(bytes.len(), outcome)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: what `of` mapped.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

fn prepared(index: usize) -> FaultPolicy {
    POLICIES[index].prepare().unwrap()
}

fn copied(len: usize, outcome: Result<(), CopyError>) -> usize {
    match outcome {
        Ok(()) => len,
        Err(CopyError::Fault { copied }) => copied,
        Err(CopyError::System(error)) => panic!("{error}"),
    }
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..=250)
        .cycle()
        .map(|byte: u8| byte ^ seed)
        .take(len)
        .collect()
}

/// Every length up to 200 and some above, ending or beginning around a page's start that is lost.
fn cases() -> impl Iterator<Item = (usize, usize)> {
    let lengths = (0..200).chain([
        255, 256, 257, 511, 512, 513, 640, 1000, 1023, 1024, 1025, 1100, 3000,
    ]);
    lengths.flat_map(|len: usize| {
        let mut befores = vec![
            0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 130, 1024, 2500,
        ];
        befores.extend([len / 2, len.saturating_sub(1), len]);
        befores.retain(|&before| before <= len);
        befores.into_iter().map(move |before| (before, len))
    })
}

#[test]
fn a_lost_page_ends_a_read_at_its_first_byte() {
    let page = page::size();
    let content = pattern(2 * page, 0);
    for policy in [prepared(0), prepared(1)] {
        for by_truncation in [true, false] {
            let mapped = Mapped::new(2);
            mapped.fill(&content);
            if by_truncation {
                mapped.file.set_len(page as u64).unwrap();
            } else {
                mapped.protect(1, libc::PROT_NONE);
            }
            for (before, len) in cases() {
                let (count, bytes) = mapped.read(page - before, len, policy);
                assert_eq!(count, before, "{len} bytes, {policy:?}");
                assert_eq!(bytes[..before], content[page - before..page]);
            }
        }
    }
}

#[test]
fn a_lost_page_ends_a_write_at_its_first_byte() {
    let page = page::size();
    let (old, new) = (pattern(2 * page, 0), pattern(2 * page, 0xFF));
    for policy in [prepared(0), prepared(1)] {
        for protection in [None, Some(libc::PROT_READ), Some(libc::PROT_NONE)] {
            let mapped = Mapped::new(2);
            mapped.fill(&old);
            match protection {
                None => mapped.file.set_len(page as u64).unwrap(),
                Some(protection) => mapped.protect(1, protection),
            }
            for (before, len) in cases() {
                let count = mapped.write(page - before, &new[..len], policy);
                assert_eq!(count, before, "{len} bytes, {policy:?}");
                // Neither a byte less, nor one beside.
                let (_, bytes) = mapped.read(0, page, prepared(1));
                assert_eq!(bytes[page - before..], new[..before]);
                assert_eq!(bytes[..page - before], old[..page - before]);
                mapped.fill(&old[..page]);
            }
            if protection.is_some() {
                mapped.protect(1, libc::PROT_READ);
                assert_eq!(mapped.read(page, page, policy).1, old[page..]);
            }
        }
    }
}

#[test]
fn a_lost_page_before_a_good_one_ends_a_write() {
    let page = page::size();
    let new = pattern(2 * page, 0xFF);
    for policy in [prepared(0), prepared(1)] {
        let mapped = Mapped::new(2);
        mapped.protect(0, libc::PROT_READ);
        for (before, len) in cases().filter(|&(before, _)| before > 0) {
            assert_eq!(mapped.write(page - before, &new[..len], policy), 0);
            assert_eq!(mapped.read(0, page, policy).1, vec![0; page]);
        }
    }
}

/// Each of the processor's routines, whichever this processor and the length would have chosen.
#[test]
fn each_routine_is_exact() {
    let page = page::size();
    let content = pattern(40 * page, 0);
    let mapped = Mapped::new(41);
    mapped.fill(&content);
    mapped.protect(40, libc::PROT_NONE);
    let end = mapped.base.wrapping_add(40 * page);
    let mut bytes = vec![0; 41 * page];
    let long = [
        (page, 2 * page),
        (17 * page - 5, 17 * page),
        (40 * page - 1, 41 * page - 1),
    ];
    for (before, len) in cases().chain(long) {
        bytes[..len].fill(0);
        let from = end.wrapping_sub(before);
        // SAFETY: within the mapping, and `bytes` has as many.
        let left = unsafe { guarded::copy_any(bytes.as_mut_ptr(), from, len) };
        assert_eq!(left, len - before);
        assert_eq!(bytes[..before], content[40 * page - before..]);
        assert!(bytes[before..len].iter().all(|&byte| byte == 0));
    }
}

/// What is inlined says no more than that a page is lost, and leaves what it would write to as it was.
#[cfg(guarded)]
#[test]
fn a_lost_page_ends_a_small_read_with_nothing() {
    let page = page::size();
    let content = pattern(2 * page, 0);
    prepared(0);
    let mapped = Mapped::new(2);
    mapped.fill(&content);
    mapped.protect(1, libc::PROT_NONE);
    for (before, len) in cases().filter(|&(_, len)| len <= 64) {
        let is_lost = before < len;
        let from = mapped.base.wrapping_add(page - before);
        let mut bytes = vec![0xEE; len];
        // SAFETY: within the mapping, and `bytes` has as many.
        let is_copied = unsafe { copy_out_up_to_64(bytes.as_mut_ptr(), from, len) };
        assert_eq!(is_copied, !is_lost, "{before} of {len} bytes");
        let same = &content[page - before..page - before + len];
        assert!(is_copied && bytes == same || bytes.iter().all(|&byte| byte == 0xEE));
        // SAFETY: within the mapping, and there are as many to compare with.
        let is_same = unsafe { equals_small(from, same.as_ptr(), len) };
        assert_eq!(
            is_same,
            (!is_lost && len > 0).then_some(true),
            "{before} of {len} bytes"
        );
    }
}

/// A sequence that is the same in every run.
struct Sequence(u64);

impl Sequence {
    /// A number below `bound` (xorshift; G. Marsaglia, 2003).
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Random offsets, lengths, contents and losses: the policies agree with a model, so with each other.
#[test]
fn both_policies_do_the_same() {
    const PAGES: usize = 5;
    let page = page::size();
    let size = PAGES * page;
    let mut random = Sequence(0x9E37_79B9_7F4A_7C15);
    let mapped = [Mapped::new(PAGES), Mapped::new(PAGES)];
    let mut model = vec![0; size];
    for round in 0..600 {
        let bad_page = random.below(PAGES + 2);
        let by_protection = random.below(2) == 0;
        let protection = [libc::PROT_NONE, libc::PROT_READ][random.below(2)];
        let cut = if by_protection || bad_page >= PAGES {
            size
        } else {
            bad_page * page
        };
        for mapped in &mapped {
            mapped.file.set_len(cut as u64).unwrap();
            if by_protection && bad_page < PAGES {
                mapped.protect(bad_page, protection);
            }
        }
        model[cut..].fill(0);
        for _ in 0..20 {
            let offset = random.below(size);
            let longest = [80, 1200, size][random.below(3)];
            let len = random.below((size - offset).min(longest) + 1);
            let is_write = random.below(2) == 0;
            let is_refused = !by_protection || is_write || protection == libc::PROT_NONE;
            let good = (offset..offset + len)
                .position(|at| at / page == bad_page && is_refused || at >= cut)
                .unwrap_or(len);
            let new = pattern(len, [0, 0x55, 0xFF][random.below(3)]);
            for (index, mapped) in mapped.iter().enumerate() {
                let policy = prepared(index);
                if is_write {
                    assert_eq!(mapped.write(offset, &new, policy), good, "round {round}");
                } else {
                    let (count, bytes) = mapped.read(offset, len, policy);
                    assert_eq!(count, good, "round {round}, {policy:?}");
                    assert_eq!(bytes[..good], model[offset..offset + good]);
                }
            }
            if is_write {
                model[offset..offset + good].copy_from_slice(&new[..good]);
            }
        }
        for mapped in &mapped {
            mapped.file.set_len(size as u64).unwrap();
            if bad_page < PAGES {
                mapped.protect(bad_page, libc::PROT_READ | libc::PROT_WRITE);
            }
        }
        if round % 100 == 0 {
            for mapped in &mapped {
                assert_eq!(mapped.read(0, size, prepared(1)).1, model, "round {round}");
            }
        }
    }
}
