//! Making objects, and removing them.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::entry::{
    Entry, EntryState, MAX_TYPE_LEN, NEXT_GRAVE, STATE, load_state, serial_of, users,
};
use super::lookup::{Hold, check_name, hash_of, probes};
use crate::heap::{Block, GRAVES, Heap, OBJECTS, SERIAL, Transaction};
use crate::kill::kill_point;
use crate::object::Object;
use crate::participant::{Attached, SlotState};
use crate::{Error, Result};

/// A block that nobody knows of but this process. Dropped, it is free again.
struct Draft<'a> {
    attached: &'a Attached,
    block: Block,
    is_kept: bool,
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // What fails here is found when the process has ended.
            let _ = self.attached.free_own(&self.block);
        }
    }
}

impl Attached {
    /// Makes an object, unless somebody else was faster: then it is theirs.
    pub(crate) fn make<T: Object>(
        self: &Arc<Self>,
        name: &str,
        initial: Option<&T::Initial>,
    ) -> Result<Hold> {
        check_name(name)?;
        let description = T::FINGERPRINT.to_string();
        let description = cut_to(&description, MAX_TYPE_LEN);
        let size = T::size_bytes(initial) as u64;
        let names_len = (name.len() + description.len()) as u64;
        let align = T::align();
        let owner = self.participant()?;
        let block = self
            .heap()?
            .allocate(size.saturating_add(names_len), align as u64, owner)?;
        let mut draft = Draft {
            attached: self,
            block,
            is_kept: false,
        };
        kill_point!("object.allocated");
        let data = block.content();
        self.zero(data, size)?;
        self.image().write(data + size, name.as_bytes())?;
        self.image()
            .write(data + size + name.len() as u64, description.as_bytes())?;
        let offset = usize::try_from(data).map_err(|_| self.image().damaged(data, "no address"))?;
        T::initialise(self.memory(), offset, initial)?;
        kill_point!("object.initialised");

        let heap = self.heap()?;
        let hash = hash_of(name);
        if let Some(entry) = heap.find(name, hash)? {
            let hold = self.hold_entry(&entry);
            // The draft needs the lock.
            drop(heap);
            return hold;
        }
        let entry = heap.insert(&Entry {
            index: heap.vacant(hash)?,
            state_word: 0,
            hash,
            block: block.at,
            data,
            size,
            type_hash: T::HASH,
            align: u32::try_from(align).unwrap_or(u32::MAX),
            version: T::FINGERPRINT.version,
            name_len: name.len() as u64,
            type_len: description.len() as u64,
            kind: T::KIND,
        })?;
        draft.is_kept = true;
        kill_point!("object.inserted");
        self.hold_entry(&entry)
    }

    /// Removes a name; false if there was none.
    pub(crate) fn remove(&self, name: &str) -> Result<bool> {
        check_name(name)?;
        let heap = self.heap()?;
        let Some(entry) = heap.find(name, hash_of(name))? else {
            return Ok(false);
        };
        heap.hide(&entry)?;
        kill_point!("remove.hidden");
        heap.sweep()?;
        kill_point!("remove.swept");
        Ok(true)
    }

    /// Writes zeros.
    pub(crate) fn zero(&self, from: u64, len: u64) -> Result<()> {
        let zeros = [0; 4096];
        let mut at = from;
        let end = from.saturating_add(len);
        while at < end {
            let len = usize::try_from(end - at).map_or(zeros.len(), |len| len.min(zeros.len()));
            self.image()
                .write(at, zeros.get(..len).unwrap_or_default())?;
            at += len as u64;
        }
        Ok(())
    }
}

impl Heap<'_> {
    /// The entry of a name.
    pub(super) fn find(&self, name: &str, hash: u64) -> Result<Option<Entry>> {
        let image = self.image();
        for index in probes(hash, image.layout().entries) {
            match load_state(image, index)?.1 {
                EntryState::Empty => return Ok(None),
                EntryState::Live => {
                    let entry = Entry::load(image, index)?;
                    if entry.hash == hash && entry.has_name(image, name)? {
                        return Ok(Some(entry));
                    }
                }
                EntryState::Removed | EntryState::Gone => {}
            }
        }
        Ok(None)
    }

    /// An entry that an object of this hash can have.
    fn vacant(&self, hash: u64) -> Result<u32> {
        let image = self.image();
        let limit = image.layout().dimensions.objects;
        let full = || Error::TooManyObjects {
            path: image.path().to_owned(),
            limit,
        };
        if image.load(OBJECTS)? >= u64::from(limit) {
            return Err(full());
        }
        for index in probes(hash, image.layout().entries) {
            if matches!(
                load_state(image, index)?.1,
                EntryState::Empty | EntryState::Gone
            ) {
                return Ok(index);
            }
        }
        Err(full())
    }

    fn insert(&self, entry: &Entry) -> Result<Entry> {
        let mut change = self.change();
        let serial = change.get(SERIAL)?.wrapping_add(1);
        let objects = change.get(OBJECTS)?.wrapping_add(1);
        let entry = Entry {
            state_word: EntryState::Live.to_word(serial),
            ..*entry
        };
        change.set(SERIAL, serial)?;
        change.set(OBJECTS, objects)?;
        let block = Block::load(&change, entry.block)?;
        Self::give_to_object(&mut change, &block, entry.index)?;
        entry.put(&mut change)?;
        change.commit()?;
        Ok(entry)
    }

    /// Lets nobody find an object from here on.
    fn hide(&self, entry: &Entry) -> Result<()> {
        let mut change = self.change();
        let at = self.image().layout().entry(entry.index);
        let removed = EntryState::Removed.to_word(serial_of(entry.state_word));
        change.set(at + NEXT_GRAVE, change.get(GRAVES)?)?;
        change.set(GRAVES, u64::from(entry.index) + 1)?;
        change.set(OBJECTS, change.get(OBJECTS)?.saturating_sub(1))?;
        change.set(at + STATE, removed)?;
        change.commit()
    }

    /// Gives back the memory of removed objects that no living process uses.
    pub(crate) fn sweep(&self) -> Result<()> {
        let image = self.image();
        let mut before = GRAVES;
        let mut next = image.load(GRAVES)?;
        // Whoever stops using an object does so, and then looks at the list.
        fence(Ordering::SeqCst);
        let mut steps = 0;
        while next != 0 {
            let index = u32::try_from(next - 1)
                .ok()
                .filter(|index| *index < image.layout().entries);
            let index =
                index.ok_or_else(|| image.damaged(before, "a removed object of no entry"))?;
            steps += 1;
            if steps > image.layout().entries {
                return Err(image.damaged(GRAVES, "a list of removed objects that never ends"));
            }
            let at = image.layout().entry(index);
            let (_, state) = load_state(image, index)?;
            if state != EntryState::Removed {
                return Err(image.damaged(at, "a removed object that is not"));
            }
            next = image.load(at + NEXT_GRAVE)?;
            if self.is_used(index)? {
                before = at + NEXT_GRAVE;
            } else {
                self.bury(index, before, next)?;
            }
        }
        Ok(())
    }

    /// Frees a removed object that nobody uses, which is stated at `before`.
    fn bury(&self, index: u32, before: u64, next: u64) -> Result<()> {
        let image = self.image();
        let entry = Entry::load(image, index)?;
        entry.load_block(image)?;
        self.free_more_blocks(index)?;
        let mut change = self.change();
        self.free_in(&mut change, entry.block)?;
        change.set(before, next)?;
        self.vacate(&mut change, index, serial_of(entry.state_word))?;
        change.commit()
    }

    /// Lets others have an entry. Searches end there if they would at the next one; so they do at
    /// those before that were waiting for this.
    fn vacate(&self, change: &mut Transaction<'_>, index: u32, serial: u64) -> Result<()> {
        /// A change has only so many words.
        const MOST: u32 = 8;

        let image = self.image();
        let mask = image.layout().entries - 1;
        let at = |index: u32| image.layout().entry(index) + STATE;
        let (_, after) = load_state(image, index.wrapping_add(1) & mask)?;
        if after != EntryState::Empty {
            return change.set(at(index), EntryState::Gone.to_word(serial));
        }
        change.set(at(index), EntryState::Empty.to_word(serial))?;
        for step in 1..MOST.min(mask) {
            let index = index.wrapping_sub(step) & mask;
            let (word, state) = load_state(image, index)?;
            if state != EntryState::Gone {
                break;
            }
            change.set(at(index), EntryState::Empty.to_word(serial_of(word)))?;
        }
        Ok(())
    }

    /// Whether a living process uses an entry's object. Bits of the dead are cleared.
    fn is_used(&self, index: u32) -> Result<bool> {
        let image = self.image();
        let own = self.attached().participant()?.slot;
        for slot in users(image, index) {
            if slot == own || SlotState::load(image, slot)?.is_alive(image) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut_to(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
