//! The peer `SQLite`.
//!
//! Its library (Debian: `libsqlite3-0`) is loaded when a row needs it, so that this program is built,
//! and measures the rest, on machines that do not have it.
#![expect(unsafe_code, reason = "the functions of a C library are called")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::transmute;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use crate::groups::c_library::CLibrary;
use crate::row::Skipped;

const LIBRARY: &CStr = c"libsqlite3.so.0";
const OK: c_int = 0;
const DONE: c_int = 101;
/// `SQLITE_STATIC`: what is bound stays where it is until the statement was run.
const STATIC: *mut c_void = ptr::null_mut();

/// How a commit is made safe.
#[derive(Debug, Clone, Copy)]
pub(super) enum JournalMode {
    /// What was there is written to a journal before, as it comes.
    Delete,
    /// What is new is written to a log, and to the database later.
    Wal,
}

/// A table of rows of a page each.
pub(super) struct Database {
    functions: Functions,
    raw: *mut c_void,
    update: *mut c_void,
}

impl Database {
    pub(super) fn create(path: &Path, mode: JournalMode, rows: u64) -> Result<Self, Skipped> {
        let functions = Functions::load()?;
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut raw = ptr::null_mut();
        // SAFETY: the name ends in a zero, and there is room for the handle.
        let status = unsafe { (functions.open)(path.as_ptr(), &raw mut raw) };
        let mut database = Self {
            functions,
            raw,
            update: ptr::null_mut(),
        };
        database.expect(status, OK, "sqlite3_open")?;
        let mode = match mode {
            JournalMode::Delete => c"PRAGMA journal_mode=DELETE",
            JournalMode::Wal => c"PRAGMA journal_mode=WAL",
        };
        database.run(c"PRAGMA page_size=4096")?;
        database.run(mode)?;
        database.run(c"PRAGMA synchronous=FULL")?;
        database.run(c"CREATE TABLE pages (number INTEGER PRIMARY KEY, bytes BLOB)")?;
        let fill = format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows}) \
             INSERT INTO pages SELECT i, zeroblob(4000) FROM n"
        );
        database.run(&CString::new(fill)?)?;
        let update = c"UPDATE pages SET bytes = ?1 WHERE number = ?2";
        // SAFETY: an open database, text that ends in a zero, and room for the statement.
        let status = unsafe {
            (database.functions.prepare)(
                database.raw,
                update.as_ptr(),
                -1,
                &raw mut database.update,
                ptr::null_mut(),
            )
        };
        database.expect(status, OK, "sqlite3_prepare_v2")?;
        Ok(database)
    }

    /// Changes rows in one transaction.
    pub(super) fn update(
        &mut self,
        rows: impl Iterator<Item = u64>,
        bytes: &[u8],
    ) -> Result<(), Skipped> {
        let (len, update) = (c_int::try_from(bytes.len())?, self.update);
        self.run(c"BEGIN")?;
        for row in rows {
            // SAFETY: a statement, and bytes of that length that stay until it was run.
            let status = unsafe {
                (self.functions.bind_blob)(update, 1, bytes.as_ptr().cast(), len, STATIC)
            };
            self.expect(status, OK, "sqlite3_bind_blob")?;
            // SAFETY: a statement.
            let status = unsafe { (self.functions.bind_int64)(update, 2, i64::try_from(row)?) };
            self.expect(status, OK, "sqlite3_bind_int64")?;
            // SAFETY: a statement whose parameters are bound.
            let status = unsafe { (self.functions.step)(update) };
            self.expect(status, DONE, "sqlite3_step")?;
            // SAFETY: a statement.
            let status = unsafe { (self.functions.reset)(update) };
            self.expect(status, OK, "sqlite3_reset")?;
            // SAFETY: an open database.
            let changed = unsafe { (self.functions.changes)(self.raw) };
            if changed != 1 {
                return Err(Skipped(format!(
                    "SQLite changed {changed} rows instead of one"
                )));
            }
        }
        self.run(c"COMMIT")
    }

    fn run(&mut self, statement: &CStr) -> Result<(), Skipped> {
        // SAFETY: an open database, text that ends in a zero; neither rows nor a message are asked for.
        let status = unsafe {
            (self.functions.exec)(
                self.raw,
                statement.as_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        self.expect(status, OK, "sqlite3_exec")
    }

    fn expect(&self, status: c_int, wanted: c_int, function: &str) -> Result<(), Skipped> {
        if status == wanted {
            return Ok(());
        }
        // SAFETY: a handle of `sqlite3_open`, or null, of which the message is that memory is short.
        let message = unsafe { (self.functions.message)(self.raw) };
        // SAFETY: text that ends in a zero, and stays until the next call.
        let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
        Err(Skipped(format!("{function}: {message}")))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: a statement, or null; it is not used any more.
        unsafe { (self.functions.finalize)(self.update) };
        // SAFETY: a handle, or null; it is not used any more, and has no statements left.
        unsafe { (self.functions.close)(self.raw) };
    }
}

// The functions that we call, as sqlite3.h has them.
type Open = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
type Exec = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    *mut c_void,
    *mut c_void,
    *mut *mut c_char,
) -> c_int;
type Prepare = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    c_int,
    *mut *mut c_void,
    *mut *const c_char,
) -> c_int;
type BindBlob =
    unsafe extern "C" fn(*mut c_void, c_int, *const c_void, c_int, *mut c_void) -> c_int;
type BindInt64 = unsafe extern "C" fn(*mut c_void, c_int, i64) -> c_int;
type OfHandle = unsafe extern "C" fn(*mut c_void) -> c_int;
type Message = unsafe extern "C" fn(*mut c_void) -> *const c_char;

struct Functions {
    open: Open,
    exec: Exec,
    prepare: Prepare,
    bind_blob: BindBlob,
    bind_int64: BindInt64,
    step: OfHandle,
    reset: OfHandle,
    changes: OfHandle,
    finalize: OfHandle,
    close: OfHandle,
    message: Message,
}

impl Functions {
    fn load() -> Result<Self, Skipped> {
        let library = CLibrary::load(LIBRARY, "libsqlite3-0")?;
        let symbol = |name: &CStr| library.symbol(name);
        let of_handle = |name: &CStr| {
            // SAFETY: the functions that are asked for have that type.
            Ok::<_, Skipped>(unsafe { transmute::<*mut c_void, OfHandle>(symbol(name)?) })
        };
        Ok(Self {
            // SAFETY: this and those below: the function of that name has that type.
            open: unsafe { transmute::<*mut c_void, Open>(symbol(c"sqlite3_open")?) },
            // SAFETY: as above.
            exec: unsafe { transmute::<*mut c_void, Exec>(symbol(c"sqlite3_exec")?) },
            // SAFETY: as above.
            prepare: unsafe { transmute::<*mut c_void, Prepare>(symbol(c"sqlite3_prepare_v2")?) },
            // SAFETY: as above.
            bind_blob: unsafe { transmute::<*mut c_void, BindBlob>(symbol(c"sqlite3_bind_blob")?) },
            // SAFETY: as above.
            bind_int64: unsafe {
                transmute::<*mut c_void, BindInt64>(symbol(c"sqlite3_bind_int64")?)
            },
            step: of_handle(c"sqlite3_step")?,
            reset: of_handle(c"sqlite3_reset")?,
            changes: of_handle(c"sqlite3_changes")?,
            finalize: of_handle(c"sqlite3_finalize")?,
            close: of_handle(c"sqlite3_close")?,
            // SAFETY: as above.
            message: unsafe { transmute::<*mut c_void, Message>(symbol(c"sqlite3_errmsg")?) },
        })
    }
}
