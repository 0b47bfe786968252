//! What can have a name in a region.

use std::fmt;
use std::sync::Arc;

use folio_sys::shared_memory::SharedMemory;

use crate::participant::Attached;
use crate::{Fingerprint, Result};

/// A type of which there are objects in regions: a lock, a counter, a ring.
///
/// [`Region::object`](crate::Region::object) finds or makes one by name. The types are this
/// crate's; what is in them is yours, as a [`Payload`](crate::Payload).
pub trait Object: Sized {
    /// What a new object begins with.
    type Initial;

    /// What kind of object it is, for whoever looks at the region without knowing its types.
    const KIND: ObjectKind;

    /// What the type is. A process that asks for another one under the same name gets an error.
    const FINGERPRINT: Fingerprint;

    /// The fingerprint in 64 bits.
    const HASH: u64 = Self::FINGERPRINT.hash();

    /// How many bytes a new object takes.
    #[doc(hidden)]
    fn size_bytes(initial: Option<&Self::Initial>) -> usize;

    /// What its offset is a multiple of: a power of two, at most 4096.
    #[doc(hidden)]
    fn align() -> usize;

    /// Writes a new object into memory that is all zero, before anybody else can see it. No `initial`
    /// means all zeros.
    #[doc(hidden)]
    fn initialise(
        memory: &Arc<SharedMemory>,
        offset: usize,
        initial: Option<&Self::Initial>,
    ) -> Result<()>;

    /// A handle of the object at an offset, which is as aligned as `align` says and has `len` bytes. They may have been
    /// written by a program that means harm.
    #[doc(hidden)]
    fn bind(attached: &Arc<Attached>, offset: usize, len: usize) -> Result<Self>;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal,)*) => {
        /// What kind of object a name stands for.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ObjectKind {
            $($(#[$doc])* $name,)*
            /// One that this build does not know, by its number.
            Unknown(u32),
        }

        impl ObjectKind {
            /// The number by which it stands in a region.
            pub(crate) const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(number) => number,
                }
            }

            pub(crate) const fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$name,)*
                    _ => Self::Unknown(number),
                }
            }
        }

        impl fmt::Display for ObjectKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => f.pad($text),)*
                    Self::Unknown(number) => f.pad(&format!("kind {number}")),
                }
            }
        }
    };
}

kinds! {
    /// Bytes without a lock.
    Data = 1 "data",
    /// A mutual exclusion lock.
    Mutex = 2 "mutex",
    /// A lock of many readers or one writer.
    RwLock = 3 "rwlock",
    /// A condition variable.
    Condvar = 4 "condvar",
    /// A semaphore.
    Semaphore = 5 "semaphore",
    /// A barrier.
    Barrier = 6 "barrier",
    /// Something that is done once.
    Once = 7 "once",
    /// A value that is made once.
    OnceValue = 8 "once-value",
    /// An event.
    Event = 9 "event",
    /// A ring of one producer and one consumer.
    Ring = 10 "ring",
    /// A queue of many producers and many consumers.
    Queue = 11 "queue",
    /// Messages that each consumer sees all of.
    Broadcast = 12 "broadcast",
    /// The latest of many values.
    Published = 13 "published",
}

/// Lets go of what the dead hold of an object: its owner's mark is set, its readers and permits are taken out. `is_dead` says
/// so of a thread record. The caller has the heap's lock; the object stays where it is meanwhile.
pub(crate) fn recover(
    attached: &Attached,
    kind: ObjectKind,
    offset: usize,
    len: usize,
    is_dead: &dyn Fn(u32, u32) -> bool,
) -> u32 {
    crate::locks::recover(attached, kind, offset, len, is_dead)
}
