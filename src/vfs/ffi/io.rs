//! The callbacks on an open file.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use rusqlite::ffi;
use rusqlite::ffi::{sqlite3, sqlite3_file, sqlite3_int64};

use super::{Handle, length, outcome, text, unsigned};
use crate::block::BLOCK_SIZE;
use crate::error::{ErrorKind, Result, fail};
use crate::vfs::file::{Level, MainFile};
use crate::vfs::open::File;
use crate::vfs::pragma::Answer;
use crate::vfs::trouble::{self, Call};

pub(super) static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // 1: no shared memory (so no WAL) and no memory mapping.
    iVersion: 1,
    xClose: Some(x_close),
    xRead: Some(x_read),
    xWrite: Some(x_write),
    xTruncate: Some(x_truncate),
    xSync: Some(x_sync),
    xFileSize: Some(x_file_size),
    xLock: Some(x_lock),
    xUnlock: Some(x_unlock),
    xCheckReservedLock: Some(x_check_reserved_lock),
    xFileControl: Some(x_file_control),
    xSectorSize: Some(x_sector_size),
    xDeviceCharacteristics: Some(x_device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Runs `body` on the file behind `file`.
///
/// # Safety
/// `file` was opened by `x_open` as ours and is not closed; nobody else uses it during the call (SQLite's
/// rule for a `sqlite3_file`).
unsafe fn with(file: *mut sqlite3_file, call: Call, body: impl FnOnce(&mut File) -> Result<c_int>) -> c_int {
    // SAFETY: the caller's promise; `file.file` is a live box until x_close.
    let file = unsafe { &mut *(*file.cast::<Handle>()).file };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(file)));
    outcome(call, file.store(), result)
}

unsafe extern "C" fn x_close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes once, and uses nothing of the file afterwards.
    let opened = unsafe {
        (*file).pMethods = ptr::null();
        Box::from_raw((*file.cast::<Handle>()).file)
    };
    super::guard(Call::Close, || {
        drop(opened);
        Ok(ffi::SQLITE_OK)
    })
}

unsafe extern "C" fn x_read(
    file: *mut sqlite3_file,
    out: *mut c_void,
    count: c_int,
    at: sqlite3_int64,
) -> c_int {
    let count = length(count);
    // SAFETY: `count` bytes of SQLite's, which may hold nothing yet: they are made bytes before they are a
    // slice. What lies past the end of the file must read as zeros anyway.
    let buf = unsafe {
        ptr::write_bytes(out.cast::<u8>(), 0, count);
        std::slice::from_raw_parts_mut(out.cast::<u8>(), count)
    };
    // SAFETY: SQLite's own file (here and below).
    unsafe {
        with(file, Call::Read, |file| {
            let there = file.read(buf, unsigned(at)?)?;
            Ok(if there < buf.len() { ffi::SQLITE_IOERR_SHORT_READ } else { ffi::SQLITE_OK })
        })
    }
}

unsafe extern "C" fn x_write(
    file: *mut sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: `count` bytes of SQLite's, not changed during the call.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length(count)) };
    // SAFETY: see x_read.
    unsafe { with(file, Call::Write, |file| file.write(bytes, unsigned(at)?).map(|()| ffi::SQLITE_OK)) }
}

unsafe extern "C" fn x_truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: see x_read.
    unsafe { with(file, Call::Truncate, |file| file.truncate(unsigned(size)?).map(|()| ffi::SQLITE_OK)) }
}

/// Runs `body` on a database file; a journal has nothing to do in these calls.
///
/// # Safety
/// As [`with`].
unsafe fn with_main(
    file: *mut sqlite3_file,
    call: Call,
    body: impl FnOnce(&mut MainFile) -> Result<()>,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        with(file, call, |file| {
            match file {
                File::Main(main) => body(main)?,
                File::Journal(_) => {}
            }
            Ok(ffi::SQLITE_OK)
        })
    }
}

unsafe extern "C" fn x_sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: see x_read.
    unsafe { with_main(file, Call::Sync, MainFile::sync) }
}

unsafe extern "C" fn x_file_size(file: *mut sqlite3_file, out: *mut sqlite3_int64) -> c_int {
    // SAFETY: see x_read; `out` is SQLite's to be filled.
    unsafe {
        *out = 0;
        with(file, Call::Size, |file| {
            let Ok(size) = sqlite3_int64::try_from(file.size()?) else {
                return fail(ErrorKind::Unsupported, "a file too long for SQLite");
            };
            *out = size;
            Ok(ffi::SQLITE_OK)
        })
    }
}

fn level(number: c_int) -> Result<Level> {
    match number {
        ffi::SQLITE_LOCK_NONE => Ok(Level::None),
        ffi::SQLITE_LOCK_SHARED => Ok(Level::Shared),
        ffi::SQLITE_LOCK_RESERVED => Ok(Level::Reserved),
        ffi::SQLITE_LOCK_PENDING => Ok(Level::Pending),
        ffi::SQLITE_LOCK_EXCLUSIVE => Ok(Level::Exclusive),
        _ => fail(ErrorKind::Misuse, format!("no lock level {number}")),
    }
}

unsafe extern "C" fn x_lock(file: *mut sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: see x_read.
    unsafe { with_main(file, Call::Lock, |main| main.lock(level(wanted)?)) }
}

unsafe extern "C" fn x_unlock(file: *mut sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: see x_read.
    unsafe { with_main(file, Call::Unlock, |main| main.unlock(level(wanted)?)) }
}

unsafe extern "C" fn x_check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: see x_read; `out` is SQLite's to be filled.
    unsafe {
        *out = 0;
        with_main(file, Call::Lock, |main| {
            *out = c_int::from(main.is_reserved());
            Ok(())
        })
    }
}

unsafe extern "C" fn x_sector_size(_file: *mut sqlite3_file) -> c_int {
    c_int::try_from(BLOCK_SIZE).expect("4096")
}

unsafe extern "C" fn x_device_characteristics(_file: *mut sqlite3_file) -> c_int {
    // SAFE_APPEND: the length and the bytes it covers become durable in one commit.
    // SEQUENTIAL: commits survive a crash as a prefix of the order they were made in.
    // POWERSAFE_OVERWRITE: the log never shares a 4 KiB page between commits, and a torn write to the base is
    // always covered by the log; so writing one page cannot damage its neighbours.
    // SUBPAGE_READ (by number: older headers lack it): a read may begin and end anywhere.
    // Not claimed: ATOMIC and BATCH_ATOMIC (true, but SQLite would then send no journal and no sync to see),
    // UNDELETABLE_WHEN_OPEN (a directory can be removed), IMMUTABLE.
    ffi::SQLITE_IOCAP_SAFE_APPEND
        | ffi::SQLITE_IOCAP_SEQUENTIAL
        | ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
        | 0x8000
}

unsafe extern "C" fn x_file_control(file: *mut sqlite3_file, op: c_int, arg: *mut c_void) -> c_int {
    let handle = file.cast::<Handle>();
    // SAFETY: each op's argument is of the type SQLite documents for it.
    unsafe {
        match op {
            ffi::SQLITE_FCNTL_PRAGMA => {
                let place = (*handle).connection;
                let in_transaction = !place.is_null() && ffi::sqlite3_get_autocommit(*place) == 0;
                pragma(file, arg.cast::<*mut c_char>(), in_transaction)
            }
            ffi::SQLITE_FCNTL_SYNC => {
                with(file, Call::Sync, |file| before_sync(file, text(arg.cast::<c_char>())?))
            }
            ffi::SQLITE_FCNTL_COMMIT_PHASETWO => with_main(file, Call::Commit, MainFile::commit),
            ffi::SQLITE_FCNTL_PDB => {
                // SQLite keeps the place as long as the file is open, and fills it in before it calls.
                (*handle).connection = arg.cast::<*mut sqlite3>();
                ffi::SQLITE_OK
            }
            ffi::SQLITE_FCNTL_VFSNAME => {
                *arg.cast::<*mut c_char>() = copied(super::NAME);
                ffi::SQLITE_OK
            }
            ffi::SQLITE_FCNTL_HAS_MOVED => {
                *arg.cast::<c_int>() = 0;
                ffi::SQLITE_OK
            }
            _ => ffi::SQLITE_NOTFOUND,
        }
    }
}

fn before_sync(file: &mut File, super_journal: Option<&str>) -> Result<c_int> {
    let File::Main(main) = file else { return Ok(ffi::SQLITE_OK) };
    // Its words are kept already.
    let refused = main.before_sync(super_journal)?;
    Ok(refused.map_or(ffi::SQLITE_OK, |kind| trouble::code(kind, Call::Sync)))
}

/// # Safety
/// The arguments of FCNTL_PRAGMA: `words` is [room for an answer, name, value or null].
unsafe fn pragma(file: *mut sqlite3_file, words: *mut *mut c_char, in_transaction: bool) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        with(file, Call::Control, |file| {
            let File::Main(main) = file else { return Ok(ffi::SQLITE_NOTFOUND) };
            let (Some(name), value) = (text(*words.add(1))?, text(*words.add(2))?) else {
                return Ok(ffi::SQLITE_NOTFOUND);
            };
            match main.pragma(name, value, in_transaction) {
                Ok(Answer::NotOurs) => Ok(ffi::SQLITE_NOTFOUND),
                Ok(Answer::Row(row)) => {
                    *words = copied_text(&row);
                    Ok(ffi::SQLITE_OK)
                }
                Err(error) => {
                    *words = copied_text(&error.to_string());
                    Err(error)
                }
            }
        })
    }
}

/// A copy that SQLite will free. Null when there is no memory, which SQLite takes for "nothing to say".
fn copied(text: &CStr) -> *mut c_char {
    let bytes = text.to_bytes_with_nul();
    // SAFETY: as many bytes as are then written.
    unsafe {
        let copy = ffi::sqlite3_malloc64(bytes.len() as u64).cast::<u8>();
        if !copy.is_null() {
            ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
        }
        copy.cast()
    }
}

fn copied_text(text: &str) -> *mut c_char {
    let end = text.find('\0').unwrap_or(text.len());
    let text = std::ffi::CString::new(&text[..end]).expect("cut before the first NUL");
    copied(&text)
}
