//! One error type. The kind says what the caller does next, the message says what happened and where.
//!
//! Kinds are few and prescriptive. The maps out of here leave none out: to SQLite's codes in `src/vfs/trouble.rs`, to
//! exit codes in `src/bin/datasync/fail.rs`, to the names of JavaScript's union in `wasm/src/failure.rs`.

use std::fmt;
use std::str::FromStr;

use crate::block::{CommitId, Epoch, Lsn};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed, in terms of what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The medium refused a read or a write. Check the device and its permissions, then reopen.
    Io,
    /// Bytes that had been durable are not what was written. `datasync verify` says where,
    /// `datasync salvage` copies what is left into a new store; nothing was changed.
    Corrupt,
    /// Another checksum algorithm than the store's own. If an opening says so, the caller asked for it with
    /// `Options::checksum`: the store is sound, leave the option out. If a read does, bytes name it, and as with
    /// `Corrupt` they are not data.
    AlgoMismatch,
    /// Written by a newer version of this crate. Upgrade.
    Unsupported,
    /// What stands there is no store. Check the path; `datasync import` makes a store of a database file.
    NotAStore,
    /// There is nothing at this path and creating was not asked for.
    NotFound,
    /// Somebody else is using it. Retry later; the message names the holder where it is known.
    Busy,
    /// The transaction read a state that is no longer the newest, so it cannot write. Roll back, begin again.
    Stale,
    /// The read view was held so long that the log reached its cap. Begin a new read transaction.
    Expired,
    /// A newer writer took over (higher epoch). Reopen.
    Fenced,
    /// No space or quota left. Nothing of this commit was written.
    Full,
    /// An earlier write or barrier failed, so nothing can be promised any more. Reopen: every commit
    /// acknowledged as durable is there.
    Poisoned,
    /// This commit may or may not survive. Reopen and ask `outcome_of` with the id.
    Indeterminate(CommitId),
    /// The store was here and is gone, or the medium has dropped what it had said was there: a browser that
    /// made room, or its user. Nothing is created in its place; delete the rest of it to begin anew.
    Lost,
    /// It does not fit where it would have to be held as a whole. Nothing was changed; raise the limit that the
    /// message names.
    TooLarge,
    /// Opened for reading only, or the medium is read-only.
    ReadOnly,
    /// The call itself is wrong. Fix the caller; nothing was changed.
    Misuse,
}

/// What went wrong: a kind to act on, a sentence to read, and the cause underneath, if there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a sentence for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says which store it was, unless the sentence does already.
    #[must_use]
    pub(crate) fn in_store(mut self, name: &str) -> Self {
        if !self.message.contains(name) {
            self.message = format!("{name}: {}", self.message);
        }
        self
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence, without the cause.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Shorthand for `Err(Error::new(kind, message))`.
pub(crate) fn fail<T>(kind: ErrorKind, message: impl Into<String>) -> Result<T> {
    Err(Error::new(kind, message))
}

/// Reads what [`CommitId`] is written as: "3.17", the epoch and the LSN. It stands here since numbers know no errors.
impl FromStr for CommitId {
    type Err = Error;

    /// # Errors
    /// `Misuse` for anything else.
    fn from_str(text: &str) -> Result<Self> {
        let number =
            |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
        let parts = text.split_once('.').and_then(|(epoch, lsn)| Some((number(epoch)?, number(lsn)?)));
        match parts {
            Some((epoch, lsn)) => Ok(Self { epoch: Epoch(epoch), lsn: Lsn(lsn) }),
            None => fail(
                ErrorKind::Misuse,
                format!("{text:?} names no commit: it is EPOCH.LSN, two numbers, as in 3.17"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_commit_is_read_as_it_is_written() {
        for (epoch, lsn) in [(3, 17), (0, 0), (3, 10), (u64::MAX, u64::MAX)] {
            let id = CommitId { epoch: Epoch(epoch), lsn: Lsn(lsn) };
            assert_eq!(id.to_string().parse::<CommitId>().unwrap(), id);
        }
        let strange =
            ["", ".", "3", "3.", ".17", "3.17.1", "+3.17", "3.-1", " 3.17", "3,17", "3.18446744073709551616"];
        for text in strange {
            let error = text.parse::<CommitId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misuse);
            assert!(error.message().contains(text) && error.message().contains("3.17"), "{error}");
        }
    }
}
