//! Watching by the kernel: userfaultfd's asynchronous write-protection.
//!
//! A page that is written to loses its protection within the page fault, without a signal, and the
//! page table says so (Linux 6.7 and later; Linux's documentation: admin-guide/mm/userfaultfd.rst, the structures
//! `linux/userfaultfd.h`, the same on 32-bit and 64-bit machines).
//!
//! Pages without an entry in the page table are given a note there that they are protected. So
//! a page that has neither entry nor note was written to, and has left memory since. From
//! some version on, the kernel counts it as written; what this one does is found out by trying.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::ioctl::{Updater, ioctl, opcode};
use rustix::mm::UserfaultfdFlags;

use crate::mapping::Area;
use crate::page;
use crate::pagemap::{PRESENT, PageMap, Query, SWAPPED, WRITTEN};

/// A userfaultfd, and the page table that it changes: this process's.
#[derive(Debug)]
pub(super) struct UserFault {
    fd: OwnedFd,
    pages: PageMap,
    kernel: Kernel,
}

/// In what kernels differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// A page without an entry counts as written.
    CountsMissing,
    /// It does not, and has to be looked for.
    OmitsMissing,
}

impl UserFault {
    /// # Errors
    ///
    /// The system's, where it has no such thing (ENOSYS, EINVAL), or does not let us (EPERM), and
    /// `Unsupported` where it has, and it does not work.
    pub(super) fn open() -> io::Result<Self> {
        static KERNEL: OnceLock<Kernel> = OnceLock::new();

        let kernel = if let Some(&kernel) = KERNEL.get() {
            kernel
        } else {
            let kernel = probe()?;
            *KERNEL.get_or_init(|| kernel)
        };
        Self::open_as(kernel)
    }

    fn open_as(kernel: Kernel) -> io::Result<Self> {
        // Faults of the kernel itself would need a privilege if they were to wait for
        // us. None ever does here.
        let user_mode_only = UserfaultfdFlags::from_bits_retain(1);
        let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK | user_mode_only;
        // SAFETY: the descriptor stays in here, and is used for pages that the caller owns.
        let fd = unsafe { rustix::mm::userfaultfd(flags) }?;
        let mut api = Api {
            version: API,
            features: HUGETLBFS_SHMEM | UNPOPULATED | ASYNC,
            ioctls: 0,
        };
        // SAFETY: the structure that the operation takes.
        let call =
            unsafe { Updater::<{ opcode::read_write::<Api>(GROUP, 0x3f) }, _>::new(&mut api) };
        // SAFETY: it is the first on this descriptor, and agrees on what it is for.
        unsafe { ioctl(&fd, call) }?;
        Ok(Self {
            fd,
            pages: PageMap::open()?,
            kernel,
        })
    }

    /// Registers pages, by address, and protects them.
    ///
    /// # Errors
    ///
    /// The system's: EBUSY if another userfaultfd has them.
    ///
    /// # Safety
    ///
    /// They are shared pages of a mapping that the caller owns.
    pub(super) unsafe fn cover(&self, addresses: Range<usize>) -> io::Result<()> {
        // SAFETY: the caller's word.
        unsafe { self.register(addresses.clone()) }?;
        let mut protect = WriteProtect {
            start: addresses.start as u64,
            len: (addresses.end - addresses.start) as u64,
            mode: 1,
        };
        // SAFETY: the structure that the operation takes.
        let call = unsafe {
            Updater::<{ opcode::read_write::<WriteProtect>(GROUP, 6) }, _>::new(&mut protect)
        };
        // SAFETY: pages that were just registered. Who writes to them does not notice.
        Ok(unsafe { ioctl(&self.fd, call) }?)
    }

    /// # Safety
    ///
    /// As for [`cover`](Self::cover).
    unsafe fn register(&self, addresses: Range<usize>) -> io::Result<()> {
        let mut register = Register {
            start: addresses.start as u64,
            len: (addresses.end - addresses.start) as u64,
            mode: MODE_WRITE_PROTECT,
            ioctls: 0,
        };
        // SAFETY: the structure that the operation takes.
        let call = unsafe {
            Updater::<{ opcode::read_write::<Register>(GROUP, 0) }, _>::new(&mut register)
        };
        // SAFETY: the caller's pages. Only in asynchronous mode, so that no fault ever waits.
        Ok(unsafe { ioctl(&self.fd, call) }?)
    }

    /// Takes the pages back, and their protection. Closing would do, had no child a copy.
    pub(super) fn forget(&self, addresses: Range<usize>) {
        let mut range = Addresses {
            start: addresses.start as u64,
            len: (addresses.end - addresses.start) as u64,
        };
        // SAFETY: the structure that the operation takes.
        let call =
            unsafe { Updater::<{ opcode::read::<Addresses>(GROUP, 1) }, _>::new(&mut range) };
        // SAFETY: pages of ours, which are used as before.
        let outcome = unsafe { ioctl(&self.fd, call) };
        debug_assert!(outcome.is_ok(), "UFFDIO_UNREGISTER: {outcome:?}");
    }

    /// Calls `each` with the pages written to since they were last protected, by address, and
    /// protects them again, each at the moment when it is found.
    pub(super) fn take(
        &self,
        addresses: Range<usize>,
        each: &mut dyn FnMut(Range<usize>),
    ) -> io::Result<()> {
        let written = Query {
            with: WRITTEN,
            ..Query::default()
        };
        self.pages
            .find_and_protect(addresses.clone(), written, each)?;
        if self.kernel == Kernel::OmitsMissing {
            let missing = Query {
                without: PRESENT | SWAPPED,
                ..Query::default()
            };
            self.pages.find_and_protect(addresses, missing, each)?;
        }
        Ok(())
    }
}

/// Tries it on a page, and says what the kernel makes of one that was never touched.
///
/// Not all that answer to the calls can be trusted to be Linux.
fn probe() -> io::Result<Kernel> {
    let trial = UserFault::open_as(Kernel::OmitsMissing)?;
    let area = Area::anonymous(page::size())?;
    let first = area.base().as_ptr().addr();
    let addresses = first..first + area.size_bytes();
    let found = |trial: &UserFault| {
        let mut count = 0;
        trial.take(addresses.clone(), &mut |_| count += 1)?;
        io::Result::Ok(count)
    };
    // SAFETY: the page is ours.
    unsafe { trial.register(addresses.clone()) }?;
    let mut missing = 0;
    let written = Query {
        with: WRITTEN,
        ..Query::default()
    };
    trial
        .pages
        .find(addresses.clone(), written, &mut |_| missing += 1)?;
    // SAFETY: the page is ours.
    unsafe { trial.cover(addresses.clone()) }?;
    let quiet = found(&trial)?;
    // SAFETY: the first byte of our page, readable and writable, and no other reference to it.
    let byte = unsafe { area.base().cast::<AtomicU8>().as_ref() };
    byte.store(1, Ordering::SeqCst);
    let works = quiet == 0 && found(&trial)? == 1 && found(&trial)? == 0;
    trial.forget(addresses);
    match (works, missing) {
        (false, _) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "asynchronous write-protection is there, and does not work",
        )),
        (true, 0) => Ok(Kernel::OmitsMissing),
        (true, _) => Ok(Kernel::CountsMissing),
    }
}

/// `UFFDIO`, the group of the operations.
const GROUP: u8 = 0xaa;
/// `UFFD_API`.
const API: u64 = 0xaa;
/// `UFFD_FEATURE_WP_HUGETLBFS_SHMEM`: shared memory, too.
const HUGETLBFS_SHMEM: u64 = 1 << 12;
/// `UFFD_FEATURE_WP_UNPOPULATED`: pages without an entry in the page table, too.
const UNPOPULATED: u64 = 1 << 13;
/// `UFFD_FEATURE_WP_ASYNC`: nobody waits; and with it, files of all file systems.
const ASYNC: u64 = 1 << 15;
/// `UFFDIO_REGISTER_MODE_WP`.
const MODE_WRITE_PROTECT: u64 = 1 << 1;

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    version: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_range`.
#[repr(C)]
struct Addresses {
    start: u64,
    len: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_writeprotect`.
#[repr(C)]
struct WriteProtect {
    start: u64,
    len: u64,
    mode: u64,
}

const _: () = assert!(size_of::<Api>() == 24);
const _: () = assert!(size_of::<Addresses>() == 16);
const _: () = assert!(size_of::<Register>() == 32);
const _: () = assert!(size_of::<WriteProtect>() == 24);
