//! Blocks of a region's memory.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::heap::Block;
use crate::participant::Attached;
use crate::{Error, Payload, Result};

/// A block of a region that this process has for itself: made by [`Region::allocate`](crate::Region::allocate).
///
/// It is freed when this is dropped, and when the process ends, however that comes to be. To stay, and to be
/// seen by others, it becomes [an object's](crate::Shared::adopt).
///
/// ```
/// use folio_ipc::{Data, Pointer, Region};
///
/// // An object that refers to a block.
/// let region = Region::options().anonymous()?;
/// let greeting = region.object::<Data<Pointer>>("greeting")?;
/// let block = region.allocate(5)?;
/// block.write(0, b"hello")?;
/// greeting.set(&greeting.adopt(block)?)?;
///
/// // Anybody can read it from here on.
/// let mut bytes = [0; 5];
/// greeting.read_block(greeting.get()?, 0, &mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// # Ok::<(), folio_ipc::Error>(())
/// ```
pub struct Allocation {
    attached: Arc<Attached>,
    block: Block,
    is_given: bool,
}

/// Where a block is, for whoever has the region: an offset, which may be put into an object.
///
/// All zero, it is null. It says nothing of whose block it is: an object
/// [reads](crate::Shared::read_block) through pointers to its own blocks only.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Pointer {
    at: u64,
}

impl Pointer {
    /// A pointer to nothing.
    pub const NULL: Self = Self { at: 0 };

    /// Whether it points to nothing.
    #[must_use]
    pub fn is_null(self) -> bool {
        self == Self::NULL
    }

    pub(crate) fn at(self) -> u64 {
        self.at
    }
}

impl Payload for Pointer {
    const NAME: &'static str = "Pointer";
}

impl Allocation {
    pub(crate) fn new(attached: &Arc<Attached>, len: u64) -> Result<Self> {
        let owner = attached.participant()?;
        let block = attached.heap()?.allocate(len, 1, owner)?;
        let allocation = Self {
            attached: Arc::clone(attached),
            block,
            is_given: false,
        };
        attached.zero(block.content(), len)?;
        Ok(allocation)
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.block.used
    }

    /// Copies bytes out of it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] beyond its end; [`Error::Lost`].
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let image = self.attached.image();
        image.read(self.block.place(image, offset, bytes.len())?, bytes)?;
        image.check_not_lost()
    }

    /// Copies bytes into it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] beyond its end; [`Error::Lost`].
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let image = self.attached.image();
        image.write(self.block.place(image, offset, bytes.len())?, bytes)?;
        image.check_not_lost()
    }

    /// Lets it be an object's.
    pub(crate) fn give_to(mut self, attached: &Arc<Attached>, entry: u32) -> Result<Pointer> {
        if !Arc::ptr_eq(&self.attached, attached) {
            let path = attached.image().path();
            return Err(Error::io(
                "take a block of another region",
                path,
                ErrorKind::InvalidInput,
            ));
        }
        attached.heap()?.adopt(entry, self.block.at)?;
        self.is_given = true;
        crate::kill::kill_point!("block.adopted");
        Ok(Pointer { at: self.block.at })
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if !self.is_given {
            // What fails here is found when the process has ended. A forked child's copy is its parent's.
            let _ = self.attached.free_own(&self.block);
        }
    }
}

impl fmt::Debug for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocation")
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}
