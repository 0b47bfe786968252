//! A folder that the command works in, its caches included.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{FOLIO, Finished, run};

/// Files of one test, removed at its end.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One on the disk that the project is on: folders for temporary files may be in memory.
    pub(crate) fn on_disk() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Makes a table of `key0` to `key<count - 1>`, whose values are `value` and the number.
    pub(crate) fn table(&self, name: &str, count: usize) -> PathBuf {
        let lines: Vec<_> = (0..count).map(|i| format!("key{i}\tvalue{i}\n")).collect();
        self.folio_reading(["build", "-", "-o", name], lines.concat().as_bytes())
            .success();
        self.path(name)
    }

    /// The command, working here, caching here.
    pub(crate) fn command(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut command = Command::new(FOLIO);
        command.args(arguments);
        self.at_home(&mut command);
        command
    }

    /// Makes a command work here, and cache here if it is folio.
    pub(crate) fn at_home<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .current_dir(self.0.path())
            .env("XDG_CACHE_HOME", self.0.path().join("cache"))
    }

    /// Runs the command to its end.
    #[track_caller]
    pub(crate) fn folio(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        self.folio_reading(arguments, b"")
    }

    /// The same, with a pipe as its standard input.
    #[track_caller]
    pub(crate) fn folio_reading(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: &[u8],
    ) -> Finished {
        run(&mut self.command(arguments), input)
    }

    /// All files here, caches included.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    files.insert(entry.path());
                }
            }
        }
        files
    }
}

/// Makes a file shorter or longer in place.
pub(crate) fn set_len(path: &Path, len: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(len).unwrap();
}
