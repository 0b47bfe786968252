//! What objects there are.

use super::entry::{Entry, EntryState, NEXT_GRAVE, load_state, users};
use super::lookup::{hash_of, probes};
use crate::heap::GRAVES;
use crate::region::Image;
use crate::{ObjectKind, Result};

/// An object of a region, as others see it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub name: String,
    /// What kind of object it is.
    pub kind: ObjectKind,
    /// Its type, for humans.
    pub type_name: String,
    /// How long it is, in bytes.
    pub size_bytes: u64,
    /// Where in the region it is.
    pub offset_bytes: u64,
    /// The slots of the participants that use it.
    pub users: Vec<u32>,
    /// Whether its name was removed: then it is here until nobody uses it.
    pub is_removed: bool,
}

/// All objects. Those that come or go meanwhile may be missing.
pub(crate) fn list(image: &Image) -> Result<Vec<ObjectInfo>> {
    let mut objects = Vec::new();
    for index in 0..image.layout().entries {
        // Those that cannot be read may just be changing; whoever has the heap's lock checks them.
        let (word, state) = load_state(image, index)?;
        if !matches!(state, EntryState::Live | EntryState::Removed) {
            continue;
        }
        let info = Entry::load(image, index).and_then(|entry| describe(image, &entry));
        if load_state(image, index)?.0 == word {
            objects.push(info?);
        }
    }
    Ok(objects)
}

fn describe(image: &Image, entry: &Entry) -> Result<ObjectInfo> {
    Ok(ObjectInfo {
        name: entry.name(image)?,
        kind: entry.kind,
        type_name: entry.type_name(image)?,
        size_bytes: entry.size,
        offset_bytes: entry.data,
        users: users(image, entry.index).collect(),
        is_removed: entry.state() == Some(EntryState::Removed),
    })
}

/// How many objects are in the list of those that were removed.
pub(crate) fn graves(image: &Image) -> Result<u64> {
    let mut count = 0;
    let mut next = image.load(GRAVES)?;
    while next != 0 {
        count += 1;
        let index = u32::try_from(next - 1)
            .ok()
            .filter(|index| *index < image.layout().entries);
        let Some(index) = index.filter(|_| count <= u64::from(image.layout().entries)) else {
            return Err(image.damaged(
                GRAVES,
                "a list of removed objects that never ends, or leads nowhere",
            ));
        };
        let at = image.layout().entry(index);
        if load_state(image, index)?.1 != EntryState::Removed {
            return Err(image.damaged(at, "a removed object that is not"));
        }
        next = image.load(at + NEXT_GRAVE)?;
    }
    Ok(count)
}

impl Entry {
    /// Checks that searches find the entry under its name.
    pub(crate) fn check_name(&self, image: &Image) -> Result<()> {
        let at = image.layout().entry(self.index);
        let wrong = |what: &str| Err(image.damaged(at, what));
        let name = self.name(image)?;
        if hash_of(&name) != self.hash {
            return wrong("a name whose hash is another");
        }
        for index in probes(self.hash, image.layout().entries) {
            if index == self.index {
                return Ok(());
            }
            if load_state(image, index)?.1 == EntryState::Empty {
                break;
            }
            let other = entries_at(image, index)?;
            if other.is_some_and(|other| other.hash == self.hash) {
                let other = Entry::load(image, index)?;
                if other.has_name(image, &name)? {
                    return wrong("a name that stands in the directory twice");
                }
            }
        }
        wrong("an entry that no search comes to")
    }
}

fn entries_at(image: &Image, index: u32) -> Result<Option<Entry>> {
    match load_state(image, index)?.1 {
        EntryState::Live => Entry::load(image, index).map(Some),
        _ => Ok(None),
    }
}
