//! What stands at a path, and making a store's directory there.
//!
//! Must not know: the contents of any file. The rule it keeps: nothing is created, changed or locked at a
//! path until it is sure that a store stands there or may.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::lock::LOCK;
use super::trouble::{Doing, trouble};
use super::{platform, segment_of};
use crate::backend::OpenMode;
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::plan::Area;

/// At most this many strange files are named in a message.
const NAMED_MAX: usize = 3;

/// Makes sure that `path` is a directory that holds a store or may get one, and returns its real path.
///
/// A directory that was created here, or that holds no META yet, is durable in its parent on return.
///
/// # Errors
/// `NotAStore`, `NotFound`, `ReadOnly`, `Full`, `Io`; in each case nothing was changed.
pub(super) fn prepare(path: &Path, mode: OpenMode) -> Result<PathBuf> {
    let fresh = match fs::metadata(path) {
        Ok(known) if known.is_dir() => !holds_store(path, mode)?,
        Ok(_) => return Err(not_a_directory(path)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            create(path, mode)?;
            true
        }
        // A file where a directory on the way should be.
        Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{} cannot exist, a part of that path is a file; check the path", path.display()),
            )
            .caused_by(cause));
        }
        Err(cause) => return Err(trouble(Doing::Open, path, cause)),
    };
    let directory = fs::canonicalize(path).map_err(|cause| trouble(Doing::Open, path, cause))?;
    if fresh && mode == OpenMode::Create {
        // ORDER: before anything is created inside; a power cut could otherwise take the whole store away
        // after its first commit was acknowledged.
        barrier_parent(&directory)?;
    }
    Ok(directory)
}

fn create(path: &Path, mode: OpenMode) -> Result<()> {
    if mode != OpenMode::Create {
        return fail(
            ErrorKind::NotFound,
            format!("{} does not exist; check the path, or ask for it to be created", path.display()),
        );
    }
    match fs::create_dir(path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
            Err(trouble(Doing::Create, path, cause))
        }
        _ => Ok(()),
    }
}

/// Makes the directory's own name durable in the directory above it.
fn barrier_parent(directory: &Path) -> Result<()> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    platform::barrier_directory(parent).map_err(|cause| trouble(Doing::Barrier, parent, cause))
}

/// Whether the directory holds a store, in whatever state; `false` if a new one may be made in it.
fn holds_store(directory: &Path, mode: OpenMode) -> Result<bool> {
    let refused = |cause| trouble(Doing::Open, directory, cause);
    let (mut parts, mut strange) = (false, Vec::new());
    for entry in fs::read_dir(directory).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        match name.to_str() {
            Some("META") => return Ok(true),
            Some(name) if name == LOCK || name == platform::HOLDER => {}
            Some(name) if is_part(name) => parts = true,
            _ => strange.push(name.to_string_lossy().into_owned()),
        }
    }
    if !strange.is_empty() {
        return Err(strangers(directory, strange));
    }
    if !parts && mode != OpenMode::Create {
        return fail(
            ErrorKind::NotFound,
            format!(
                "{} holds no store yet; check the path, or ask for it to be created",
                directory.display()
            ),
        );
    }
    // Parts without META: that is damage, and recovery's to judge.
    Ok(parts)
}

fn is_part(name: &str) -> bool {
    name == Area::Base.to_string() || name == Area::Sums.to_string() || segment_of(name).is_some()
}

fn strangers(directory: &Path, mut names: Vec<String>) -> Error {
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    let mut list = names.join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    Error::new(
        ErrorKind::NotAStore,
        format!(
            "{} is a directory with other files in it ({list}) and no META; name a new path for the store, \
             or make one of a database file with `datasync import FILE STORE`",
            directory.display()
        ),
    )
}

fn not_a_directory(path: &Path) -> Error {
    let store = path.with_extension("datasync");
    Error::new(
        ErrorKind::NotAStore,
        format!(
            "{} is a file, and a store is a directory; if it is a database, `datasync import {} {}` makes a \
             store of it",
            path.display(),
            path.display(),
            store.display()
        ),
    )
}
