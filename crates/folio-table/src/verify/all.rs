//! Checks a table whole with several threads, and finds all that is wrong with it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use folio::ReadAt;

use super::{PAGE, STRIDE_LEN, Walk};
use crate::format::{ORDER_ENTRY_LEN, OrderEntry, PAGE_LEN};
use crate::{Error, Result, SectionKind, Table};

/// What [`Table::verify_all`] found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Findings {
    /// What is wrong, in the order of the file; at most the first [thousand](Self::MOST).
    pub damages: Vec<Damage>,
    /// How much is wrong, whether it is among these or not.
    pub count: u64,
}

/// A place in a table that is not as it should be.
#[derive(Debug)]
#[non_exhaustive]
pub struct Damage {
    /// The section that it lies in, if it lies in one.
    pub section: Option<SectionKind>,
    /// Where in the file it is, as far as that is known.
    pub offset_bytes: u64,
    /// What is wrong.
    pub error: Error,
}

impl Findings {
    /// How many damages are kept.
    pub const MOST: usize = 1000;

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.count == 0
    }
}

impl<B: ReadAt + Sync> Table<B> {
    /// Checks the whole table, as [`verify`](Self::verify) does, with several threads, and goes on after
    /// a fault.
    ///
    /// First come the checksums of all pages. If each is right, the parts are checked against each other:
    /// each thread takes stretches of the records, and says what it finds first in each.
    /// `progress` is told now and then how much is done, out of the length of
    /// the file, by any of the threads.
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    ///
    /// # let mut builder = folio_table::Builder::new();
    /// # builder.add(1, b"key", b"value")?;
    /// # let mut bytes = builder.to_vec()?;
    /// bytes[5000] ^= 1;
    /// let table = folio_table::Table::from_bytes(bytes, "example")?;
    /// let found = table.verify_all(NonZeroUsize::MIN, |_| ());
    /// assert_eq!(found.count, 1);
    /// assert_eq!(found.damages[0].offset_bytes, 4096);
    /// assert_eq!(found.damages[0].section.unwrap().to_string(), "records");
    /// # Ok::<(), folio_table::Error>(())
    /// ```
    pub fn verify_all(&self, threads: NonZeroUsize, progress: impl Fn(u64) + Sync) -> Findings {
        let job = Job {
            table: self,
            threads,
            findings: Mutex::default(),
            done: AtomicU64::new(0),
            progress: &progress,
        };
        job.check_sums();
        job.check_pages();
        if job.found().is_whole() {
            job.check_structure();
        }
        let mut findings = job
            .findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        findings.damages.sort_by_key(|damage| damage.offset_bytes);
        progress(self.info().file_len);
        findings
    }
}

/// What the threads share.
struct Job<'a, B> {
    table: &'a Table<B>,
    threads: NonZeroUsize,
    findings: Mutex<Findings>,
    /// Half of the work are the pages, half the records in them: bytes of either.
    done: AtomicU64,
    progress: &'a (dyn Fn(u64) + Sync),
}

/// What a walk over a stretch of the records has seen.
struct Stretch {
    start: (u64, u64),
    end: (u64, u64),
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    key_bytes: u64,
    value_bytes: u64,
}

impl<B: ReadAt + Sync> Job<'_, B> {
    fn found(&self) -> std::sync::MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, error: Error) {
        let offset_bytes = offset_of(&error);
        let sections = &self.table.info().sections;
        let section = sections.iter().find(|section| {
            (section.offset_bytes..section.offset_bytes + section.len.next_multiple_of(PAGE_LEN))
                .contains(&offset_bytes)
        });
        let mut findings = self.found();
        findings.count += 1;
        if findings.damages.len() < Findings::MOST {
            findings.damages.push(Damage {
                section: section.map(|section| section.kind),
                offset_bytes,
                error,
            });
        }
    }

    /// Takes note that as many bytes more have stood one of the two checks.
    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)((done / 2).min(self.table.info().file_len));
    }

    /// Does pieces of work, by number, with all threads.
    fn share(&self, count: u64, work: impl Fn(u64) + Sync) {
        let next = AtomicU64::new(0);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                work(number);
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads.get() {
                // Where no thread can be had, the work is done without.
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
    }

    fn check_sums(&self) {
        let mut buf = vec![0; STRIDE_LEN];
        if let Err(error) = self.table.verify_sums(&mut buf) {
            self.report(error);
        }
    }

    fn check_pages(&self) {
        let end = self.table.layout.sums_offset;
        let stride = STRIDE_LEN as u64;
        self.share((end - PAGE_LEN).div_ceil(stride), |number| {
            let start = PAGE_LEN + number * stride;
            let mut buf = vec![0; STRIDE_LEN];
            let refuse = |error| {
                self.report(error);
                Ok(())
            };
            match self.table.verify_pages(&mut buf, start, end, refuse) {
                Ok(_) => {}
                Err(error) => self.report(error),
            }
            self.advance(stride.min(end - start));
        });
    }

    /// Checks that records, order and index agree.
    fn check_structure(&self) {
        let pages = self.table.layout.records_len.div_ceil(PAGE_LEN);
        let stretch_pages = (pages / (8 * self.threads.get() as u64)).clamp(1, 1 << 16);
        let count = pages.div_ceil(stretch_pages);
        let stretches = Mutex::new(Vec::new());
        // The first piece of work is the index.
        self.share(count + 1, |number| {
            let checked = if number == 0 {
                self.table.verify_index_totals()
            } else {
                let to = (number * stretch_pages).min(pages);
                let from = (number - 1) * stretch_pages;
                self.walk(from, to).map(|stretch| {
                    let mut all = stretches.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(stretch);
                })
            };
            if let Err(error) = checked {
                self.report(error);
            }
        });
        if self.found().is_whole() {
            let stretches = stretches
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = self.join(stretches) {
                self.report(error);
            }
        }
    }

    /// Walks over the records that start in some pages of their section.
    fn walk(&self, from: u64, to: u64) -> Result<Stretch> {
        let table = self.table;
        let at = table.layout.order_offset + from * ORDER_ENTRY_LEN;
        let entry = table.bytes().get_at::<OrderEntry>(at)?;
        let start = (entry.rank.get(), entry.offset.get());
        let (rank, offset) = start;
        if offset < from * PAGE_LEN || offset > table.layout.records_len || rank > table.count() {
            let what = format!("the order section says record {rank} at {offset}");
            return Err(table.damaged(at, what));
        }
        let mut walk = Walk::from_page(table, from, rank, offset);
        for page in from..to {
            walk.advance_to((page + 1) * PAGE_LEN)?;
            self.advance(PAGE as u64);
        }
        // Pages at the end in which no record starts.
        walk.check_order()?;
        Ok(Stretch {
            start,
            end: walk.position(),
            first_key: walk.first_key,
            last_key: walk.last_key,
            key_bytes: walk.key_bytes,
            value_bytes: walk.value_bytes,
        })
    }

    /// Checks that each stretch begins where the one before has ended, and what they add up to.
    fn join(&self, mut stretches: Vec<Stretch>) -> Result<()> {
        let table = self.table;
        // One in which no record starts ends where it begins, and the next one begins there, too.
        stretches.sort_by_key(|stretch| (stretch.start, stretch.end));
        let (mut end, mut last_key) = ((0, 0), Vec::new());
        let (mut key_bytes, mut value_bytes) = (0, 0);
        for stretch in stretches {
            let (rank, offset) = stretch.start;
            let at = table.layout.records_offset + offset;
            if stretch.start != end {
                let what =
                    format!("the order section says that it is record {rank}, which it is not");
                return Err(table.damaged(at, what));
            }
            if !stretch.first_key.is_empty() {
                if stretch.first_key <= last_key {
                    return Err(table.damaged(at, super::NOT_ASCENDING));
                }
                last_key = stretch.last_key;
            }
            end = stretch.end;
            key_bytes += stretch.key_bytes;
            value_bytes += stretch.value_bytes;
        }
        if end != (table.count(), table.layout.records_len) {
            let what = format!(
                "the records end after {}, but there should be {}",
                end.0,
                table.count()
            );
            return Err(table.damaged(table.layout.records_offset + end.1, what));
        }
        table.compare_totals(key_bytes, value_bytes)
    }
}

/// The place that an error is about.
fn offset_of(error: &Error) -> u64 {
    match error {
        Error::Checksum { offset, .. }
        | Error::Damaged { offset, .. }
        | Error::Bytes(
            folio::Error::Fault { offset, .. } | folio::Error::OutOfRange { offset, .. },
        ) => *offset,
        _ => 0,
    }
}
