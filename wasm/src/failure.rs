//! What JavaScript is told when a call fails: a kind to act on, a sentence, SQLite's code, the commit in doubt.
//!
//! Holds the map from kinds of errors to the names of the package's union. Must not know JavaScript. The rule it
//! keeps: every kind has its name; the `_` arm that the language asks for is never taken (a test reads the enum).

use std::ffi::c_int;

use datasync::{Error, ErrorKind};
use rusqlite::ffi;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it: a name of the package's `ErrorKind`.
    pub kind: &'static str,
    /// What happened, where.
    pub message: String,
    /// SQLite's extended result code, if SQLite had a part in it.
    pub code: Option<c_int>,
    /// The commit whose fate is open, as `epoch.lsn`.
    pub commit: Option<String>,
}

/// The result of a call.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// The call itself is wrong.
    #[must_use]
    pub fn misuse(message: impl Into<String>) -> Self {
        Self { kind: "Misuse", message: message.into(), code: None, commit: None }
    }

    /// SQLite refused with `code`; `text` is its own message, `ours` what the VFS had to say about it.
    #[must_use]
    pub fn sqlite(code: c_int, text: String, ours: Option<Error>) -> Self {
        let kind = kind_of_code(code);
        // What the VFS refused is told in its words; a flaw in the SQL is SQLite's to explain.
        match ours {
            Some(error) if kind != "Sql" && kind != "Constraint" => {
                Self { code: Some(code), ..Self::from(error) }
            }
            _ => Self { kind, message: advised(code, text), code: Some(code), commit: None },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let commit = match error.kind() {
            ErrorKind::Indeterminate(commit) => Some(commit.to_string()),
            _ => None,
        };
        Self { kind: kind_of(error.kind()), message: error.to_string(), code: None, commit }
    }
}

fn kind_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Io => "Io",
        ErrorKind::Corrupt => "Corrupt",
        ErrorKind::AlgoMismatch => "AlgoMismatch",
        ErrorKind::Unsupported => "Unsupported",
        ErrorKind::NotAStore => "NotAStore",
        ErrorKind::NotFound => "NotFound",
        ErrorKind::Busy => "Busy",
        ErrorKind::Stale => "Stale",
        ErrorKind::Expired => "Expired",
        ErrorKind::Fenced => "Fenced",
        ErrorKind::Full => "Full",
        ErrorKind::Poisoned => "Poisoned",
        ErrorKind::Indeterminate(_) => "Indeterminate",
        ErrorKind::ReadOnly => "ReadOnly",
        ErrorKind::Misuse => "Misuse",
        ErrorKind::Lost => "Lost",
        ErrorKind::TooLarge => "TooLarge",
        // The enum may grow: until this map does, a new kind is one to report.
        _ => "Io",
    }
}

/// SQLite's words, and what to do where they say too little.
fn advised(code: c_int, text: String) -> String {
    let advice = match code & 0xff {
        ffi::SQLITE_LOCKED => {
            "rows of it are still being read in a loop over iterate(). Leave that loop first, or read them with query()"
        }
        ffi::SQLITE_NOMEM => {
            "the worker has no more. Ask for less at a time (iterate, smaller values), or open the database again"
        }
        _ => return text,
    };
    format!("{text}: {advice}")
}

fn kind_of_code(code: c_int) -> &'static str {
    match code & 0xff {
        ffi::SQLITE_CONSTRAINT => "Constraint",
        ffi::SQLITE_BUSY => "Busy",
        ffi::SQLITE_FULL => "Full",
        ffi::SQLITE_READONLY => "ReadOnly",
        ffi::SQLITE_CORRUPT => "Corrupt",
        ffi::SQLITE_NOTADB => "NotAStore",
        ffi::SQLITE_CANTOPEN => "NotFound",
        // There is one connection: who holds the table is the caller.
        ffi::SQLITE_MISUSE | ffi::SQLITE_RANGE | ffi::SQLITE_LOCKED => "Misuse",
        ffi::SQLITE_TOOBIG | ffi::SQLITE_NOMEM => "TooLarge",
        ffi::SQLITE_IOERR => "Io",
        _ => "Sql",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_name_for_javascript() {
        let (_, rest) = include_str!("../../src/error.rs").split_once("pub enum ErrorKind {").unwrap();
        let (body, _) = rest.split_once("\n}").unwrap();
        let lines = body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        let kinds: Vec<&str> = lines.map(|line| line.split(['(', ',']).next().unwrap()).collect();
        assert!(kinds.len() >= 17, "{kinds:?}");
        for kind in kinds {
            let arm = format!("ErrorKind::{kind}");
            let is_mapped = include_str!("failure.rs")
                .lines()
                .any(|line| line.contains(&format!("=> \"{kind}\"")) && line.split_once(&arm).is_some());
            assert!(is_mapped, "{kind} has no name");
        }
    }

    #[test]
    fn a_flaw_in_the_sql_is_told_in_sqlites_words_and_trouble_below_in_ours() {
        let ours = || Some(Error::new(ErrorKind::Full, "the disk is full"));
        let flaw = Failure::sqlite(ffi::SQLITE_ERROR, "no such table: t".to_owned(), ours());
        assert_eq!((flaw.kind, flaw.message.as_str()), ("Sql", "no such table: t"));
        let full = Failure::sqlite(ffi::SQLITE_FULL, "database or disk is full".to_owned(), ours());
        assert_eq!((full.kind, full.message.as_str()), ("Full", "the disk is full"));
    }

    #[test]
    fn what_the_caller_can_mend_is_told_as_such() {
        let of = |code, text: &str| Failure::sqlite(code, text.to_owned(), None);
        let locked = of(ffi::SQLITE_LOCKED, "database table is locked");
        assert_eq!(locked.kind, "Misuse");
        assert!(
            locked.message.starts_with("database table is locked: ") && locked.message.contains("iterate()")
        );
        let memory = of(ffi::SQLITE_NOMEM, "out of memory");
        assert_eq!(memory.kind, "TooLarge");
        assert!(memory.message.starts_with("out of memory: ") && memory.message.contains("less at a time"));
    }
}
