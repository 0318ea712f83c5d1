//! The file calls that differ between systems: Windows' side. Its twin is `unix.rs`.

use std::fs::File;
use std::io;
use std::os::windows::fs::FileExt;
use std::path::Path;

/// The file that names the holder of the lock: not LOCK itself, whose bytes nobody else can read while it
/// is locked, because locks are mandatory here.
pub(super) const HOLDER: &str = "HOLDER";

/// Reads at byte `offset`, perhaps less than asked. Moves the file position, which nobody looks at.
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buf, offset)
}

/// Writes at byte `offset`, perhaps less than asked. Moves the file position, which nobody looks at.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(bytes, offset)
}

/// Does nothing: Windows has no barrier for a directory that a program without special rights could call.
/// NTFS keeps its names in a journal of its own, and the barrier of a file commits the journal up to there.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Unix can fail")]
pub(super) fn barrier_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Always true: a directory in which a file is held open cannot be replaced here.
#[expect(clippy::unnecessary_wraps, reason = "the twin on Unix can fail")]
pub(super) fn is_same_file(_open: &File, _name: &Path) -> io::Result<bool> {
    Ok(true)
}
