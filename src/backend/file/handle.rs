//! One open file of a store: whole reads, whole writes, and barriers that are never tried twice.
//!
//! Must not know: which area it is, or what stands in it. The rules it keeps: a short count is continued and
//! a zero count is an error; after one failed barrier every later one of this file fails too, because the
//! system may have dropped the pages and forgotten about it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::platform;
use super::trouble::{Doing, trouble};
use crate::backend::rules::PAGE;
use crate::backend::whole::{read_fully, write_fully};
use crate::error::{Error, ErrorKind, Result};

/// Reserved space is written in pieces of at most this many bytes.
const RESERVE_CHUNK: usize = 256 * 1024;

/// An open file and what is known about its durability.
#[derive(Debug)]
pub(super) struct Handle {
    file: File,
    path: PathBuf,
    /// Changes begun so far.
    changes: AtomicU64,
    /// How many of them a barrier has covered.
    covered: AtomicU64,
    /// Set by the first barrier that failed. Held during a barrier: of two at once, the system would tell
    /// only one that bytes were lost.
    broken: Mutex<bool>,
}

impl Handle {
    /// Wraps a file that was just opened.
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path, changes: AtomicU64::new(0), covered: AtomicU64::new(0), broken: Mutex::new(false) }
    }

    /// Whether closing it loses nothing: no change without a barrier, no failed barrier to remember.
    pub(super) fn is_spare(&self) -> bool {
        let covered = self.covered.load(Ordering::Acquire);
        covered == self.changes.load(Ordering::Acquire) && self.broken.try_lock().is_ok_and(|broken| !*broken)
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> Result<u64> {
        let known = self.file.metadata().map_err(|cause| trouble(Doing::Open, &self.path, cause))?;
        Ok(known.len())
    }

    /// Fills `buf` from `offset`; fewer bytes only at the end of the file.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        read_fully(|buf, at| platform::read_at(&self.file, buf, at), buf, offset)
            .map_err(|cause| at_byte(Doing::Read, &self.path, offset, &cause))
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write_as(Doing::Write, offset, bytes)
    }

    fn write_as(&self, doing: Doing, offset: u64, bytes: &[u8]) -> Result<()> {
        self.changes.fetch_add(1, Ordering::AcqRel);
        write_fully(|bytes, at| platform::write_at(&self.file, bytes, at), bytes, offset)
            .map_err(|cause| at_byte(doing, &self.path, offset, &cause))
    }

    /// Sets the length.
    pub(super) fn resize(&self, bytes: u64) -> Result<()> {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.file.set_len(bytes).map_err(|cause| trouble(Doing::Write, &self.path, cause))
    }

    /// Writes zeros from the present end up to `bytes`; on any failure goes back to the old length.
    ///
    /// Zeros and not `set_len`: a write into a hole allocates, and may then find the disk full.
    pub(super) fn reserve(&self, bytes: u64) -> Result<()> {
        let old = self.len()?;
        let grown = self.write_zeros(old, bytes);
        if grown.is_err() {
            // If even this fails, the space stays taken and the caller's `Full` is still the truth.
            let _ = self.file.set_len(old);
        }
        grown
    }

    fn write_zeros(&self, old: u64, bytes: u64) -> Result<()> {
        let mut at = old.next_multiple_of(PAGE);
        if at >= bytes {
            return if old < bytes { self.resize(bytes) } else { Ok(()) };
        }
        let zeros = vec![0; RESERVE_CHUNK];
        while at < bytes {
            let n = (bytes - at).min(RESERVE_CHUNK as u64);
            let n_usize = usize::try_from(n).expect("at most RESERVE_CHUNK");
            self.write_as(Doing::Reserve, at, &zeros[..n_usize])?;
            at += n;
        }
        Ok(())
    }

    /// Makes everything written before durable, the length included.
    pub(super) fn barrier(&self) -> Result<()> {
        self.barrier_with(barrier_file)
    }

    fn barrier_with(&self, barrier: impl FnOnce(&File) -> io::Result<()>) -> Result<()> {
        let mut broken = self.broken.lock().expect("nothing panics while it holds the latch");
        if *broken {
            return Err(latched(&self.path));
        }
        let covers = self.changes.load(Ordering::Acquire);
        match barrier(&self.file) {
            Ok(()) => {
                self.covered.fetch_max(covers, Ordering::AcqRel);
                Ok(())
            }
            Err(cause) => {
                *broken = true;
                Err(trouble(Doing::Barrier, &self.path, cause))
            }
        }
    }
}

/// The barrier of a file: its bytes and whatever is needed to find them again, the length included.
///
/// std makes this `fdatasync` on Linux and the BSDs, `fcntl(F_FULLFSYNC)` on Apple's systems (where a plain
/// `fsync` stops at the drive's cache) and `FlushFileBuffers` on Windows.
fn barrier_file(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// The answer to every barrier after one that failed.
pub(super) fn latched(path: &Path) -> Error {
    Error::new(
        ErrorKind::Io,
        format!(
            "an earlier barrier of {} failed, so nothing written since is sure to last; open the store again",
            path.display()
        ),
    )
}

fn at_byte(doing: Doing, path: &Path, offset: u64, cause: &io::Error) -> Error {
    let kind = cause.kind();
    trouble(doing, path, io::Error::new(kind, format!("at byte {offset}: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> (tempfile::TempDir, Handle) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log-0001");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        (dir, Handle::new(file, path))
    }

    #[test]
    fn failed_barrier_is_never_tried_again() {
        let (_dir, handle) = handle();
        handle.write(0, &[1; 4096]).unwrap();
        let error = handle.barrier_with(|_| Err(io::Error::other("the drive is gone"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let error = handle.barrier_with(|_| panic!("tried a second time")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains("log-0001") && error.message().contains("open the store again"));
        assert!(!handle.is_spare(), "closing it would forget the failure");
    }

    #[test]
    fn handle_with_undurable_bytes_is_not_spare() {
        let (_dir, handle) = handle();
        assert!(handle.is_spare());
        handle.write(0, &[1; 4096]).unwrap();
        assert!(!handle.is_spare());
        handle.barrier().unwrap();
        assert!(handle.is_spare());
        handle.resize(0).unwrap();
        assert!(!handle.is_spare());
    }

    #[test]
    fn change_during_a_barrier_is_not_taken_for_covered() {
        let (_dir, handle) = handle();
        handle.write(0, &[1; 4096]).unwrap();
        handle
            .barrier_with(|file| {
                handle.write(4096, &[2; 4096]).unwrap();
                file.sync_data()
            })
            .unwrap();
        assert!(!handle.is_spare());
    }

    #[test]
    fn full_disk_is_full_and_names_the_file() {
        let cause = io::Error::from(io::ErrorKind::StorageFull);
        let error = at_byte(Doing::Write, Path::new("/x/log-0001"), 4096, &cause);
        assert_eq!(error.kind(), ErrorKind::Full);
        assert!(error.to_string().contains("/x/log-0001"), "{error}");
    }
}
