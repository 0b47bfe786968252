//! What the algorithms ask of the world around them.

use super::atomics::AtomicU32;

/// One thread: who it is.
///
/// It is passed by value: so it is in registers on the way that most take.
pub(crate) trait Identity: Copy {
    /// This thread's id, as the kernel writes it into words of the robust-futex protocol.
    fn tid(&self) -> u32;

    /// This thread in one word, never 0: see [`mark`].
    fn mark(&self) -> u32;

    /// The index of this thread's record in the region.
    #[inline]
    fn record(&self) -> u32 {
        (self.mark() >> 16).wrapping_sub(1)
    }

    /// Where a model may let this thread die.
    #[cfg(loom)]
    fn reached(&self, step: &'static str);
}

/// One thread that owns a lock, or is about to: what it tells the kernel.
pub(crate) trait Owner: Identity {
    /// Says that this thread is about to take the lock, which the kernel gives back from then on when it dies.
    fn announce(&self);

    /// Says that this thread is about to give the lock up.
    fn announce_release(&self);

    /// Says that it has.
    fn concluded(&self);
}

/// A thread in one word, never 0: the low half of its id, and above it the index of its record, plus 1.
///
/// It is stored after the lock's word was taken, by another instruction. The half of the id tells whether
/// it belongs to the thread that the word names, or to one that had the lock before.
#[inline]
pub(crate) fn mark(record: u32, tid: u32) -> u32 {
    (record.wrapping_add(1) << 16) | (tid & 0xffff)
}

/// One thread that uses one lock: how it sleeps, and how it learns that others died.
///
/// There are two: the real one, over the kernel's futexes and a region's thread records, and one for loom,
/// whose processes are threads that die where they are told to.
pub(crate) trait Environment: Owner {
    /// A time on the clock that does not go back.
    type Deadline: Copy;

    /// Says that the lock was not taken.
    fn withdraw(&self);

    /// Whether the thread that a lock's word names is dead, by the mark beside it. A mark of another
    /// thread means that the one which the word names died, or is, between taking the word and leaving its mark.
    fn is_owner_dead(&self, tid: u32, mark: u32) -> bool;

    /// Whether the thread of that id, which had that record, is dead.
    fn is_dead(&self, record: u32, tid: u32) -> bool;

    /// Whether an attempt that may not wait should look whether the owner is dead. That takes system calls,
    /// and is seldom of use where the kernel tells of deaths.
    fn probes_at_once(&self) -> bool;

    /// Sleeps while `word` is `expected`.
    fn wait(
        &self,
        word: &AtomicU32,
        expected: u32,
        deadline: Option<Self::Deadline>,
        nap: Nap,
    ) -> Waited;

    /// Wakes at most `count` threads that sleep on `word`; how many it were.
    fn wake(&self, word: &AtomicU32, count: u32) -> u32;

    /// How often to look again before sleeping.
    fn spin_rounds(&self) -> u32;

    /// Lets a little time pass, more in later rounds.
    fn pause(&self, round: u32);

    /// How looking again went: whether it made sleeping unnecessary.
    fn spun(&self, in_time: bool);

    /// Says for those who inspect the region that this thread waits for the lock.
    fn begin_waiting(&self);

    /// Says that it does no longer.
    fn end_waiting(&self);

    /// The time in milliseconds, of a clock that all processes share, for those who inspect the region.
    fn now_ms(&self) -> u32;
}

/// How long a thread sleeps before it looks around by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nap {
    /// A millisecond, in which somebody else goes first.
    Courtesy,
    /// 1 ms at first, twice as long each time, at most 100 ms: then it looks for dead owners.
    Probe {
        /// How many such naps came before.
        nth: u32,
    },
    /// A second, after which the caller looks at its condition again.
    Long,
}

/// Why a thread no longer sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It was woken, or the word had changed, or a signal came.
    Woken,
    /// Its nap is over.
    Napped,
    /// The deadline has passed.
    TimedOut,
}

/// How long an operation may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit<D> {
    /// Not at all.
    Try,
    /// Until then.
    Until(D),
    /// Without end.
    Never,
}

impl<D: Copy> Limit<D> {
    pub(crate) fn deadline(self) -> Option<D> {
        match self {
            Self::Until(deadline) => Some(deadline),
            Self::Try | Self::Never => None,
        }
    }

    pub(crate) fn is_try(self) -> bool {
        matches!(self, Self::Try)
    }
}

/// In what condition a lock was taken.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Its last owner gave it back.
    Sound,
    /// An owner died or panicked, and nobody has said since that the data is right again.
    Inconsistent,
}

/// Why a lock was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Somebody else has it.
    WouldBlock,
    /// Somebody else had it until the deadline.
    TimedOut,
    /// This very thread has it.
    Deadlock,
    /// Others that were needed are dead.
    Broken,
    /// This thread has it as often as can be.
    TooMany,
}
