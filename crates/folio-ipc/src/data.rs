//! Plain data under a name.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use folio_sys::shared_memory::SharedMemory;

use crate::object::{Object, ObjectKind};
use crate::participant::Attached;
use crate::{Fingerprint, Payload, Result};

/// A value in a region, without a lock.
///
/// It is copied out and in. What several write at the same time mixes, byte by byte: let one process
/// write before others read, or put a [`Mutex`](https://docs.rs/folio-ipc) around it.
///
/// ```
/// use folio_ipc::{Data, Region};
///
/// let region = Region::options().anonymous()?;
/// let started = region.object::<Data<u64>>("started")?;
/// started.set(&1_700_000_000)?;
/// assert_eq!(region.open_object::<Data<u64>>("started")?.get()?, 1_700_000_000);
/// # Ok::<(), folio_ipc::Error>(())
/// ```
pub struct Data<T> {
    attached: Arc<Attached>,
    offset: u64,
    _of: PhantomData<fn() -> T>,
}

impl<T: Payload> Data<T> {
    /// The value.
    ///
    /// What is too large for a thread's stack, [`read_into`](Self::read_into) copies to where there is room.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`](crate::Error::Lost).
    pub fn get(&self) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read_into(&mut value)?;
        Ok(value)
    }

    /// Copies the value to where another of its type is.
    ///
    /// ```
    /// use folio_ipc::{Data, Region};
    ///
    /// type Table = [u64; 1 << 20];
    ///
    /// let region = Region::options().size_bytes(16 << 20).anonymous()?;
    /// let shared = region.object::<Data<Table>>("table")?;
    /// let mut table: Box<Table> = vec![0; 1 << 20].try_into().unwrap();
    /// table[7] = 7;
    /// shared.set(&table)?;
    /// table[7] = 0;
    /// shared.read_into(&mut table)?;
    /// assert_eq!(table[7], 7);
    /// # Ok::<(), folio_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Lost`](crate::Error::Lost); then no part of `value` is to be relied on.
    pub fn read_into(&self, value: &mut T) -> Result<()> {
        let image = self.attached.image();
        image.read(self.offset, value.as_mut_bytes())?;
        image.check_not_lost()
    }

    /// Changes the value.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`](crate::Error::Lost).
    pub fn set(&self, value: &T) -> Result<()> {
        let image = self.attached.image();
        image.write(self.offset, value.as_bytes())?;
        image.check_not_lost()
    }
}

impl<T: Payload> Object for Data<T> {
    type Initial = T;

    const KIND: ObjectKind = ObjectKind::Data;
    const FINGERPRINT: Fingerprint = Fingerprint::of::<T>("Data");

    fn size_bytes(_: Option<&T>) -> usize {
        size_of::<T>()
    }

    fn align() -> usize {
        align_of::<T>()
    }

    fn initialise(memory: &Arc<SharedMemory>, offset: usize, initial: Option<&T>) -> Result<()> {
        if let Some(value) = initial {
            // The memory was written to a moment ago.
            let _ = memory.write_at(offset, value.as_bytes());
        }
        Ok(())
    }

    fn bind(attached: &Arc<Attached>, offset: usize, _: usize) -> Result<Self> {
        Ok(Self {
            attached: Arc::clone(attached),
            offset: offset as u64,
            _of: PhantomData,
        })
    }
}

impl<T> fmt::Debug for Data<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
