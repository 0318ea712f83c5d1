//! DataSync for the SQLite of the host program: loading this library registers the VFS `datasync`.
//!
//! ```text
//! sqlite> .load ./libdatasync
//! sqlite> .open file:app.datasync?vfs=datasync
//! ```
//!
//! Holds the two entry points and the hand-over of the host's function table; everything else is the
//! library's. The rule it keeps: nothing of the table is read that the host's version does not have.
//!
//! It stays loaded for the life of the process: other connections may be using the VFS.

use std::ffi::{c_char, c_int};
use std::mem::{MaybeUninit, offset_of, size_of};
use std::ptr;

use rusqlite::ffi::{self, sqlite3, sqlite3_api_routines};

/// The oldest host this is tested with. Its table ends before `is_interrupted`.
const OLDEST_HOST: c_int = 3_040_000;

/// Entry point by the library's name: `libdatasync.so` is looked up as this.
///
/// # Safety
/// Called by SQLite, with its own function table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_datasync_init(
    db: *mut sqlite3,
    message: *mut *mut c_char,
    api: *mut sqlite3_api_routines,
) -> c_int {
    // SAFETY: handed on unchanged.
    unsafe { sqlite3_extension_init(db, message, api) }
}

/// Entry point by SQLite's general name, whatever the file is called.
///
/// # Safety
/// Called by SQLite, with its own function table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_extension_init(
    _db: *mut sqlite3,
    message: *mut *mut c_char,
    api: *mut sqlite3_api_routines,
) -> c_int {
    // SAFETY: SQLite calls an entry point with its own table, which lives as long as the process.
    let outcome = unsafe { adopt(api) };
    match outcome.and_then(|()| store::vfs::register().map_err(|error| error.to_string())) {
        Ok(()) => ffi::SQLITE_OK_LOAD_PERMANENTLY,
        Err(sentence) => {
            // SAFETY: `api` was checked or is null; `message` is SQLite's.
            unsafe { say(&sentence, message, api) };
            ffi::SQLITE_ERROR
        }
    }
}

/// How many bytes of the function table a host of this version has. SQLite only ever appends to it.
fn table_len(version: c_int) -> usize {
    match version {
        ..3_041_000 => offset_of!(sqlite3_api_routines, is_interrupted),
        3_041_000..3_043_000 => offset_of!(sqlite3_api_routines, stmt_explain),
        3_043_000..3_044_000 => offset_of!(sqlite3_api_routines, get_clientdata),
        _ => size_of::<sqlite3_api_routines>(),
    }
}

/// What the bindings are told of the host's version. They refuse any host older than themselves and then
/// read their whole table; they get a whole table, with nothing in the places that the host lacks.
unsafe extern "C" fn bindings_version() -> c_int {
    ffi::SQLITE_VERSION_NUMBER
}

/// Makes the host's functions the ones that the bindings call.
///
/// # Safety
/// `api` is null or the function table of the SQLite that is calling.
unsafe fn adopt(api: *mut sqlite3_api_routines) -> Result<(), String> {
    if api.is_null() {
        return Err("the host gave no function table".to_owned());
    }
    // SAFETY: the field is in the table of every SQLite that has extensions.
    let version = unsafe { (*api).libversion_number }.map(|version| {
        // SAFETY: a function of the host without conditions.
        unsafe { version() }
    });
    let version = version.ok_or("the host does not tell its version")?;
    if version < OLDEST_HOST {
        return Err(format!("datasync needs SQLite 3.40 or newer, this host has {}", spell(version)));
    }
    let mut table = MaybeUninit::<sqlite3_api_routines>::zeroed();
    // SAFETY: the host's table has at least this many bytes, ours is at least as large, and they are
    // different objects. All-zero is a valid table: every field is an Option of a function pointer.
    let mut table = unsafe {
        ptr::copy_nonoverlapping(api.cast::<u8>(), table.as_mut_ptr().cast::<u8>(), table_len(version));
        table.assume_init()
    };
    table.libversion_number = Some(bindings_version);
    // SAFETY: a whole table of the bindings' own type; they copy the pointers out of it.
    unsafe { ffi::rusqlite_extension_init2(&raw mut table) }.map_err(|error| error.to_string())
}

fn spell(version: c_int) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

/// Hands a sentence to the host in memory of its own allocator, which it frees.
///
/// # Safety
/// `message` is null or SQLite's place for an error message; `api` is null or the host's table.
unsafe fn say(sentence: &str, message: *mut *mut c_char, api: *mut sqlite3_api_routines) {
    if message.is_null() || api.is_null() {
        return;
    }
    // SAFETY: the field is in the table of every SQLite that has extensions.
    let Some(malloc) = (unsafe { (*api).malloc }) else { return };
    let Ok(len) = c_int::try_from(sentence.len() + 1) else { return };
    // SAFETY: `memory` has `len` bytes when it is not null: the sentence and its final zero.
    unsafe {
        let memory = malloc(len).cast::<u8>();
        if !memory.is_null() {
            ptr::copy_nonoverlapping(sentence.as_ptr(), memory, sentence.len());
            memory.add(sentence.len()).write(0);
            *message = memory.cast();
        }
    }
}
