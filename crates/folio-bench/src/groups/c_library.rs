//! Libraries of peers that are loaded when a row needs them.
#![expect(unsafe_code, reason = "a library is loaded")]

use std::ffi::{CStr, c_void};

use crate::row::Skipped;

/// A loaded library. It is never unloaded.
pub(super) struct CLibrary {
    name: &'static CStr,
    handle: *mut c_void,
}

impl CLibrary {
    /// Loads one that does nothing when it is loaded; `package` is Debian's name of what has it.
    pub(super) fn load(name: &'static CStr, package: &str) -> Result<Self, Skipped> {
        // SAFETY: the name ends in a zero, and what the library does when it is loaded is nothing.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            let name = name.to_string_lossy();
            let why = format!("{name} is not installed (Debian: apt-get install {package})");
            return Err(Skipped(why));
        }
        Ok(Self { name, handle })
    }

    /// Where a function is.
    pub(super) fn symbol(&self, name: &CStr) -> Result<*mut c_void, Skipped> {
        // SAFETY: the handle is one of `dlopen`, never closed, and the name ends in a zero.
        let symbol = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        if symbol.is_null() {
            let (library, name) = (self.name.to_string_lossy(), name.to_string_lossy());
            return Err(Skipped(format!("{library} has no {name}")));
        }
        Ok(symbol)
    }
}
