//! The only code that touches storage.
//!
//! A backend runs the ops of `log::plan` on one kind of medium and reads bytes back. It knows nothing of
//! groups, commits or recovery. The one rule it keeps: [`Op::Barrier`] returns success only when the
//! medium has said that everything written to that area before is durable.

#[cfg(not(target_family = "wasm"))]
pub mod file;
#[cfg(all(target_family = "wasm", feature = "web"))]
pub mod indexeddb;
pub mod memory;
#[cfg(any(test, feature = "sim", all(target_family = "wasm", feature = "web")))]
pub mod opfs;
#[cfg(any(test, feature = "sim", feature = "web"))]
pub mod queue;
mod rules;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

#[cfg(any(not(target_family = "wasm"), test, feature = "sim"))]
mod whole;

use crate::block::SegmentId;
use crate::error::Result;
use crate::log::plan::{Area, Op};
pub use crate::log::source::Source;

/// What opening a store may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Read and write; make what is absent.
    #[default]
    Create,
    /// Read and write what is there.
    Existing,
    /// Change nothing. A store of files is shared with other readers, by a lock on its file LOCK. Where that is missing
    /// it is made; where it cannot be, on a read-only file system or for want of permission, the store is read without
    /// a lock. Nothing keeps a writer out then, and what is read beside one may look damaged or be of several commits.
    /// OPFS has no shared handles, so there the files are held as firmly as for writing.
    ReadOnly,
}

/// One kind of medium.
pub trait Backend: Source + Send + Sync {
    /// Runs one op. Blocking; ops on different areas may come from different threads at once, ops on one
    /// area come in order.
    ///
    /// # Errors
    /// * `Full`: no space or quota. From [`Op::Reserve`] and [`Op::Create`] nothing is harmed.
    /// * `Io`: anything else. After a failed write or barrier nothing about the area is known.
    fn apply(&self, op: &Op) -> Result<()>;

    /// Whether [`Op::Create`] of one more segment would succeed now. Where a file can only be opened between two
    /// calls (OPFS), the answer is no until that has happened, and the present segment grows meanwhile.
    fn can_create(&self) -> bool {
        true
    }

    /// Gives up the hold on the medium (locks, handles): the volume is closed. Nothing is applied after it.
    fn release(&self) {}

    /// Where the store is, for messages ("/home/me/app.datasync", "memory").
    fn name(&self) -> String;
}

/// Whichever backend it is.
impl Backend for Box<dyn Backend> {
    fn apply(&self, op: &Op) -> Result<()> {
        (**self).apply(op)
    }

    fn can_create(&self) -> bool {
        (**self).can_create()
    }

    fn release(&self) {
        (**self).release();
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

impl Source for Box<dyn Backend> {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        (**self).read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        (**self).len(area)
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        (**self).segments()
    }
}
