//! Regions: files that processes share as memory.

mod create;
mod header;
mod image;
mod layout;
mod open;
mod options;
mod reserve;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

pub(crate) use header::{BOOT_WORD, boot_to_word};
pub(crate) use image::Image;
pub(crate) use layout::{CONTROL, PAGE_BYTES};
pub use options::RegionOptions;
pub(crate) use reserve::grow_file;

use crate::allocation::Allocation;
use crate::directory::{Hold, ObjectInfo, Shared};
use crate::heap::HeapInfo;
use crate::inspect::{Inspection, Repaired, inspect_attached, inspect_image, repair};
use crate::object::Object;
use crate::participant::Attached;
use crate::{Error, Result};

/// A file that processes share as memory, with named objects in it.
///
/// Whoever has one is a participant of the region, which others see. A `Region` is a handle: clones, and the
/// objects that it gives out, keep the region open. A process may open a region more than once; it is as
/// many participants.
///
/// # Forked children
///
/// A child that uses a handle of its parent's becomes a participant of its own at that moment. If an object
/// that it had was removed meanwhile, its use of the region fails with [`Error::Removed`].
///
/// # Lost pages
///
/// Somebody may cut the file short while it is open. That raises no signal: what was lost reads as
/// zeros, and operations fail with [`Error::Lost`] from then on.
///
/// ```
/// use folio_ipc::Region;
///
/// let region = Region::options().size_bytes(2 << 20).anonymous()?;
/// assert_eq!(region.size_bytes()?, 2 << 20);
/// # Ok::<(), folio_ipc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Region {
    attached: Arc<Attached>,
}

/// What stands for the name of a region that was opened by a descriptor.
const NAMELESS: &str = "region of a descriptor";

impl Region {
    /// How a region is to be made, or opened.
    pub fn options() -> RegionOptions {
        RegionOptions::new()
    }

    /// Opens a region that others than this user may not write to.
    ///
    /// # Errors
    ///
    /// As for [`RegionOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Opens the region that a descriptor stands for, as it was sent by another process, or made by
    /// [`RegionOptions::anonymous`] in a parent.
    ///
    /// # Errors
    ///
    /// As for [`RegionOptions::open`].
    pub fn from_fd(file: OwnedFd) -> Result<Self> {
        Self::options().from_fd(file)
    }

    /// Opens a region to look at it: nothing can be changed through what this returns, and it is no participant.
    /// It takes the permission to read.
    ///
    /// # Errors
    ///
    /// As for [`RegionOptions::open`]; who else may write to the region is of no concern.
    pub fn observe(path: impl AsRef<Path>) -> Result<Observer> {
        open::observe(path.as_ref()).map(|image| Observer { image })
    }

    /// The same with a descriptor.
    ///
    /// # Errors
    ///
    /// As for [`observe`](Self::observe).
    pub fn observe_fd(file: OwnedFd) -> Result<Observer> {
        open::observe_fd(file).map(|image| Observer { image })
    }

    fn attach(image: Image, is_private: bool) -> Result<Self> {
        Attached::new(image, is_private).map(|attached| Self { attached })
    }

    /// How long the region is now, in bytes, as every participant sees it at once.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::Damaged`].
    pub fn size_bytes(&self) -> Result<u64> {
        self.image().check_not_lost()?;
        self.image().size_bytes()
    }

    /// How long the region may become.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.image().layout().dimensions.capacity_bytes
    }

    /// The file's name; a word that stands for it where it was opened by a descriptor.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.image().path()
    }

    /// Makes the region longer, if it is shorter than this: rounded up to whole pages. Objects that
    /// need room do so by themselves.
    ///
    /// The disk's space is reserved first, so that no later write can find it full.
    ///
    /// # Errors
    ///
    /// [`Error::NoRoom`] beyond the capacity; [`Error::Io`] when the disk is full; [`Error::Lost`].
    ///
    /// ```
    /// use folio_ipc::Region;
    ///
    /// let region = Region::options().size_bytes(2 << 20).capacity_bytes(8 << 20).anonymous()?;
    /// region.grow(5_000_000)?;
    /// assert!(region.size_bytes()? >= 5_000_000);
    /// assert!(region.grow(9 << 20).is_err());
    /// # Ok::<(), folio_ipc::Error>(())
    /// ```
    pub fn grow(&self, size_bytes: u64) -> Result<()> {
        let size_bytes = size_bytes
            .checked_next_multiple_of(PAGE_BYTES)
            .filter(|size| *size <= self.capacity_bytes())
            .ok_or_else(|| Error::NoRoom {
                path: self.path().to_owned(),
                size_bytes,
            })?;
        self.checked(
            self.attached
                .heap()
                .and_then(|heap| heap.grow_to(size_bytes)),
        )
    }

    /// Finds an object by name, or makes it, all zero.
    ///
    /// Several processes may do so at the same time: one of them makes it, and all get the same.
    ///
    /// # Errors
    ///
    /// [`Error::Fingerprint`] when it is of another type; [`Error::Name`] for a name of no or more than 255 bytes;
    /// [`Error::NoRoom`], [`Error::TooManyObjects`], [`Error::TooManyThreads`]; [`Error::Lost`],
    /// [`Error::Damaged`]; the system's when the region cannot grow.
    pub fn object<T: Object>(&self, name: &str) -> Result<Shared<T>> {
        self.checked(self.find_or(name, || self.attached.make::<T>(name, None)))
    }

    /// Finds an object by name, or makes it as `initial` says, which is called only then; if another process made it
    /// meanwhile, in vain.
    ///
    /// # Errors
    ///
    /// As for [`object`](Self::object).
    pub fn object_with<T: Object>(
        &self,
        name: &str,
        initial: impl FnOnce() -> T::Initial,
    ) -> Result<Shared<T>> {
        self.checked(self.find_or(name, || self.attached.make::<T>(name, Some(&initial()))))
    }

    /// Finds an object by name.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] when there is none; else as for [`object`](Self::object).
    pub fn open_object<T: Object>(&self, name: &str) -> Result<Shared<T>> {
        let none = || {
            Err(Error::NoSuchObject {
                name: name.escape_debug().to_string(),
            })
        };
        self.checked(self.find_or(name, none))
    }

    fn find_or<T: Object>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Hold>,
    ) -> Result<Shared<T>> {
        let hold = match self.attached.find(name)? {
            Some(hold) => hold,
            None => make()?,
        };
        hold.bind(name)
    }

    /// Takes a block of so many bytes, all zero, for this process: nobody else knows of it until an object
    /// [adopts](Shared::adopt) it.
    ///
    /// # Errors
    ///
    /// [`Error::NoRoom`], [`Error::TooManyThreads`], [`Error::Lost`], [`Error::Damaged`]; the system's when
    /// the region cannot grow.
    pub fn allocate(&self, len_bytes: u64) -> Result<Allocation> {
        self.checked(Allocation::new(&self.attached, len_bytes))
    }

    /// Removes a name; false if there was none. Nobody finds the object from here on, and its memory is given
    /// back as soon as no living process has it.
    ///
    /// # Errors
    ///
    /// [`Error::Name`], [`Error::Lost`], [`Error::Damaged`].
    pub fn remove(&self, name: &str) -> Result<bool> {
        self.checked(self.attached.remove(name))
    }

    /// What objects there are, in no particular order.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::Damaged`].
    pub fn objects(&self) -> Result<Vec<ObjectInfo>> {
        self.checked(crate::directory::list(self.image()))
    }

    /// Checks all of the region's structure: that blocks tile the heap, lists have every free block
    /// once, every name stands for a block and every block belongs to somebody. It keeps others from the heap meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] with the first place that is wrong; [`Error::Lost`].
    pub fn check(&self) -> Result<HeapInfo> {
        self.attached.heap()?.check()
    }

    /// Cleans up behind processes that died: their slots, records, blocks and locks. Nothing that
    /// a living process has is touched.
    ///
    /// It happens by itself when processes attach, or room is needed: what this opening of the region found to
    /// clean up is counted in, the first time.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], [`Error::Lost`].
    pub fn repair(&self) -> Result<Repaired> {
        self.checked(repair(&self.attached))
    }

    /// What there is to be seen of the region: participants, threads, objects, the heap.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], [`Error::Lost`].
    pub fn inspect(&self) -> Result<Inspection> {
        inspect_attached(&self.attached)
    }

    fn image(&self) -> &Image {
        self.attached.image()
    }

    /// What came of something, unless pages were found to be gone on the way: zeros in their place may look
    /// like anything.
    #[inline]
    fn checked<T>(&self, outcome: Result<T>) -> Result<T> {
        self.image().check_not_lost().and(outcome)
    }
}

/// The region's file, to be sent to another process.
impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.image().file()
    }
}

/// A region that is looked at: see [`Region::observe`].
///
/// What it shows is read while others change it: a list may miss what was made, and have what was removed, meanwhile.
#[derive(Debug)]
pub struct Observer {
    image: Image,
}

impl Observer {
    /// How long the region is now, in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::Damaged`].
    pub fn size_bytes(&self) -> Result<u64> {
        self.image.check_not_lost()?;
        self.image.size_bytes()
    }

    /// The file's name.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.image.path()
    }

    /// What objects there are, in no particular order.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::Damaged`].
    pub fn objects(&self) -> Result<Vec<ObjectInfo>> {
        let objects = crate::directory::list(&self.image);
        self.image.check_not_lost().and(objects)
    }

    /// What there is to be seen of the region.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::Damaged`].
    pub fn inspect(&self) -> Result<Inspection> {
        inspect_image(&self.image)
    }
}
