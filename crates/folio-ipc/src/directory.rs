//! Names of objects.
//!
//! The directory is a hash table whose entries never move, and are entries for ever: so that a process
//! can say in one that it uses the object, without a lock, and ask afterwards whether it is still that object. An object that is removed
//! while processes use it waits in a list, until the last of them says that it does not.

mod blocks;
mod change;
mod entry;
mod holds;
mod list;
mod lookup;

pub(crate) use blocks::{count_more_blocks, load_block_of};
pub(crate) use entry::{ENTRY_WORDS, Entry, EntryState, MAX_NAME_LEN, entries, forget_user};
pub(crate) use holds::Holds;
pub use list::ObjectInfo;
pub(crate) use list::{graves, list};
pub(crate) use lookup::Hold;
pub use lookup::Shared;
