//! Everything that can be opened, made anew for each of those who read it.

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::pty::{self, OpenptFlags};
use tempfile::NamedTempFile;

/// A thing to open, and what it needs to go on existing.
pub(crate) struct Thing {
    pub(crate) handle: Handle,
    kept: Box<dyn Any>,
}

/// How it is opened.
pub(crate) enum Handle {
    Path(PathBuf),
    Descriptor(OwnedFd),
}

impl Thing {
    fn at(path: impl Into<PathBuf>, kept: impl Any) -> Self {
        Self {
            handle: Handle::Path(path.into()),
            kept: Box::new(kept),
        }
    }

    fn open(fd: impl Into<OwnedFd>, kept: impl Any) -> Self {
        Self {
            handle: Handle::Descriptor(fd.into()),
            kept: Box::new(kept),
        }
    }

    /// The path, of what has one.
    pub(crate) fn path(&self) -> &Path {
        match &self.handle {
            Handle::Path(path) => path,
            Handle::Descriptor(_) => Path::new(""),
        }
    }

    /// The open descriptor of it, as whoever opens it first has it.
    pub(crate) fn into_descriptor(self) -> (OwnedFd, Box<dyn Any>) {
        let fd = match self.handle {
            Handle::Path(path) => File::open(path).unwrap().into(),
            Handle::Descriptor(fd) => fd,
        };
        (fd, self.kept)
    }
}

/// Bytes that no shift and no cut leaves alike: more than a pipe holds, and no whole pages.
pub(crate) fn content() -> Vec<u8> {
    (0..20_001_u32).flat_map(u32::to_be_bytes).collect()
}

pub(crate) fn page() -> u64 {
    rustix::param::page_size() as u64
}

fn file_in(folder: &Path, content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new_in(folder).unwrap();
    file.write_all(content).unwrap();
    file
}

fn file_of(content: &[u8]) -> NamedTempFile {
    file_in(&std::env::temp_dir(), content)
}

pub(crate) fn there(path: &str) -> Thing {
    Thing::at(path, ())
}

pub(crate) fn regular() -> Thing {
    on(&std::env::temp_dir())
}

pub(crate) fn on(folder: &Path) -> Thing {
    let file = file_in(folder, &content());
    Thing::at(file.path().to_owned(), file)
}

/// The name of the file system that a folder is on.
pub(crate) fn file_system_of(folder: &Path) -> String {
    let stat = Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(folder)
        .output();
    String::from_utf8(stat.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

pub(crate) fn empty() -> Thing {
    let file = file_of(b"");
    Thing::at(file.path().to_owned(), file)
}

pub(crate) fn sparse() -> Thing {
    with_marks(1 << 20, &[0, 400_001, (1 << 20) - 5])
}

/// Where the bytes of [`large`] begin that are compared.
pub(crate) const LARGE_FROM: u64 = (4 << 30) - 70_000;

pub(crate) fn large() -> Thing {
    let at = [LARGE_FROM, (4 << 30) - 2, (4 << 30) + 100_000];
    with_marks((4 << 30) + 123_457, &at)
}

fn with_marks(len: u64, at: &[u64]) -> Thing {
    let file = file_of(b"");
    file.as_file().set_len(len).unwrap();
    for offset in at {
        file.as_file().write_all_at(b"marks", *offset).unwrap();
    }
    Thing::at(file.path().to_owned(), file)
}

/// Three pages, of which [`cut`] leaves one and a bit.
pub(crate) fn three_pages() -> Thing {
    let file = file_of(&content()[..usize::try_from(3 * page()).unwrap()]);
    Thing::at(file.path().to_owned(), file)
}

pub(crate) fn cut(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(page() + 100).unwrap();
}

pub(crate) fn append(path: &Path) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(b"and then some").unwrap();
}

pub(crate) fn fifo() -> Thing {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    let to = path.clone();
    // A reader that does not want it all goes away, which is an error of the writer's.
    thread::spawn(move || std::fs::write(to, content()));
    Thing::at(path, folder)
}

pub(crate) fn pipe() -> Thing {
    // Not inherited by those who are to see its end.
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
    thread::spawn(move || File::from(writer).write_all(&content()));
    Thing::open(reader, ())
}

pub(crate) fn tcp_socket() -> Thing {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    thread::spawn(move || theirs.write_all(&content()));
    Thing::open(ours, ())
}

pub(crate) fn unix_socket() -> Thing {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || theirs.write_all(&content()));
    Thing::open(ours, ())
}

pub(crate) fn tty() -> Thing {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = pty::openpt(flags).unwrap();
    pty::grantpt(&controller).unwrap();
    pty::unlockpt(&controller).unwrap();
    let name = pty::ptsname(&controller, Vec::new()).unwrap();
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flag(OFlags::NOCTTY))
        .open(name.to_str().unwrap())
        .unwrap();
    let mut keyboard = File::from(controller);
    // Two lines, then the end-of-file character.
    keyboard.write_all(b"typed by\nsomebody\n\x04").unwrap();
    Thing::open(terminal, keyboard)
}

fn flag(flag: OFlags) -> i32 {
    i32::try_from(flag.bits()).unwrap()
}

pub(crate) fn memfd() -> Thing {
    let memory = rustix::fs::memfd_create("folio-kinds", MemfdFlags::CLOEXEC).unwrap();
    let mut memory = File::from(memory);
    memory.write_all(&content()).unwrap();
    // Whoever reads it as a stream begins where it stands.
    memory.seek(SeekFrom::Start(0)).unwrap();
    Thing::open(memory, ())
}

pub(crate) fn deleted() -> Thing {
    let file = file_of(&content());
    Thing::open(file.reopen().unwrap(), ())
}

pub(crate) fn path_only() -> Thing {
    let file = file_of(&content());
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flag(OFlags::PATH))
        .open(&file)
        .unwrap();
    Thing::open(opened, file)
}

pub(crate) fn write_only() -> Thing {
    let file = file_of(&content());
    let opened = OpenOptions::new().write(true).open(&file).unwrap();
    Thing::open(opened, file)
}

pub(crate) fn folder() -> Thing {
    let folder = tempfile::tempdir().unwrap();
    Thing::at(folder.path().to_owned(), folder)
}

/// A loop device, which is gone when it is dropped.
pub(crate) struct LoopDevice {
    path: String,
    _file: NamedTempFile,
}

impl LoopDevice {
    /// Needs root, and a machine that has such devices to give.
    pub(crate) fn new() -> Option<Self> {
        let mut bytes = content();
        bytes.resize(128 << 10, 0x5A); // whole sectors
        let file = file_of(&bytes);
        let attached = Command::new("losetup")
            .args(["--find", "--show", "--read-only"])
            .arg(file.path())
            .output()
            .ok()?;
        attached.status.success().then(|| Self {
            path: String::from_utf8(attached.stdout)
                .unwrap()
                .trim()
                .to_owned(),
            _file: file,
        })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let detached = Command::new("losetup")
            .args(["--detach", &self.path])
            .status();
        assert!(detached.is_ok_and(|status| status.success()));
    }
}
