//! A page that is poisoned, as the kernel poisons those whose memory or device failed.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::*;

/// `userfaultfd(2)`, and the requests of `linux/userfaultfd.h` that are needed here.
const UFFD_API: u64 = 0xAA;
const UFFD_USER_MODE_ONLY: libc::c_int = 1;
const UFFD_FEATURE_POISON: u64 = 1 << 14;
const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;
/// `_IOWR(0xAA, number, size)`: the size of the argument stands in the third and fourth digit.
const UFFDIO_API: libc::Ioctl = 0xC018_AA3F;
const UFFDIO_REGISTER: libc::Ioctl = 0xC020_AA00;
const UFFDIO_POISON: libc::Ioctl = 0xC020_AA08;
const _: () = assert!(size_of::<Version>() == 0x18);
const _: () = assert!(size_of::<Register>() == 0x20 && size_of::<Poison>() == 0x20);

#[repr(C)]
struct Version {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Poison {
    start: u64,
    len: u64,
    mode: u64,
    updated: i64,
}

#[test]
fn a_poisoned_page_is_a_fault() {
    let page = page::size();
    for policy in [prepared(0), prepared(1)] {
        let mapped = Mapped::shared_memory(3);
        let bytes = pattern(page, 0);
        assert_eq!(mapped.write(0, &bytes, policy), page);
        assert_eq!(mapped.write(2 * page, &bytes, policy), page);
        let _poisoner = match poison(mapped.base.wrapping_add(page), page) {
            Ok(poisoner) => poisoner,
            Err(error) => {
                // The emulator of another processor has no userfaultfd.
                let is_native = std::env::var_os("FOLIO_TEST_RUNNER").is_none();
                let is_ci = std::env::var_os("CI").is_some();
                assert!(!(is_native && is_ci), "userfaultfd: {error}");
                println!("skipped: the kernel refuses to poison a page: {error}");
                return;
            }
        };
        for (before, len) in cases() {
            let (count, read) = mapped.read(page - before, len, policy);
            assert_eq!(count, before, "{len} bytes, {policy:?}");
            assert_eq!(read[..before], bytes[page - before..]);
            let count = mapped.write(page - before, &read, policy);
            assert_eq!(count, before, "{len} bytes, {policy:?}");
        }
        assert_eq!(mapped.read(2 * page, page, policy).1, bytes);
    }
}

/// Poisons a page that was never touched. It is so while the descriptor lives.
fn poison(base: *mut u8, len: usize) -> io::Result<OwnedFd> {
    let flags = libc::O_CLOEXEC | UFFD_USER_MODE_ONLY;
    // SAFETY: a system call with a number for an argument.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor, nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut version = Version {
        api: UFFD_API,
        features: UFFD_FEATURE_POISON,
        ioctls: 0,
    };
    ask(&fd, UFFDIO_API, &mut version)?;
    let (start, len) = (base.addr() as u64, len as u64);
    let mut register = Register {
        start,
        len,
        mode: UFFDIO_REGISTER_MODE_MISSING,
        ioctls: 0,
    };
    ask(&fd, UFFDIO_REGISTER, &mut register)?;
    let mut poison = Poison {
        start,
        len,
        mode: 0,
        updated: 0,
    };
    ask(&fd, UFFDIO_POISON, &mut poison)?;
    Ok(fd)
}

fn ask<T>(fd: &OwnedFd, request: libc::Ioctl, argument: &mut T) -> io::Result<()> {
    // SAFETY: each request above has the size of the argument that it is called with in it.
    let status = unsafe { libc::ioctl(fd.as_raw_fd(), request, ptr::from_mut(argument)) };
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
