//! What takes the place of guarded copies on an architecture that has none.
//!
//! Nothing is called here: [`FaultPolicy::prepare`](crate::fault::FaultPolicy) gives every mapping
//! [`Syscall`](crate::fault::FaultPolicy::Syscall) instead. If it were, it would copy nothing and say so.

pub(crate) unsafe fn load_small(_to: *mut u8, _from: *const u8, _len: usize) -> bool {
    false
}

pub(crate) unsafe fn load_up_to_64(_to: *mut u8, _from: *const u8, _len: usize) -> bool {
    false
}

pub(crate) unsafe fn equals_small(_from: *const u8, _with: *const u8, _len: usize) -> Option<bool> {
    None
}

pub(crate) unsafe fn store_small(_to: *mut u8, _from: *const u8, _len: usize) -> bool {
    false
}

pub(crate) unsafe fn copy(_to: *mut u8, _from: *const u8, len: usize) -> usize {
    len
}
