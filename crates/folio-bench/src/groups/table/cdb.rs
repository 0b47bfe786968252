//! The peer cdb, read and made by tinycdb: of the bindings there are, the fastest.
//!
//! Its library (Debian: `libcdb1`) is loaded when a row needs it, so that this program is built,
//! and measures the rest, on machines that do not have it. The crates `cdb` and `cdb64`, which are
//! Rust throughout, allocate each value and take a fifth longer for a lookup.
#![expect(
    unsafe_code,
    reason = "the functions of a C library are called, and its structures laid out"
)]

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::fs::{File, OpenOptions};
use std::mem::{MaybeUninit, transmute};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::data::{Key, Records};
use crate::groups::c_library::CLibrary;
use crate::groups::pages::touch_slice;
use crate::row::Skipped;

const LIBRARY: &CStr = c"libcdb.so.1";

/// An open file.
pub(super) struct Cdb {
    functions: Functions,
    /// A search leaves in it what it found.
    raw: UnsafeCell<RawCdb>,
    /// `raw` has its descriptor.
    _file: File,
}

impl Cdb {
    /// Whether the library is there.
    pub(super) fn available() -> Result<(), Skipped> {
        Functions::load().map(drop)
    }

    /// Makes a file of these records, and brings it to the disk, as the program `cdbmake` does.
    pub(super) fn make(records: &impl Records, path: &Path) -> Result<(), Skipped> {
        let mut maker = Maker::start(path)?;
        records.each(|key, value| maker.add(key, value))?;
        maker.finish()
    }

    pub(super) fn open(path: &Path) -> Result<Self, Skipped> {
        let functions = Functions::load()?;
        let file = File::open(path)?;
        let mut raw = MaybeUninit::zeroed();
        // SAFETY: `raw` may be written to, and the descriptor is that of an open file.
        let status = unsafe { (functions.init)(raw.as_mut_ptr(), file.as_raw_fd()) };
        if status != 0 {
            return Err(failed("cdb_init"));
        }
        Ok(Self {
            functions,
            // SAFETY: all zeros are a value of it, and `cdb_init` has filled it in.
            raw: UnsafeCell::new(unsafe { raw.assume_init() }),
            _file: file,
        })
    }

    /// The value of a key, where it stands in the mapping.
    #[inline]
    pub(super) fn get(&self, key: &Key) -> Result<Option<&[u8]>, Skipped> {
        let key_len = c_uint::try_from(key.len())?;
        // SAFETY: `raw` was initialized and nobody else has a reference to it, and the key has that
        // length.
        let status = unsafe { (self.functions.find)(self.raw.get(), key.as_ptr().cast(), key_len) };
        match status {
            0 => return Ok(None),
            1.. => (),
            _ => return Err(failed("cdb_find")),
        }
        // SAFETY: `raw` was initialized, and nobody writes to it meanwhile.
        let found = unsafe { &*self.raw.get() };
        let (len, offset) = (found.value_len, found.value_offset);
        // SAFETY: as above.
        let value = unsafe { (self.functions.get)(found, len, offset) };
        if value.is_null() {
            return Err(failed("cdb_get"));
        }
        let len = usize::try_from(len)?;
        // SAFETY: `cdb_get` has checked that so many bytes of the mapping stand there; they stay until
        // `self` is dropped, and nobody writes to the file.
        Ok(Some(unsafe {
            std::slice::from_raw_parts(value.cast(), len)
        }))
    }

    pub(super) fn touch(&self) -> Result<(), Skipped> {
        // SAFETY: `raw` was initialized, and nobody writes to it meanwhile.
        let raw = unsafe { &*self.raw.get() };
        let len = usize::try_from(raw.file_len)?;
        // SAFETY: `cdb_init` has mapped so much there, for as long as `self` lives.
        touch_slice(unsafe { std::slice::from_raw_parts(raw.mapping, len) });
        Ok(())
    }
}

impl Drop for Cdb {
    fn drop(&mut self) {
        // SAFETY: `raw` was initialized, and is not used any more.
        unsafe { (self.functions.free)(self.raw.get()) }
    }
}

/// A file that is being made.
struct Maker {
    functions: Functions,
    /// In one place from the first call on: it has a pointer into itself.
    raw: Box<RawMaker>,
    file: File,
}

impl Maker {
    fn start(path: &Path) -> Result<Self, Skipped> {
        let functions = Functions::load()?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path)?;
        let mut raw = Box::new(RawMaker([0; MAKER_LEN / 8]));
        // SAFETY: there is room for what it keeps, and the descriptor is that of an open file.
        let status = unsafe { (functions.make_start)(&raw mut *raw, file.as_raw_fd()) };
        if status != 0 {
            return Err(failed("cdb_make_start"));
        }
        Ok(Self {
            functions,
            raw,
            file,
        })
    }

    fn add(&mut self, key: &Key, value: &[u8]) -> Result<(), Skipped> {
        let (key_len, value_len) = (c_uint::try_from(key.len())?, c_uint::try_from(value.len())?);
        let (key, value) = (key.as_ptr().cast(), value.as_ptr().cast());
        // SAFETY: `raw` was started and not finished, and both have the lengths that are given.
        let status = unsafe {
            (self.functions.make_add)(&raw mut *self.raw, key, key_len, value, value_len)
        };
        if status == 0 {
            Ok(())
        } else {
            Err(failed("cdb_make_add"))
        }
    }

    /// What was added is freed here, and nowhere else: a bench that stops half-way is about to end.
    fn finish(mut self) -> Result<(), Skipped> {
        // SAFETY: `raw` was started and not finished.
        let status = unsafe { (self.functions.make_finish)(&raw mut *self.raw) };
        if status != 0 {
            return Err(failed("cdb_make_finish"));
        }
        Ok(self.file.sync_all()?)
    }
}

/// `struct cdb` of cdb.h, version 0.78.
#[repr(C)]
struct RawCdb {
    fd: c_int,
    file_len: c_uint,
    data_end: c_uint,
    mapping: *const u8,
    value_offset: c_uint,
    value_len: c_uint,
    key_offset: c_uint,
    key_len: c_uint,
}

/// Room for `struct cdb_make`: two numbers and a descriptor, a buffer of 4096 bytes, and 257 pointers.
const MAKER_LEN: usize = 16 + 4096 + 257 * 8;

#[repr(C, align(16))]
struct RawMaker([u64; MAKER_LEN / 8]);

// The functions that we call, as cdb.h has them.
type Init = unsafe extern "C" fn(*mut RawCdb, c_int) -> c_int;
type Find = unsafe extern "C" fn(*mut RawCdb, *const c_void, c_uint) -> c_int;
type Get = unsafe extern "C" fn(*const RawCdb, c_uint, c_uint) -> *const c_void;
type Free = unsafe extern "C" fn(*mut RawCdb);
type MakeStart = unsafe extern "C" fn(*mut RawMaker, c_int) -> c_int;
type MakeAdd =
    unsafe extern "C" fn(*mut RawMaker, *const c_void, c_uint, *const c_void, c_uint) -> c_int;
type MakeFinish = unsafe extern "C" fn(*mut RawMaker) -> c_int;

struct Functions {
    init: Init,
    find: Find,
    get: Get,
    free: Free,
    make_start: MakeStart,
    make_add: MakeAdd,
    make_finish: MakeFinish,
}

impl Functions {
    fn load() -> Result<Self, Skipped> {
        let library = CLibrary::load(LIBRARY, "libcdb1")?;
        let symbol = |name: &CStr| library.symbol(name);
        let (init, find, get) = (
            symbol(c"cdb_init")?,
            symbol(c"cdb_find")?,
            symbol(c"cdb_get")?,
        );
        let free = symbol(c"cdb_free")?;
        let make_start = symbol(c"cdb_make_start")?;
        let make_add = symbol(c"cdb_make_add")?;
        let make_finish = symbol(c"cdb_make_finish")?;
        Ok(Self {
            // SAFETY: this and the six below: the function of that name has that type.
            init: unsafe { transmute::<*mut c_void, Init>(init) },
            // SAFETY: as above.
            find: unsafe { transmute::<*mut c_void, Find>(find) },
            // SAFETY: as above.
            get: unsafe { transmute::<*mut c_void, Get>(get) },
            // SAFETY: as above.
            free: unsafe { transmute::<*mut c_void, Free>(free) },
            // SAFETY: as above.
            make_start: unsafe { transmute::<*mut c_void, MakeStart>(make_start) },
            // SAFETY: as above.
            make_add: unsafe { transmute::<*mut c_void, MakeAdd>(make_add) },
            // SAFETY: as above.
            make_finish: unsafe { transmute::<*mut c_void, MakeFinish>(make_finish) },
        })
    }
}

#[cold]
fn failed(function: &str) -> Skipped {
    Skipped(format!("{function}: {}", std::io::Error::last_os_error()))
}
