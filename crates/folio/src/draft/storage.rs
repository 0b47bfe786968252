//! What a commit does to the disk: the seam at which tests lose power.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// A file, and the journal beside it.
///
/// What is written is on the disk after the `sync` of what it was written to, and before that perhaps, in
/// part, in any order.
pub(super) trait Storage {
    /// Has the disk set room aside for a range of the file, lest a commit that is recorded find none.
    fn reserve_file(&mut self, range: Range<u64>) -> io::Result<()> {
        let _ = range;
        Ok(())
    }

    /// Writes to the file.
    fn write_file(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Waits until the disk has the file.
    fn sync_file(&mut self) -> io::Result<()>;

    /// Opens the journal, which is made if there is none. Says whether it was.
    fn make_journal(&mut self) -> io::Result<bool>;

    /// Opens the journal if there is one, and says how long it is.
    fn find_journal(&mut self) -> io::Result<Option<u64>>;

    /// Reads from the journal that was opened, all of `buf`.
    fn read_journal(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes to the journal that was opened.
    fn write_journal(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Waits until the disk has the journal, but for its name.
    fn sync_journal(&mut self) -> io::Result<()>;

    /// Removes the journal.
    fn remove_journal(&mut self) -> io::Result<()>;

    /// Waits until the disk has the names of the folder.
    fn sync_folder(&mut self) -> io::Result<()>;

    /// A moment at which a test may end it all.
    fn reached(&mut self, moment: &'static str) -> io::Result<()> {
        let _ = moment;
        Ok(())
    }
}

/// The disk that there is.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    journal_path: PathBuf,
    journal: Option<File>,
}

impl Disk {
    /// `path` is where the file is, with no links on the way.
    pub(super) fn new(file: File, path: &Path) -> Self {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".draft-journal");
        Self {
            file,
            journal_path: path.with_file_name(name),
            journal: None,
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn journal_path(&self) -> &Path {
        &self.journal_path
    }

    /// Opens the journal without following links: what stands there may be anybody's.
    fn open(&self) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(&self.journal_path)
    }

    /// What somebody else has put there would be written to the file.
    fn check_owner(&self, journal: &File) -> io::Result<u64> {
        let (journal, file) = (journal.metadata()?, self.file.metadata()?);
        let ours = rustix::process::geteuid().as_raw();
        if !journal.is_file() || ![ours, file.uid(), 0].contains(&journal.uid()) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is no regular file, or neither ours nor of the file's owner",
            ));
        }
        Ok(journal.len())
    }

    fn opened(&self) -> io::Result<&File> {
        let journal = self.journal.as_ref();
        journal.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for Disk {
    /// What is no hole has its room already, where files are not copied on write.
    #[cfg(target_os = "linux")]
    fn reserve_file(&mut self, range: Range<u64>) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
        use rustix::io::{Errno, retry_on_intr};

        let Range { start, end } = range;
        match seek(&self.file, SeekFrom::Hole(start)) {
            Ok(hole) if hole < end => {}
            // Also where the file system tells nothing.
            Ok(_) | Err(_) => return Ok(()),
        }
        let flags = FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(&self.file, flags, start, end - start)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn write_file(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync_file(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn make_journal(&mut self) -> io::Result<bool> {
        if self.journal.is_some() {
            return Ok(false);
        }
        let created = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.journal_path)?;
        // Whoever may write to the file may finish what was begun. Where this fails, those others may not.
        let mode = self.file.metadata()?.mode() & 0o666;
        let _ = created.set_permissions(std::fs::Permissions::from_mode(mode));
        self.journal = Some(created);
        Ok(true)
    }

    fn find_journal(&mut self) -> io::Result<Option<u64>> {
        match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(journal) => {
                let len = self.check_owner(&journal)?;
                self.journal = Some(journal);
                Ok(Some(len))
            }
        }
    }

    fn read_journal(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.opened()?.read_exact_at(buf, offset)
    }

    fn write_journal(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.opened()?.write_all_at(bytes, offset)
    }

    fn sync_journal(&mut self) -> io::Result<()> {
        self.opened()?.sync_data()
    }

    fn remove_journal(&mut self) -> io::Result<()> {
        self.journal = None;
        std::fs::remove_file(&self.journal_path)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let folder = self.journal_path.parent().unwrap_or(Path::new("."));
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Some file systems have no such thing for folders.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            outcome => outcome,
        }
    }

    #[cfg(test)]
    fn reached(&mut self, moment: &'static str) -> io::Result<()> {
        super::crash::reached(moment);
        Ok(())
    }
}
