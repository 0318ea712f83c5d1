//! How a command fails: one sentence, the next step, and an exit code.
//!
//! The rule this file keeps: every kind of error has a next step and a code, and nothing is printed that a
//! person cannot act on. The `_` arm that the language asks for is never taken (a test reads the enum).

use std::fmt;
use std::io;

use datasync::error::{Error, ErrorKind};

/// Exit codes, as `datasync --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Damage was found.
    Damaged = 1,
    /// The command line is wrong (also what clap exits with).
    Usage = 2,
    /// There is no store there, or none that this version can read.
    NoStore = 3,
    /// Somebody else is using the store.
    Busy = 4,
    /// SQLite refused the SQL or the database.
    Sql = 5,
    /// The disk, its space or its permissions.
    Disk = 6,
}

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    sentence: String,
    next: String,
    kind: Option<ErrorKind>,
    closed_pipe: bool,
}

/// A command's result.
pub type Done = Result<(), Failure>;

impl Failure {
    /// A failure in the words of a command.
    pub fn new(code: Code, sentence: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), next: next.into(), kind: None, closed_pipe: false }
    }

    /// Another code and next step for errors of one kind: the command knows what led to them.
    pub fn when(self, kind: ErrorKind, code: Code, next: impl Into<String>) -> Self {
        if self.kind == Some(kind) { Self { code, next: next.into(), ..self } } else { self }
    }

    /// The same failure, with where it happened in front.
    pub fn within(mut self, place: &str) -> Self {
        self.sentence = format!("{place}: {}", self.sentence);
        self
    }

    /// What happened, without the next step.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// The exit code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The reader of our output went away (`datasync sql ... | head`): no failure at all.
    pub fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n next: {}", self.sentence, self.next)
    }
}

/// The code and the next step of each kind of error.
fn advice(kind: ErrorKind) -> (Code, &'static str) {
    match kind {
        ErrorKind::Io => (Code::Disk, "check the disk and the permissions there, then run the command again"),
        // No command but `import` asks for an algorithm, and it has advice of its own.
        ErrorKind::Corrupt | ErrorKind::AlgoMismatch => (
            Code::Damaged,
            "`datasync verify STORE` lists the damage, `datasync salvage STORE --to NEW` copies what is \
             left; nothing was changed",
        ),
        ErrorKind::Unsupported => (Code::NoStore, "use a newer datasync; nothing was changed"),
        ErrorKind::NotAStore => (
            Code::NoStore,
            "check the path; `datasync import FILE.db STORE` makes a store of a database file",
        ),
        ErrorKind::NotFound => {
            (Code::NoStore, "check the path; `datasync import FILE.db STORE` makes a store")
        }
        ErrorKind::Busy | ErrorKind::Stale | ErrorKind::Expired => {
            (Code::Busy, "wait until the other program is done with it, then run the command again")
        }
        ErrorKind::Fenced => (Code::Busy, "another program opened the store since; run the command again"),
        ErrorKind::Lost | ErrorKind::TooLarge => (Code::Disk, "see the message; nothing was changed"),
        ErrorKind::Full => (
            Code::Disk,
            "make room on the disk and run the command again; every acknowledged commit is there",
        ),
        ErrorKind::Poisoned => (
            Code::Disk,
            "check the disk, then open the store again; every commit acknowledged as durable is there",
        ),
        ErrorKind::Indeterminate(_) => (
            Code::Disk,
            "check the disk, then open the store again and look: the last commit is whole or absent",
        ),
        ErrorKind::ReadOnly => {
            (Code::Disk, "make the directory writable, or copy the store to where you may write")
        }
        ErrorKind::Misuse => (Code::Usage, "see `datasync --help`"),
        // `ErrorKind` may grow; the compiler asks for this arm outside of the library.
        _ => (Code::Disk, "see the message; nothing is known to be lost"),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, next) = advice(error.kind());
        Self { kind: Some(error.kind()), ..Self::new(code, error.to_string(), next) }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        let sentence = match &error {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
            other => other.to_string(),
        };
        let kind = match error.sqlite_error_code() {
            Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => ErrorKind::Busy,
            Some(Sqlite::DatabaseCorrupt) => ErrorKind::Corrupt,
            Some(Sqlite::DiskFull) => ErrorKind::Full,
            Some(Sqlite::SystemIoFailure | Sqlite::CannotOpen) => ErrorKind::Io,
            Some(Sqlite::ReadOnly) => ErrorKind::ReadOnly,
            Some(Sqlite::NotADatabase) => {
                let next = "it holds something else than a SQLite database: `datasync verify STORE --blocks-only` \
                            checks its blocks";
                return Self::new(Code::Sql, sentence, next);
            }
            _ => {
                let next = "correct the SQL; earlier statements of the script that were committed stay";
                return Self::new(Code::Sql, sentence, next);
            }
        };
        // SQLite has a code for it; the store knows what happened.
        match datasync::vfs::last_error() {
            Some(told) => Self { sentence: format!("{sentence}: {told}"), ..Self::from(told) },
            None => {
                let (code, next) = advice(kind);
                Self { kind: Some(kind), ..Self::new(code, sentence, next) }
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let next = "check the disk and its permissions, then run the command again";
        let closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { closed_pipe, ..Self::new(Code::Disk, error.to_string(), next) }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kind_of_error_has_a_next_step_and_a_code() {
        let (_, rest) = include_str!("../../error.rs").split_once("pub enum ErrorKind {").unwrap();
        let (body, _) = rest.split_once("\n}").unwrap();
        let lines = body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        let kinds: Vec<&str> = lines.map(|line| line.split(['(', ',']).next().unwrap()).collect();
        assert!(kinds.len() >= 17, "{kinds:?}");
        let (_, rest) = include_str!("fail.rs").split_once("fn advice(").unwrap();
        let (arms, _) = rest.split_once("\n}").unwrap();
        let named: Vec<&str> = arms
            .split("ErrorKind::")
            .map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap())
            .collect();
        for kind in kinds {
            assert!(named.contains(&kind), "{kind} has no next step");
        }
    }
}
