//! The C side of the VFS: SQLite's two tables of callbacks, and every `unsafe` there is in this module.
//!
//! Each callback turns pointers into slices and strings, calls safe code, and turns the result into a code.
//! Must not decide anything. The rules it keeps: no panic crosses into C (a panic ends the volume's life and
//! reads as IOERR), and nothing SQLite hands over is kept longer than SQLite promises it.
//!
//! Temporary files, super-journals, randomness, the clock and extension loading are the host's own VFS's.

mod io;
mod temp;

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::ffi;
use rusqlite::ffi::{sqlite3, sqlite3_file, sqlite3_int64, sqlite3_vfs};

use super::open::{self, File};
use super::pragma::Synchronous;
use super::trouble::{self, Call, Trouble};
use super::{store, supers, turn};
use crate::backend::OpenMode;
use crate::error::{Error, ErrorKind, Result, fail};

pub(super) use temp::TempFile;

/// The name to open databases with.
pub(super) const NAME: &CStr = c"datasync";

/// What SQLite allocates for an open file of ours.
#[repr(C)]
struct Handle {
    /// SQLite reads the table of callbacks here: it must come first.
    head: sqlite3_file,
    file: *mut File,
    /// Where SQLite says, while it calls, for which connection; null until it has told of the place. With a shared
    /// cache there are several, and the one that opened the file may be closed before the others.
    connection: *const *mut sqlite3,
}

/// The pointers that outlive registration.
struct Registered {
    host: *mut sqlite3_vfs,
    synchronous: Synchronous,
}

// SAFETY: `host` is the default VFS, which SQLite itself uses from every thread.
unsafe impl Send for Registered {}
// SAFETY: as above; it is never written through.
unsafe impl Sync for Registered {}

static REGISTERED: OnceLock<std::result::Result<Registered, String>> = OnceLock::new();

/// Registers the VFS, once per process.
pub(super) fn register() -> Result<()> {
    match REGISTERED.get_or_init(first_register) {
        Ok(_) => Ok(()),
        Err(text) => fail(ErrorKind::Unsupported, text.clone()),
    }
}

fn first_register() -> std::result::Result<Registered, String> {
    // SAFETY: a null name asks for the default VFS, and is answered with null or a pointer valid for good.
    let host = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    if host.is_null() {
        return Err("this SQLite has no VFS of its own for temporary files".to_owned());
    }
    // SAFETY: just found; SQLite keeps registered VFS objects readable.
    let (host_file, host_path) = unsafe { ((*host).szOsFile, (*host).mxPathname) };
    let own_file = c_int::try_from(size_of::<Handle>()).expect("a few words");
    let vfs = Box::new(sqlite3_vfs {
        iVersion: 2,
        szOsFile: own_file.max(host_file),
        mxPathname: host_path.max(1024),
        pNext: ptr::null_mut(),
        zName: NAME.as_ptr(),
        pAppData: ptr::null_mut(),
        xOpen: Some(x_open),
        xDelete: Some(x_delete),
        xAccess: Some(x_access),
        xFullPathname: Some(x_full_pathname),
        xDlOpen: Some(x_dl_open),
        xDlError: Some(x_dl_error),
        xDlSym: Some(x_dl_sym),
        xDlClose: Some(x_dl_close),
        xRandomness: Some(x_randomness),
        xSleep: Some(x_sleep),
        xCurrentTime: Some(x_current_time),
        xGetLastError: Some(x_get_last_error),
        xCurrentTimeInt64: Some(x_current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    });
    // SAFETY: the object is complete and is never freed; not made the default.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(vfs), 0) };
    if code != ffi::SQLITE_OK {
        return Err(format!("SQLite refused the VFS (code {code})"));
    }
    Ok(Registered { host, synchronous: default_synchronous() })
}

/// What `PRAGMA synchronous` is before anybody sets it: SQLite's build decides.
fn default_synchronous() -> Synchronous {
    // SAFETY: NUL-terminated strings.
    let relaxed = [c"DEFAULT_SYNCHRONOUS=0", c"DEFAULT_SYNCHRONOUS=1"]
        .into_iter()
        .any(|option| unsafe { ffi::sqlite3_compileoption_used(option.as_ptr()) } != 0);
    if relaxed { Synchronous::Relaxed } else { Synchronous::Full }
}

fn registered() -> &'static Registered {
    REGISTERED
        .get()
        .and_then(|done| done.as_ref().ok())
        .expect("SQLite knows these callbacks only once registered")
}

/// Turns what happened into a code, and keeps the words.
fn outcome(
    call: Call,
    store: Option<&store::Store>,
    result: std::result::Result<Result<c_int>, Box<dyn Any + Send>>,
) -> c_int {
    let error = match result {
        Ok(Ok(code)) => return code,
        Ok(Err(error)) => error,
        Err(panic) => {
            if let Some(store) = store {
                store.end();
            }
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Error::new(ErrorKind::Poisoned, format!("a bug in datasync, please report it: {text}"))
        }
    };
    let code = trouble::code(error.kind(), call);
    let trouble = Trouble::of(&error);
    if let Some(store) = store {
        store.note(&trouble);
    }
    if !matches!(error.kind(), ErrorKind::Busy | ErrorKind::Stale)
        && let Ok(text) = CString::new(trouble.text.as_str())
    {
        // SAFETY: a format with one string, and that string.
        unsafe { ffi::sqlite3_log(code, c"%s".as_ptr(), text.as_ptr()) };
    }
    trouble::remember(trouble);
    code
}

fn guard(call: Call, body: impl FnOnce() -> Result<c_int>) -> c_int {
    let result = catch_unwind(AssertUnwindSafe(body));
    outcome(call, None, result)
}

/// The text behind a C string of SQLite's.
///
/// # Safety
/// Null, or NUL-terminated and valid for `'a`.
unsafe fn text<'a>(name: *const c_char) -> Result<Option<&'a str>> {
    if name.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    match unsafe { CStr::from_ptr(name) }.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => fail(ErrorKind::Misuse, "a name that is not UTF-8"),
    }
}

fn unsigned(number: sqlite3_int64) -> Result<u64> {
    u64::try_from(number).or_else(|_| fail(ErrorKind::Misuse, "a negative offset"))
}

fn length(number: c_int) -> usize {
    usize::try_from(number).unwrap_or(0)
}

// ---- the VFS ----

unsafe extern "C" fn x_open(
    _vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let host = registered().host;
    // SAFETY: SQLite gives szOsFile bytes; without callbacks it will not close what failed to open.
    unsafe { (*file).pMethods = ptr::null() };
    if name.is_null() || flags & ffi::SQLITE_OPEN_SUPER_JOURNAL != 0 {
        // SAFETY: SQLite's own arguments, handed on to the VFS whose file this then is; there is room for it.
        return unsafe {
            (*host).xOpen.map_or(ffi::SQLITE_CANTOPEN, |open| open(host, name, file, flags, out_flags))
        };
    }
    guard(Call::Open, || {
        // SAFETY: SQLite keeps the name until the file is closed.
        let path = unsafe { text(name) }?.unwrap_or_default();
        let opened = if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
            let access = match (flags & ffi::SQLITE_OPEN_READONLY != 0, flags & ffi::SQLITE_OPEN_CREATE != 0)
            {
                (true, _) => OpenMode::ReadOnly,
                (false, true) => OpenMode::Create,
                (false, false) => OpenMode::Existing,
            };
            // SAFETY: SQLite's name of a main database carries its parameters.
            let parameters = unsafe { parameters(name) }?;
            File::Main(open::database(path, &parameters, access, registered().synchronous)?)
        } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
            return open::refuse_wal(path);
        } else {
            File::Journal(Default::default())
        };
        let read_only = matches!(&opened, File::Main(main) if main.is_read_only());
        let handle = Handle {
            head: sqlite3_file { pMethods: &io::METHODS },
            file: Box::into_raw(Box::new(opened)),
            connection: ptr::null(),
        };
        // SAFETY: szOsFile is at least a Handle, aligned as SQLite aligns all its objects.
        unsafe { file.cast::<Handle>().write(handle) };
        if !out_flags.is_null() {
            let access = if read_only { ffi::SQLITE_OPEN_READONLY } else { ffi::SQLITE_OPEN_READWRITE };
            let others = flags & !(ffi::SQLITE_OPEN_READONLY | ffi::SQLITE_OPEN_READWRITE);
            // SAFETY: not null, SQLite's to be filled.
            unsafe { *out_flags = others | access };
        }
        Ok(ffi::SQLITE_OK)
    })
}

/// The parameters of a URI name.
///
/// # Safety
/// `name` is what SQLite passed to xOpen for a main database.
unsafe fn parameters(name: ffi::sqlite3_filename) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for at in 0.. {
        // SAFETY: the caller's promise; the strings live as long as the name.
        let pair = unsafe {
            let key = ffi::sqlite3_uri_key(name, at);
            text(key)?.map(|text| (text, ffi::sqlite3_uri_parameter(name, key)))
        };
        let Some((key, value)) = pair else { break };
        // SAFETY: as above.
        let value = unsafe { text(value) }?.unwrap_or_default();
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

unsafe extern "C" fn x_delete(_vfs: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let host = registered().host;
    guard(Call::Control, || {
        // SAFETY: SQLite's own argument.
        let path = unsafe { text(name) }?.unwrap_or_default();
        // The commit of a transaction over several files removes the super-journal durably, a rollback does not.
        if open::is_companion(path) || sync == 0 && supers::is_needed(path) {
            return Ok(ffi::SQLITE_OK);
        }
        // SAFETY: SQLite's own arguments, handed on.
        Ok(unsafe { (*host).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(host, name, sync)) })
    })
}

unsafe extern "C" fn x_access(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let host = registered().host;
    guard(Call::Control, || {
        // SAFETY: SQLite's own argument.
        let path = unsafe { text(name) }?.unwrap_or_default();
        if open::is_companion(path) {
            // SAFETY: SQLite's to be filled.
            unsafe { *out = 0 };
            return Ok(ffi::SQLITE_OK);
        }
        // SAFETY: SQLite's own arguments, handed on.
        Ok(unsafe {
            (*host).xAccess.map_or(ffi::SQLITE_IOERR_ACCESS, |access| access(host, name, flags, out))
        })
    })
}

unsafe extern "C" fn x_full_pathname(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    guard(Call::Open, || {
        // SAFETY: SQLite's own argument.
        let path = unsafe { text(name) }?.unwrap_or_default();
        let full = store::full_name(path)?;
        if full.len() >= length(room) {
            return fail(ErrorKind::Misuse, format!("{path}: the path is too long"));
        }
        // SAFETY: room for the text and its NUL was just checked.
        unsafe {
            ptr::copy_nonoverlapping(full.as_ptr(), out.cast(), full.len());
            out.add(full.len()).write(0);
        }
        Ok(ffi::SQLITE_OK)
    })
}

unsafe extern "C" fn x_dl_open(_vfs: *mut sqlite3_vfs, name: *const c_char) -> *mut c_void {
    let host = registered().host;
    // SAFETY: SQLite's own arguments, handed on (here and below).
    unsafe { (*host).xDlOpen.map_or(ptr::null_mut(), |open| open(host, name)) }
}

unsafe extern "C" fn x_dl_error(_vfs: *mut sqlite3_vfs, room: c_int, out: *mut c_char) {
    let host = registered().host;
    // SAFETY: see x_dl_open.
    unsafe {
        if let Some(error) = (*host).xDlError {
            error(host, room, out);
        }
    }
}

type Symbol = Option<unsafe extern "C" fn(*mut sqlite3_vfs, *mut c_void, *const c_char)>;

unsafe extern "C" fn x_dl_sym(_vfs: *mut sqlite3_vfs, library: *mut c_void, name: *const c_char) -> Symbol {
    let host = registered().host;
    // SAFETY: see x_dl_open.
    unsafe { (*host).xDlSym.and_then(|symbol| symbol(host, library, name)) }
}

unsafe extern "C" fn x_dl_close(_vfs: *mut sqlite3_vfs, library: *mut c_void) {
    let host = registered().host;
    // SAFETY: see x_dl_open.
    unsafe {
        if let Some(close) = (*host).xDlClose {
            close(host, library);
        }
    }
}

unsafe extern "C" fn x_randomness(_vfs: *mut sqlite3_vfs, count: c_int, out: *mut c_char) -> c_int {
    let host = registered().host;
    // SAFETY: see x_dl_open.
    unsafe { (*host).xRandomness.map_or(0, |random| random(host, count, out)) }
}

unsafe extern "C" fn x_sleep(_vfs: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    let host = registered().host;
    let at_most = Duration::from_micros(u64::try_from(microseconds).unwrap_or(0));
    if catch_unwind(|| turn::sleep(at_most)).unwrap_or(false) {
        return microseconds;
    }
    // SAFETY: see x_dl_open.
    unsafe { (*host).xSleep.map_or(0, |sleep| sleep(host, microseconds)) }
}

unsafe extern "C" fn x_current_time(_vfs: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    let host = registered().host;
    // SAFETY: see x_dl_open.
    unsafe { (*host).xCurrentTime.map_or(ffi::SQLITE_ERROR, |now| now(host, out)) }
}

unsafe extern "C" fn x_current_time_int64(vfs: *mut sqlite3_vfs, out: *mut sqlite3_int64) -> c_int {
    let host = registered().host;
    // SAFETY: see x_dl_open; the member exists from version 2 on.
    let exact = unsafe { if (*host).iVersion >= 2 { (*host).xCurrentTimeInt64 } else { None } };
    if let Some(now) = exact {
        // SAFETY: see x_dl_open.
        return unsafe { now(host, out) };
    }
    let mut days = 0.0;
    // SAFETY: a local and SQLite's own out-pointer.
    unsafe {
        let code = x_current_time(vfs, &mut days);
        *out = (days * 86_400_000.0) as sqlite3_int64;
        code
    }
}

unsafe extern "C" fn x_get_last_error(_vfs: *mut sqlite3_vfs, room: c_int, out: *mut c_char) -> c_int {
    let Some(trouble) = trouble::last() else { return 0 };
    let room = length(room);
    if !out.is_null() && room > 0 {
        let mut end = trouble.text.len().min(room - 1);
        while !trouble.text.is_char_boundary(end) {
            end -= 1;
        }
        // SAFETY: `end` bytes and a NUL fit into `room`.
        unsafe {
            ptr::copy_nonoverlapping(trouble.text.as_ptr(), out.cast(), end);
            out.add(end).write(0);
        }
    }
    trouble.system
}
