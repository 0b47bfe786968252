//! What a process holds in memory, file by file.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::smaps::{self, Area, Field, Line};
use super::{FileId, Memory};
use crate::{Error, Result};

/// What a process holds in physical memory, and of which files.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use folio::residency::ProcessMemory;
///
/// let us = ProcessMemory::of(std::process::id())?;
/// let program = std::env::current_exe()?;
/// assert!(us.files.iter().any(|file| file.path == program && file.memory.rss_bytes > 0));
/// assert!(us.files.is_sorted_by(|a, b| a.memory.rss_bytes >= b.memory.rss_bytes));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct ProcessMemory {
    /// The process.
    pub pid: u32,
    /// Its command's name, at most 15 bytes of it.
    pub command: String,
    /// The files that it maps, the one with most in memory first.
    pub files: Vec<MappedFile>,
    /// What it holds of no file: heap, stacks, and the like.
    pub anonymous: Memory,
    /// All of it.
    pub total: Memory,
}

/// A file that a process maps.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct MappedFile {
    /// The path that it has now; for memory with a name, such as that of a `memfd`, the name.
    pub path: PathBuf,
    /// Whether the file has lost that name since: it was removed, or another took its place.
    pub is_deleted: bool,
    /// Which file.
    pub id: FileId,
    /// How much address space its mappings take.
    pub mapped_bytes: u64,
    /// What of it is in memory.
    pub memory: Memory,
}

impl ProcessMemory {
    /// Looks at a process.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with `PermissionDenied` for another user's process, and with `NotFound` when
    /// there is none, or it ends while it is looked at.
    pub fn of(pid: u32) -> Result<Self> {
        let failed = |error| Error::io("read", &smaps::proc_path(pid, "smaps"), error);
        let mut gathered = Gathered::default();
        smaps::walk(pid, |line| gathered.take(line)).map_err(|error| {
            if smaps::has_ended(&error) {
                failed(io::Error::new(io::ErrorKind::NotFound, "no such process"))
            } else {
                failed(error)
            }
        })?;
        // One that ends stops having mappings, in the middle of the list, and without an error.
        if !smaps::is_alive(pid) {
            let ended = "the process has ended";
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, ended)));
        }
        Ok(gathered.of(pid))
    }
}

/// Figures as they come.
#[derive(Debug, Default)]
struct Gathered {
    files: HashMap<FileId, MappedFile>,
    current: Option<FileId>,
    anonymous: Memory,
    total: Memory,
}

impl Gathered {
    fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Area(area) => self.begin(area),
            Line::Field(field) => self.add(field),
        }
    }

    fn begin(&mut self, area: Area<'_>) {
        self.current = Some(area.file).filter(|file| file.is_file());
        if let Some(id) = self.current {
            let file = self.files.entry(id).or_insert_with(|| {
                let (path, is_deleted) = match area.path.strip_suffix(b" (deleted)") {
                    Some(path) => (path, true),
                    None => (area.path, false),
                };
                MappedFile {
                    path: OsString::from_vec(path.to_owned()).into(),
                    is_deleted,
                    id,
                    mapped_bytes: 0,
                    memory: Memory::default(),
                }
            });
            let size = area.end.saturating_sub(area.start);
            file.mapped_bytes = file.mapped_bytes.saturating_add(size);
        }
    }

    fn add(&mut self, field: Field<'_>) {
        self.total.add(field);
        match self.current.and_then(|id| self.files.get_mut(&id)) {
            Some(file) => file.memory.add(field),
            None => self.anonymous.add(field),
        }
    }

    fn of(self, pid: u32) -> ProcessMemory {
        let mut files: Vec<_> = self.files.into_values().collect();
        files.sort_by(|a, b| {
            let key =
                |file: &MappedFile| (Reverse(file.memory.rss_bytes), Reverse(file.mapped_bytes));
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        ProcessMemory {
            pid,
            command: smaps::command(pid),
            files,
            anonymous: self.anonymous,
            total: self.total,
        }
    }
}
