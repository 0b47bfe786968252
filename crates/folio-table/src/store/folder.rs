//! What stands where in a store's folder.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::pointer::{self, Pointer};
use crate::{Error, Result};

/// Says which generation is current; replaced whole.
pub(super) const CURRENT: &str = "CURRENT";
/// Says that CURRENT may have changed; written in place.
pub(super) const SEQUENCE: &str = "SEQUENCE";
/// Locked by whoever changes the store; empty.
pub(super) const LOCK: &str = "LOCK";
/// What the folders of those begin with who are about to publish.
pub(super) const INCOMING: &str = "incoming-";

const EXTENSION: &str = ".folio";
const DIGITS: usize = 20;

/// A store's folder and the names in it.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    /// Told each step on the way, in tests.
    pub(super) on_step: Option<fn(&'static str)>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        // The empty path is the name of no folder, although it joins as if it were.
        let is_empty = path.as_os_str().is_empty();
        let path = if is_empty { Path::new(".") } else { path };
        Self {
            path: path.to_owned(),
            on_step: None,
        }
    }

    pub(super) fn step(&self, name: &'static str) {
        if let Some(hook) = self.on_step {
            hook(name);
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn current(&self) -> PathBuf {
        self.path.join(CURRENT)
    }

    pub(super) fn sequence(&self) -> PathBuf {
        self.path.join(SEQUENCE)
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    /// The table of a generation.
    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:0DIGITS$}{EXTENSION}"))
    }

    /// Reads CURRENT.
    pub(super) fn pointer(&self) -> Result<Pointer> {
        let path = self.current();
        let file = match open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.is_dir() => {
                return Err(Error::NotAStore {
                    path: self.path.clone(),
                    reason: "there is no file CURRENT in it",
                });
            }
            // What is wrong is the folder's to say.
            Err(error) if is_of_the_folder(&error) => {
                return Err(Error::io("open", &self.path, error));
            }
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        let mut text = Vec::new();
        file.take(pointer::MAX_LEN)
            .read_to_end(&mut text)
            .map_err(|error| Error::io("read", &path, error))?;
        Pointer::parse(&text, &path)
    }

    pub(super) fn has_pointer(&self) -> Result<bool> {
        let path = self.current();
        path.try_exists()
            .map_err(|error| Error::io("look at", &path, error))
    }

    /// The numbers of all generations that there are, stray ones included.
    pub(super) fn numbers(&self) -> Result<BTreeSet<u64>> {
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| number_of(name)).collect())
    }

    /// The folders of those who publish, and of those who were killed at it.
    pub(super) fn incoming(&self) -> Result<Vec<PathBuf>> {
        let names = self.names()?.into_iter();
        let incoming = names.filter(|name| name.starts_with(INCOMING));
        Ok(incoming.map(|name| self.path.join(name)).collect())
    }

    /// Refuses a folder in which anything stands that the making of a store does not leave.
    pub(super) fn refuse_strangers(&self) -> Result<()> {
        let is_ours = |name: &String| {
            [CURRENT, SEQUENCE, LOCK].contains(&name.as_str()) || name.starts_with(INCOMING)
        };
        if self.names()?.iter().all(is_ours) {
            return Ok(());
        }
        Err(Error::NotAStore {
            path: self.path.clone(),
            reason: "there are other files in it, and no file CURRENT",
        })
    }

    /// The permission bits of a file that those may write who may write to the folder.
    pub(super) fn writers_mode(&self) -> Result<u32> {
        let metadata = fs::metadata(&self.path);
        let mode = metadata.map_err(|error| Error::io("look at", &self.path, error))?;
        Ok(0o200 | (mode.mode() & 0o022))
    }

    /// The names in the folder; one that is not text is none of ours, and told as it can be.
    fn names(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|error| Error::io("read the folder", &self.path, error))?;
        let names = entries.iter().map(fs::DirEntry::file_name);
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }
}

/// The number of a generation, by the name of its file; `None` for any other name.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    // The number 0 stands for none.
    is_number
        .then(|| digits.parse().ok())?
        .filter(|&number| number > 0)
}

/// Opens whatever has the name for reading, without waiting, as one would for a FIFO's writer.
pub(super) fn open_at_once(path: &Path) -> io::Result<File> {
    let no_wait = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(no_wait).open(path)
}

/// Opens a regular file for reading, and nothing else.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let file = open_at_once(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Brings what was renamed or removed in a folder to the disk.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    // The parent of a relative name.
    let is_empty = path.as_os_str().is_empty();
    let path = if is_empty { Path::new(".") } else { path };
    match File::open(path).and_then(|folder| folder.sync_all()) {
        // Some file systems have no such thing for folders.
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
            Err(Error::io("write to disk the folder", path, error))
        }
        _ => Ok(()),
    }
}

fn is_of_the_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_generations_and_no_others() {
        let folder = Folder::new(Path::new("store"));
        for number in [1, 42, u64::MAX] {
            let path = folder.generation(number);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(number_of(name), Some(number));
        }
        for name in [
            "00000000000000000000.folio",
            "0000000000000000001.folio",
            "+0000000000000000001.folio",
            "99999999999999999999.folio",
            "00000000000000000001.folio~",
            "CURRENT",
            "",
        ] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
