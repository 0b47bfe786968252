//! The files that a command line names: files, folders with all that is in them, and patterns.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::failure::{Failure, Outcome, complain, one_line};

/// Some files, and whether some of what was named could not be had.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) has_failed: bool,
}

impl Targets {
    /// Finds all regular files that are named, each name in order, those of a folder by their paths.
    ///
    /// What is there by a name is taken for that, even if it looks like a pattern. Links within folders are not
    /// followed. What cannot be looked into is said, and the rest goes on.
    pub(crate) fn find(names: &[PathBuf]) -> Outcome<Self> {
        let mut targets = Self::default();
        for name in names {
            if name.symlink_metadata().is_ok() {
                targets.add(name);
            } else {
                targets.add_matches(name)?;
            }
        }
        Ok(targets)
    }

    /// What was said of the files, and whether it went well with all.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.has_failed {
            Err(Failure::Reported)
        } else {
            Ok(())
        }
    }

    /// Says what went wrong with one, and goes on.
    pub(crate) fn failed(&mut self, text: &str) {
        self.has_failed = true;
        complain(text);
    }

    fn add(&mut self, path: &Path) {
        if !path.is_dir() {
            self.files.push(path.to_owned());
            return;
        }
        for entry in WalkDir::new(path).sort_by_file_name() {
            match entry {
                Ok(entry) if entry.file_type().is_file() => self.files.push(entry.into_path()),
                Ok(_) => {}
                Err(error) => self.failed(&one_line(&error)),
            }
        }
    }

    fn add_matches(&mut self, pattern: &Path) -> Outcome {
        let missing = || {
            let name = pattern.display();
            Failure::new(format!(
                "{name}: no such file, and no pattern that any matches"
            ))
        };
        let text = pattern.to_str().ok_or_else(missing)?;
        let mut has_matched = false;
        for found in glob::glob(text).map_err(|_| missing())? {
            match found {
                Ok(path) => {
                    has_matched = true;
                    self.add(&path);
                }
                Err(error) => self.failed(&one_line(&error)),
            }
        }
        if has_matched { Ok(()) } else { Err(missing()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_folders_and_patterns() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("inner/empty")).unwrap();
        for name in ["b.bin", "a.bin", "inner/c.bin", "x[1].txt"] {
            fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink("a.bin", at("inner/link")).unwrap();
        let found = |name: &str| Targets::find(&[at(name)]).unwrap().files;
        assert_eq!(found("b.bin"), [at("b.bin")]);
        assert_eq!(found("*.bin"), [at("a.bin"), at("b.bin")]);
        assert_eq!(
            found("**/*.bin"),
            [at("a.bin"), at("b.bin"), at("inner/c.bin")]
        );
        assert_eq!(found("in*"), [at("inner/c.bin")]);
        assert_eq!(found("x[1].txt"), [at("x[1].txt")]);
        assert_eq!(
            found(""),
            [at("a.bin"), at("b.bin"), at("inner/c.bin"), at("x[1].txt")]
        );
        for missing in ["nothing", "*.nothing", "***", "[", "y[1].txt"] {
            assert!(Targets::find(&[at(missing)]).is_err(), "{missing}");
        }
    }
}
