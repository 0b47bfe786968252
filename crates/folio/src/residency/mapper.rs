//! Who maps a file.

use std::fs;
use std::io;
use std::path::Path;

use super::smaps::{self, Line};
use super::{FileId, Memory};
use crate::{Error, Result};

/// A process that maps a file, and what it holds of it in physical memory.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapper {
    /// The process.
    pub pid: u32,
    /// Its command's name, at most 15 bytes of it (`proc_pid_comm(5)`).
    pub command: String,
    /// Resident set size: bytes of the file's mappings that are in memory.
    pub rss_bytes: u64,
    /// Proportional set size: the same, each page divided by the number of its mappers.
    pub pss_bytes: u64,
    /// Of the resident bytes, those that no other process maps.
    pub private_bytes: u64,
    /// Of the resident bytes, those that other processes map as well.
    pub shared_bytes: u64,
    /// Bytes that were changed privately and then swapped out.
    pub swapped_bytes: u64,
    /// Bytes locked in memory, each page divided by the number of its mappers.
    pub locked_bytes: u64,
    /// Bytes in huge pages.
    pub huge_bytes: u64,
}

/// The outcome of a search for [`Mapper`]s.
#[non_exhaustive]
#[derive(Debug, Clone, Default)]
pub struct Mappers {
    /// Those found, in order of their process ids.
    pub found: Vec<Mapper>,
    /// How many processes could not be looked into, for want of permission.
    pub refused: usize,
}

impl Mapper {
    /// What one process has of a file in memory; `None` when it does not map the file, or has
    /// ended.
    ///
    /// ```
    /// use folio::{ReadAt, Source, residency::Mapper};
    ///
    /// let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(&file, vec![1; 100_000])?;
    /// let view = Source::open(&file)?.whole()?;
    /// view.to_vec()?;
    /// # #[cfg(target_os = "linux")] {
    /// let id = view.file_id().expect("it is mapped");
    /// let mapper = Mapper::of(std::process::id(), id)?.expect("this very process");
    /// assert!(mapper.rss_bytes >= 100_000);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with `PermissionDenied` for another user's process.
    pub fn of(pid: u32, file: FileId) -> Result<Option<Self>> {
        match look(pid, file) {
            Ok(mapper) => Ok(mapper),
            Err(error) if smaps::has_ended(&error) => Ok(None),
            Err(error) => Err(Error::io("read", &smaps::proc_path(pid, "smaps"), error)),
        }
    }

    fn new(pid: u32, memory: Memory) -> Self {
        Self {
            pid,
            command: smaps::command(pid),
            rss_bytes: memory.rss_bytes,
            pss_bytes: memory.pss_bytes,
            private_bytes: memory.private_bytes,
            shared_bytes: memory.shared_bytes,
            swapped_bytes: memory.swapped_bytes,
            locked_bytes: memory.locked_bytes,
            huge_bytes: memory.huge_bytes,
        }
    }
}

fn look(pid: u32, file: FileId) -> io::Result<Option<Mapper>> {
    let mut memory = None;
    let mut is_inside = false;
    smaps::walk(pid, |line| match line {
        Line::Area(area) => {
            is_inside = area.file == file;
            if is_inside {
                memory.get_or_insert_with(Memory::default);
            }
        }
        Line::Field(field) if is_inside => {
            memory.get_or_insert_with(Memory::default).add(field);
        }
        Line::Field(_) => {}
    })?;
    Ok(memory.map(|memory| Mapper::new(pid, memory)))
}

impl Mappers {
    /// All processes that map a file now.
    ///
    /// Those that begin, end or change their mappings meanwhile are found or not.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when there is no `/proc` to search.
    pub fn of(file: FileId) -> Result<Self> {
        let proc = Path::new("/proc");
        let failed = |error| Error::io("search", proc, error);
        let mut mappers = Self::default();
        let mut maps = Vec::new();
        for entry in fs::read_dir(proc).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // Most processes do not map it, and `maps` is cheaper by far than `smaps`.
            let looked = smaps::maps_file(pid, file, &mut maps).and_then(|is_mapper| {
                if is_mapper { look(pid, file) } else { Ok(None) }
            });
            match looked {
                Ok(mapper) => mappers.found.extend(mapper),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    mappers.refused += 1;
                }
                // Ended while it was looked at.
                Err(_) => {}
            }
        }
        mappers.found.sort_by_key(|mapper| mapper.pid);
        Ok(mappers)
    }

    /// The file's proportional set sizes summed over its mappers: what it takes of
    /// physical memory, as long as all of them were found.
    #[must_use]
    pub fn pss_bytes(&self) -> u64 {
        self.found.iter().map(|mapper| mapper.pss_bytes).sum()
    }
}
