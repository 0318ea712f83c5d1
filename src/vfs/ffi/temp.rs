//! A temporary file without a name, made by the host's own VFS, gone when dropped.

use std::ffi::{c_int, c_void};
use std::ptr;

use rusqlite::ffi;
use rusqlite::ffi::{sqlite3_file, sqlite3_int64};

use super::registered;
use crate::error::{ErrorKind, Result, fail};

/// The largest write SQLite itself makes; its own VFS takes larger ones apart wrongly.
const PIECE: usize = 64 << 10;

pub(in crate::vfs) struct TempFile {
    /// The host's `sqlite3_file`, in words so that it is aligned as SQLite would align it.
    memory: Box<[u64]>,
}

// SAFETY: the host's files may be used from any thread, by one at a time: SQLite moves connections so.
unsafe impl Send for TempFile {}

impl TempFile {
    /// Makes an empty one.
    ///
    /// # Errors
    /// `Io` when the host has nowhere to put it.
    pub(in crate::vfs) fn create() -> Result<Self> {
        let host = registered().host;
        // SAFETY: the host is valid for good.
        let (size, open) = unsafe { ((*host).szOsFile, (*host).xOpen) };
        let words = super::length(size).div_ceil(size_of::<u64>());
        let mut file = Self { memory: vec![0_u64; words].into_boxed_slice() };
        let flags = ffi::SQLITE_OPEN_READWRITE
            | ffi::SQLITE_OPEN_CREATE
            | ffi::SQLITE_OPEN_EXCLUSIVE
            | ffi::SQLITE_OPEN_DELETEONCLOSE
            | ffi::SQLITE_OPEN_TEMP_JOURNAL;
        let Some(open) = open else { return fail(ErrorKind::Io, "this SQLite cannot make temporary files") };
        // SAFETY: zeroed memory of the size the host asks for; a null name asks for a temporary file.
        let code = unsafe { open(host, ptr::null(), file.raw(), flags, ptr::null_mut()) };
        check(code, "cannot make a temporary file for a large journal")?;
        Ok(file)
    }

    fn raw(&mut self) -> *mut sqlite3_file {
        self.memory.as_mut_ptr().cast()
    }

    fn methods(&mut self) -> &'static ffi::sqlite3_io_methods {
        // SAFETY: opened in `create`, so the host has filled this in; its tables are static.
        unsafe { &*(*self.raw()).pMethods }
    }

    /// Fills `buf` from `offset`; how many bytes there were.
    ///
    /// # Errors
    /// `Io` as the host says.
    pub(in crate::vfs) fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let there = self.size()?.saturating_sub(offset).min(buf.len() as u64);
        let there = usize::try_from(there).expect("no longer than the buffer");
        if there > 0 {
            let read = self.methods().xRead.expect("every VFS reads");
            let count = c_int::try_from(there).expect("SQLite asked for it with an int");
            // SAFETY: `there` bytes of `buf`.
            let code = unsafe { read(self.raw(), buf.as_mut_ptr().cast::<c_void>(), count, signed(offset)) };
            check(code, "cannot read a temporary journal")?;
        }
        Ok(there)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// `Full` or `Io` as the host says.
    pub(in crate::vfs) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let write = self.methods().xWrite.expect("every VFS writes");
        for (at, piece) in bytes.chunks(PIECE).enumerate() {
            let count = c_int::try_from(piece.len()).expect("at most PIECE");
            let offset = signed(offset + (at * PIECE) as u64);
            // SAFETY: the whole of `piece`.
            let code = unsafe { write(self.raw(), piece.as_ptr().cast::<c_void>(), count, offset) };
            check(code, "cannot write a temporary journal")?;
        }
        Ok(())
    }

    /// Shortens it to `bytes`.
    ///
    /// # Errors
    /// `Io` as the host says.
    pub(in crate::vfs) fn truncate(&mut self, bytes: u64) -> Result<()> {
        let truncate = self.methods().xTruncate.expect("every VFS truncates");
        // SAFETY: an open file.
        check(unsafe { truncate(self.raw(), signed(bytes)) }, "cannot shorten a temporary journal")
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// `Io` as the host says.
    pub(in crate::vfs) fn size(&mut self) -> Result<u64> {
        let size = self.methods().xFileSize.expect("every VFS knows sizes");
        let mut bytes: sqlite3_int64 = 0;
        // SAFETY: an open file and a local.
        check(unsafe { size(self.raw(), &mut bytes) }, "cannot measure a temporary journal")?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // SAFETY: either null (it never opened) or the host's table; closed once.
        unsafe {
            if !(*self.raw()).pMethods.is_null()
                && let Some(close) = self.methods().xClose
            {
                close(self.raw());
            }
        }
    }
}

fn signed(offset: u64) -> sqlite3_int64 {
    sqlite3_int64::try_from(offset).unwrap_or(sqlite3_int64::MAX)
}

fn check(code: c_int, what: &str) -> Result<()> {
    match code & 0xff {
        ffi::SQLITE_OK => Ok(()),
        ffi::SQLITE_FULL => fail(ErrorKind::Full, format!("{what}: no space for temporary files")),
        _ => fail(ErrorKind::Io, format!("{what} (SQLite's code {code})")),
    }
}
