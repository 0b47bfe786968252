//! The file that a build replaces, at its end, in one step.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::reached;
use super::temporary::{Draft, remove_abandoned};
use crate::{Error, Result};

/// A file in the making, in the folder of the one it is to replace. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    draft: Draft,
}

impl Target {
    /// Also removes what builds that were killed left in that folder.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let path = resolve(path)?;
        let folder = folder_of(&path);
        remove_abandoned(folder);
        let draft = Draft::create(folder).map_err(|error| Error::io("create", &path, error))?;
        reached("created");
        Ok(Self { path, draft })
    }

    /// The file to write to. It is the same one, however often this is called.
    pub(super) fn file(&self) -> Result<File> {
        let file = self.draft.file().try_clone();
        file.map_err(|error| Error::io("open", &self.path, error))
    }

    /// Where the file will be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the file to the disk, then under its name, then the name to the disk.
    pub(super) fn commit(self) -> Result<()> {
        let Self { path, draft } = self;
        let synced = draft.file().sync_all();
        synced.map_err(|error| Error::io("write to disk", &path, error))?;
        reached("synced");
        let replaced = draft.into_named().and_then(|named| {
            reached("named");
            named.rename(&path)
        });
        replaced.map_err(|error| Error::io("replace", &path, error))?;
        reached("renamed");
        let folder = folder_of(&path);
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Some file systems have no such thing for folders.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                Err(Error::io("write to disk the folder", folder, error))
            }
            _ => Ok(()),
        }
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
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
