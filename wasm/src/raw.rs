//! Prepared statements by SQLite's C interface; with `changes`, every `unsafe` of this crate.
//!
//! rusqlite's own statements borrow their connection and hand out values one by one; here they are kept by
//! number and moved in chunks. Must not decide anything. The rules it keeps: a statement is finalized before its
//! connection is closed (the engine drops them in that order), and what is bound lives as long as it is bound,
//! because the statement owns the bytes.

pub mod changes;

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use datasync::Error;
use rusqlite::{Connection, ffi};

use crate::failure::{Failure, Outcome};
use crate::script::Script;
use crate::wire::{Cell, Cells, Chunk, Encoder};

/// A prepared statement.
pub struct Statement {
    raw: *mut ffi::sqlite3_stmt,
    /// What the parameters point into.
    bound: Vec<u8>,
}

/// The connection behind `connection`.
fn handle(connection: &Connection) -> *mut ffi::sqlite3 {
    // SAFETY: used while the connection is borrowed, and never to close it.
    unsafe { connection.handle() }
}

/// The last error of `connection` as a failure.
pub fn failure(connection: &Connection, code: c_int) -> Failure {
    told(connection, code, datasync::vfs::take_error())
}

/// The same; `ours` is what the VFS had to say about it.
fn told(connection: &Connection, code: c_int, ours: Option<Error>) -> Failure {
    let db = handle(connection);
    // SAFETY: an open connection; the message is copied before anything else is called.
    let (extended, text) = unsafe {
        let text = CStr::from_ptr(ffi::sqlite3_errmsg(db)).to_string_lossy().into_owned();
        (ffi::sqlite3_extended_errcode(db), text)
    };
    let code = if extended & 0xff == code & 0xff { extended } else { code };
    Failure::sqlite(code, text, ours)
}

fn check(connection: &Connection, code: c_int) -> Outcome<()> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(failure(connection, code)) }
}

/// Runs statements for what they do.
///
/// # Errors
/// As SQLite says of the first that fails.
pub fn execute(connection: &Connection, sql: String) -> Outcome<()> {
    let mut script = Script::new(sql)?;
    while !script.rest().is_empty() {
        let (statement, used) = Statement::prepare(connection, script.rest())?;
        script.skip(used);
        if let Some(statement) = statement {
            while statement.step(connection)? {}
        }
    }
    Ok(())
}

/// Whether no transaction is open.
pub fn autocommit(connection: &Connection) -> bool {
    // SAFETY: an open connection (here and below).
    unsafe { ffi::sqlite3_get_autocommit(handle(connection)) != 0 }
}

/// Whether a database beyond the one that was opened is attached.
pub fn has_attached(connection: &Connection) -> bool {
    // SAFETY: see `autocommit`. Numbers 0 and 1 are the database itself and that of temporary tables.
    unsafe { !ffi::sqlite3_db_name(handle(connection), 2).is_null() }
}

/// Whether a foreign key is broken that only a commit would have to complain about.
pub fn owes_foreign_key(connection: &Connection) -> bool {
    let (mut owed, mut most) = (0, 0);
    let counter = ffi::SQLITE_DBSTATUS_DEFERRED_FKS;
    // SAFETY: see `autocommit`; both numbers outlive the call.
    unsafe { ffi::sqlite3_db_status(handle(connection), counter, &mut owed, &mut most, 0) };
    owed != 0
}

/// Sets what [`last_insert_rowid`] tells until a row is inserted.
pub fn set_last_insert_rowid(connection: &Connection, rowid: i64) {
    // SAFETY: see `autocommit`.
    unsafe { ffi::sqlite3_set_last_insert_rowid(handle(connection), rowid) };
}

/// Rows changed by the last statement that changes rows.
pub fn changes(connection: &Connection) -> i64 {
    // SAFETY: see `autocommit`.
    unsafe { ffi::sqlite3_changes64(handle(connection)) }
}

/// Rows changed since the connection was opened.
pub fn total_changes(connection: &Connection) -> i64 {
    // SAFETY: see `autocommit`.
    unsafe { ffi::sqlite3_total_changes64(handle(connection)) }
}

/// The rowid that was inserted last.
pub fn last_insert_rowid(connection: &Connection) -> i64 {
    // SAFETY: see `autocommit`.
    unsafe { ffi::sqlite3_last_insert_rowid(handle(connection)) }
}

impl Statement {
    /// Prepares the first statement of `sql`; with it, how many bytes of `sql` it is. `None` when `sql` begins
    /// with nothing but white space and comments up to there.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn prepare(connection: &Connection, sql: &str) -> Outcome<(Option<Self>, usize)> {
        let Ok(length) = c_int::try_from(sql.len()) else {
            return Err(Failure::sqlite(ffi::SQLITE_TOOBIG, "the SQL is longer than 2 GiB".to_owned(), None));
        };
        let (mut raw, mut tail) = (ptr::null_mut(), ptr::null());
        let start = sql.as_ptr().cast::<c_char>();
        datasync::vfs::take_error();
        // SAFETY: an open connection, `length` bytes of text, two locals to be filled.
        let code =
            unsafe { ffi::sqlite3_prepare_v3(handle(connection), start, length, 0, &mut raw, &mut tail) };
        check(connection, code)?;
        // SAFETY: on success the tail points into the text, or one past its end.
        let used = usize::try_from(unsafe { tail.offset_from(start) }).unwrap_or(sql.len());
        let statement = (!raw.is_null()).then(|| Self { raw, bound: Vec::new() });
        Ok((statement, used.min(sql.len())))
    }

    /// How many columns a row has.
    pub fn columns(&self) -> usize {
        // SAFETY: a statement that is not finalized (here and below).
        usize::try_from(unsafe { ffi::sqlite3_column_count(self.raw) }).unwrap_or(0)
    }

    /// The names of the columns.
    pub fn column_names(&self) -> Vec<String> {
        let count = c_int::try_from(self.columns()).unwrap_or(0);
        // SAFETY: a column that there is; the name is copied at once.
        (0..count)
            .map(|at| unsafe { name(ffi::sqlite3_column_name(self.raw, at)) }.unwrap_or_default())
            .collect()
    }

    /// The names of the parameters, with their sign; `None` for those that are only numbered.
    pub fn parameter_names(&self) -> Vec<Option<String>> {
        let count = self.parameters();
        // SAFETY: a parameter that there is; the name is copied at once.
        (1..=count).map(|at| unsafe { name(ffi::sqlite3_bind_parameter_name(self.raw, at)) }).collect()
    }

    /// How many parameters it has.
    pub fn parameters(&self) -> c_int {
        // SAFETY: see `columns`.
        unsafe { ffi::sqlite3_bind_parameter_count(self.raw) }
    }

    /// Whether it changes nothing in the database.
    pub fn is_readonly(&self) -> bool {
        // SAFETY: see `columns`.
        unsafe { ffi::sqlite3_stmt_readonly(self.raw) != 0 }
    }

    /// Binds the one row of a chunk by position; parameters without a cell are NULL.
    ///
    /// # Errors
    /// `Misuse` for bytes that are not such a chunk; as SQLite says.
    pub fn bind_row(&mut self, connection: &Connection, bytes: Vec<u8>) -> Outcome<()> {
        self.hold(bytes);
        let chunk = self.held()?;
        if chunk.rows() != 1 {
            return Err(Failure::misuse(format!("one row of values was expected, {} came", chunk.rows())));
        }
        self.bind(connection, &mut chunk.cells(), chunk.columns())
    }

    /// For each row of a chunk: binds it and runs to the end.
    ///
    /// # Errors
    /// As [`Statement::bind_row`], and as SQLite says of the first row that fails; the rows before it were run.
    pub fn run_rows(&mut self, connection: &Connection, bytes: Vec<u8>) -> Outcome<()> {
        self.hold(bytes);
        let chunk = self.held()?;
        let mut cells = chunk.cells();
        for _ in 0..chunk.rows() {
            self.bind(connection, &mut cells, chunk.columns())?;
            while self.step(connection)? {}
            self.reset();
        }
        self.clear();
        Ok(())
    }

    /// Keeps the bytes of the values to come, in exchange for what was bound; the parameters are all NULL.
    fn hold(&mut self, bytes: Vec<u8>) {
        self.clear();
        self.bound = bytes;
    }

    fn held(&self) -> Outcome<Chunk<'_>> {
        let chunk = Chunk::read(&self.bound)
            .map_err(|text| Failure::misuse(format!("the values are no chunk: {text}")))?;
        let wanted = usize::try_from(self.parameters()).unwrap_or(0);
        if chunk.columns() > wanted {
            let text = format!("{} values for {wanted} parameters", chunk.columns());
            return Err(Failure::misuse(text));
        }
        Ok(chunk)
    }

    /// Binds `count` cells by position.
    fn bind(&self, connection: &Connection, cells: &mut Cells<'_>, count: usize) -> Outcome<()> {
        for at in 1..=c_int::try_from(count).unwrap_or(c_int::MAX) {
            let cell = cells.take().map_err(Failure::misuse)?;
            // SAFETY: the bytes are part of `self.bound` (both callers read them from there), which changes only
            // after `clear` has unbound them; so SQLite need not copy them.
            let code = unsafe {
                match cell {
                    Cell::Null => ffi::sqlite3_bind_null(self.raw, at),
                    Cell::Integer(value) => ffi::sqlite3_bind_int64(self.raw, at, value),
                    Cell::Real(value) => ffi::sqlite3_bind_double(self.raw, at, value),
                    Cell::Text(text) => ffi::sqlite3_bind_text64(
                        self.raw,
                        at,
                        text.as_ptr().cast(),
                        text.len() as u64,
                        ffi::SQLITE_STATIC(),
                        ffi::SQLITE_UTF8 as u8,
                    ),
                    Cell::Blob(bytes) => ffi::sqlite3_bind_blob64(
                        self.raw,
                        at,
                        bytes.as_ptr().cast(),
                        bytes.len() as u64,
                        ffi::SQLITE_STATIC(),
                    ),
                }
            };
            check(connection, code)?;
        }
        Ok(())
    }

    /// Runs to the next row; `false` when there is none.
    ///
    /// # Errors
    /// As SQLite says; the statement is reset.
    pub fn step(&self, connection: &Connection) -> Outcome<bool> {
        datasync::vfs::take_error();
        // SAFETY: see `columns`.
        match unsafe { ffi::sqlite3_step(self.raw) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => {
                let failure = failure(connection, code);
                self.reset();
                Err(failure)
            }
        }
    }

    /// Adds the present row to `encoder`.
    pub fn encode(&self, encoder: &mut Encoder) {
        let raw = self.raw;
        for at in 0..c_int::try_from(self.columns()).unwrap_or(0) {
            // SAFETY: the statement stands on a row, and the column is one of its own.
            unsafe {
                match ffi::sqlite3_column_type(raw, at) {
                    ffi::SQLITE_INTEGER => encoder.integer(ffi::sqlite3_column_int64(raw, at)),
                    ffi::SQLITE_FLOAT => encoder.real(ffi::sqlite3_column_double(raw, at)),
                    // The bytes last until the row is left, and are copied now.
                    ffi::SQLITE_TEXT => {
                        let text = ffi::sqlite3_column_text(raw, at);
                        encoder.text(bytes(text.cast(), ffi::sqlite3_column_bytes(raw, at)));
                    }
                    ffi::SQLITE_BLOB => {
                        let blob = ffi::sqlite3_column_blob(raw, at);
                        encoder.blob(bytes(blob.cast(), ffi::sqlite3_column_bytes(raw, at)));
                    }
                    _ => encoder.null(),
                }
            }
        }
    }

    /// Gives up what it is in the middle of; what is bound stays bound.
    pub fn reset(&self) {
        // SAFETY: see `columns`. The error it returns is the one `step` has returned.
        unsafe { ffi::sqlite3_reset(self.raw) };
    }

    /// Gives up what it is in the middle of, and what is bound.
    pub fn clear(&mut self) {
        self.reset();
        // SAFETY: see `columns`.
        unsafe { ffi::sqlite3_clear_bindings(self.raw) };
        self.bound = Vec::new();
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: finalized once, and nothing uses it afterwards.
        unsafe { ffi::sqlite3_finalize(self.raw) };
    }
}

/// # Safety
/// Null, or `length` bytes that stay as they are while the result is used.
unsafe fn bytes<'a>(start: *const u8, length: c_int) -> &'a [u8] {
    let length = usize::try_from(length).unwrap_or(0);
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, length) }
}

/// # Safety
/// Null, or a NUL-terminated text.
unsafe fn name(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
