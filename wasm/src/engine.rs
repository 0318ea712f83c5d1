//! One open database with its one connection: what a session of the worker does, without JavaScript.
//!
//! Must not know where the store is. The rules it keeps: a commit is in the log when its call returns and durable
//! when [`Engine::settle`] has returned (the worker answers only then); and statements and recordings are gone
//! before their connection is, the connection before the volume.

use std::collections::BTreeMap;

use datasync::backend::Backend;
use datasync::block::{CommitId, Durability, Lsn};
use datasync::volume::report::{self, Names};
use datasync::{Database, Error, ErrorKind, Volume};
use rusqlite::Connection;

use crate::failure::{Failure, Outcome};
use crate::raw::changes::{self, Changes, OnConflict, Recording};
use crate::raw::{self, Statement};
use crate::script::Script;
use crate::settings::Settings;
use crate::transfer::{Export, Import};
use crate::wire::Encoder;

/// A statement as JavaScript is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Its number.
    pub id: u32,
    /// Where the rest of the SQL begins, in UTF-16 units.
    pub tail: usize,
    /// Names of its columns.
    pub columns: Vec<String>,
    /// Names of its parameters, with their sign.
    pub parameters: Vec<Option<String>>,
    /// Whether it changes nothing.
    pub readonly: bool,
}

/// An open database.
pub struct Engine {
    // Fields are dropped in order: see the rule above.
    statements: BTreeMap<u32, Statement>,
    recordings: Vec<(u32, Recording)>,
    last_id: u32,
    encoder: Encoder,
    export: Option<Export>,
    import: Option<Import>,
    connection: Option<Connection>,
    database: Option<Database>,
    volume: Volume,
    settings: Settings,
    /// The newest commit that a settle has covered.
    settled: Lsn,
    poisoned: bool,
}

impl Engine {
    /// Opens what is on `backend`, recovering it if need be.
    ///
    /// # Errors
    /// As `Volume::open`.
    pub fn open(backend: impl Backend + 'static, settings: Settings) -> Outcome<Self> {
        let volume = Volume::open(backend, settings.options()?)?;
        let settled = volume.durable_lsn();
        let database = Database::over(volume.clone())?;
        let connection = Some(settings.connect(&database)?);
        Ok(Self {
            statements: BTreeMap::new(),
            recordings: Vec::new(),
            last_id: 0,
            encoder: Encoder::default(),
            export: None,
            import: None,
            connection,
            database: Some(database),
            volume,
            settings,
            settled,
            poisoned: false,
        })
    }

    fn connection(&self) -> Outcome<&Connection> {
        self.connection.as_ref().ok_or_else(|| closed(&self.volume))
    }

    /// Keeps in mind what ends this opening.
    ///
    /// # Errors
    /// The one it was given.
    pub fn note<T>(&mut self, outcome: Outcome<T>) -> Outcome<T> {
        if let Err(failure) = &outcome {
            self.poisoned |= ["Poisoned", "Indeterminate", "Fenced", "Lost"].contains(&failure.kind);
        }
        outcome
    }

    /// Prepares the next statement of `script` and moves the script on; `None` when there is none left.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn prepare(&mut self, script: &mut Script) -> Outcome<Option<Prepared>> {
        let connection = self.connection()?;
        let statement = loop {
            let (statement, used) = Statement::prepare(connection, script.rest())?;
            script.skip(used);
            match statement {
                Some(statement) => break statement,
                None if used == 0 || script.rest().is_empty() => return Ok(None),
                None => {}
            }
        };
        let prepared = Prepared {
            id: next(&mut self.last_id),
            tail: script.place(),
            columns: statement.column_names(),
            parameters: statement.parameter_names(),
            readonly: statement.is_readonly(),
        };
        self.statements.insert(prepared.id, statement);
        Ok(Some(prepared))
    }

    fn statement(&mut self, id: u32) -> Outcome<(&mut Statement, &Connection, &mut Encoder)> {
        let Some(connection) = &self.connection else { return Err(closed(&self.volume)) };
        match self.statements.get_mut(&id) {
            Some(statement) => Ok((statement, connection, &mut self.encoder)),
            None => Err(Failure::misuse(format!(
                "statement {id} does not exist, or not any more; prepare it again"
            ))),
        }
    }

    /// Binds the one row of a chunk to the parameters, by position.
    ///
    /// # Errors
    /// `Misuse` for bytes that are no such chunk; as SQLite says.
    pub fn bind(&mut self, id: u32, chunk: Vec<u8>) -> Outcome<()> {
        let (statement, connection, _) = self.statement(id)?;
        statement.bind_row(connection, chunk)
    }

    /// Runs on for at most `rows` rows or `bytes` bytes, whichever is reached first, and returns the parts of the
    /// chunk. When the statement has ended it is reset, and the chunk says that it is done.
    ///
    /// # Errors
    /// As SQLite says; the statement is reset.
    pub fn step(&mut self, id: u32, rows: usize, bytes: usize) -> Outcome<[&[u8]; 5]> {
        let (statement, connection, encoder) = self.statement(id)?;
        let (mut count, mut done) = (0, false);
        encoder.begin(statement.columns());
        while count < rows.max(1) && encoder.bytes() < bytes {
            if !statement.step(connection)? {
                statement.reset();
                done = true;
                break;
            }
            if count == 0 {
                // Only now is it known that the statement was not prepared anew, for another schema.
                encoder.begin(statement.columns());
            }
            statement.encode(encoder);
            count += 1;
        }
        Ok(encoder.finish(count, done))
    }

    /// For each row of the chunk: binds it and runs the statement to its end.
    ///
    /// # Errors
    /// As SQLite says of the first row that fails.
    pub fn run_many(&mut self, id: u32, chunk: Vec<u8>) -> Outcome<()> {
        let (statement, connection, _) = self.statement(id)?;
        statement.run_rows(connection, chunk)
    }

    /// Gives up what a statement is in the middle of, and what is bound to it. Without effect if it is not there.
    pub fn reset(&mut self, id: u32) {
        if let Some(statement) = self.statements.get_mut(&id) {
            statement.clear();
        }
    }

    /// Forgets a statement. Without effect if it is not there.
    pub fn finalize(&mut self, id: u32) {
        self.statements.remove(&id);
    }

    /// Begins to record what changes in some tables: their names, each ended by a NUL. In all of them, if it is empty.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn record(&mut self, tables: &str) -> Outcome<u32> {
        let recording = Recording::begin(self.connection()?, tables)?;
        let id = next(&mut self.last_id);
        self.recordings.push((id, recording));
        Ok(id)
    }

    /// What a recording holds: a changeset, or (`patch`) a patchset.
    ///
    /// # Errors
    /// `Expired` for a recording that is over; as SQLite says.
    pub fn recorded(&self, id: u32, patch: bool) -> Outcome<Changes> {
        let connection = self.connection()?;
        match self.recordings.iter().find(|(known, _)| *known == id) {
            Some((_, recording)) => recording.changes(connection, patch),
            None => Err(Failure {
                kind: "Expired",
                ..Failure::misuse(
                    "this session is over, because an import replaced the database; begin another",
                )
            }),
        }
    }

    /// Ends a recording. Without effect if it is not there.
    pub fn unrecord(&mut self, id: u32) {
        self.recordings.retain(|(known, _)| *known != id);
    }

    /// Applies a changeset or a patchset, as a whole or not at all; how many of its changes did not fit.
    ///
    /// # Errors
    /// `Misuse`: the bytes are neither. `Sql`: a table is missing, or is another. `Conflict`, `Constraint`: a change
    /// does not fit, and `on_conflict` is `abort`; or a foreign key would be broken. As SQLite says.
    pub fn apply(&mut self, changes: &[u8], on_conflict: &str) -> Outcome<u32> {
        let on_conflict = OnConflict::from_name(on_conflict)?;
        let connection = self.connection()?;
        raw::execute(connection, "SAVEPOINT datasync_apply".to_owned())?;
        let outcome = changes::apply(connection, changes, on_conflict);
        if outcome.is_err() {
            // SQLite may have rolled everything back already; then there is nothing to go back to.
            let _ = raw::execute(connection, "ROLLBACK TO datasync_apply".to_owned());
        }
        let released = raw::execute(connection, "RELEASE datasync_apply".to_owned());
        outcome.and_then(|conflicts| released.map(|()| conflicts))
    }

    /// The changeset that takes back what `changes` does.
    ///
    /// # Errors
    /// `Misuse`: the bytes are no changeset.
    pub fn invert(&self, changes: &[u8]) -> Outcome<Changes> {
        changes::invert(changes)
    }

    /// Makes everything committed so far durable, as far as a blocking call can.
    ///
    /// # Errors
    /// `Indeterminate`, `Poisoned`: reopening tells what survived.
    pub fn settle(&mut self) -> Outcome<()> {
        // Not what is durable by now counts: a commit may still need its witness then.
        if self.settings.read_only || self.volume.committed_lsn() == self.settled {
            return Ok(());
        }
        self.settled = self.volume.sync()?;
        Ok(())
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !raw::autocommit(connection))
    }

    /// Whether a transaction may be begun that commits in one step: none is open, and nothing is attached.
    #[must_use]
    pub fn may_join(&self) -> bool {
        let may = |connection| raw::autocommit(connection) && !raw::has_attached(connection);
        self.connection.as_ref().is_some_and(may)
    }

    /// Whether a transaction is open that keeps all foreign keys, those too which are deferred to its end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let is = |connection| !raw::autocommit(connection) && !raw::owes_foreign_key(connection);
        self.connection.as_ref().is_some_and(is)
    }

    /// One bounded step of what is to be done in the background; whether there is more.
    ///
    /// # Errors
    /// As `Volume::tend`, but for what passes by itself.
    pub fn tend(&mut self, idle: bool) -> Outcome<bool> {
        if self.settings.read_only || self.connection.is_none() || self.poisoned {
            return Ok(false);
        }
        match self.volume.tend(idle) {
            // Whoever commits next is told, if it still is so by then.
            Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::Busy) => Ok(false),
            outcome => Ok(outcome?),
        }
    }

    /// Why settling failed: a commit after `flushed` may be there after reopening, or not, unless the error says more.
    #[must_use]
    pub fn in_doubt(&self, error: Error, flushed: Lsn) -> Failure {
        let doubtful = matches!(error.kind(), ErrorKind::Io | ErrorKind::Poisoned);
        if !doubtful || self.settled <= flushed {
            return error.into();
        }
        let id = CommitId { epoch: self.volume.stats().epoch, lsn: self.settled };
        let message = format!("commit {id} may or may not survive: open the database again and look");
        Error::new(ErrorKind::Indeterminate(id), message).caused_by(error).into()
    }

    /// The last commit that was settled.
    #[must_use]
    pub fn settled(&self) -> Lsn {
        self.settled
    }

    /// Numbers about the store and what it is. Of what the store calls durable only what is `flushed` counts.
    #[must_use]
    pub fn status(&self, backend: &str, flushed: Lsn) -> report::Object {
        let mut stats = self.volume.stats();
        stats.durable = stats.durable.min(flushed);
        report::stats(&stats, Names::Camel)
            .with("visible", self.volume.visible_lsn())
            .with("backend", report::quoted(backend))
            .with("name", report::quoted(&self.volume.name()))
            .with("readOnly", self.settings.read_only)
            .with("poisoned", self.poisoned)
            .with("inTransaction", self.in_transaction())
            .with("statements", self.statements.len())
    }

    /// What opening found, as JSON.
    #[must_use]
    pub fn recovery(&self) -> String {
        report::recovery(self.volume.recovery(), Names::Camel).end()
    }

    /// Rows that the last statement has changed.
    #[must_use]
    pub fn changes(&self) -> i64 {
        self.connection.as_ref().map_or(0, raw::changes)
    }

    /// Rows that were changed since opening.
    #[must_use]
    pub fn total_changes(&self) -> i64 {
        self.connection.as_ref().map_or(0, raw::total_changes)
    }

    /// The rowid that was inserted last.
    #[must_use]
    pub fn last_insert_rowid(&self) -> i64 {
        self.connection.as_ref().map_or(0, raw::last_insert_rowid)
    }

    /// Takes back what inserts that were undone have left there.
    pub fn set_last_insert_rowid(&mut self, rowid: i64) {
        if let Some(connection) = &self.connection {
            raw::set_last_insert_rowid(connection, rowid);
        }
    }

    /// Reads and checks every byte of the store; the report as JSON.
    ///
    /// # Errors
    /// `Io`; damage is in the report.
    pub fn verify(&mut self) -> Outcome<String> {
        Ok(report::verification(&self.volume.verify(&mut |_, _| {})?, Names::Camel).end())
    }

    /// Begins an export of the newest commit; how many bytes it has.
    ///
    /// # Errors
    /// `Misuse` after closing.
    pub fn export_start(&mut self) -> Outcome<u64> {
        self.connection()?;
        let export = Export::new(self.volume.snapshot_newest()?);
        let bytes = export.bytes();
        self.export = Some(export);
        Ok(bytes)
    }

    /// Reads of the export that was begun.
    ///
    /// # Errors
    /// `Misuse` if none was; `Expired`, `Corrupt`, `Io`.
    pub fn export_read(&mut self, offset: u64, length: usize) -> Outcome<Vec<u8>> {
        match &self.export {
            Some(export) => export.read(offset, length),
            None => Err(Failure::misuse("no export was begun")),
        }
    }

    /// Ends the export.
    pub fn export_end(&mut self) {
        self.export = None;
    }

    /// Begins to replace the whole database by a database file of `bytes` bytes.
    ///
    /// # Errors
    /// * `Misuse`: in a transaction, or while another import is under way, or a length that no database has.
    /// * `Busy`, `ReadOnly`, `Poisoned`, `Full`.
    pub fn import_start(&mut self, bytes: u64) -> Outcome<()> {
        self.connection()?;
        if self.in_transaction() || self.import.is_some() {
            return Err(Failure::misuse(
                "an import is a transaction of its own: end the one that is open first",
            ));
        }
        self.import = Some(Import::new(self.volume.begin()?, bytes)?);
        Ok(())
    }

    /// The next bytes of the file. After an error the import is over, and the database is as it was.
    ///
    /// # Errors
    /// `NotAStore`: no database file. `Misuse`: more bytes than were announced. `Full`, `Io`, `Poisoned`.
    pub fn import_write(&mut self, bytes: &[u8]) -> Outcome<()> {
        let Some(import) = &mut self.import else { return Err(Failure::misuse("no import was begun")) };
        let outcome = import.write(bytes);
        if outcome.is_err() {
            self.import = None;
        }
        outcome
    }

    /// Commits the import, `witnessed` or as every commit. Afterwards statements are gone, and so is what was set on
    /// the connection: prepare them, and set it, again.
    ///
    /// # Errors
    /// `Misuse`: bytes are missing. `Full`: nothing was changed. `Indeterminate`, `Io`, `Poisoned`.
    pub fn import_end(&mut self, witnessed: bool) -> Outcome<()> {
        let Some(import) = self.import.take() else { return Err(Failure::misuse("no import was begun")) };
        import.finish(if witnessed { Durability::Witnessed } else { Durability::Applied })?;
        // Another schema may have the same number: nothing of this connection may be kept.
        self.statements.clear();
        self.recordings.clear();
        self.connection = None;
        if let Some(database) = &self.database {
            self.connection = Some(self.settings.connect(database)?);
        }
        Ok(())
    }

    /// Gives the import up; the database is as it was.
    pub fn import_cancel(&mut self) {
        self.import = None;
    }

    /// Rolls back what is open, folds the log, and ends. Closing twice is fine.
    ///
    /// # Errors
    /// `Poisoned`, `Io`, `Full`: it is closed, but the log is not folded; the next open recovers. Nothing
    /// acknowledged is lost.
    pub fn close(&mut self) -> Outcome<()> {
        self.abandon();
        Ok(self.volume.close()?)
    }

    /// Lets go of the connection without a word to the store.
    pub fn abandon(&mut self) {
        self.export = None;
        self.import = None;
        self.statements.clear();
        self.recordings.clear();
        self.connection = None;
        self.database = None;
    }
}

fn closed(volume: &Volume) -> Failure {
    Failure { kind: "Closed", ..Failure::misuse(format!("{} has been closed; open it again", volume.name())) }
}

/// A number that was not given lately.
fn next(last: &mut u32) -> u32 {
    *last = last.wrapping_add(1).max(1);
    *last
}
