//! M1: the log. What a medium holds and its cache shows, which op may follow which, what recovery makes of it.
//!
//! An op is one of the library's plans' (`src/log/plan.rs`), with bytes replaced by what they say. [`State::next`]
//! is the protocol as rules: each refuses the op that a crash would punish. The checker shows that whoever keeps
//! the rules keeps the promises. That the library keeps the rules is shown by `tests/crash/replayed.rs`, which sends
//! every op of simulated runs through [`State::next`].
//!
//! Left out: payloads (a commit is its number and a stamp), the two slots of `base.sum` (the base is one thing,
//! whole up to a commit or in between), space, read errors. The exhaustive crash suite has those.

#[cfg(feature = "checker")]
mod checker;
mod failure;
#[cfg(feature = "checker")]
mod mistake;
#[cfg(feature = "checker")]
mod power;
mod recovery;
mod rules;

use std::collections::BTreeMap;

#[cfg(feature = "checker")]
pub use checker::Log;
pub use failure::{Failure, Fate};
#[cfg(feature = "checker")]
pub use mistake::Mistake;
pub use recovery::{Flaw, Recovered, View};
pub use rules::Rule;

/// One META copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meta {
    /// The higher one counts.
    pub seq: u64,
    /// Of the life that wrote it.
    pub epoch: u64,
    /// The log begins behind this commit.
    pub folded: u64,
    /// What was durable when it was written.
    pub durable: u64,
    /// The log: segment, and the last batch begun before its end, once it has ended.
    pub segments: Vec<(u64, Option<u64>)>,
}

/// What a group's header says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Part of a batch.
    Part,
    /// The last part of a batch: the commit.
    Marker,
    /// No batch: only a watermark.
    Proof,
}

/// A group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Of its batch.
    pub lsn: u64,
    /// Different for every commit that was ever tried.
    pub stamp: u64,
    /// What it is.
    pub kind: Kind,
    /// It begins a batch.
    pub first: bool,
    /// What its writer knew to be durable.
    pub watermark: u64,
    /// Its length.
    pub pages: u32,
    /// Its payload is whole.
    pub whole: bool,
}

/// Something on a medium: what survives a power cut, and what a reader sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cell<T> {
    /// On the disk.
    pub disk: Option<T>,
    /// In the cache.
    pub cache: Option<T>,
    /// A barrier has failed: the cache believes to be clean, and no later barrier writes it.
    pub clean: bool,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self { disk: None, cache: None, clean: false }
    }
}

impl<T: Clone + PartialEq> Cell<T> {
    /// Whether the disk has something else than the cache shows.
    #[must_use]
    pub fn unsynced(&self) -> bool {
        self.disk != self.cache
    }

    /// Whether a barrier would write it, and a power cut in the middle of that could tear it.
    #[must_use]
    pub fn dirty(&self) -> bool {
        self.unsynced() && !self.clean
    }

    fn flush(&mut self) {
        if !self.clean {
            self.disk.clone_from(&self.cache);
        }
    }

    fn write(&mut self, value: Option<T>) {
        (self.cache, self.clean) = (value, false);
    }
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Its directory entry.
    pub entry: Cell<()>,
    /// Its header: the epoch it was begun in.
    pub header: Cell<u64>,
    /// Its groups by page.
    pub groups: BTreeMap<u32, Cell<Group>>,
}

/// How far the base has been folded: everything up to `.0` is in it, nothing above `.1`.
pub type Base = (u64, u64);

/// A medium.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Medium {
    /// META's directory entry: without it there is no store.
    pub entry: Cell<()>,
    /// Two slots of two copies.
    pub meta: [Cell<Meta>; 4],
    /// By number.
    pub segments: BTreeMap<u64, Segment>,
    /// The base.
    pub base: Cell<Base>,
    /// Its blocks, its sums: written since their last barrier.
    pub base_dirty: [bool; 2],
}

impl Default for Medium {
    fn default() -> Self {
        let base = Cell { disk: Some((0, 0)), cache: Some((0, 0)), clean: false };
        let (entry, meta, segments) = Default::default();
        Self { entry, meta, segments, base, base_dirty: [false; 2] }
    }
}

/// A commit: number and stamp.
pub type Commit = (u64, u64);

/// The memory of the process that has the store open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// Recovery has not ended.
    pub recovering: bool,
    /// The epoch it found.
    pub found: u64,
    /// The META that counts.
    pub meta: Meta,
    /// The highest commit.
    pub committed: u64,
    /// The highest commit that a barrier covered.
    pub durable: u64,
    /// The oldest read view.
    pub pin: Option<u64>,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// What there is to lose.
    pub medium: Medium,
    /// The process, while there is one.
    pub life: Option<Life>,
    /// Every commit of the present history, whether or not it is durable.
    pub history: Vec<Commit>,
    /// The highest commit that somebody was told is durable.
    pub acknowledged: u64,
}

/// A part of a medium that has barriers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// META.
    Meta,
    /// The blocks of the base.
    Base,
    /// Their sums.
    Sums,
    /// A segment.
    Segment(u64),
}

/// One op, with what its bytes say; and what else a process does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// META's file is made: a store begins.
    CreateStore,
    /// A segment's file is made.
    Create(u64),
    /// A segment begins, in an epoch.
    WriteHeader { segment: u64, epoch: u64 },
    /// A group is appended.
    Append { segment: u64, page: u32, group: Group },
    /// META is written into these copies.
    WriteMeta { copies: Vec<usize>, meta: Meta },
    /// Blocks or sums of the base are written.
    WriteBase(Area),
    /// A fold has no block to copy: the base is whole as it is. Leads where writes and barriers of it lead.
    FoldNothing,
    /// A barrier.
    Barrier(Area),
    /// A barrier that fails: nobody writes any more but who opens.
    FailBarrier(Area, Failure),
    /// A barrier on creations and removals.
    BarrierDirectory,
    /// A segment's file is removed.
    Remove(u64),
    /// A process opens the store: it reads what the cache shows.
    Open,
    /// Somebody is told that everything up to this commit is durable.
    Acknowledge(u64),
    /// The oldest read view is of this commit.
    Pin(Option<u64>),
    /// The process is gone; the cache stays.
    Die,
}
