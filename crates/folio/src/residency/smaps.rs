//! `/proc/PID/maps` and `/proc/PID/smaps`, line by line (`proc_pid_smaps(5)`).

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::FileId;

/// The first line of each mapping, in `maps` and `smaps` alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area<'a> {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) file: FileId,
    /// Of the file, or a name in brackets such as `[heap]`, or nothing.
    pub(super) path: &'a [u8],
}

/// A line of `smaps` of the form `Rss:   12 kB`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) bytes: u64,
}

/// What a line of `smaps` says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line<'a> {
    /// A mapping begins.
    Area(Area<'a>),
    /// A figure of the mapping that has begun.
    Field(Field<'a>),
}

impl<'a> Area<'a> {
    /// `55e6-55e8 r--p 00000000 08:02 1234    /path`, or `None` for another line.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = line;
        let (start, end) = next_word(&mut rest)?.split_once('-')?;
        let _permissions = next_word(&mut rest)?;
        let _offset = next_word(&mut rest)?;
        let (major, minor) = next_word(&mut rest)?.split_once(':')?;
        let inode = next_word(&mut rest)?;
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
            // It may hold anything but a newline, and comes last.
            path: skip_spaces(rest),
        })
    }
}

impl<'a> Field<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
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

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        // A field's first word ends in a colon, an area's holds none.
        Field::parse(line)
            .map(Self::Field)
            .or_else(|| Area::parse(line).map(Self::Area))
    }
}

/// Calls `each` with every mapping of a process and its figures.
pub(super) fn walk(pid: u32, mut each: impl FnMut(Line<'_>)) -> io::Result<()> {
    let mut smaps = BufReader::with_capacity(64 << 10, fs::File::open(proc_path(pid, "smaps"))?);
    let mut line = Vec::new();
    while smaps.read_until(b'\n', &mut line)? > 0 {
        if let Some(line) = Line::parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
            each(line);
        }
        line.clear();
    }
    Ok(())
}

/// Whether a process maps a file, given room for what `maps` says.
pub(super) fn maps_file(pid: u32, file: FileId, buf: &mut Vec<u8>) -> io::Result<bool> {
    buf.clear();
    io::Read::read_to_end(&mut fs::File::open(proc_path(pid, "maps"))?, buf)?;
    // Few lines have its inode's digits in them: only those are taken apart.
    let inode = format!(" {} ", file.inode);
    let found = memchr::memmem::find_iter(buf, inode.as_bytes()).any(|place| {
        let line_start = buf
            .get(..place)
            .and_then(|before| memchr::memrchr(b'\n', before))
            .map_or(0, |newline| newline + 1);
        let line = buf.get(line_start..).unwrap_or_default();
        let line = line.split(|&byte| byte == b'\n').next();
        line.and_then(Area::parse)
            .is_some_and(|area| area.file == file)
    });
    Ok(found)
}

/// The command's name, at most 15 bytes of it.
pub(super) fn command(pid: u32) -> String {
    fs::read(proc_path(pid, "comm"))
        .map(|name| String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
        .unwrap_or_default()
}

/// Whether a process is there and has memory: one that has ended has none, although its
/// parent may not have looked yet.
pub(super) fn is_alive(pid: u32) -> bool {
    let stat = fs::read(proc_path(pid, "stat")).unwrap_or_default();
    // The name in parentheses may hold anything, parentheses included.
    memchr::memrchr(b')', &stat)
        .and_then(|paren| stat.get(paren + 2))
        .is_some_and(|state| !matches!(state, b'Z' | b'X' | b'x'))
}

pub(super) fn proc_path(pid: u32, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

pub(super) fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|&&byte| byte == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

fn next_word<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let text = skip_spaces(rest);
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    let (word, after) = text.split_at_checked(end)?;
    *rest = after;
    std::str::from_utf8(word)
        .ok()
        .filter(|word| !word.is_empty())
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
        assert_eq!(area.path, b"/a b:c 1 kB");
        let anonymous = Area::parse(b"7f0c8a600000-7f0c8a800000 rw-p 00000000 00:00 0 ").unwrap();
        assert!(anonymous.path.is_empty() && !anonymous.file.is_file());
        let field = Field::parse(b"Private_Clean:      28 kB").unwrap();
        assert_eq!((field.name, field.bytes), (&b"Private_Clean"[..], 28 << 10));
        assert!(Field::parse(b"VmFlags: rd mr mw me ac sd").is_none());
        assert!(Field::parse(b"THPeligible:    0").is_none());
        assert!(Area::parse(b"VmFlags: rd mr mw me ac sd").is_none());
        assert!(Area::parse(b"").is_none());
        assert!(Area::parse(b"1-2 r--p 0 0:0 99999999999999999999 /x").is_none());
    }

    #[test]
    fn we_are_alive_and_nobody_is_zero() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(0));
    }
}
