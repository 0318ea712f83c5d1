//! The file calls that differ between systems: Unix's side. Its twin is `windows.rs`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The file that names the holder of the lock. The lock is advisory, so it can be LOCK itself.
pub(super) const HOLDER: &str = "LOCK";

/// Reads at byte `offset`, perhaps less than asked, without a file position.
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buf, offset)
}

/// Writes at byte `offset`, perhaps less than asked, without a file position.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

/// Makes the creations and removals in a directory durable.
pub(super) fn barrier_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether the name still leads to the file that is open.
pub(super) fn is_same_file(open: &File, name: &Path) -> io::Result<bool> {
    let (open, named) = (open.metadata()?, fs::metadata(name)?);
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}
