//! How the store reads its medium: blocking, because SQLite's `xRead` is.

use crate::block::SegmentId;
use crate::error::Result;
use crate::log::plan::Area;

/// What can be read of a store's medium. Implemented by every backend.
pub trait Source {
    /// Fills `buf` from byte `offset` of `area` and returns how many bytes there were; fewer than asked
    /// only at the end of the area.
    ///
    /// # Errors
    /// `Io` when the medium refuses, `NotFound` when the area does not exist. Never "end of log".
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize>;

    /// Length of the area in bytes; `None` when it does not exist.
    ///
    /// # Errors
    /// `Io` when the medium refuses.
    fn len(&self, area: Area) -> Result<Option<u64>>;

    /// Every segment that is there, listed in META or not, in ascending order.
    ///
    /// # Errors
    /// `Io` when the medium refuses.
    fn segments(&self) -> Result<Vec<SegmentId>>;
}
