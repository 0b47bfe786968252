//! Locks that processes share.

mod arena;
mod contended;
mod death;
mod lookup;
mod ours;
mod partner;
mod pthread;
mod uncontended;

pub(in crate::groups) use contended::contended;
pub(in crate::groups) use death::owner_death;
pub(in crate::groups) use lookup::object_lookup;
pub(crate) use partner::partner;
pub(in crate::groups) use uncontended::uncontended;

use crate::row::Skipped;

/// A lock that two processes take in turn.
trait Lock {
    /// Takes the lock and gives it back, with `inside` done in between.
    fn locked(&self, inside: &mut dyn FnMut()) -> Result<(), Skipped>;
}
