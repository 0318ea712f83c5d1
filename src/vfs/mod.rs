//! The SQLite VFS: SQLite's pages, locks and syncs on one side, a volume's snapshots and batches on the other.
//!
//! Anybody's own connection can use it once it is registered, by name:
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("app.datasync");
//! datasync::vfs::register()?;
//! let name = format!("file:{}?vfs=datasync", path.display());
//! let connection = rusqlite::Connection::open(name)?;
//! connection.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The path is the store's directory. What else the name can say stands in `uri`, the pragmas in `pragma`.
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
