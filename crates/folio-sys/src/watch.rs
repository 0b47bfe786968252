//! Watching which pages of a mapping are written to.
//!
//! All writes through one mapping are seen, whoever makes them: folio's copies, stores of
//! other code to the mapped bytes, and the kernel on behalf of this process, where the method can. Writes
//! that reach the file by `write(2)`, by another mapping or by another process are not.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::mapping::Mapping;
use crate::process_mark::ProcessMark;

pub(crate) mod protection;
#[cfg(target_os = "linux")]
mod userfault;

#[cfg(target_os = "linux")]
use userfault::UserFault;

/// How the pages written to are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// By the kernel: userfaultfd's asynchronous write-protection and `PAGEMAP_SCAN`. Linux 6.7 and
    /// later, where neither a sandbox nor the administrator refuses. No signal is raised, and writes by
    /// the kernel on this process's behalf (`read(2)` into the mapping) are seen, too.
    Userfaultfd,
    /// By `mprotect(2)` and folio's handler of SIGSEGV; by the error of the system call, where
    /// writes go [that way](crate::fault::FaultPolicy::Syscall). Everywhere, and slower: a
    /// signal and a system call for the first write to a page. The kernel itself does not get past the protection:
    /// `read(2)` into a mapping that is watched fails with EFAULT.
    Protection,
}

/// A mapping whose writes are watched, until this is dropped. One at a time for each mapping.
///
/// ```
/// use folio_sys::fault::FaultPolicy;
/// use folio_sys::mapping::{Extent, MappingMut};
/// use folio_sys::watch::{Method, Watch};
///
/// let page = folio_sys::page::size();
/// let map = MappingMut::anonymous(Extent::new(0, 10 * page), FaultPolicy::Handler)?;
/// let mut watch = Watch::start(map.mapping(), Method::Protection)?;
/// map.write_all_at(3 * page + 7, b"hello").unwrap();
/// let mut written = Vec::new();
/// watch.take(&mut |pages| written.push(pages))?;
/// assert_eq!(written, [3..4]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Watch {
    means: Means,
    mark: ProcessMark,
    /// How many pages are watched, from the first on.
    covered: usize,
    /// How long the mapping was then.
    len: usize,
    mapping: Arc<Mapping>,
}

#[derive(Debug)]
enum Means {
    #[cfg(target_os = "linux")]
    UserFault(UserFault),
    Protection,
}

impl Watch {
    /// Watches all pages that a mapping has now.
    ///
    /// The mapping must be a [`MappingMut`](crate::mapping::MappingMut)'s.
    ///
    /// # Errors
    ///
    /// `Unsupported`, ENOSYS, EINVAL or EPERM when the method cannot be had here; otherwise the
    /// system's. `PermissionDenied` for a mapping that is only read.
    pub fn start(mapping: &Arc<Mapping>, method: Method) -> io::Result<Self> {
        let mark = ProcessMark::new()?;
        let means = match method {
            #[cfg(target_os = "linux")]
            Method::Userfaultfd => Means::UserFault(UserFault::open()?),
            #[cfg(not(target_os = "linux"))]
            Method::Userfaultfd => return Err(io::ErrorKind::Unsupported.into()),
            Method::Protection => {
                mapping.protection()?.start()?;
                Means::Protection
            }
        };
        let mut watch = Self {
            means,
            mark,
            covered: 0,
            len: 0,
            mapping: Arc::clone(mapping),
        };
        watch.cover()?;
        Ok(watch)
    }

    /// The method in use.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.means {
            #[cfg(target_os = "linux")]
            Means::UserFault(_) => Method::Userfaultfd,
            Means::Protection => Method::Protection,
        }
    }

    /// Whether this process started it. A forked child inherits no watch: what it finds here
    /// is its parent's, and of no use.
    #[must_use]
    pub fn is_of_this_process(&self) -> bool {
        self.mark.is_of_this_process()
    }

    /// How many pages are watched. They are counted from the mapping's first page, which its first byte may be
    /// in the middle of.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.covered
    }

    /// Watches those pages, too, by which the mapping has grown, and says which hold the bytes that are new.
    /// What was written to them before is not known.
    ///
    /// # Errors
    ///
    /// The system's, as for [`start`](Self::start).
    pub fn cover(&mut self) -> io::Result<Range<usize>> {
        let len = self.mapping.len();
        if len == self.len {
            return Ok(0..0);
        }
        let (first, end) = (self.mapping.page_at(self.len), self.mapping.page_count(len));
        let new = self.covered..end;
        if !new.is_empty() {
            match &self.means {
                #[cfg(target_os = "linux")]
                Means::UserFault(fault) => {
                    // SAFETY: shared pages of the mapping, which lives as long as this does.
                    unsafe { fault.cover(self.mapping.addresses_of_pages(new)) }?;
                }
                Means::Protection => self.mapping.protection()?.cover(new)?,
            }
        }
        (self.covered, self.len) = (end, len);
        Ok(first..end)
    }

    /// Calls `each` with the runs of pages written to since the last time, and begins anew with
    /// these. A write that comes meanwhile is found now or the next time.
    ///
    /// Some pages more may be found: those that the file lost, and, by [`Method::Protection`], those
    /// between written pages where there are more than 16,000 runs of these.
    ///
    /// # Errors
    ///
    /// The system's; what `each` was called with before is found no more. `Unsupported` in
    /// [another process](Self::is_of_this_process).
    pub fn take(&mut self, each: &mut dyn FnMut(Range<usize>)) -> io::Result<()> {
        if !self.is_of_this_process() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if self.covered == 0 {
            return Ok(());
        }
        match &self.means {
            #[cfg(target_os = "linux")]
            Means::UserFault(fault) => {
                let addresses = self.mapping.addresses_of_pages(0..self.covered);
                let (first, page_bytes) = (addresses.start, self.mapping.page_bytes());
                fault.take(addresses, &mut |found| {
                    each(
                        (found.start - first) / page_bytes
                            ..(found.end - first).div_ceil(page_bytes),
                    );
                })
            }
            Means::Protection => self.mapping.protection()?.take(self.covered, each),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_of_this_process() || self.covered == 0 {
            return;
        }
        match &self.means {
            #[cfg(target_os = "linux")]
            Means::UserFault(fault) => {
                fault.forget(self.mapping.addresses_of_pages(0..self.covered));
            }
            Means::Protection => {
                if let Ok(protection) = self.mapping.protection() {
                    protection.end();
                }
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("method", &self.method())
            .field("page_count", &self.covered)
            .finish_non_exhaustive()
    }
}
