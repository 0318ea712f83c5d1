//! Where stores are on this platform: nowhere that a name alone would lead to. Opening storage in a browser is
//! asynchronous, so whoever has opened it mounts the volume under a name of its own (`store::mount`).
//!
//! The twin of `place.rs`, with the same names. The rule it keeps: an unknown name is an error that says so,
//! never a new database somewhere else.

use std::path::Path;

use crate::backend::OpenMode;
use crate::error::{ErrorKind, Result, fail};
use crate::volume::{Options, Volume};

/// The one name of a store: here names are what they are.
///
/// # Errors
/// None here; files have some.
#[expect(clippy::unnecessary_wraps, reason = "the native twin can fail")]
pub(super) fn full_name(path: &str) -> Result<String> {
    Ok(path.to_owned())
}

/// Refuses: only volumes that are open already have names.
///
/// # Errors
/// `NotFound`, always.
pub(super) fn open(name: &str, _mode: OpenMode, _options: Options) -> Result<Volume> {
    fail(ErrorKind::NotFound, no_such(name))
}

/// Refuses: there are no files.
///
/// # Errors
/// `Unsupported`, always.
pub(crate) fn make_durable(path: &Path) -> Result<()> {
    fail(ErrorKind::Unsupported, no_such(&path.display().to_string()))
}

/// Does nothing: there are no files.
pub(crate) fn remove_partial(_path: &Path) {}

/// Does nothing: there is nobody else whom one could wait for.
pub(crate) fn pause(_time: std::time::Duration) {}

fn no_such(name: &str) -> String {
    format!(
        "{name}: a browser has no files that SQLite could open by name; use ':memory:', or copy the rows through \
         a second open database"
    )
}
