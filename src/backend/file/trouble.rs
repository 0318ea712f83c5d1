//! What the system said, as an error that says what to do.
//!
//! Holds the one map from `io::ErrorKind` to [`ErrorKind`]. The rule it keeps: every message names the
//! whole path and the next step; the system's own words follow as the cause.

use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// What was being done when the system refused. Decides between kinds and between next steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Looking at or opening what should be there.
    Open,
    /// Making a file or directory.
    Create,
    /// Reading bytes.
    Read,
    /// Changing bytes or a length.
    Write,
    /// Preparing space, with nothing at stake yet.
    Reserve,
    /// Making bytes or names durable.
    Barrier,
    /// Removing a segment.
    Remove,
    /// Taking the lock.
    Lock,
}

impl Doing {
    fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
            Self::Reserve => "reserve space in",
            Self::Barrier => "make durable",
            Self::Remove => "remove",
            Self::Lock => "lock",
        }
    }

    fn changes_something(self) -> bool {
        match self {
            Self::Open | Self::Read | Self::Lock => false,
            Self::Create | Self::Write | Self::Reserve | Self::Barrier | Self::Remove => true,
        }
    }
}

/// Turns the system's refusal into ours.
pub(super) fn trouble(doing: Doing, path: &Path, cause: io::Error) -> Error {
    let (kind, next) = judge(doing, cause.kind());
    let message = format!("cannot {} {}; {next}", doing.verb(), path.display());
    Error::new(kind, message).caused_by(cause)
}

fn judge(doing: Doing, cause: io::ErrorKind) -> (ErrorKind, &'static str) {
    use io::ErrorKind as Cause;
    let harmless = matches!(doing, Doing::Reserve | Doing::Create);
    match cause {
        Cause::StorageFull | Cause::QuotaExceeded | Cause::FileTooLarge if harmless => {
            (ErrorKind::Full, "nothing was harmed: free some space there and try again")
        }
        Cause::StorageFull | Cause::QuotaExceeded | Cause::FileTooLarge => {
            (ErrorKind::Full, "free some space there, then open the store again")
        }
        Cause::ReadOnlyFilesystem => (
            ErrorKind::ReadOnly,
            "the file system is read-only: open the store for reading only, or copy it elsewhere",
        ),
        Cause::PermissionDenied if doing.changes_something() => {
            (ErrorKind::ReadOnly, "let this user write there, or open the store for reading only")
        }
        Cause::PermissionDenied => (ErrorKind::Io, "let this user read it, then open the store again"),
        Cause::NotFound if doing == Doing::Create => {
            (ErrorKind::NotFound, "make the directory above it first")
        }
        Cause::NotFound => {
            (ErrorKind::NotFound, "put it back from a copy, or see what is left with `datasync verify`")
        }
        Cause::Unsupported if doing == Doing::Lock => {
            (ErrorKind::Io, "this file system has no locks: put the store on another one")
        }
        _ => (ErrorKind::Io, "look into the system's log for the device, then open the store again"),
    }
}
