//! Locks that the kernel drops when their holder dies.
//!
//! `flock(2)`: a lock belongs to what `open` made, so that children made by `fork` share
//! it, and it ends when the last of them has closed it, however that came to be. A descriptor that
//! is open for reading is enough.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use super::folder::Folder;
use crate::{Error, Result};

/// Held by the one process that changes a store.
///
/// Whoever may read the store's files could lock them and never let go. So LOCK can be read
/// by those only who may write to the folder.
#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
}

impl StoreLock {
    /// Waits until nobody else changes the store. That takes as long as it takes to replace a
    /// small file, as nobody builds a table under the lock.
    pub(super) fn take(folder: &Folder) -> Result<Self> {
        let path = folder.lock();
        let failed = |error| Error::io("lock", &path, error);
        loop {
            let file = open_lock(folder, &path)?;
            retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
                .map_err(|error| failed(error.into()))?;
            // Somebody may have removed the file, for a stale one, and another have made it anew.
            let ours = file.metadata().map_err(failed)?;
            match path.metadata() {
                Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => {
                    return Ok(Self { file });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        // To close is not enough where a child was forked meanwhile, which has a copy.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn open_lock(folder: &Folder, path: &Path) -> Result<File> {
    let writers = folder.writers_mode()?;
    let mode = writers | (writers << 1);
    let open = |create_new: bool| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(create_new)
            .mode(mode)
            .open(path)
    };
    let opened = match open(false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match open(true) {
            // Another was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(false),
            created => created.inspect(|file| {
                // The umask knows less of who may than the folder. Where this fails, those others may not.
                let _ = file.set_permissions(Permissions::from_mode(mode));
            }),
        },
        opened => opened,
    };
    opened.map_err(|error| Error::io("open", path, error))
}

/// Says that this process maps the file, until all copies of the descriptor are closed.
///
/// False if somebody has it to himself, who is about to remove it. Where locks cannot be had
/// at all (some network file systems), nobody can have the file to himself either.
pub(super) fn share(file: &File) -> bool {
    let locked = retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockShared));
    locked != Err(Errno::WOULDBLOCK)
}

/// Takes a file for this process alone; false if another maps it, which may be this very process by
/// another descriptor.
///
/// # Errors
///
/// The system's, where locks cannot be had, so that nobody knows.
pub(super) fn try_own(file: &File) -> io::Result<bool> {
    match retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn one_at_a_time_whoever_removes_the_file() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        let first = StoreLock::take(&folder).unwrap();
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            let waiting = send.clone();
            scope.spawn(|| {
                let second = StoreLock::take(&folder).unwrap();
                waiting.send("second").unwrap();
                drop(second);
                drop(waiting);
            });
            thread::sleep(Duration::from_millis(50));
            assert!(receive.try_recv().is_err(), "the lock is held");
            std::fs::remove_file(folder.lock()).unwrap();
            drop(first);
            let named = receive.recv_timeout(Duration::from_secs(60));
            assert_eq!(named, Ok("second"));
        });
        assert!(folder.lock().exists());
    }

    #[test]
    fn the_lock_is_for_those_who_may_write_to_the_folder() {
        for (folder_mode, lock_mode) in [(0o755, 0o600), (0o775, 0o660), (0o777, 0o666)] {
            let temporary = tempfile::tempdir().unwrap();
            let permissions = Permissions::from_mode(folder_mode);
            std::fs::set_permissions(temporary.path(), permissions).unwrap();
            let folder = Folder::new(temporary.path());
            drop(StoreLock::take(&folder).unwrap());
            let mode = folder.lock().metadata().unwrap().mode();
            assert_eq!(mode & 0o7777, lock_mode);
        }
    }
}
