//! Pragmas: those of SQLite that this VFS must know about, and its own.
//!
//! Each has a line in the table of `vfs/mod.rs`, where users read it.
//!
//! The rule kept here: what SQLite would refuse is not taken for granted. A pragma is seen before SQLite acts.

use super::file::MainFile;
use crate::block::{CommitId, Durability};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::planted::{Bug, planted};
use crate::volume::report::{self, Names};

/// The journal mode that does not exist here.
const WAL: &str = "wal";

/// What the connection wants of its commits, if it said so: otherwise `PRAGMA synchronous` decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(Option<Durability>);

impl Wanted {
    /// Reads a value of `datasync_durability`.
    ///
    /// # Errors
    /// `Misuse` for anything else.
    pub(super) fn read(value: &str) -> Result<Self> {
        match value.to_ascii_lowercase().as_str() {
            "applied" => Ok(Self(Some(Durability::Applied))),
            "durable" => Ok(Self(Some(Durability::Durable))),
            "witnessed" => Ok(Self(Some(Durability::Witnessed))),
            "synchronous" => Ok(Self(None)),
            _ => fail(
                ErrorKind::Misuse,
                format!("durability {value:?}: it is applied, durable, witnessed or synchronous"),
            ),
        }
    }
}

/// `PRAGMA synchronous`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synchronous {
    /// OFF and NORMAL.
    Relaxed,
    /// FULL and EXTRA.
    Full,
}

impl Synchronous {
    /// What SQLite makes of the text: on, yes, true and 1 are NORMAL, and so is every word it does not know.
    pub(super) fn read(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let level = match text.as_str() {
            "full" | "extra" => 2,
            digits if digits.starts_with(|first: char| first.is_ascii_digit()) => {
                // Three bits are all SQLite keeps, and it counts from one.
                (number(digits).wrapping_add(1) & 7).saturating_sub(1)
            }
            _ => 1,
        };
        if level >= 2 { Self::Full } else { Self::Relaxed }
    }
}

/// The number that `text` begins with, in either of SQLite's notations; 0 for one that is too large for it.
fn number(text: &str) -> u32 {
    let (text, radix) = text.strip_prefix("0x").map_or((text, 10), |hex| (hex, 16));
    let end = text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len());
    i32::from_str_radix(&text[..end], radix).map_or(0, i32::unsigned_abs)
}

/// What pragmas have set on one database file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    pub(super) synchronous: Synchronous,
    pub(super) wanted: Wanted,
    /// locking_mode=EXCLUSIVE.
    pub(super) exclusive: bool,
    journal: &'static str,
    /// What `synchronous` was, while SQLite may still refuse the pragma that set it.
    before: Option<Synchronous>,
}

impl Mode {
    pub(super) fn new(synchronous: Synchronous, wanted: Wanted) -> Self {
        Self { synchronous, wanted, exclusive: false, journal: "delete", before: None }
    }

    /// `PRAGMA synchronous`, which SQLite obeys once it has read the schema.
    fn set(&mut self, synchronous: Synchronous) {
        self.before.get_or_insert(self.synchronous);
        self.synchronous = synchronous;
    }

    /// A lock or a read failed, so maybe SQLite could not read the schema. Then rather too durable than too little.
    pub(super) fn refuse(&mut self) {
        if self.before.take() == Some(Synchronous::Full) {
            self.synchronous = Synchronous::Full;
        }
    }

    /// SQLite lets go of its lock, as it never does in exclusive mode: the pragma for all databases, which ends that
    /// mode, is shown to the main one's file alone. And what it wanted to read it has read.
    pub(super) fn lets_go(&mut self) {
        self.exclusive = false;
        self.before = None;
    }

    /// What a commit waits for.
    pub(super) fn durability(&self) -> Durability {
        match (self.wanted.0, self.synchronous) {
            (Some(wanted), _) => wanted,
            (None, Synchronous::Full) if planted(Bug::SwapDurability) => Durability::Applied,
            (None, Synchronous::Full) => Durability::Durable,
            (None, Synchronous::Relaxed) => Durability::Applied,
        }
    }
}

/// What becomes of a pragma.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// SQLite goes on with it.
    NotOurs,
    /// It is done; this is its row.
    Row(String),
}

impl MainFile {
    /// A pragma before SQLite looks at it. `in_transaction` is whether BEGIN is open on the connection.
    ///
    /// # Errors
    /// `Misuse` for a pragma of ours that does not exist or a value it does not take; `Busy` and `Stale` for exclusive
    /// mode in a read transaction beside which others write; else as what it does.
    pub(super) fn pragma(&mut self, name: &str, value: Option<&str>, in_transaction: bool) -> Result<Answer> {
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            ("synchronous", Some(value)) => {
                // SQLite refuses this one inside a transaction, and then nothing has changed.
                if !in_transaction {
                    self.mode.set(Synchronous::read(value));
                }
                Ok(Answer::NotOurs)
            }
            ("locking_mode", Some(value)) => {
                match value.to_ascii_lowercase().as_str() {
                    "exclusive" => self.keep_out()?,
                    "normal" => self.mode.exclusive = false,
                    _ => {}
                }
                Ok(Answer::NotOurs)
            }
            ("journal_mode", Some(value)) => Ok(self.journal_mode(value)),
            (own, value) if own.starts_with("datasync_") => self.own_pragma(own, value).map(Answer::Row),
            _ => Ok(Answer::NotOurs),
        }
    }

    fn journal_mode(&mut self, value: &str) -> Answer {
        let value = value.to_ascii_lowercase();
        // SQLite takes the first, in its order, that begins with what was written: W is WAL.
        let modes = ["delete", "persist", "off", "truncate", "memory", WAL];
        match modes.into_iter().find(|mode| mode.starts_with(&value)) {
            // Left to SQLite this is refused too, but not in exclusive mode, which needs no shared memory.
            Some(WAL) if !planted(Bug::AllowWal) => return Answer::Row(self.mode.journal.to_owned()),
            Some(WAL) | None => {}
            Some(mode) => self.mode.journal = mode,
        }
        Answer::NotOurs
    }

    fn own_pragma(&mut self, name: &str, value: Option<&str>) -> Result<String> {
        match (name, value) {
            ("datasync_durability", Some(value)) => self.mode.wanted = Wanted::read(value)?,
            ("datasync_outcome", Some(value)) => {
                let commit: CommitId = value.parse()?;
                self.store().alive()?;
                return Ok(self.store().volume().outcome_of(commit).to_string());
            }
            ("datasync_outcome", None) => {
                let text = "PRAGMA datasync_outcome = 'EPOCH.LSN': name the commit, as the error of it did";
                return fail(ErrorKind::Misuse, text);
            }
            (_, Some(_)) => return fail(ErrorKind::Misuse, format!("PRAGMA {name} takes no value")),
            (_, None) => {}
        }
        if name == "datasync_error" {
            return Ok(self.store().last_error().map(|trouble| trouble.text).unwrap_or_default());
        }
        self.store().alive()?;
        let volume = self.store().volume();
        match name {
            "datasync_durability" => Ok(durability_name(self.mode.durability()).to_owned()),
            "datasync_snapshot" => Ok(self.source()?.lsn().to_string()),
            "datasync_stats" => Ok(report::stats(&volume.stats(), Names::Snake).end()),
            "datasync_recovery" => Ok(report::recovery(volume.recovery(), Names::Snake).end()),
            "datasync_sync" => Ok(volume.sync()?.to_string()),
            "datasync_verify" => {
                let found = volume.verify(&mut |_, _| {})?.damage;
                let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
                Ok(if lines.is_empty() { "ok".to_owned() } else { lines.join("\n") })
            }
            "datasync_compact" if self.writing.is_some() => {
                fail(ErrorKind::Misuse, "PRAGMA datasync_compact inside a write transaction: commit first")
            }
            "datasync_compact" => volume.compact().map(|()| "ok".to_owned()),
            _ => Err(no_such_pragma(name)),
        }
    }
}

fn no_such_pragma(name: &str) -> Error {
    let text = format!(
        "no pragma {name}; there are datasync_stats, datasync_recovery, datasync_snapshot, datasync_error, \
         datasync_sync, datasync_compact, datasync_verify, datasync_durability, datasync_outcome"
    );
    Error::new(ErrorKind::Misuse, text)
}

/// The statement that sets what a connection's commits wait for.
pub(crate) fn durability_pragma(durability: Durability) -> &'static str {
    match durability {
        Durability::Applied => "PRAGMA main.datasync_durability = applied",
        Durability::Durable => "PRAGMA main.datasync_durability = durable",
        Durability::Witnessed => "PRAGMA main.datasync_durability = witnessed",
    }
}

fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Applied => "applied",
        Durability::Durable => "durable",
        Durability::Witnessed => "witnessed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synchronous_is_read_as_sqlite_reads_it() {
        for full in ["FULL", "extra", "2", "3", "10", "2nd", "0x2", "0XA"] {
            assert_eq!(Synchronous::read(full), Synchronous::Full, "{full}");
        }
        for relaxed in
            ["off", "normal", "on", "yes", "0", "1", "fulll", "8", "7", "-3", "", "0x", "0x8", "9999999999"]
        {
            assert_eq!(Synchronous::read(relaxed), Synchronous::Relaxed, "{relaxed}");
        }
    }

    #[test]
    fn what_was_asked_for_by_name_outranks_synchronous() {
        let mut mode = Mode::new(Synchronous::Full, Wanted::default());
        assert_eq!(mode.durability(), Durability::Durable);
        mode.synchronous = Synchronous::Relaxed;
        assert_eq!(mode.durability(), Durability::Applied);
        mode.wanted = Wanted::read("Witnessed").unwrap();
        assert_eq!(mode.durability(), Durability::Witnessed);
        mode.wanted = Wanted::read("synchronous").unwrap();
        assert_eq!(mode.durability(), Durability::Applied);
        assert_eq!(Wanted::read("sometimes").unwrap_err().kind(), ErrorKind::Misuse);
    }
}
