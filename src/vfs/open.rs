//! What SQLite can open here: a database file, its rollback journal, and nothing else by name.
//!
//! Temporary files and super-journals are not ours: `ffi` hands them to the host's own VFS.

use super::file::MainFile;
use super::journal::Journal;
use super::pragma::{Mode, Synchronous};
use super::store::{self, Store};
use super::uri::Wishes;
use crate::backend::OpenMode;
use crate::error::{ErrorKind, Result, fail};

/// A file SQLite has open.
#[expect(clippy::large_enum_variant, reason = "always in a box of its own, which SQLite's handle points to")]
pub(super) enum File {
    Main(MainFile),
    Journal(Journal),
}

impl File {
    /// The store whose life a failure of this file concerns.
    pub(super) fn store(&self) -> Option<&Store> {
        match self {
            Self::Main(file) => Some(file.store()),
            Self::Journal(_) => None,
        }
    }

    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<usize> {
        match self {
            Self::Main(file) => file.read(buf, offset),
            Self::Journal(journal) => journal.read(buf, offset),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        match self {
            Self::Main(file) => file.write(bytes, offset),
            Self::Journal(journal) => journal.write(bytes, offset),
        }
    }

    pub(super) fn truncate(&mut self, bytes: u64) -> Result<()> {
        match self {
            Self::Main(file) => file.truncate(bytes),
            Self::Journal(journal) => journal.truncate(bytes),
        }
    }

    pub(super) fn size(&mut self) -> Result<u64> {
        match self {
            Self::Main(file) => file.size(),
            Self::Journal(journal) => journal.size(),
        }
    }
}

/// Opens the database file of the store with the full name `name`, joining the volume if it runs already.
///
/// # Errors
/// `Misuse` for a bad parameter; else as `Volume::open`.
pub(super) fn database(
    name: &str,
    parameters: &[(String, String)],
    access: OpenMode,
    default: Synchronous,
) -> Result<MainFile> {
    let wishes = Wishes::read(parameters)?;
    let access = if wishes.immutable { OpenMode::ReadOnly } else { access };
    let held = store::join(name, access, || wishes.options())?;
    let mode = Mode::new(default, wishes.wanted);
    MainFile::new(held, mode, access == OpenMode::ReadOnly, wishes.immutable)
}

/// The error for the write-ahead log that SQLite asks for when it believes in WAL mode.
///
/// # Errors
/// Always.
pub(super) fn refuse_wal<T>(name: &str) -> Result<T> {
    fail(
        ErrorKind::Misuse,
        format!("{name}: journal_mode=WAL does not exist here; the store keeps its own log"),
    )
}

/// Whether `name` is that of a journal or WAL file of a store that is open here. Such a file never exists:
/// one that lies about by that name is somebody else's, and must not be played back into the store.
pub(super) fn is_companion(name: &str) -> bool {
    ["-journal", "-wal"].into_iter().filter_map(|end| name.strip_suffix(end)).any(store::is_open)
}
