//! The SQLite VFS: SQLite's pages, locks and syncs on one side, a volume's snapshots and batches on the other.
//!
//! Anybody's own connection can use it once it is registered, by name:
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("app.datasync");
//! datasync::vfs::register()?;
//! let name = format!("file:{}?vfs=datasync", path.display());
//! let connection = datasync::rusqlite::Connection::open(name)?;
//! connection.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Parameters of the name
//!
//! The path is the store's directory. Behind it can stand, `file:app.datasync?vfs=datasync&log_cap=32M`:
//!
//! | parameter | value | meaning |
//! |---|---|---|
//! | `vfs`, `mode`, `cache`, `psow`, `modeof` | SQLite's own | `mode=ro` opens for reading only |
//! | `immutable` | boolean | for reading only, and on the one commit that is the newest when it is opened |
//! | `nolock` | 0 | 1 is refused: without locks there is no transaction |
//! | `checksum` | `crc32`, `xxh3` (or `fast`) | algorithm of a new store; one that is there must have it |
//! | `segment_bytes` | bytes, `K`/`M`/`G` allowed | [`Options::segment_bytes`](crate::volume::Options::segment_bytes) |
//! | `log_cap` | bytes | [`Options::log_cap_bytes`](crate::volume::Options::log_cap_bytes) |
//! | `reserve` | bytes | [`Options::reserve_bytes`](crate::volume::Options::reserve_bytes) |
//! | `spill` | bytes | [`Options::spill_bytes`](crate::volume::Options::spill_bytes) |
//! | `durability` | `applied`, `durable`, `witnessed`, `synchronous` | as the pragma `datasync_durability` |
//!
//! Sizes and `checksum` count for the first connection of a process: later ones join the running volume. A parameter
//! that is not understood is an error, never ignored.
//!
//! # Other names on such a connection
//!
//! SQLite opens what `ATTACH 'x.db'` and `VACUUM INTO 'x.db'` name with the VFS of the connection: both are stores
//! then, directories, and made if they are absent. A plain database file is named together with the host's own VFS,
//! `file:x.db?vfs=unix` (`win32` on Windows). For that a connection of your own has to be opened with
//! `SQLITE_OPEN_URI`, as those of `Database` are.
//!
//! # Pragmas
//!
//! | pragma | answer | effect |
//! |---|---|---|
//! | `datasync_stats` | JSON | none |
//! | `datasync_recovery` | JSON | none: what opening the store found |
//! | `datasync_snapshot` | an LSN | none: the commit this connection reads now |
//! | `datasync_error` | text, empty if none | none: the last error of the store in this process, in words |
//! | `datasync_sync` | an LSN | everything committed so far is durable |
//! | `datasync_compact` | `ok` | folds what can be folded into base.db |
//! | `datasync_verify` | `ok`, or what is damaged | reads everything and checks it |
//! | `datasync_durability` | `applied`, `durable`, `witnessed` | none: what this connection's commits wait for |
//! | `datasync_durability = X` | X | as it says; `synchronous` goes back to following `PRAGMA synchronous` |
//! | `datasync_outcome = 'E.L'` | `committed`, `not committed`, `unknown` | none: what became of that commit |
//!
//! Without `datasync_durability`, a commit is `durable` at `synchronous=FULL` (the default, unless SQLite was built
//! with another) and EXTRA, and `applied` at NORMAL and OFF: visible at once, and durable with the next durable
//! commit, `datasync_sync` or close. All take a schema name in front, as in `PRAGMA other.datasync_sync`.
//!
//! A commit whose barrier failed is named by its error, as in 3.17. It may or may not survive: close every connection
//! to the store, open it again and ask for `datasync_outcome = '3.17'`. The answer is `unknown` once the store has
//! forgotten that life, 128 openings later.
//!
//! # How it works
//!
//! | SQLite does | here |
//! |---|---|
//! | lock SHARED | a snapshot of the newest acknowledged commit |
//! | lock RESERVED | the writer slot |
//! | writes pages | stages them in the batch |
//! | FCNTL_SYNC, xSync | reserves the space |
//! | COMMIT_PHASETWO | commits |
//! | unlocks | drops the batch, if it was not committed |
//!
//! Must not know what a log or a segment is. The rule it keeps: SQLite never reads bytes of two commits
//! under one lock, and never hears "done" before the volume has said so.

mod commit;
#[expect(unsafe_code, reason = "SQLite calls a VFS through C function pointers; nothing else here is unsafe")]
mod ffi;
mod file;
mod header;
mod journal;
mod open;
#[cfg_attr(all(target_family = "wasm", target_os = "unknown"), path = "place_web.rs")]
mod place;
mod pragma;
pub(crate) mod store;
mod supers;
pub(crate) mod trouble;
mod turn;
mod uri;

pub(crate) use place::{make_durable, pause, remove_partial};
pub(crate) use pragma::durability_pragma;

use crate::error::{Error, Result};

/// The name of the VFS, for `?vfs=` and for `open_with_flags_and_vfs`.
pub const NAME: &str = "datasync";

/// Makes the VFS known to SQLite under [`NAME`]. Calling it again does nothing. It never becomes the default.
///
/// # Errors
/// `Unsupported` when this SQLite has no VFS of its own, or refuses another.
pub fn register() -> Result<()> {
    ffi::register()
}

/// What went wrong in the last call of SQLite's that failed on this thread, in words: SQLite's own error has
/// only a code.
#[must_use]
pub fn last_error() -> Option<Error> {
    trouble::last().map(|trouble| trouble.to_error())
}

/// The same, and it is forgotten: so that a later failure of SQLite's own cannot be blamed on it. For callers of
/// SQLite's C interface, before and after a call.
pub fn take_error() -> Option<Error> {
    trouble::take().map(|trouble| trouble.to_error())
}
