//! Our errors in SQLite's terms: which result code a failed call returns, and where its text can be found.
//!
//! Holds the one map from [`ErrorKind`] to SQLite's codes, and the last error of each thread. Must not know
//! files or volumes. The rule it keeps: the map has no `_` arm, and what fails while SQLite writes or commits
//! is of the IOERR class or FULL, because only then does SQLite throw its page cache away.

use std::cell::RefCell;
use std::ffi::c_int;

use rusqlite::ffi;

use crate::error::{Error, ErrorKind};
use crate::planted::{Bug, planted};

/// What SQLite was doing; decides between the codes of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Close,
    Read,
    Write,
    Truncate,
    Size,
    Lock,
    Unlock,
    Sync,
    Commit,
    Control,
}

impl Call {
    /// The IOERR code of the call.
    fn io(self) -> c_int {
        match self {
            Self::Open => ffi::SQLITE_CANTOPEN,
            Self::Close => ffi::SQLITE_IOERR_CLOSE,
            Self::Read => ffi::SQLITE_IOERR_READ,
            Self::Write => ffi::SQLITE_IOERR_WRITE,
            Self::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Self::Size => ffi::SQLITE_IOERR_FSTAT,
            Self::Lock => ffi::SQLITE_IOERR_LOCK,
            Self::Unlock => ffi::SQLITE_IOERR_UNLOCK,
            Self::Sync | Self::Commit => ffi::SQLITE_IOERR_FSYNC,
            Self::Control => ffi::SQLITE_IOERR,
        }
    }

    /// Whether SQLite must drop its cached pages when this call fails.
    fn changes_pages(self) -> bool {
        match self {
            Self::Write | Self::Truncate | Self::Sync | Self::Commit => true,
            Self::Open
            | Self::Close
            | Self::Read
            | Self::Size
            | Self::Lock
            | Self::Unlock
            | Self::Control => false,
        }
    }
}

/// The result code for an error of `kind` in `call`.
pub(super) fn code(kind: ErrorKind, call: Call) -> c_int {
    let opening = call == Call::Open;
    let code = match kind {
        ErrorKind::Io | ErrorKind::Poisoned | ErrorKind::Fenced | ErrorKind::Indeterminate(_) => call.io(),
        ErrorKind::Lost | ErrorKind::TooLarge => call.io(),
        // IOERR_DATA is SQLite's own code for "the checksum on a page is wrong".
        ErrorKind::Corrupt | ErrorKind::AlgoMismatch if opening => ffi::SQLITE_CORRUPT,
        ErrorKind::Corrupt | ErrorKind::AlgoMismatch => ffi::SQLITE_IOERR_DATA,
        ErrorKind::NotAStore if opening => ffi::SQLITE_NOTADB,
        ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::NotAStore | ErrorKind::Misuse
            if opening =>
        {
            ffi::SQLITE_CANTOPEN
        }
        ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::NotAStore => call.io(),
        ErrorKind::Misuse => ffi::SQLITE_MISUSE,
        ErrorKind::Busy => ffi::SQLITE_BUSY,
        // SQLite itself turns BUSY_SNAPSHOT into BUSY, and retries, when no transaction was open.
        ErrorKind::Stale | ErrorKind::Expired => ffi::SQLITE_BUSY_SNAPSHOT,
        ErrorKind::Full if planted(Bug::FullIsIoError) => call.io(),
        ErrorKind::Full => ffi::SQLITE_FULL,
        ErrorKind::ReadOnly => ffi::SQLITE_READONLY,
    };
    let resets_cache = matches!(code & 0xff, ffi::SQLITE_IOERR | ffi::SQLITE_FULL);
    if call.changes_pages() && !resets_cache { call.io() } else { code }
}

/// An error as it is kept: [`Error`] itself owns its cause and cannot be copied.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub kind: ErrorKind,
    pub text: String,
    /// The system's error number, or 0.
    pub system: c_int,
}

impl Trouble {
    pub(super) fn of(error: &Error) -> Self {
        Self { kind: error.kind(), text: error.to_string(), system: system_number(error) }
    }

    /// The error again, without its cause (whose text is in the message).
    pub(crate) fn to_error(&self) -> Error {
        Error::new(self.kind, self.text.clone())
    }
}

fn system_number(error: &Error) -> c_int {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.raw_os_error().unwrap_or(0);
        }
        cause = error.source();
    }
    0
}

thread_local! {
    static LAST: RefCell<Option<Trouble>> = const { RefCell::new(None) };
}

/// Remembers the error for this thread.
pub(super) fn remember(trouble: Trouble) {
    LAST.with(|last| *last.borrow_mut() = Some(trouble));
}

/// The last error on this thread.
pub(crate) fn last() -> Option<Trouble> {
    LAST.with(|last| last.borrow().clone())
}

/// Takes the last error on this thread, so that a later call cannot be blamed for it.
pub(crate) fn take() -> Option<Trouble> {
    LAST.with(|last| last.borrow_mut().take())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::CommitId;
    use crate::block::{Epoch, Lsn};

    const CALLS: [Call; 11] = [
        Call::Open,
        Call::Close,
        Call::Read,
        Call::Write,
        Call::Truncate,
        Call::Size,
        Call::Lock,
        Call::Unlock,
        Call::Sync,
        Call::Commit,
        Call::Control,
    ];

    fn kinds() -> Vec<ErrorKind> {
        let commit = CommitId { epoch: Epoch(1), lsn: Lsn(2) };
        vec![
            ErrorKind::Io,
            ErrorKind::Corrupt,
            ErrorKind::AlgoMismatch,
            ErrorKind::Unsupported,
            ErrorKind::NotAStore,
            ErrorKind::NotFound,
            ErrorKind::Busy,
            ErrorKind::Stale,
            ErrorKind::Expired,
            ErrorKind::Fenced,
            ErrorKind::Lost,
            ErrorKind::TooLarge,
            ErrorKind::Full,
            ErrorKind::Poisoned,
            ErrorKind::Indeterminate(commit),
            ErrorKind::ReadOnly,
            ErrorKind::Misuse,
        ]
    }

    #[test]
    fn no_error_is_ever_reported_as_success() {
        for call in CALLS {
            assert!(kinds().into_iter().all(|kind| code(kind, call) != ffi::SQLITE_OK), "{call:?}");
        }
    }

    #[test]
    fn whatever_fails_while_writing_makes_sqlite_drop_its_cache() {
        for call in [Call::Write, Call::Truncate, Call::Sync, Call::Commit] {
            for kind in kinds() {
                let class = code(kind, call) & 0xff;
                assert!(matches!(class, ffi::SQLITE_IOERR | ffi::SQLITE_FULL), "{kind:?} in {call:?}");
            }
        }
    }

    #[test]
    fn a_full_medium_is_full_and_not_an_io_error() {
        assert!(CALLS.into_iter().all(|call| code(ErrorKind::Full, call) == ffi::SQLITE_FULL));
    }

    #[test]
    fn the_number_of_the_system_error_is_found_under_the_message() {
        let cause = std::io::Error::from_raw_os_error(28);
        let trouble = Trouble::of(&Error::new(ErrorKind::Full, "app.datasync: no space").caused_by(cause));
        assert_eq!(trouble.system, 28);
        assert!(trouble.text.starts_with("app.datasync: no space: "));
    }
}
