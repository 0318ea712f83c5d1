//! Where stores are on this platform: directories of the file system.
//!
//! Must not know SQLite. The rule it keeps: one store has one name, whatever path it is reached by.

use std::path::{Path, PathBuf};

use crate::backend::OpenMode;
use crate::backend::file::FileStore;
use crate::error::{Error, ErrorKind, Result};
use crate::volume::{Options, Volume};

/// The one absolute name of the store at `path`, which need not exist yet.
///
/// # Errors
/// `Misuse` when the name is not UTF-8 (SQLite cannot pass it), `Io` when the working directory is gone.
pub(super) fn full_name(path: &str) -> Result<String> {
    let absolute = std::path::absolute(path)
        .map_err(|cause| Error::new(ErrorKind::Io, format!("{path}: no absolute path")).caused_by(cause))?;
    let resolved = std::fs::canonicalize(&absolute).unwrap_or_else(|_| resolve_parent(&absolute));
    resolved.into_os_string().into_string().map_err(|name| {
        Error::new(ErrorKind::Misuse, format!("{}: the path is not UTF-8", Path::new(&name).display()))
    })
}

fn resolve_parent(absolute: &Path) -> PathBuf {
    match (absolute.parent().map(std::fs::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute.to_path_buf(),
    }
}

/// Opens the volume at the full name `name`.
///
/// # Errors
/// As `Volume::open`.
pub(super) fn open(name: &str, mode: OpenMode, options: Options) -> Result<Volume> {
    let options = options.create(mode == OpenMode::Create).read_only(mode == OpenMode::ReadOnly);
    Volume::open(FileStore::open(name, mode)?, options)
}

/// Makes a file that somebody else wrote durable, name and all.
///
/// # Errors
/// `Io` when the system refuses.
pub(crate) fn make_durable(path: &Path) -> Result<()> {
    let sync = || {
        std::fs::File::open(path)?.sync_all()?;
        // Not every system can sync a directory; where it cannot, names need no help.
        if let Some(Ok(parent)) = std::fs::canonicalize(path)?.parent().map(std::fs::File::open) {
            parent.sync_all()?;
        }
        std::io::Result::Ok(())
    };
    sync().map_err(|cause| {
        Error::new(ErrorKind::Io, format!("{}: cannot make it durable", path.display())).caused_by(cause)
    })
}

/// Removes a file that this process had begun to write.
pub(crate) fn remove_partial(path: &Path) {
    // Its being there still is no reason to report anything but the failure that came first.
    let _ = std::fs::remove_file(path);
}

/// Lets `time` go by.
pub(crate) fn pause(time: std::time::Duration) {
    std::thread::sleep(time);
}
