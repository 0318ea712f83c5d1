//! One transaction of the medium: what it checks, what it clears, what it puts.
//!
//! Must not know: how a browser is told. The rule it keeps: of many ops on one record only the last counts, and
//! because the medium takes a transaction as a whole, nobody can see that the others were left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::layout::{Key, Patch, Slice};
use crate::block::SegmentId;
use crate::log::plan::Area;

/// A link of the chain of transactions: who made it, and its number. Numbers go up by one, over all lives, and no
/// two transactions can have the same.
///
/// Taking a store over is a link too. It has the number that the deposed owner's next transaction would have had,
/// and stays: so that transaction is refused, and with it all that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// The owner's number; each opening takes the next.
    pub owner: u64,
    /// The transaction's number.
    pub number: u64,
}

/// Records that go away before anything is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clear {
    /// Every run of a segment.
    Segment(SegmentId),
    /// Every extent from this one on.
    ExtentsFrom(u64),
}

/// What happens to one record.
#[derive(Clone, Debug)]
pub enum Work {
    /// It gets this value.
    Put(Slice),
    /// It gets this number.
    Length(u64),
    /// Its value is changed in part: [`Patch::lay_over`].
    Patch(Patch),
    /// It goes away.
    Delete,
}

/// Everything that one transaction does to the records: first the clears, then the work, one item per record.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) number: u64,
    /// Bytes of the ops in it, roughly.
    pub(super) bytes: u64,
    /// Its last change, counted over the life of the queue; 0 of an empty batch.
    pub(super) upto: u64,
    clears: BTreeSet<Clear>,
    work: BTreeMap<Key, Work>,
}

/// A batch on its way to the medium, to be taken as a whole or not at all.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its link: the transaction may only succeed if there is none with this number yet. `None` compares nothing.
    pub fence: Option<Fence>,
    /// Its number; each is one higher than the one before.
    pub number: u64,
    /// Whether the medium must make it, and all before it, survive power loss before it says complete.
    pub strict: bool,
    /// What it does.
    pub batch: Arc<Batch>,
}

impl Batch {
    pub(super) fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// What goes away first.
    pub fn clears(&self) -> impl Iterator<Item = Clear> {
        self.clears.iter().copied()
    }

    /// What then happens, in the order of the keys.
    pub fn work(&self) -> impl Iterator<Item = (Key, &Work)> {
        self.work.iter().map(|(key, work)| (*key, work))
    }

    /// Whether it changes no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clears.is_empty() && self.work.is_empty()
    }

    /// Bytes of the ops in it, roughly.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn set(&mut self, key: Key, work: Work) {
        self.work.insert(key, work);
    }

    /// The patch of an extent, to be added to. A new one goes over zeros if the extent is cleared here.
    pub(super) fn patch(&mut self, extent: u64) -> &mut Patch {
        let there = !self.clears.iter().any(|clear| clear.covers(Key::Extent(extent)));
        let work = self.work.entry(Key::Extent(extent)).or_insert_with(|| Work::Patch(Patch::new(there)));
        if !matches!(work, Work::Patch(_)) {
            *work = Work::Patch(Patch::new(false));
        }
        match work {
            Work::Patch(patch) => patch,
            Work::Put(_) | Work::Length(_) | Work::Delete => unreachable!("extents are only ever patched"),
        }
    }

    pub(super) fn clear(&mut self, clear: Clear) {
        self.work.retain(|key, _| !clear.covers(*key));
        self.clears.insert(clear);
    }
}

impl Clear {
    /// Whether it removes this record.
    #[must_use]
    pub fn covers(self, key: Key) -> bool {
        match (self, key) {
            (Self::Segment(id), Key::Run(area, _)) => area == Area::Segment(id),
            (Self::ExtentsFrom(from), Key::Extent(extent)) => extent >= from,
            _ => false,
        }
    }
}
