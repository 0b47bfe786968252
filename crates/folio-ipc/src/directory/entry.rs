//! Entries of the directory.

use std::sync::atomic::Ordering;

use crate::heap::{Block, GRANULE, Transaction, Use, Words};
use crate::region::Image;
use crate::{ObjectKind, Result};

/// How many words an entry has before the bits of its users.
pub(crate) const ENTRY_WORDS: u64 = 10;

/// How long a name can be, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 255;

/// How long the description of a type can be, in bytes.
pub(crate) const MAX_TYPE_LEN: usize = 511;

/// The words of an entry.
pub(super) const STATE: u64 = 0;
const HASH: u64 = 8;
const BLOCK: u64 = 16;
const DATA: u64 = 24;
const SIZE: u64 = 32;
const TYPE: u64 = 40;
const ALIGN_VERSION: u64 = 48;
const LENGTHS_KIND: u64 = 56;
pub(super) const NEXT_GRAVE: u64 = 64;
pub(super) const FIRST_BLOCK: u64 = 72;
const USERS: u64 = ENTRY_WORDS * 8;

/// What an entry is. In a region, the count of objects made so far stands above it, so that no two objects
/// ever have the same word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// No object ever had it, or none that a search must go past.
    Empty,
    /// An object has it.
    Live,
    /// The object that has it was removed, and somebody uses it.
    Removed,
    /// The object is gone. A search goes past it.
    Gone,
}

impl EntryState {
    const fn number(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Live => 1,
            Self::Removed => 2,
            Self::Gone => 3,
        }
    }

    /// The state in a word.
    #[inline]
    pub(crate) const fn of(word: u64) -> Option<Self> {
        match word & 0xff {
            0 => Some(Self::Empty),
            1 => Some(Self::Live),
            2 => Some(Self::Removed),
            3 => Some(Self::Gone),
            _ => None,
        }
    }

    /// The word for it, of the object of this serial number.
    pub(super) const fn to_word(self, serial: u64) -> u64 {
        serial << 8 | self.number()
    }
}

/// The serial number in a state's word.
pub(super) const fn serial_of(word: u64) -> u64 {
    word >> 8
}

/// An entry of an object, as it stands there: lengths and places are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) index: u32,
    pub(crate) state_word: u64,
    pub(crate) hash: u64,
    /// Where the object's block is.
    pub(crate) block: u64,
    /// Where the object is: in that block.
    pub(crate) data: u64,
    pub(crate) size: u64,
    pub(crate) type_hash: u64,
    pub(crate) align: u32,
    pub(crate) version: u32,
    pub(crate) name_len: u64,
    pub(crate) type_len: u64,
    pub(crate) kind: ObjectKind,
}

impl Entry {
    /// What an entry says. It may be changed meanwhile, but for whoever has the heap's lock, or uses the object.
    pub(crate) fn load(words: &impl Words, index: u32) -> Result<Self> {
        let image = words.image();
        let at = image.layout().entry(index);
        let [align, version] = halves(words.get(at + ALIGN_VERSION)?);
        let [lengths, kind] = halves(words.get(at + LENGTHS_KIND)?);
        let entry = Self {
            index,
            state_word: words.get(at + STATE)?,
            hash: words.get(at + HASH)?,
            block: words.get(at + BLOCK)?,
            data: words.get(at + DATA)?,
            size: words.get(at + SIZE)?,
            type_hash: words.get(at + TYPE)?,
            align,
            version,
            name_len: u64::from(lengths & 0xffff),
            type_len: u64::from(lengths >> 16),
            kind: ObjectKind::from_number(kind),
        };
        let content = entry.data.checked_add(entry.size);
        let end = content.and_then(|end| end.checked_add(entry.name_len + entry.type_len));
        let fits = end.is_some_and(|end| end <= image.layout().dimensions.capacity_bytes)
            && entry.block >= image.layout().heap
            && entry.data == entry.block.wrapping_add(GRANULE)
            && entry.name_len <= MAX_NAME_LEN as u64
            && entry.type_len <= MAX_TYPE_LEN as u64;
        if fits {
            Ok(entry)
        } else {
            Err(image.damaged(at, "an entry of no object"))
        }
    }

    pub(crate) fn state(&self) -> Option<EntryState> {
        EntryState::of(self.state_word)
    }

    /// Where the name is; the type's description is behind it.
    fn name_at(&self) -> u64 {
        self.data + self.size
    }

    /// Whether the object's name is this.
    pub(crate) fn has_name(&self, image: &Image, name: &str) -> Result<bool> {
        if self.name_len != name.len() as u64 {
            return Ok(false);
        }
        let mut found = [0; MAX_NAME_LEN];
        let found = found.get_mut(..name.len()).unwrap_or_default();
        image.read(self.name_at(), found)?;
        Ok(found == name.as_bytes())
    }

    /// The object's name.
    pub(crate) fn name(&self, image: &Image) -> Result<String> {
        text(image, self.name_at(), self.name_len)
    }

    /// What its type is, for humans.
    pub(crate) fn type_name(&self, image: &Image) -> Result<String> {
        text(image, self.name_at() + self.name_len, self.type_len)
    }

    /// Writes an entry that is to be an object's, state last.
    pub(super) fn put(&self, change: &mut Transaction<'_>) -> Result<()> {
        let at = change.image().layout().entry(self.index);
        let lengths = self.name_len | self.type_len << 16;
        for (word, value) in [
            (HASH, self.hash),
            (BLOCK, self.block),
            (DATA, self.data),
            (SIZE, self.size),
            (TYPE, self.type_hash),
            (
                ALIGN_VERSION,
                u64::from(self.version) << 32 | u64::from(self.align),
            ),
            (LENGTHS_KIND, u64::from(self.kind.number()) << 32 | lengths),
            (NEXT_GRAVE, 0),
            (FIRST_BLOCK, 0),
            (STATE, self.state_word),
        ] {
            change.set(at + word, value)?;
        }
        Ok(())
    }

    /// The block, if it is this object's as the heap says, too.
    pub(crate) fn load_block(&self, words: &impl Words) -> Result<Block> {
        let block = Block::load(words, self.block)?;
        let used = self.size + self.name_len + self.type_len;
        if block.usage == Use::Object(self.index)
            && block.used == used
            && used <= block.len - GRANULE
        {
            return Ok(block);
        }
        let at = words.image().layout().entry(self.index);
        Err(words.image().damaged(
            at,
            format!("the block at {} is not its object's", self.block),
        ))
    }
}

/// All entries that objects have, also those that were removed and are in use.
pub(crate) fn entries(image: &Image) -> impl Iterator<Item = Result<Entry>> + '_ {
    (0..image.layout().entries).filter_map(|index| match load_state(image, index) {
        Ok((_, EntryState::Live | EntryState::Removed)) => Some(Entry::load(image, index)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// The word of an entry's state, and what it says.
#[inline]
pub(super) fn load_state(words: &impl Words, index: u32) -> Result<(u64, EntryState)> {
    let at = words.image().layout().entry(index) + STATE;
    let word = words.get(at)?;
    match EntryState::of(word) {
        Some(state) => Ok((word, state)),
        None => Err(words
            .image()
            .damaged(at, format!("{word:x} is no state of an entry"))),
    }
}

/// The hash in an entry.
#[inline]
pub(super) fn load_hash(image: &Image, index: u32) -> Result<u64> {
    image.load(image.layout().entry(index) + HASH)
}

/// Says that a participant uses an entry's object.
pub(super) fn add_user(image: &Image, index: u32, slot: u32) -> Result<()> {
    let (word, bit) = user(image, index, slot);
    image.word(word)?.fetch_or(bit, Ordering::SeqCst);
    Ok(())
}

/// Says that it does not.
pub(super) fn remove_user(image: &Image, index: u32, slot: u32) -> Result<()> {
    let (word, bit) = user(image, index, slot);
    image.word(word)?.fetch_and(!bit, Ordering::SeqCst);
    Ok(())
}

/// The slots of those that use an entry's object.
pub(super) fn users(image: &Image, index: u32) -> impl Iterator<Item = u32> + '_ {
    let count = image.layout().dimensions.participants;
    (0..count).filter(move |slot| {
        let (word, bit) = user(image, index, *slot);
        image.load(word).is_ok_and(|bits| bits & bit != 0)
    })
}

/// Says that whoever has or had a slot uses nothing.
pub(crate) fn forget_user(image: &Image, slot: u32) -> Result<()> {
    for index in 0..image.layout().entries {
        let (word, bit) = user(image, index, slot);
        let word = image.word(word)?;
        if word.load(Ordering::Relaxed) & bit != 0 {
            word.fetch_and(!bit, Ordering::SeqCst);
        }
    }
    Ok(())
}

#[inline]
fn user(image: &Image, index: u32, slot: u32) -> (u64, u64) {
    let word = image.layout().entry(index) + USERS + u64::from(slot / 64) * 8;
    (word, 1 << (slot % 64))
}

fn text(image: &Image, at: u64, len: u64) -> Result<String> {
    let mut bytes = [0; MAX_TYPE_LEN];
    let len = usize::try_from(len).unwrap_or(0);
    let bytes = bytes.get_mut(..len).unwrap_or_default();
    image.read(at, bytes)?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

#[expect(clippy::cast_possible_truncation, reason = "each half is cut off")]
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}
