//! Whole databases in and out, by SQLite's own backup interface.
//!
//! The rule kept here: what arrives is one commit, and what leaves is one snapshot. A crash in the middle
//! leaves an empty store, or an empty file that SQLite rolls back; nothing that was there is touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{Database, in_words, utf8};
use crate::backend::OpenMode;
use crate::error::{ErrorKind, Result, fail};
use crate::planted::{Bug, planted};
use crate::volume::{OpenKind, Options};

/// Pages between two words of progress.
const STEP_PAGES: i32 = 1024;

/// A source that stays locked this many times [`PATIENCE`] is given up.
const TRIES: u32 = 250;
const PATIENCE: Duration = Duration::from_millis(20);

impl Database {
    /// Makes a store at `store` out of the database file `source`, and opens it. Any SQLite database will do,
    /// in WAL mode too; it is only read. `progress` is told (done, all) in bytes. On return it is durable.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let (source, store) = (directory.path().join("app.db"), directory.path().join("app.datasync"));
    /// # rusqlite::Connection::open(&source)?.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)")?;
    /// use datasync::{Database, volume::Options};
    ///
    /// let database = Database::import(&source, &store, Options::new(), &mut |_, _| {})?;
    /// database.connection()?.execute("INSERT INTO t VALUES (2)", [])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// * `Misuse`: the source is no SQLite database, or it is the `base.db` of a store that was not closed; or there is
    ///   a database in the store already.
    /// * `Busy`: somebody keeps the source locked, or writes into the store. `NotFound`: there is no such file.
    /// * Else as [`Database::open`].
    pub fn import(
        source: impl AsRef<Path>,
        store: impl AsRef<Path>,
        options: Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let source = source.as_ref();
        let shown = source.display().to_string();
        if !source.is_file() {
            return fail(ErrorKind::NotFound, format!("{shown}: no such file"));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // Kept until all is copied, so that nobody writes into it.
        let _closed = closed_store_around(source)?;
        let from = in_words(&shown, || Connection::open_with_flags(literally(source), flags))?;
        // Before a store is made for it: is it a database at all?
        in_words(&shown, || from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))?;
        let database = Self::open_with(store, options)?;
        database.check_empty()?;
        let mut to = database.connection()?;
        in_words(database.name(), || to.execute_batch("PRAGMA datasync_durability = durable"))?;
        if !planted(Bug::ImportWithoutSlot) {
            // Whoever writes until then wins, and from here on nobody does. A transaction would not do: the backup
            // begins its own. In exclusive mode the writer slot comes with the first read, and stays.
            let hold = "PRAGMA locking_mode=EXCLUSIVE; SELECT count(*) FROM sqlite_schema";
            in_words(database.name(), || to.execute_batch(hold))?;
            database.check_empty()?;
        }
        copy(&from, &mut to, &shown, progress)?;
        drop(to);
        Ok(database)
    }

    fn check_empty(&self) -> Result<()> {
        if self.volume().snapshot()?.size() > 0 {
            let text = "there is a database in this store already; import into a new one";
            return fail(ErrorKind::Misuse, format!("{}: {text}", self.name()));
        }
        Ok(())
    }

    /// Writes the database as a plain SQLite file at `path`, which must not exist. It is the newest commit of
    /// the moment it begins; readers and writers go on meanwhile. `progress` is told (done, all) in bytes. On
    /// return the file is durable. Of a damaged store, opened for reading only, it has what is there up to the damage:
    /// look at [`Database::recovery`] too.
    ///
    /// # Errors
    /// * `Misuse`: something stands at `path`, or it is inside of a store.
    /// * `Expired`: it took longer than readers are allowed to hold the log up; raise the log's cap.
    /// * `Corrupt`, `Io`, `Full`; what was written is removed.
    pub fn export(&self, path: impl AsRef<Path>, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let path = path.as_ref();
        let shown = utf8(path)?;
        if path.symlink_metadata().is_ok() {
            return fail(ErrorKind::Misuse, format!("{shown}: exists already; name a new file"));
        }
        if let Some(store) = store_around(path) {
            let text = "is inside of a store, whose files are its own; name a file elsewhere";
            return fail(ErrorKind::Misuse, format!("{shown}: {text} ({})", store.display()));
        }
        let from = self.connection()?;
        // One read transaction around all the steps: they see one snapshot.
        let begin = "BEGIN; SELECT count(*) FROM sqlite_schema";
        in_words(self.name(), || from.execute_batch(begin))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let copied = in_words(shown, || Connection::open_with_flags(literally(path), flags))
            .and_then(|mut to| copy(&from, &mut to, shown, progress))
            .and_then(|()| crate::vfs::make_durable(path));
        if copied.is_err() {
            crate::vfs::remove_partial(path);
        }
        copied
    }

    /// Whether it was opened for reading only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.access == OpenMode::ReadOnly
    }
}

/// `path` for SQLite, to which a relative one can be a URI (`file:x.db`) or a name of its own (`:memory:`).
fn literally(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The store among whose files `path` is.
fn store_around(path: &Path) -> Option<PathBuf> {
    let folder = literally(path).parent()?.canonicalize().ok()?;
    folder.join("META").is_file().then_some(folder)
}

/// The store whose `base.db` `source` is, if it is one's: held, and closed properly.
///
/// # Errors
/// `Misuse`: what it has in its log would be missing. `Busy`: it is in use.
fn closed_store_around(source: &Path) -> Result<Option<Database>> {
    let Some(folder) = source.canonicalize().ok().and_then(|source| store_around(&source)) else {
        return Ok(None);
    };
    let database = Database::open_with(folder, Options::new().read_only(true))?;
    if database.recovery().kind == OpenKind::Clean {
        return Ok(Some(database));
    }
    let text = "belongs to a store that was not closed, with commits in its log: export that store instead";
    fail(ErrorKind::Misuse, format!("{}: {text} ({})", source.display(), database.name()))
}

/// Copies the whole of `from` over `to`, as one transaction there.
fn copy(
    from: &Connection,
    to: &mut Connection,
    what: &str,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let page_bytes: i64 = in_words(what, || from.query_row("PRAGMA page_size", [], |row| row.get(0)))?;
    let bytes = |pages: i32| u64::try_from(i64::from(pages) * page_bytes).unwrap_or(0);
    let backup = in_words(what, || Backup::new(from, to))?;
    let mut refused = 0;
    loop {
        let step = in_words(what, || backup.step(STEP_PAGES))?;
        let at = backup.progress();
        progress(bytes(at.pagecount - at.remaining), bytes(at.pagecount));
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => refused = 0,
            _ if refused >= TRIES => {
                return fail(ErrorKind::Busy, format!("{what}: somebody keeps it locked"));
            }
            _ => {
                refused += 1;
                crate::vfs::pause(PATIENCE);
            }
        }
    }
}
