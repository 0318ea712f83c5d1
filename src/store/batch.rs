//! The staged writes of one commit.
//!
//! Nobody but its own writer sees a batch. What is staged here is in memory; what was spilled is in the
//! log without a commit marker, so that memory stays bounded however large a transaction gets.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, Lsn, Tag};
use crate::format::checksum::Checksum;
use crate::format::group::Change;
use crate::log::writer::{BatchProgress, StagedChange};
use crate::planted::{Bug, planted};
use crate::store::index::Place;

/// What a batch says about one block.
pub(crate) enum Own<'a> {
    /// Bytes still in memory.
    Staged(&'a BlockBytes),
    /// Bytes in the log.
    Spilled(Place),
    /// Zeros.
    Trimmed,
    /// Nothing: ask the view the batch builds on.
    Unchanged,
}

/// The staged writes of one commit.
#[derive(Debug)]
pub struct Batch {
    /// The commit this batch builds on: what its writer reads below its own writes.
    pub(crate) view: Lsn,
    /// Its own number, from the first spill on.
    pub(crate) lsn: Option<Lsn>,
    pub(crate) progress: BatchProgress,
    /// Logical size once committed, bytes.
    pub(crate) size: u64,
    pub(crate) tag: Tag,
    /// Not yet in the log: bytes, or `None` for a trim.
    staged: BTreeMap<BlockNo, Option<Box<BlockBytes>>>,
    /// Ranges that fell away, not yet in the log.
    ranges: Vec<(BlockNo, BlockNo)>,
    /// Already in the log, without a marker: a put, or `None` for a trim.
    pub(crate) spilled: BTreeMap<BlockNo, Option<Place>>,
    /// Every range that fell away, spilled or not.
    pub(crate) gone: Vec<(BlockNo, BlockNo)>,
    /// Blocks handed out by `allocate`.
    pub(crate) allocated: BTreeSet<BlockNo>,
    size_changed: bool,
}

impl Batch {
    pub(crate) fn new(view: Lsn, size: u64) -> Self {
        Self {
            view,
            lsn: None,
            progress: BatchProgress::default(),
            size,
            tag: Tag::default(),
            staged: BTreeMap::new(),
            ranges: Vec::new(),
            spilled: BTreeMap::new(),
            gone: Vec::new(),
            allocated: BTreeSet::new(),
            size_changed: false,
        }
    }

    /// The commit it builds on.
    pub(crate) fn view(&self) -> Lsn {
        self.view
    }

    /// Stages bytes for `block`; the logical size grows to hold it.
    pub(crate) fn put(&mut self, block: BlockNo, bytes: &BlockBytes) {
        self.staged.insert(block, Some(Box::new(*bytes)));
        self.size = self.size.max((block.0 + 1) * BLOCK_SIZE as u64);
    }

    /// Stages that `block` reads as zeros.
    pub(crate) fn trim(&mut self, block: BlockNo) {
        self.staged.insert(block, None);
        self.allocated.remove(&block);
    }

    /// Sets the logical size. The caller has made the bytes behind it in the last block zeros.
    pub(crate) fn set_size(&mut self, bytes: u64) {
        let (old, new) = (crate::block::blocks_for(self.size), crate::block::blocks_for(bytes));
        if new < old {
            let (from, to) = (BlockNo(new), BlockNo(old));
            if !planted(Bug::KeepStagedBehindEnd) {
                self.staged.split_off(&from);
            }
            self.spilled.split_off(&from);
            self.allocated.split_off(&from);
            if !planted(Bug::ForgetTrimRange) {
                self.ranges.push((from, to));
            }
            self.gone.push((from, to));
        }
        self.size_changed |= bytes != self.size;
        self.size = bytes;
    }

    /// What this batch itself says about `block`.
    pub(crate) fn own(&self, block: BlockNo) -> Own<'_> {
        match (self.staged.get(&block), self.spilled.get(&block)) {
            (Some(Some(bytes)), _) => Own::Staged(bytes),
            (None, Some(Some(place))) => Own::Spilled(*place),
            (Some(None), _) | (None, Some(None)) => Own::Trimmed,
            (None, None) if self.gone.iter().any(|(from, to)| (*from..*to).contains(&block)) => Own::Trimmed,
            (None, None) => Own::Unchanged,
        }
    }

    /// The changes not yet in the log, at most `max`, in the order they apply: ranges, then blocks.
    pub(crate) fn changes(
        &self,
        checksum: Checksum,
        store: crate::block::StoreId,
        lsn: Lsn,
        max: usize,
    ) -> Vec<StagedChange<'_>> {
        let ranges = self.ranges.iter().map(|(from, to)| (Change::TrimRange { from: *from, to: *to }, None));
        let blocks = self.staged.iter().map(|(block, bytes)| match bytes {
            Some(bytes) => {
                let sum = checksum.sum(store, *block, lsn, bytes);
                (Change::Put { block: *block, sum }, Some(&**bytes))
            }
            None => (Change::Trim { block: *block }, None),
        });
        ranges.chain(blocks).take(max).collect()
    }

    /// Moves the first `count` changes from staged to spilled; `places` are those of the puts among them, in order.
    pub(crate) fn spilled(&mut self, count: usize, places: &[Place]) {
        let mut places = places.iter().copied();
        let ranges = count.min(self.ranges.len());
        self.ranges.drain(..ranges);
        for _ in ranges..count {
            let (block, put) = self.staged.pop_first().expect("as many changes as were encoded");
            let place = put.map(|_| places.next().expect("a place for every put"));
            self.spilled.insert(block, place);
        }
    }

    /// Whether the batch has bytes for `block`.
    pub(crate) fn writes(&self, block: BlockNo) -> bool {
        matches!(self.own(block), Own::Staged(_) | Own::Spilled(_))
    }

    /// Changes not yet in the log.
    #[must_use]
    pub fn staged_len(&self) -> usize {
        self.staged.len() + self.ranges.len()
    }

    /// Pages the staged changes will take in the log.
    pub(crate) fn staged_pages(&self) -> usize {
        let puts = self.staged.values().filter(|bytes| bytes.is_some()).count();
        self.staged_len().div_ceil(crate::format::group::DESCRIPTORS_MAX).max(1) + puts
    }

    /// Whether committing it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.staged_len() == 0 && !self.progress.begun && !self.size_changed
    }
}
