//! A database in a store: open it, get connections, move whole databases in and out.
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("app.datasync");
//! let connection = datasync::open(&path)?;
//! connection.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (42)")?;
//! let x: i64 = connection.query_row("SELECT x FROM t", [], |row| row.get(0))?;
//! assert_eq!(x, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Database`] is the same with a handle on the store itself, for as many connections and threads as wanted:
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("app.datasync");
//! use datasync::Database;
//!
//! let database = Database::open(&path)?;
//! database.connection()?.execute_batch("CREATE TABLE t(x)")?;
//! std::thread::scope(|scope| {
//!     for worker in 0..4 {
//!         let connection = database.connection().expect("the store is open");
//!         scope.spawn(move || connection.execute("INSERT INTO t VALUES (?1)", [worker]).expect("its turn comes"));
//!     }
//! });
//! let rows: i64 = database.connection()?.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?;
//! assert_eq!(rows, 4);
//! database.export(directory.path().join("plain.db"), &mut |_, _| {})?;
//! database.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Must not know SQLite's VFS calls, nor logs and segments. The rule it keeps: every error says in words what
//! happened to which store, which SQLite's codes alone cannot.

mod transfer;

use std::fmt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::backend::OpenMode;
use crate::block::{Durability, Lsn};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::vfs::store::{self, Held};
use crate::vfs::{self, trouble};
use crate::volume::{Options, RecoveryReport, Stats, VerifyReport, Volume};

/// Opens the database in the store at `path` (a directory, made if it is absent). A commit on the connection
/// is durable when it returns, unless `PRAGMA synchronous` or `PRAGMA datasync_durability` says otherwise.
///
/// # Errors
/// As [`Database::open`].
pub fn open(path: impl AsRef<Path>) -> Result<Connection> {
    Database::open(path)?.connection()
}

/// A store with a database in it. Cheap to keep; the store is closed when this and its connections are gone.
pub struct Database {
    held: Held,
    access: OpenMode,
    /// What its connections begin with instead of `PRAGMA synchronous`.
    durability: Option<Durability>,
}

/// Its name and what it was opened for.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Database");
        fields.field("name", &self.name()).field("access", &self.access);
        fields.field("durability", &self.durability).finish()
    }
}

impl Database {
    /// Opens the store at `path` (a directory), or makes it.
    ///
    /// # Errors
    /// * `Busy`: another process has it; the message names it.
    /// * `NotAStore`: something else stands there. `Unsupported`: written by a newer version.
    /// * `Corrupt`: durable bytes are damaged; open it with `Options::read_only`, or salvage it.
    /// * `Full`, `Io`, `ReadOnly`: the system refused.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::new())
    }

    /// Opens the store at `path` as `options` say. If this process has it open already, that volume is joined
    /// and the options are not looked at, except whether it is for reading only and the durability: those are
    /// this `Database`'s own.
    ///
    /// # Errors
    /// As [`Database::open`]; `NotFound` when creating was ruled out; `Misuse` for options that contradict
    /// each other.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        vfs::register()?;
        let access = match (options.read_only, options.create) {
            (true, _) => OpenMode::ReadOnly,
            (false, true) => OpenMode::Create,
            (false, false) => OpenMode::Existing,
        };
        let durability = options.durability;
        let name = store::full_name(utf8(path.as_ref())?)?;
        let held = store::join(&name, access, || options)?;
        Ok(Self { held, access, durability })
    }

    /// A database on a volume of any kind (in memory, simulated). The volume stays the caller's: closing the
    /// database does not close it.
    ///
    /// # Errors
    /// `Unsupported` when SQLite does not take the VFS.
    pub fn over(volume: Volume) -> Result<Self> {
        vfs::register()?;
        let durability = volume.durability_set();
        Ok(Self { held: store::mount(volume), access: OpenMode::Existing, durability })
    }

    /// A new connection. Any number may be open, on any threads: many read while one writes; a writer whose
    /// turn it is not waits as long as the connection's busy timeout (5 s unless set). Its commits wait for
    /// what [`Options::durability`] says, and without that for what `PRAGMA synchronous` says.
    ///
    /// # Errors
    /// As SQLite, with our words: `Io`, `Poisoned`, `Corrupt`.
    pub fn connection(&self) -> Result<Connection> {
        let access = match self.access {
            OpenMode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
            // CREATE is for what will be attached; this one is open already.
            OpenMode::Create | OpenMode::Existing => {
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
            }
        };
        // URI: so that ATTACH and VACUUM INTO can name another VFS.
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        in_words(self.name(), || {
            let connection = Connection::open_with_flags_and_vfs(self.name(), flags, vfs::NAME)?;
            if let Some(durability) = self.durability {
                connection.execute_batch(vfs::durability_pragma(durability))?;
            }
            Ok(connection)
        })
    }

    /// Makes everything committed so far durable; the newest commit that is.
    ///
    /// # Errors
    /// `Poisoned`, `Indeterminate`: reopening tells what survived.
    pub fn sync(&self) -> Result<Lsn> {
        self.volume().sync()
    }

    /// Folds what can be folded from the log into base.db. Commits and reads go on meanwhile.
    ///
    /// # Errors
    /// As `Volume::compact`.
    pub fn compact(&self) -> Result<()> {
        self.volume().compact()
    }

    /// Reads and checks every byte of the store. `progress` is told (done, all) as it goes.
    ///
    /// # Errors
    /// Damage is in the report and is no error; `Io` when it cannot be read.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport> {
        self.volume().verify(progress)
    }

    /// Numbers about the store.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.volume().stats()
    }

    /// What opening the store found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        self.volume().recovery()
    }

    /// The last error of the store in this process, on whichever connection.
    #[must_use]
    pub fn last_error(&self) -> Option<Error> {
        self.held.store().last_error().map(|trouble| trouble.to_error())
    }

    /// The volume underneath: blocks instead of SQL.
    #[must_use]
    pub fn volume(&self) -> &Volume {
        self.held.store().volume()
    }

    /// Where the store is.
    #[must_use]
    pub fn name(&self) -> &str {
        self.held.store().name()
    }

    /// Closes the store: everything is durable and folded, and base.db in it is a plain database file.
    ///
    /// # Errors
    /// * `Busy`: connections are open; the store closes with the last of them.
    /// * `Io`, `Full`, `Poisoned`: it is closed, but not everything was folded. Nothing acknowledged is lost.
    pub fn close(self) -> Result<()> {
        self.held.close()
    }
}

fn utf8(path: &Path) -> Result<&str> {
    match path.to_str() {
        Some(path) => Ok(path),
        None => fail(ErrorKind::Misuse, format!("{}: the path is not UTF-8", path.display())),
    }
}

/// Runs something of SQLite's on `what` and puts what went wrong into words: the VFS's if it was the VFS.
fn in_words<T>(what: &str, run: impl FnOnce() -> rusqlite::Result<T>) -> Result<T> {
    trouble::take();
    run().map_err(|error| match trouble::take() {
        Some(trouble) => trouble.to_error().caused_by(error),
        None => Error::new(kind_of(&error), what.to_owned()).caused_by(error),
    })
}

/// What to do about an error of SQLite's own.
fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => ErrorKind::Busy,
        Some(Code::DiskFull) => ErrorKind::Full,
        Some(Code::ReadOnly) => ErrorKind::ReadOnly,
        Some(Code::DatabaseCorrupt) => ErrorKind::Corrupt,
        Some(Code::NotADatabase | Code::Unknown | Code::TypeMismatch | Code::ApiMisuse) | None => {
            ErrorKind::Misuse
        }
        Some(_) => ErrorKind::Io,
    }
}
