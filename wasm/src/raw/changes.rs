//! Sets of changes, by SQLite's session extension. What SQLite calls a session is a recording here: in this crate
//! that word is taken.
//!
//! rusqlite's own session borrows its connection, and natively asks for a generator of bindings. Must not decide
//! where a transaction begins or ends. The rules it keeps: a recording is deleted before its connection is closed
//! (the engine drops them in that order), what SQLite would pass over in silence is an error, and nothing panics
//! inside a callback.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Deref;
use std::ptr;

use rusqlite::{Connection, ffi};

use super::{check, handle, name, told};
use crate::failure::{Failure, Outcome};

/// A recording of what changes in the main database.
pub struct Recording(*mut ffi::sqlite3_session);

impl Recording {
    /// Records the tables whose names `tables` holds, each ended by a NUL; every table if there are none.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn begin(connection: &Connection, tables: &str) -> Outcome<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: an open connection, a name, a local to be filled.
        let code = unsafe { ffi::sqlite3session_create(handle(connection), c"main".as_ptr(), &mut raw) };
        check(connection, code)?;
        let recording = Self(raw);
        // Tables without a primary key, too: their rowid stands for it.
        let mut on: c_int = 1;
        // SAFETY: a recording that is not deleted (here and below), and an int, as this option wants.
        let code = unsafe {
            ffi::sqlite3session_object_config(raw, ffi::SQLITE_SESSION_OBJCONFIG_ROWID, (&raw mut on).cast())
        };
        check(connection, code)?;
        let attach = |table| {
            // SAFETY: null, or a name that is copied.
            check(connection, unsafe { ffi::sqlite3session_attach(raw, table) })
        };
        if tables.is_empty() {
            attach(ptr::null())?;
        }
        for table in tables.split_inclusive('\0') {
            let table = CStr::from_bytes_with_nul(table.as_bytes());
            attach(table.map_err(|_| Failure::misuse("the name of a table is cut off"))?.as_ptr())?;
        }
        Ok(recording)
    }

    /// What has changed since it began: as a changeset, or (`patch`) without the old values.
    ///
    /// # Errors
    /// As SQLite says: it reads the rows as they are now.
    pub fn changes(&self, connection: &Connection, patch: bool) -> Outcome<Changes> {
        datasync::vfs::take_error();
        let mut changes = Changes::none();
        let (bytes, length) = (&raw mut changes.bytes, &raw mut changes.length);
        // SAFETY: see `begin`; two locals to be filled.
        let code = unsafe {
            if patch {
                ffi::sqlite3session_patchset(self.0, length, bytes)
            } else {
                ffi::sqlite3session_changeset(self.0, length, bytes)
            }
        };
        check(connection, code)?;
        Ok(changes)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: deleted once, while its connection is open.
        unsafe { ffi::sqlite3session_delete(self.0) };
    }
}

/// A changeset or a patchset in SQLite's memory.
pub struct Changes {
    bytes: *mut c_void,
    length: c_int,
}

impl Changes {
    fn none() -> Self {
        Self { bytes: ptr::null_mut(), length: 0 }
    }
}

impl Deref for Changes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: what SQLite gave away, until it is freed.
        unsafe { super::bytes(self.bytes.cast(), self.length) }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        // SAFETY: null, or what SQLite gave away; freed once.
        unsafe { ffi::sqlite3_free(self.bytes) };
    }
}

/// What becomes of a change that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Nothing is applied.
    Abort,
    /// It is left out.
    Omit,
    /// It wins over the row that is there; where no row is in its way, it is left out.
    Replace,
}

impl OnConflict {
    /// By its name in the package.
    ///
    /// # Errors
    /// `Misuse` for a word that is none.
    pub fn from_name(name: &str) -> Outcome<Self> {
        match name {
            "abort" => Ok(Self::Abort),
            "omit" => Ok(Self::Omit),
            "replace" => Ok(Self::Replace),
            _ => Err(Failure::misuse("onConflict can be abort, omit or replace")),
        }
    }
}

/// What the callbacks of an application share.
struct Applying {
    on_conflict: OnConflict,
    conflicts: u32,
    /// Tables that fit, in the order of their changes.
    fitting: Vec<String>,
    /// Why it was given up.
    refused: Option<Failure>,
}

/// Applies a changeset or a patchset; how many of its changes did not fit. After an error some may be applied:
/// it is for the caller to roll back.
///
/// # Errors
/// `Misuse`: the bytes are neither. `Sql`: a table is missing, or is another. `Conflict`, `Constraint`: a change
/// does not fit. As SQLite says.
pub fn apply(connection: &Connection, changes: &[u8], on_conflict: OnConflict) -> Outcome<u32> {
    let wanted = tables(changes)?;
    let mut applying = Applying { on_conflict, conflicts: 0, fitting: Vec::new(), refused: None };
    datasync::vfs::take_error();
    // SAFETY: an open connection; the bytes are only read; both callbacks get `applying`, which outlives the call;
    // nothing is wanted for a rebase.
    let code = unsafe {
        ffi::sqlite3changeset_apply_v3(
            handle(connection),
            length(changes)?,
            changes.as_ptr().cast_mut().cast(),
            Some(fits),
            Some(conflicts),
            (&raw mut applying).cast(),
            ptr::null_mut(),
            ptr::null_mut(),
            ffi::SQLITE_CHANGESETAPPLY_NOSAVEPOINT,
        )
    };
    match (applying.refused, code) {
        (Some(refused), _) => return Err(refused),
        (None, ffi::SQLITE_OK) => {}
        (None, code) => {
            return Err(match (code & 0xff, datasync::vfs::take_error()) {
                (ffi::SQLITE_CORRUPT, None) => garbage(),
                (_, ours) => told(connection, code, ours),
            });
        }
    }
    match wanted.into_iter().find(|table| !applying.fitting.contains(table)) {
        None => Ok(applying.conflicts),
        Some(table) => {
            let text =
                format!("there is no table {table:?} with the columns and the primary key of the changes");
            Err(Failure { kind: "Sql", ..Failure::misuse(text) })
        }
    }
}

/// The opposite of a changeset: what takes its changes back.
///
/// # Errors
/// `Misuse`: the bytes are no changeset.
pub fn invert(changes: &[u8]) -> Outcome<Changes> {
    let mut inverted = Changes::none();
    // SAFETY: bytes and their number, two locals to be filled.
    let code = unsafe {
        ffi::sqlite3changeset_invert(
            length(changes)?,
            changes.as_ptr().cast(),
            &raw mut inverted.length,
            &raw mut inverted.bytes,
        )
    };
    match code {
        ffi::SQLITE_OK => Ok(inverted),
        code => Err(unread(code)),
    }
}

/// The tables that a set of changes names; so that it is read once as a whole before anything is changed.
fn tables(changes: &[u8]) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let mut each = ptr::null_mut();
    let bytes = changes.as_ptr().cast_mut().cast();
    // SAFETY: the bytes outlive the iterator and are only read; a local to be filled.
    let begun = unsafe { ffi::sqlite3changeset_start(&mut each, length(changes)?, bytes) };
    if begun != ffi::SQLITE_OK {
        return Err(unread(begun));
    }
    // SAFETY: the iterator was begun, is asked for the change it stands on, and is finalized once.
    let ended = unsafe {
        while ffi::sqlite3changeset_next(each) == ffi::SQLITE_ROW {
            note(&mut found, change(each).0);
        }
        ffi::sqlite3changeset_finalize(each)
    };
    if ended == ffi::SQLITE_OK { Ok(found) } else { Err(unread(ended)) }
}

/// Changes come table by table: only the last one is looked at.
fn note(tables: &mut Vec<String>, table: String) {
    if tables.last() != Some(&table) {
        tables.push(table);
    }
}

/// The table and the kind of a change.
///
/// # Safety
/// An iterator that stands on a change.
unsafe fn change(each: *mut ffi::sqlite3_changeset_iter) -> (String, c_int) {
    let (mut table, mut columns, mut kind, mut indirect) = (ptr::null(), 0, 0, 0);
    // SAFETY: the caller's promise; locals to be filled; the name is copied at once.
    unsafe {
        ffi::sqlite3changeset_op(each, &mut table, &mut columns, &mut kind, &mut indirect);
        (name(table).unwrap_or_default(), kind)
    }
}

/// SQLite asks for each change of a table that is here as the changes need it.
unsafe extern "C" fn fits(applying: *mut c_void, each: *mut ffi::sqlite3_changeset_iter) -> c_int {
    // SAFETY: `apply` passes its own `Applying`, and nothing else refers to it meanwhile (here and below); SQLite
    // stands on a change.
    let (applying, (table, _)) = unsafe { (&mut *applying.cast::<Applying>(), change(each)) };
    note(&mut applying.fitting, table);
    1
}

/// SQLite asks what to do with a change that does not fit.
unsafe extern "C" fn conflicts(
    applying: *mut c_void,
    why: c_int,
    each: *mut ffi::sqlite3_changeset_iter,
) -> c_int {
    // SAFETY: see `fits`.
    let applying = unsafe { &mut *applying.cast::<Applying>() };
    applying.conflicts += 1;
    let dangling = why == ffi::SQLITE_CHANGESET_FOREIGN_KEY;
    let beside_a_row = why == ffi::SQLITE_CHANGESET_DATA || why == ffi::SQLITE_CHANGESET_CONFLICT;
    match applying.on_conflict {
        OnConflict::Replace if beside_a_row => return ffi::SQLITE_CHANGESET_REPLACE,
        // Left as they are, such rows would break what the schema promises.
        OnConflict::Omit | OnConflict::Replace if !dangling => return ffi::SQLITE_CHANGESET_OMIT,
        _ => {}
    }
    let text = if dangling {
        "after these changes a foreign key would point at a row that is not there".to_owned()
    } else {
        // SAFETY: SQLite stands on the change that does not fit.
        let (table, kind) = unsafe { change(each) };
        described(&table, kind, why)
    };
    let is_constraint = dangling || why == ffi::SQLITE_CHANGESET_CONSTRAINT;
    let kind = if is_constraint { "Constraint" } else { "Conflict" };
    applying.refused = Some(Failure { kind, ..Failure::misuse(format!("{text}; nothing was applied")) });
    ffi::SQLITE_CHANGESET_ABORT
}

fn described(table: &str, kind: c_int, why: c_int) -> String {
    let change = match kind {
        ffi::SQLITE_INSERT => "inserted",
        ffi::SQLITE_DELETE => "deleted",
        _ => "updated",
    };
    let why = match why {
        ffi::SQLITE_CHANGESET_DATA => "is not what it was when the changes were recorded",
        ffi::SQLITE_CHANGESET_NOTFOUND => "is not there",
        ffi::SQLITE_CHANGESET_CONFLICT => "is there already",
        _ => "violates a constraint",
    };
    format!("a row of {table:?} that is to be {change} {why}")
}

/// Why bytes could not be read, before any database was asked.
fn unread(code: c_int) -> Failure {
    if code & 0xff == ffi::SQLITE_CORRUPT {
        garbage()
    } else {
        Failure::sqlite(code, "out of memory".to_owned(), None)
    }
}

/// SQLite speaks of a corrupt database where bytes are no changeset.
fn garbage() -> Failure {
    Failure::misuse(
        "these bytes are not what is wanted: a whole changeset, or a patchset where it is applied",
    )
}

fn length(changes: &[u8]) -> Outcome<c_int> {
    let trouble = |_| Failure { kind: "TooLarge", ..Failure::misuse("the changes are longer than 2 GiB") };
    c_int::try_from(changes.len()).map_err(trouble)
}
