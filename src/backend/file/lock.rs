//! The lock on a store: one writer or any number of readers, told apart by a message that names the holder.
//!
//! Holds LOCK open and locked; the system lets go of it when the process ends, however it ends. Must not
//! know: anything of what the lock protects. The rule it keeps: nobody waits here; taken is `Busy`, at once.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::platform;
use super::trouble::{Doing, trouble};
use crate::error::{Error, ErrorKind, Result};

/// The name of the lock's file in a store.
pub(super) const LOCK: &str = "LOCK";

/// More of the holder's name than this is never read.
const HOLDER_BYTES_MAX: usize = 300;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// Absent only where a reader met no LOCK and could not make one; see [`goes_without`].
    file: Option<File>,
    path: PathBuf,
    holder: Option<PathBuf>,
}

impl Lock {
    /// Takes the lock for writing and leaves this process's name in it.
    ///
    /// # Errors
    /// * `Busy`: a writer or a reader is there, in this process or another.
    /// * `ReadOnly`: the directory cannot be written.
    pub(super) fn exclusive(directory: &Path) -> Result<Self> {
        let path = directory.join(LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|cause| trouble(Doing::Write, &path, cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(directory, &file)),
            Err(TryLockError::Error(cause)) => return Err(trouble(Doing::Lock, &path, cause)),
        }
        let holder = directory.join(platform::HOLDER);
        // A courtesy to others: on a full disk the store must open all the same.
        let _ = fs::write(&holder, own_name());
        Ok(Self { file: Some(file), path, holder: Some(holder) })
    }

    /// Takes the lock for reading, beside any number of other readers. Where LOCK is missing and cannot be made, there
    /// is none to take.
    ///
    /// # Errors
    /// * `Busy`: a writer is there, in this process or another.
    /// * `Io`: LOCK is there and this user may not read it.
    pub(super) fn shared(directory: &Path) -> Result<Self> {
        let path = directory.join(LOCK);
        let Some(file) = open_for_reader(&path)? else {
            return Ok(Self { file: None, path, holder: None });
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Self { file: Some(file), path, holder: None }),
            Err(TryLockError::WouldBlock) => Err(Error::new(ErrorKind::Busy, writer_message(directory))),
            Err(TryLockError::Error(cause)) => Err(trouble(Doing::Lock, &path, cause)),
        }
    }

    /// Whether the store still stands where it stood when the lock was taken.
    ///
    /// # Errors
    /// `Io` when the directory was moved or replaced meanwhile: the path may now be somebody else's store.
    pub(super) fn check_place(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        match platform::is_same_file(file, &self.path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(moved(&self.path)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(moved(&self.path)),
            Err(cause) => Err(trouble(Doing::Open, &self.path, cause)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A name left behind does no harm, since it is read only while the lock is taken.
        if let Some(holder) = &self.holder
            && self.check_place().is_ok()
        {
            let _ = fs::write(holder, "");
        }
        if let Some(file) = &self.file {
            unlock(file);
        }
    }
}

/// Lets go at once. Closing alone is not enough: a child process that is just being started holds a copy of
/// the open file, and with it the lock, until it runs its own program.
fn unlock(file: &File) {
    let _ = file.unlock();
}

/// LOCK as a reader opens it; `None` where there is none and it cannot be made.
fn open_for_reader(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => return Ok(Some(file)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(trouble(Doing::Open, path, cause)),
    }
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(cause) if goes_without(cause.kind()) => Ok(None),
        Err(cause) => Err(trouble(Doing::Create, path, cause)),
    }
}

/// Whether a reader who could not make LOCK reads without a lock.
///
/// On a read-only file system nobody can write. In a directory that only this user may not write, others can; but
/// nobody does yet, for whoever opens a store for writing makes LOCK. Who comes later is not kept out:
/// `OpenMode::ReadOnly` tells users so.
fn goes_without(refused: io::ErrorKind) -> bool {
    matches!(refused, io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// Why the lock could not be had for writing.
fn taken(directory: &Path, file: &File) -> Error {
    // If it can be shared, those who hold it are readers.
    if file.try_lock_shared().is_err() {
        return Error::new(ErrorKind::Busy, writer_message(directory));
    }
    unlock(file);
    Error::new(
        ErrorKind::Busy,
        format!(
            "{} is open for reading in another program or connection; close that, then try again",
            directory.display()
        ),
    )
}

fn writer_message(directory: &Path) -> String {
    let name = fs::read(directory.join(platform::HOLDER)).unwrap_or_default();
    let name = String::from_utf8_lossy(&name[..name.len().min(HOLDER_BYTES_MAX)]);
    let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    let holder = if name.is_empty() { "another program" } else { name.as_str() };
    format!("{} is in use by {holder}; close it there, then try again", directory.display())
}

fn moved(path: &Path) -> Error {
    Error::new(
        ErrorKind::Io,
        format!(
            "{} was moved or replaced while the store was open; open it again where it is now",
            path.display()
        ),
    )
}

/// This process, as the message for others calls it.
fn own_name() -> String {
    let program = std::env::current_exe().ok();
    let program =
        program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    format!("pid {}, program {}\n", std::process::id(), program.as_deref().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_without_a_lock_only_where_it_may_not_make_one() {
        for refused in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied] {
            assert!(goes_without(refused), "{refused:?}");
        }
        let others = [
            io::ErrorKind::StorageFull,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::NotFound,
            io::ErrorKind::NotADirectory,
            io::ErrorKind::Interrupted,
            io::ErrorKind::Other,
        ];
        for refused in others {
            assert!(!goes_without(refused), "{refused:?}");
        }
    }
}
