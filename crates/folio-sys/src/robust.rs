//! Words that the kernel marks, and whose waiters it wakes, when the thread that owns them dies.
//!
//! This is the kernel's robust-futex protocol (Linux, `Documentation/locking/robust-futexes.rst` and
//! `robust-futex-ABI.rst`). A thread has a list of the words that it owns, in its own memory and in the words',
//! of which the kernel knows the head. When the thread ends, however it does, the kernel goes
//! through the list. It takes each word whose low bits are the thread's id, clears these bits,
//! sets [`OWNER_DIED`](crate::futex::OWNER_DIED), leaves [`WAITERS`](crate::futex::WAITERS) as it
//! is, and wakes one waiter. It follows at most 2,048 entries (`ROBUST_LIST_LIMIT`): those that were
//! linked longest ago are forgotten.
//!
//! A thread can have one list only, and the libc has it already, for its own robust mutexes. So the
//! words go into the libc's list, between its own, in the form that its mutexes have.
//! That works with glibc, on 64 bits and on 32. With other libcs, and on other systems, nothing is ever
//! linked ([`Thread::kernel_recovers`] is false), and others must find out by themselves that an owner
//! died. They must anyway, where more than 2,048 words can be linked, or the list be damaged.
//!
//! # The protocol
//!
//! | to take a word | to give it up |
//! |---|---|
//! | [`announce`](Thread::announce) | [`announce_release`](Thread::announce_release) |
//! | compare and exchange: 0 to the thread's id | exchange by 0, wake one if `WAITERS` was set |
//! | if it was not taken: [`withdraw`](Thread::withdraw) | [`concluded`](Thread::concluded) |
//!
//! What is announced (`list_op_pending`) the kernel looks at, too: it marks the word if it is the thread's, and
//! wakes a waiter if it finds it 0, given up by a thread that had no time to wake anybody. So a word
//! need not be in the list as long as it is the last that its thread took, which takes two stores; it is put there when another is
//! announced. Most words are given up before.
//!
//! The libc announces its own robust mutexes (`PTHREAD_MUTEX_ROBUST`) in the same place, and leaves nothing announced. A word that
//! is held meanwhile, the last one taken, is not marked by the kernel if its thread dies after that: others
//! must find out by themselves.
//!
//! Nothing here may be called from a signal handler.
//!
//! # Whom it trusts
//!
//! A linked word holds addresses of this process, which the libc and [`Thread`], when they link or unlink
//! a neighbour, take for what they are. Whoever can write to the word's memory can
//! therefore have this process write an address elsewhere. So only words in memory to which
//! nobody writes whom this process need not trust should be announced as ones that may be linked; announcing puts no address there.
//! Of the others, only the last one that was taken is given back by the kernel.
//!
//! What goes wrong in trusted memory by accident, a word given up while it is linked or a node overwritten, harms the
//! process as a mutex of the libc's would that was treated so.
//!
//! # Forks
//!
//! A forked child owns no word: its list is a new one, and none of the parent's words is ever taken
//! out of it. A [`Thread`] that the parent's code left to it does nothing; [`current`] finds out who the
//! thread is now.
//!
//! ```
//! use folio_sys::{futex, robust, shared_memory::{Access, SharedMemory}};
//! use std::sync::{Arc, atomic::Ordering::{Acquire, Relaxed, Release}};
//!
//! let file = tempfile::tempfile()?;
//! file.set_len(4096)?;
//! let memory = Arc::new(SharedMemory::map(file.into(), 4096, 4096, Access::ReadWrite)?);
//! let lock = memory.pin::<robust::RobustWord>(0).unwrap();
//!
//! let thread = robust::current();
//! thread.announce(&lock, true);
//! lock.word().compare_exchange(0, thread.tid(), Acquire, Relaxed).expect("it is free");
//! // Here the word is this thread's. To die here is to leave OWNER_DIED in it.
//! thread.announce_release(&lock);
//! if lock.word().swap(0, Release) & futex::WAITERS != 0 {
//!     futex::wake(lock.word(), 1);
//! }
//! thread.concluded();
//! # Ok::<(), std::io::Error>(())
//! ```

mod list;
mod word;

pub(crate) use list::forget;
pub use list::{Known, Ready, Thread, current, known, ready, ready_to_release, unlisted};
pub use word::RobustWord;
