//! Files that nobody is to see, and that do not outlive a build: not even one that is killed.
//!
//! Where the file system can, such a file has no name at all, and the kernel frees it with its last
//! descriptor, however the process ends. Where it cannot, and for the moment in which a finished table is
//! renamed, the file has a name that tells what it is, and the process holds a lock
//! on it (`flock(2)`, which ends with the process). A later build in the same folder removes
//! files of such names that nobody has locked.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};

const NAME_START: &str = ".folio-build-";
const NAME_END: &str = ".tmp";

/// How many names are tried before it is believed that something else is wrong.
const ATTEMPTS: u32 = 100;

/// The names that files of this process have at the moment. Locked while a name is made.
static NAMES: Mutex<Names> = Mutex::new(Names {
    paths: BTreeSet::new(),
    closed: false,
});

#[derive(Debug)]
struct Names {
    paths: BTreeSet<PathBuf>,
    /// Whether the process is about to end, so that there shall be no more of them.
    closed: bool,
}

/// A file without a name, for this process to write and read.
pub(super) fn scratch(folder: &Path) -> io::Result<File> {
    #[cfg(test)]
    if super::crash::names_all() {
        return Named::create(folder)?.file.try_clone();
    }
    if let Some(file) = unnamed(folder, OFlags::EXCL, Mode::RUSR | Mode::WUSR)? {
        return Ok(file);
    }
    // Its name goes as soon as it is there, with the name's owner.
    Named::create(folder)?.file.try_clone()
}

/// A file that may get a name later, or has one already.
#[derive(Debug)]
pub(super) enum Draft {
    Unnamed { file: File, folder: PathBuf },
    Named(Named),
}

impl Draft {
    /// With the mode that any new file gets.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        #[cfg(test)]
        if super::crash::names_all() {
            return Self::create_named(folder);
        }
        let any = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
        if let Some(file) = unnamed(folder, OFlags::empty(), any)? {
            if fs::metadata(in_proc(&file)).is_ok() && lock(&file).unwrap_or(true) {
                return Ok(Self::Unnamed {
                    file,
                    folder: folder.to_owned(),
                });
            }
        }
        Self::create_named(folder)
    }

    /// The same on a file system on which every file has a name.
    pub(super) fn create_named(folder: &Path) -> io::Result<Self> {
        Ok(Self::Named(Named::create(folder)?))
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::Unnamed { file, .. } | Self::Named(Named { file, .. }) => file,
        }
    }

    /// Gives it a name, so that it can be renamed.
    pub(super) fn into_named(self) -> io::Result<Named> {
        match self {
            Self::Named(named) => Ok(named),
            Self::Unnamed { file, folder } => Named::link(file, &folder),
        }
    }
}

/// A file with a name that goes when this is dropped.
#[derive(Debug)]
pub(super) struct Named {
    file: File,
    path: PathBuf,
}

impl Named {
    fn create(folder: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        loop {
            let (file, path) = give_name(folder, |path| options.open(path))?;
            let named = Self { file, path };
            // Another build may have found it before it was locked, and then it is gone. Where there
            // are no locks, nobody will take it for abandoned.
            if lock(&named.file).unwrap_or(true) && has_name(&named.file)? {
                return Ok(named);
            }
        }
    }

    /// Names a file that was locked when it had none.
    fn link(file: File, folder: &Path) -> io::Result<Self> {
        let (from, follow) = (in_proc(&file), AtFlags::SYMLINK_FOLLOW);
        let ((), path) = give_name(folder, |path| {
            Ok(rustix::fs::linkat(CWD, &from, CWD, path, follow)?)
        })?;
        Ok(Self { file, path })
    }

    /// Puts it in the place of `target`, in one step.
    pub(super) fn rename(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
        // What is dropped now has another name, and only the old one would be removed.
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut names = names();
        // Renamed, it is not there any more. If it cannot be removed, a later build will try.
        let _ = fs::remove_file(&self.path);
        names.paths.remove(&self.path);
    }
}

/// Removes what builds in this folder left that were killed.
///
/// Nothing that goes wrong here matters to the build that is about to begin.
pub(super) fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if is_temporary_name(&entry.file_name()) {
            let path = entry.path();
            // Not a link that somebody put there, nor a FIFO, to open which would wait.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::open(&path, flags, Mode::empty()) else {
                continue;
            };
            let file = File::from(file);
            let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
            if is_file && lock(&file).unwrap_or(false) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// Removes the temporary files of all builds of this process, for a process that is about to end
/// without returning from them, such as by a signal.
///
/// The builds that are under way fail then, and so do later ones. It takes a lock, so that it must not
/// be called in a signal handler itself; a thread that waits for signals is the place.
/// (Files without a name are none of this: the kernel frees them.)
pub fn remove_temporary_files() {
    let mut names = names();
    names.closed = true;
    for path in std::mem::take(&mut names.paths) {
        // If it is not there, so much the better.
        let _ = fs::remove_file(path);
    }
}

/// Makes something under a new name in a folder, and notes the name.
fn give_name<T>(
    folder: &Path,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    let mut names = names();
    if names.closed {
        return Err(io::ErrorKind::Interrupted.into());
    }
    for _ in 0..ATTEMPTS {
        let path = folder.join(format!("{NAME_START}{:016x}{NAME_END}", random()));
        match make(&path) {
            Ok(file) => {
                names.paths.insert(path.clone());
                return Ok((file, path));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn is_temporary_name(name: &OsStr) -> bool {
    let name = name.to_str().unwrap_or_default();
    let inner = name.strip_prefix(NAME_START);
    let inner = inner.and_then(|name| name.strip_suffix(NAME_END));
    inner.is_some_and(|inner| {
        inner.len() == 16 && inner.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn names() -> MutexGuard<'static, Names> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Another number each time, in this and in any other process.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Locks a file for as long as it is open; says no where another has it locked.
fn lock(file: &File) -> io::Result<bool> {
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn has_name(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink() > 0)
}

/// Where Linux shows an open file, so that it can be linked (`open(2)`, under `O_TMPFILE`).
fn in_proc(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// `None` where there is no such thing.
#[cfg(target_os = "linux")]
fn unnamed(folder: &Path, flags: OFlags, mode: Mode) -> io::Result<Option<File>> {
    use rustix::io::Errno;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | flags;
    match rustix::fs::open(folder, flags, mode) {
        Ok(file) => Ok(Some(file.into())),
        // As `open(2)` has it: the file system, or the kernel, does not know of it.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path, _: OFlags, _: Mode) -> io::Result<Option<File>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn drafts_take_a_name_when_they_are_done() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        for create in [Draft::create, Draft::create_named] {
            fs::write(&target, "old").unwrap();
            let draft = create(folder.path()).unwrap();
            draft.file().write_all(b"new").unwrap();
            let named = draft.into_named().unwrap();
            assert_eq!(names_in(folder.path()).len(), 2);
            assert_eq!(fs::read(&target).unwrap(), b"old");
            named.rename(&target).unwrap();
            assert_eq!(names_in(folder.path()), ["target"]);
            assert_eq!(fs::read(&target).unwrap(), b"new");
        }
    }

    #[test]
    fn drafts_that_are_dropped_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for create in [Draft::create, Draft::create_named] {
            drop(create(folder.path()).unwrap());
            assert!(names_in(folder.path()).is_empty());
            let named = create(folder.path()).unwrap().into_named().unwrap();
            assert_eq!(names_in(folder.path()).len(), 1);
            drop(named);
            assert!(names_in(folder.path()).is_empty());
        }
    }

    #[test]
    fn scratch_files_have_no_name_and_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let named = Named::create(folder.path()).unwrap().file.try_clone();
        for mut file in [scratch(folder.path()).unwrap(), named.unwrap()] {
            assert!(names_in(folder.path()).is_empty());
            assert!(!has_name(&file).unwrap());
            file.write_all(b"bytes").unwrap();
            let mut read = [0; 5];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut read, 0).unwrap();
            assert_eq!(&read, b"bytes");
        }
    }

    #[test]
    fn only_what_is_abandoned_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let abandoned = path(".folio-build-0123456789abcdef.tmp");
        fs::write(&abandoned, "left by a build that was killed").unwrap();
        let others = [
            ".folio-build-0123456789abcdef.tmp2",
            ".folio-build-0123456789abcde.tmp",
            ".folio-build-0123456789abcdeg.tmp",
            "folio-build-0123456789abcdef.tmp",
            "table.folio",
        ];
        for name in others {
            fs::write(path(name), "").unwrap();
        }
        fs::create_dir(path(".folio-build-00000000000000dd.tmp")).unwrap();
        let link = path(".folio-build-00000000000000aa.tmp");
        std::os::unix::fs::symlink("table.folio", &link).unwrap();
        let alive = Draft::create_named(folder.path()).unwrap();
        let linked = Draft::create(folder.path()).unwrap().into_named().unwrap();

        remove_abandoned(folder.path());
        assert!(!abandoned.exists());
        assert!(link.is_symlink());
        assert!(has_name(alive.file()).unwrap() && has_name(&linked.file).unwrap());
        assert_eq!(names_in(folder.path()).len(), others.len() + 4);
    }

    #[test]
    fn a_draft_is_never_removed_while_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    remove_abandoned(folder.path());
                }
            });
            for number in 0..500 {
                let target = folder.path().join(format!("{}", number % 3));
                let draft = Draft::create_named(folder.path()).unwrap();
                draft.into_named().unwrap().rename(&target).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(names_in(folder.path()), ["0", "1", "2"]);
    }
}
