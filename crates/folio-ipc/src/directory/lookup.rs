//! Finding objects by name.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use xxhash_rust::xxh3::xxh3_64;

use super::entry::{Entry, EntryState, MAX_NAME_LEN, load_hash, load_state};
use super::load_block_of;
use crate::allocation::{Allocation, Pointer};
use crate::kill::kill_point;
use crate::object::Object;
use crate::participant::Attached;
use crate::{Error, Result};

/// An object of a region, found by its name: it derefs to the object.
///
/// It keeps the region open, and the object there, also when its name is removed.
pub struct Shared<T: Object> {
    object: T,
    /// After the object, which may refer to the memory.
    hold: Hold,
}

impl<T: Object> Shared<T> {
    /// Another handle of the same object.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`]; in a forked child, also as for [`Region::open`](crate::Region::open).
    pub fn try_clone(&self) -> Result<Self> {
        let hold = self.hold.try_clone()?;
        let entry = Entry::load(hold.attached.image(), hold.index)?;
        hold.bind_entry(&entry)
    }

    /// Lets a block be the object's, from here on and for all processes: it is freed with the object, or by
    /// [`free_block`](Self::free_block).
    ///
    /// If this process ends before the block is the object's, it is freed; no block is ever nobody's.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::Damaged`]; `InvalidInput` for a block of another region.
    pub fn adopt(&self, allocation: Allocation) -> Result<Pointer> {
        allocation.give_to(&self.hold.attached, self.hold.index)
    }

    /// Copies bytes out of a block of the object's.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] for a pointer to no block of this object, and beyond the block's end; [`Error::Lost`].
    pub fn read_block(&self, pointer: Pointer, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let image = self.hold.attached.image();
        let at = self.place_in_block(pointer, offset, bytes.len())?;
        image.read(at, bytes)?;
        image.check_not_lost()
    }

    /// Copies bytes into a block of the object's. What several write at one place at one time mixes: have a lock.
    ///
    /// # Errors
    ///
    /// As for [`read_block`](Self::read_block).
    pub fn write_block(&self, pointer: Pointer, offset: u64, bytes: &[u8]) -> Result<()> {
        let image = self.hold.attached.image();
        let at = self.place_in_block(pointer, offset, bytes.len())?;
        image.write(at, bytes)?;
        image.check_not_lost()
    }

    /// Frees a block of the object's. Pointers to it lead nowhere from here on, or to another block.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] for a pointer to no block of this object; [`Error::Lost`].
    pub fn free_block(&self, pointer: Pointer) -> Result<()> {
        let attached = &self.hold.attached;
        attached
            .heap()?
            .free_block_of(self.hold.index, pointer.at())?;
        attached.image().check_not_lost()
    }

    fn place_in_block(&self, pointer: Pointer, offset: u64, len: usize) -> Result<u64> {
        let image = self.hold.attached.image();
        load_block_of(image, self.hold.index, pointer.at())?.place(image, offset, len)
    }
}

impl<T: Object> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T: Object + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

/// That this process uses the object of an entry. The entry stays that object's as long as this lives.
#[derive(Debug)]
pub(crate) struct Hold {
    attached: Arc<Attached>,
    index: u32,
}

impl Hold {
    fn new(attached: &Arc<Attached>, index: u32) -> Result<Self> {
        attached.hold(index)?;
        kill_point!("object.pinned");
        Ok(Self {
            attached: Arc::clone(attached),
            index,
        })
    }

    fn try_clone(&self) -> Result<Self> {
        Self::new(&self.attached, self.index)
    }

    /// The object, if it is of this type.
    pub(crate) fn bind<T: Object>(self, name: &str) -> Result<Shared<T>> {
        let image = self.attached.image();
        let entry = Entry::load(image, self.index)?;
        if entry.type_hash != T::HASH {
            return Err(Error::Fingerprint {
                name: name.escape_debug().to_string(),
                expected: T::FINGERPRINT.to_string(),
                found: entry.type_name(image)?,
            });
        }
        self.bind_entry(&entry)
    }

    fn bind_entry<T: Object>(self, entry: &Entry) -> Result<Shared<T>> {
        let image = self.attached.image();
        let at = image.layout().entry(self.index);
        let (Ok(offset), Ok(len)) = (usize::try_from(entry.data), usize::try_from(entry.size))
        else {
            return Err(image.damaged(at, "an object beyond the address space"));
        };
        if offset % T::align() != 0 || len < T::size_bytes(None) {
            return Err(image.damaged(at, format!("{len} bytes at {offset} are no {}", T::KIND)));
        }
        let end = entry.data + entry.size;
        if end > self.attached.memory().len() as u64 {
            image.map_further()?;
            if end > self.attached.memory().len() as u64 {
                return Err(image.damaged(at, format!("an object that ends at {end}")));
            }
        }
        let object = T::bind(&self.attached, offset, len)?;
        Ok(Shared { object, hold: self })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.attached.release(self.index);
    }
}

impl Attached {
    /// The object of a name, without a lock; `None` if there is none.
    pub(crate) fn find(self: &Arc<Self>, name: &str) -> Result<Option<Hold>> {
        check_name(name)?;
        let image = self.image();
        if image.is_lost() {
            image.check_not_lost()?;
        }
        let hash = hash_of(name);
        for index in probes(hash, image.layout().entries) {
            let (word, state) = load_state(image, index)?;
            match state {
                EntryState::Empty => return Ok(None),
                EntryState::Live if load_hash(image, index)? == hash => {
                    let hold = Hold::new(self, index)?;
                    // Either whoever removes it sees that it is in use, or this thread that it is removed.
                    fence(Ordering::SeqCst);
                    if load_state(image, index)?.0 != word {
                        drop(hold);
                        return self.find_locked(name, hash);
                    }
                    if Entry::load(image, index)?.has_name(image, name)? {
                        self.held_as(index, word);
                        return Ok(Some(hold));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The same while nobody else changes anything.
    #[cold]
    fn find_locked(self: &Arc<Self>, name: &str, hash: u64) -> Result<Option<Hold>> {
        let heap = self.heap()?;
        let entry = heap.find(name, hash)?;
        entry.map(|entry| self.hold_entry(&entry)).transpose()
    }

    /// A handle of an object that is there because the caller has the heap's lock.
    pub(super) fn hold_entry(self: &Arc<Self>, entry: &Entry) -> Result<Hold> {
        let hold = Hold::new(self, entry.index)?;
        self.held_as(entry.index, entry.state_word);
        Ok(hold)
    }
}

/// The entries in which an object of this hash can be, best first.
#[inline]
pub(super) fn probes(hash: u64, entries: u32) -> impl Iterator<Item = u32> {
    let mask = entries - 1;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "some of its bits are enough"
    )]
    let home = hash as u32;
    (0..entries).map(move |step| home.wrapping_add(step) & mask)
}

#[inline]
pub(super) fn hash_of(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME_LEN {
        return Err(Error::Name { len: name.len() });
    }
    Ok(())
}
