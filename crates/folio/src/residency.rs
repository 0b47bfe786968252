//! Who has a file in memory, and how much of it.
//!
//! From `/proc/PID/maps` and `/proc/PID/smaps` (`proc_pid_smaps(5)`), so on Linux only;
//! elsewhere nothing is found. Reading another user's needs `CAP_SYS_PTRACE`.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use folio_sys::mapping::Span;

use crate::{Error, Result};

/// Which file a mapping is of, as `/proc` shows it.
///
/// `stat(2)` can say otherwise (Btrfs and overlay file systems have several device numbers
/// for a file), so this is read from the mapping itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    device: (u32, u32),
    inode: u64,
}

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
}

/// What a process holds in physical memory beside one file: see [`Memory::beside`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Resident set size of all its mappings.
    pub rss_bytes: u64,
    /// Proportional set size of all its mappings.
    pub pss_bytes: u64,
    /// Resident bytes that no other process maps, written to or not.
    pub private_bytes: u64,
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

impl FileId {
    /// Looks this process's own mapping up.
    pub(crate) fn of_mapping(mapping: &Span) -> Option<Self> {
        if mapping.is_empty() {
            return None;
        }
        let address = mapping.as_ptr().addr() as u64;
        let maps = fs::read("/proc/self/maps").ok()?;
        maps.split(|&byte| byte == b'\n')
            .filter_map(Area::parse)
            .find(|area| area.start <= address && address < area.end)
            .map(|area| area.file)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.device;
        write!(f, "{major:02x}:{minor:02x} inode {}", self.inode)
    }
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
        let mut is_mapper = false;
        let mut memory = Memory::default();
        let walked = walk_smaps(pid, |area, field| {
            if area.file == file {
                is_mapper = true;
                memory.add(field);
            }
        });
        match walked {
            Ok(()) if is_mapper => Ok(Some(Self {
                pid,
                command: command(pid),
                rss_bytes: memory.rss_bytes,
                pss_bytes: memory.pss_bytes,
                private_bytes: memory.private_bytes,
            })),
            Ok(()) => Ok(None),
            Err(error) if has_ended(&error) => Ok(None),
            Err(error) => Err(Error::io("read", &proc_path(pid, "smaps"), error)),
        }
    }
}

impl Mappers {
    /// All processes that map a file now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when there is no `/proc` to search.
    pub fn of(file: FileId) -> Result<Self> {
        let proc = Path::new("/proc");
        let failed = |error| Error::io("search", proc, error);
        let mut mappers = Self::default();
        for entry in fs::read_dir(proc).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match maps_file(pid, file) {
                Ok(true) => mappers.found.extend(Mapper::of(pid, file)?),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    mappers.refused += 1;
                }
                // Not one of them, or ended while it was looked at.
                Ok(false) | Err(_) => {}
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

impl Memory {
    /// What a process holds in memory, its mappings of `file` left out.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the process has ended or is another user's.
    pub fn beside(pid: u32, file: FileId) -> Result<Self> {
        let mut memory = Self::default();
        walk_smaps(pid, |area, field| {
            if area.file != file {
                memory.add(field);
            }
        })
        .map_err(|error| Error::io("read", &proc_path(pid, "smaps"), error))?;
        Ok(memory)
    }

    fn add(&mut self, field: Field<'_>) {
        match field.name {
            b"Rss" => self.rss_bytes += field.bytes,
            b"Pss" => self.pss_bytes += field.bytes,
            b"Private_Clean" | b"Private_Dirty" => self.private_bytes += field.bytes,
            _ => {}
        }
    }
}

/// The first line of each mapping, in `maps` and `smaps` alike.
#[derive(Debug, Clone, Copy)]
struct Area {
    start: u64,
    end: u64,
    file: FileId,
}

/// A line of `smaps` of the form `Rss:   12 kB`.
#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    name: &'a [u8],
    bytes: u64,
}

impl Area {
    /// `55e6-55e8 r--p 00000000 08:02 1234    /path`, or `None` for another line.
    fn parse(line: &[u8]) -> Option<Self> {
        // The path may hold anything but a newline, and comes last.
        let mut words = line
            .split(|&byte| byte == b' ')
            .filter(|word| !word.is_empty())
            .map(|word| std::str::from_utf8(word).unwrap_or_default());
        let (start, end) = words.next()?.split_once('-')?;
        let _permissions = words.next()?;
        let _offset = words.next()?;
        let (major, minor) = words.next()?.split_once(':')?;
        let inode = words.next()?;
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            file: FileId {
                device: (
                    u32::from_str_radix(major, 16).ok()?,
                    u32::from_str_radix(minor, 16).ok()?,
                ),
                inode: inode.parse().ok()?,
            },
        })
    }
}

impl<'a> Field<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = std::str::from_utf8(value.get(1..)?).ok()?;
        let kib: u64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(Self {
            name,
            bytes: kib.checked_mul(1024)?,
        })
    }
}

/// Calls `each` with every figure of every mapping of a process.
fn walk_smaps(pid: u32, mut each: impl FnMut(Area, Field<'_>)) -> io::Result<()> {
    let mut smaps = BufReader::new(fs::File::open(proc_path(pid, "smaps"))?);
    let mut line = Vec::new();
    let mut current = None;
    while smaps.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        // A field's first word ends in a colon, an area's holds none.
        if let Some(field) = Field::parse(text) {
            if let Some(area) = current {
                each(area, field);
            }
        } else if let Some(area) = Area::parse(text) {
            current = Some(area);
        }
        line.clear();
    }
    Ok(())
}

fn maps_file(pid: u32, file: FileId) -> io::Result<bool> {
    let maps = fs::read(proc_path(pid, "maps"))?;
    Ok(maps
        .split(|&byte| byte == b'\n')
        .filter_map(Area::parse)
        .any(|area| area.file == file))
}

fn command(pid: u32) -> String {
    fs::read(proc_path(pid, "comm"))
        .map(|name| String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
        .unwrap_or_default()
}

fn proc_path(pid: u32, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_lines() {
        let line = b"7f0c8a600000-7f0c8a800000 r--s 00001000 fe:00 131  /a b:c 1 kB";
        let area = Area::parse(line).unwrap();
        assert_eq!(area.start, 0x7f0c_8a60_0000);
        assert_eq!(area.file.inode, 131);
        assert_eq!(area.file.device, (0xfe, 0));
        let field = Field::parse(b"Private_Clean:      28 kB").unwrap();
        assert_eq!((field.name, field.bytes), (&b"Private_Clean"[..], 28 << 10));
        assert!(Field::parse(b"VmFlags: rd mr mw me ac sd").is_none());
        assert!(Field::parse(b"THPeligible:    0").is_none());
        assert!(Area::parse(b"VmFlags: rd mr mw me ac sd").is_none());
        assert!(Area::parse(b"").is_none());
    }
}
