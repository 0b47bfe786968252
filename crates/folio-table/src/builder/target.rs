//! The file that a build replaces, at its end, in one step.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// A temporary file beside its target. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    folder: PathBuf,
    temporary: NamedTempFile,
}

impl Target {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let path = resolve(path)?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut options = tempfile::Builder::new();
        options.prefix(".folio-build-").suffix(".tmp");
        // Opened here as any program opens a file: tempfile's own way asks for mode 0600,
        // and puts the temporary name, which tells users nothing, into errors.
        let temporary = options
            .make_in(&folder, |temporary| {
                let mut options = File::options();
                options.read(true).write(true).create_new(true);
                options.open(temporary)
            })
            .map_err(|error| Error::io("create", &path, error))?;
        Ok(Self {
            path,
            folder,
            temporary,
        })
    }

    pub(super) fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Brings the file to the disk, then under its name, then the name to the disk.
    pub(super) fn commit(self) -> Result<()> {
        let Self {
            path,
            folder,
            temporary,
        } = self;
        let synced = temporary.as_file().sync_all();
        synced.map_err(|error| Error::io("write to disk", &path, error))?;
        let renamed = temporary.persist(&path).map_err(|failure| failure.error);
        renamed.map_err(|error| Error::io("replace", &path, error))?;
        match File::open(&folder).and_then(|folder| folder.sync_all()) {
            // Some file systems have no such thing for folders.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                Err(Error::io("write to disk the folder", &folder, error))
            }
            _ => Ok(()),
        }
    }
}

/// The file to replace: where a link leads, and nothing but a regular file.
fn resolve(path: &Path) -> Result<PathBuf> {
    let target_error = |reason| Error::Target {
        path: path.to_owned(),
        reason,
    };
    if path.file_name().is_none() {
        return Err(target_error("it is not the name of a file"));
    }
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        Err(error) => return Err(Error::io("look at", path, error)),
    };
    if metadata.is_dir() {
        return Err(target_error("it is a folder"));
    }
    if !metadata.is_file() {
        return Err(target_error("it is not a regular file"));
    }
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    fs::canonicalize(path).map_err(|error| Error::io("follow the link", path, error))
}
