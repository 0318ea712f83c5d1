//! What a record of the medium is: its key, its value, and how bytes of areas are cut into values.
//!
//! Must not know: transactions, or which records there are. The rule it keeps: no value has 64 KiB or more,
//! because browsers keep such values in files of their own, three times as slow.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::rules::PAGE;
use crate::block::BLOCK_SIZE;
use crate::log::plan::Area;
use crate::planted::{Bug, planted};

/// Pages in one value at most: the blocks of an extent of the base, the pages of a run of the log.
pub const VALUE_PAGES: u64 = 15;

/// Bytes in one value at most.
pub const VALUE_BYTES: usize = 15 * BLOCK_SIZE;

/// META and `base.sum` are written in aligned groups of this many pages: a copy of META is one record.
pub(super) const GROUP_PAGES: u64 = 4;

/// Segment numbers from here on cannot be written to: a key of the medium is a 64-bit float.
pub(super) const SEGMENT_END: u64 = 1 << 53;

/// The name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The length of an area in bytes. An area without it does not exist.
    Length(Area),
    /// A run of pages of META, `base.sum` or a segment, named by its first page. Runs never overlap; a page in no
    /// run is zeros.
    Run(Area, u64),
    /// An extent of `base.db`: blocks `n * 15` to `n * 15 + 14`. What it is too short for is zeros.
    Extent(u64),
}

/// Bytes shared with whoever else holds them.
#[derive(Clone, Debug)]
pub struct Slice {
    bytes: Arc<[u8]>,
    from: usize,
    len: usize,
}

impl Slice {
    /// All of `bytes`.
    #[must_use]
    pub fn new(bytes: Arc<[u8]>) -> Self {
        let len = bytes.len();
        Self { bytes, from: 0, len }
    }

    /// `len` of these bytes from `from` on.
    #[must_use]
    pub(super) fn part(&self, from: usize, len: usize) -> Self {
        assert!(from + len <= self.len, "bytes {from}+{len} of {}", self.len);
        Self { bytes: Arc::clone(&self.bytes), from: self.from + from, len }
    }

    /// The same length, with zeros from byte `keep` on.
    pub(super) fn zeroed_from(&self, keep: usize) -> Self {
        let mut bytes = self.to_vec();
        bytes[keep.min(self.len)..].fill(0);
        Self::new(bytes.into())
    }
}

impl std::ops::Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.from..self.from + self.len]
    }
}

/// What a transaction does to an extent whose other blocks it may not know.
#[derive(Clone, Debug)]
pub struct Patch {
    /// So many bytes of the old value count; zeros follow.
    keep: usize,
    /// New blocks, by their place in the extent.
    blocks: BTreeMap<usize, Slice>,
}

impl Patch {
    /// Changes nothing yet of an extent that is there, if `there`, or is all zeros.
    pub(super) fn new(there: bool) -> Self {
        Self { keep: if there { VALUE_BYTES } else { 0 }, blocks: BTreeMap::new() }
    }

    /// Puts one block.
    pub(super) fn put(&mut self, at: usize, block: Slice) {
        assert!(at < VALUE_PAGES as usize && block.len() == BLOCK_SIZE, "block {at} of an extent");
        self.blocks.insert(at, block);
    }

    /// Makes everything from byte `keep` on zeros.
    pub(super) fn cut(&mut self, keep: usize) {
        if planted(Bug::CutExtentKeepsTail) {
            return;
        }
        self.keep = self.keep.min(keep);
        drop(self.blocks.split_off(&keep.div_ceil(BLOCK_SIZE)));
        if let Some(last) = self.blocks.get_mut(&(keep / BLOCK_SIZE)) {
            *last = last.zeroed_from(keep % BLOCK_SIZE);
        }
    }

    /// Whether the old value has to be read first.
    #[must_use]
    pub fn needs_old(&self) -> bool {
        !planted(Bug::ExtentLosesNeighbours)
            && (0..self.keep.div_ceil(BLOCK_SIZE)).any(|at| !self.blocks.contains_key(&at))
    }

    /// The new value, given the old one (empty where there is none).
    #[must_use]
    pub fn lay_over(&self, old: &[u8]) -> Vec<u8> {
        let end = self.blocks.last_key_value().map_or(0, |(at, _)| (at + 1) * BLOCK_SIZE);
        let kept = if self.needs_old() { old.len().min(self.keep) } else { 0 };
        let mut value = vec![0; end.max(kept)];
        value[..kept].copy_from_slice(&old[..kept]);
        for (at, block) in &self.blocks {
            value[at * BLOCK_SIZE..][..BLOCK_SIZE].copy_from_slice(block);
        }
        value
    }

    /// A block as this patch leaves it: its bytes, zeros (`None` inside), or whatever the old value says.
    pub(super) fn block(&self, at: usize) -> Option<Option<&Slice>> {
        match self.blocks.get(&at) {
            Some(block) => Some(Some(block)),
            None if at * BLOCK_SIZE >= self.keep => Some(None),
            None => None,
        }
    }
}

/// The extent that holds this byte of `base.db`, and the byte's place in it.
pub(super) fn extent_of(byte: u64) -> (u64, usize) {
    let size = VALUE_PAGES * PAGE;
    (byte / size, usize::try_from(byte % size).expect("a place in an extent"))
}
