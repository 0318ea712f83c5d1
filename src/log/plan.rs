//! I/O as data: the closed alphabet of everything the store ever asks of a medium.
//!
//! A mutating verb of the store returns a [`Plan`]; a driver in `volume/` runs its ops in order and tells
//! the store how it went. Nothing else writes. So the order that crash safety depends on is a value:
//! a test prints it, cuts it, reorders what no barrier separates.
//!
//! Must not know: files, handles, transactions. Those belong to `backend/`.

use std::fmt;
use std::sync::Arc;

use crate::block::{BLOCK_SIZE, BlockNo, Lsn, SegmentId};

/// A part of a store on its medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The two META slots, two copies each: 4 x 16 KiB, at `(slot * 2 + copy) * 16 KiB`.
    Meta,
    /// The folded blocks, block n at byte n * 4096.
    Base,
    /// Version and checksum of every folded block.
    Sums,
    /// One segment of the log.
    Segment(SegmentId),
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta => f.write_str("META"),
            Self::Base => f.write_str("base.db"),
            Self::Sums => f.write_str("base.sum"),
            Self::Segment(id) => write!(f, "log-{:04}", id.0),
        }
    }
}

/// One thing the store wants done.
///
/// Only [`Op::Barrier`] and [`Op::BarrierDirectory`] promise anything about power loss; every other op
/// may be torn, lost or reordered against its neighbours until the next barrier *of its area*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Make the area exist (empty) if it does not. What it held stays. Its directory entry is durable only
    /// after [`Op::BarrierDirectory`].
    Create(Area),
    /// Write `bytes` (a multiple of 4 KiB, 4 KiB-aligned) at byte `offset`, growing the area if needed.
    Write {
        /// Where to.
        area: Area,
        /// Byte offset, a multiple of 4096.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// Make sure the segment has written, zero-filled space up to page `pages`: afterwards writes below
    /// that neither allocate nor grow. Never touches a page below the area's present end. Running out of
    /// space here is `Full` and harms nothing.
    Reserve {
        /// Which segment.
        segment: SegmentId,
        /// The wanted length in 4 KiB pages.
        pages: u32,
    },
    /// Set the length of the area in bytes (base.db and base.sum only).
    Resize {
        /// Which area.
        area: Area,
        /// The new length.
        bytes: u64,
    },
    /// Everything written to the area before this is durable when it returns.
    Barrier(Area),
    /// Every creation and removal before this is durable when it returns.
    BarrierDirectory,
    /// Remove the segment. Absent is fine.
    Remove(SegmentId),
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(area) => write!(f, "create {area}"),
            Self::Write { area, offset, bytes } => {
                write!(f, "write {area} @{} +{}p", offset / BLOCK_SIZE as u64, bytes.len() / BLOCK_SIZE)
            }
            Self::Reserve { segment, pages } => write!(f, "reserve log-{:04} {pages}p", segment.0),
            Self::Resize { area, bytes } => write!(f, "resize {area} {bytes}"),
            Self::Barrier(area) => write!(f, "barrier {area}"),
            Self::BarrierDirectory => f.write_str("barrier directory"),
            Self::Remove(segment) => write!(f, "remove log-{:04}", segment.0),
        }
    }
}

/// What the store does with itself once a plan's ops are all done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Bytes of the log are on the medium, not yet durable.
    Appended,
    /// Everything up to this commit is durable.
    Durable(Lsn),
    /// A META with this sequence number is durable (and, with `durable`, the log up to that commit).
    Published {
        /// Sequence number of the META.
        seq: u64,
        /// What the plan's barriers made durable besides.
        durable: Option<Lsn>,
    },
    /// A durable group of the log says that everything up to this commit is durable.
    Witnessed(Lsn),
    /// A META that ends a fold is durable: the log it no longer lists is superfluous.
    FoldPublished {
        /// Sequence number of the META.
        seq: u64,
    },
    /// Nothing the store has to know.
    Housekeeping,
    /// A bounded step of a fold is done.
    Folded,
    /// The segment has this much written, zero-filled space.
    Reserved {
        /// Which segment.
        segment: SegmentId,
        /// Its length in 4 KiB pages.
        pages: u32,
    },
}

/// An ordered list of ops, owned by whoever is to run it.
///
/// Run every op in order, then call `Store::complete`; at the first failure call `Store::poison` instead, or
/// `Store::refused` if nothing but space was missing for a plan that prepares space or folds.
#[must_use = "a plan has no effect until a driver runs it"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The ops, in the order that crash safety depends on.
    pub ops: Vec<Op>,
    /// What completing it means to the store.
    pub effect: Effect,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, op) in self.ops.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{op}")?;
        }
        Ok(())
    }
}

/// The place of a block's newest bytes, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The block it belongs to.
    pub block: BlockNo,
    /// The commit that wrote it.
    pub version: Lsn,
    /// Checksum of the payload, seeded with store, block and version.
    pub sum: u64,
    /// Where it lies.
    pub area: Area,
    /// Byte offset there.
    pub offset: u64,
}
