//! Sorts records that may be more than memory holds.
//!
//! Records are gathered in chunks, each of which is sorted by another thread while the next one fills.
//! Sorted chunks stay in memory until they are too many; then they are merged into a
//! file, a run. Runs in files, when they are too many to be merged at once, are merged into longer ones.

mod workers;

use std::io;
use std::path::{Path, PathBuf};

use super::OnDuplicate;
use super::aside::Aside;
use super::budget::Budget;
use super::chunk::{Chunk, Sorted, Value};
use super::item::Origin;
use super::merge::{Distinct, Merge, Merged, Repeats};
use super::run::{Run, RunFile, RunWriter};
use super::temporary::scratch;
use crate::{Error, Result};
use workers::{Done, Workers};

/// Takes records in any order, and gives them in that of their keys.
#[derive(Debug)]
pub(super) struct Sorter {
    pub(super) budget: Budget,
    pub(super) on_duplicate: OnDuplicate,
    /// Where temporary files go, once that is decided.
    pub(super) folder: Option<PathBuf>,
    /// How many records were added.
    added: u64,
    chunk: Chunk,
    /// Memory for further ones.
    spare: Vec<Chunk>,
    workers: Option<Workers>,
    sorted: Vec<Sorted>,
    sorted_len: usize,
    runs: Vec<RunFile>,
    aside: Option<Aside>,
}

impl Sorter {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            on_duplicate: OnDuplicate::default(),
            folder: None,
            added: 0,
            chunk: Chunk::default(),
            spare: Vec::new(),
            workers: None,
            sorted: Vec::new(),
            sorted_len: 0,
            runs: Vec::new(),
            aside: None,
        }
    }

    /// How many records were added.
    pub(super) fn added(&self) -> u64 {
        self.added
    }

    /// Adds a record whose lengths are within the limits. On an error it is not added.
    #[inline]
    pub(super) fn add(&mut self, line: u64, key: &[u8], value: &[u8]) -> Result<()> {
        let origin = Origin {
            number: self.added,
            line,
        };
        let chunk_len = self.budget.chunk_len;
        if self.chunk.size() + key.len() + value.len() > chunk_len && !self.chunk.is_empty() {
            self.end_chunk()?;
        }
        let value = if value.len() <= self.budget.inline_value_len {
            Value::Inline(value)
        } else {
            self.put_aside(value)?
        };
        let pushed = self.chunk.push(origin, key, value, chunk_len);
        pushed.map_err(|_| no_memory(chunk_len))?;
        self.added += 1;
        Ok(())
    }

    /// Ends the adding, and begins to give the records.
    ///
    /// `folder` is where temporary files go if that is not decided yet.
    pub(super) fn finish(&mut self, folder: &Path) -> Result<Merging> {
        self.folder.get_or_insert_with(|| folder.to_owned());
        self.sort_last_chunk()?;
        let runs = if self.runs.is_empty() {
            let sorted = std::mem::take(&mut self.sorted);
            sorted.into_iter().map(Run::Memory).collect()
        } else {
            self.spill()?;
            self.merge_down(self.budget.fan_in)?;
            let runs = std::mem::take(&mut self.runs);
            runs.into_iter().map(Run::File).collect()
        };
        let repeats = match self.on_duplicate {
            OnDuplicate::Error => Repeats::Refuse,
            OnDuplicate::First | OnDuplicate::Last => Repeats::Drop,
        };
        let merge = Merge::new(runs, self.budget.read_len, self.on_duplicate);
        let merge = merge.map_err(|error| self.io_error(error))?;
        Ok(Merging {
            distinct: Distinct::new(merge, repeats),
            aside: self.aside.take(),
            folder: self.folder().to_owned(),
        })
    }

    /// The folder for temporary files: that of the system, if none was named.
    fn folder(&mut self) -> &Path {
        self.folder.get_or_insert_with(std::env::temp_dir)
    }

    #[cold]
    fn io_error(&mut self, error: io::Error) -> Error {
        temporary_error(self.folder(), error)
    }

    /// Writes a value to the file of such values at once.
    #[cold]
    fn put_aside<'v>(&mut self, value: &[u8]) -> Result<Value<'v>> {
        if self.aside.is_none() {
            let file = scratch(self.folder()).map_err(|error| self.io_error(error))?;
            self.aside = Some(Aside::new(file));
        }
        let put = self.aside.as_mut().map(|aside| aside.put(value));
        let place = put.transpose().map_err(|error| self.io_error(error))?;
        Ok(Value::Aside {
            len: value.len() as u64,
            place: place.unwrap_or_default(),
        })
    }

    /// Has the chunk sorted, and begins another one.
    #[cold]
    fn end_chunk(&mut self) -> Result<()> {
        if self.workers.is_none() {
            self.workers = Workers::start(self.on_duplicate);
        }
        let Some(workers) = &mut self.workers else {
            return self.sort_here();
        };
        workers.give(std::mem::take(&mut self.chunk));
        self.take_sorted(false)?;
        self.chunk = self.spare.pop().unwrap_or_default();
        if self.sorted_len > self.budget.runs_len {
            self.take_sorted(true)?;
            self.spill()?;
        }
        Ok(())
    }

    fn sort_last_chunk(&mut self) -> Result<()> {
        if !self.chunk.is_empty() {
            self.sort_here()?;
        }
        self.take_sorted(true)?;
        // Their memory is wanted for other things now.
        self.workers = None;
        self.spare = Vec::new();
        self.chunk = Chunk::default();
        Ok(())
    }

    fn sort_here(&mut self) -> Result<()> {
        let sorted = self.chunk.sort(&mut Vec::new(), self.on_duplicate);
        self.chunk.clear();
        let sorted = sorted.map_err(|_| no_memory(self.budget.chunk_len))?;
        self.keep(sorted);
        Ok(())
    }

    /// Takes what the workers have sorted: enough of it, or all.
    fn take_sorted(&mut self, all: bool) -> Result<()> {
        while let Some(Done { chunk, sorted }) =
            self.workers.as_mut().and_then(|workers| workers.take(all))
        {
            self.spare.push(chunk);
            let sorted = sorted.map_err(|_| no_memory(self.budget.chunk_len))?;
            self.keep(sorted);
        }
        Ok(())
    }

    fn keep(&mut self, sorted: Sorted) {
        self.sorted_len += sorted.items.capacity();
        self.sorted.push(sorted);
    }

    /// Brings what is in memory to a file.
    fn spill(&mut self) -> Result<()> {
        let sorted = std::mem::take(&mut self.sorted);
        self.sorted_len = 0;
        if sorted.is_empty() {
            return Ok(());
        }
        self.merge_to_file(sorted.into_iter().map(Run::Memory).collect(), 0)?;
        // Runs of the same level are of about the same length.
        let mut level = 0;
        loop {
            let is_due = |run: &RunFile| run.level == level;
            if self.runs.iter().filter(|run| is_due(run)).count() < self.budget.fan_in {
                return Ok(());
            }
            let (due, others) = self.runs.drain(..).partition(is_due);
            self.runs = others;
            level += 1;
            self.merge_files(due, level)?;
        }
    }

    /// Merges the shortest runs, until there are no more than this.
    fn merge_down(&mut self, limit: usize) -> Result<()> {
        while self.runs.len() > limit {
            self.runs.sort_by_key(|run| run.len);
            let count = self.budget.fan_in.min(self.runs.len() - limit + 1);
            let shortest: Vec<_> = self.runs.drain(..count).collect();
            let level = shortest.iter().map(|run| run.level).max().unwrap_or(0) + 1;
            self.merge_files(shortest, level)?;
        }
        Ok(())
    }

    fn merge_files(&mut self, runs: Vec<RunFile>, level: u32) -> Result<()> {
        self.merge_to_file(runs.into_iter().map(Run::File).collect(), level)
    }

    fn merge_to_file(&mut self, runs: Vec<Run>, level: u32) -> Result<()> {
        let repeats = match self.on_duplicate {
            // The one to name is known at the end only.
            OnDuplicate::Error => Repeats::Keep,
            OnDuplicate::First | OnDuplicate::Last => Repeats::Drop,
        };
        let budget = self.budget;
        let on_duplicate = self.on_duplicate;
        let merge = || -> io::Result<RunFile> {
            let merge = Merge::new(runs, budget.read_len, on_duplicate)?;
            let mut distinct = Distinct::new(merge, repeats);
            let mut writer = RunWriter::new(scratch(self.folder())?, budget.pages_len);
            loop {
                distinct.advance()?;
                let Some(merged) = distinct.current() else {
                    let common = distinct.common().to_vec();
                    return writer.finish(common, distinct.has_repeats(), level);
                };
                writer.write(merged.bytes)?;
            }
        };
        let run = merge().map_err(|error| self.io_error(error))?;
        super::reached("spilled");
        self.runs.push(run);
        Ok(())
    }
}

/// Gives records in the order of their keys.
#[derive(Debug)]
pub(super) struct Merging {
    distinct: Distinct,
    aside: Option<Aside>,
    folder: PathBuf,
}

impl Merging {
    /// Goes on to the next record; at first, to the first. `None` after the last.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and in the end [`Error::DuplicateKey`]: where duplicates are errors, and there is one, all
    /// records are passed over, to find the one to name.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Merged<'_>>> {
        let advanced = self.distinct.advance();
        advanced.map_err(|error| temporary_error(&self.folder, error))?;
        if let Some(error) = self.distinct.refused() {
            return Err(error);
        }
        Ok(self.distinct.current())
    }

    /// Where the values are that were put aside.
    pub(super) fn aside(&self) -> Option<&Aside> {
        self.aside.as_ref()
    }
}

fn no_memory(len: usize) -> Error {
    Error::OutOfMemory { len: len as u64 }
}

/// An error with a file that has no name.
#[cold]
pub(super) fn temporary_error(folder: &Path, error: io::Error) -> Error {
    Error::io("keep temporary files", folder, error)
}
