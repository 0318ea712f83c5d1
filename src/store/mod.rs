//! The state machine: what is committed, where it is, what has to be written next.
//!
//! Every verb here changes memory and, where the medium has to follow, returns a
//! [`Plan`](crate::log::plan::Plan). No files, no clock, no threads, no async, no randomness: time and seeds
//! are arguments. Reads go through a [`Source`](crate::log::source::Source).
//!
//! Invariants the fields keep, named where they are asserted:
//! S1 `visible <= committed`, `durable <= committed`, and all three only rise.
//! S2 an index entry points at bytes that are on the medium or in `retained`.
//! S3 at most one plan that publishes META is under way.

pub mod base;
pub mod batch;
pub mod commit;
pub mod compaction;
mod fold_ops;
mod found;
pub mod free;
pub mod index;
pub mod publish;
pub mod read;
pub mod recovery;
mod relog;
pub mod scan;
pub mod stats;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::block::{BLOCK_SIZE, BlockNo, CommitId, Epoch, Lsn, SegmentId, StoreId, Tag};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::format::checksum::Checksum;
use crate::format::meta::{Meta, SEGMENTS_MAX, SegmentRecord, TagRecord};
use crate::log::plan::Address;
use crate::log::writer::Tail;
use crate::planted::{Bug, planted};

use base::BaseSums;
use compaction::Fold;
use free::FreeList;
use index::Index;
use stats::{Damage, Stats};

/// Sizes that bound a store, in pages of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A segment that would grow beyond this is followed by a new one.
    pub segment_pages: u32,
    /// Space kept ready so that recovery works on a full disk: no more than this is ever acknowledged as
    /// durable without durable proof of it.
    pub reserve_pages: u32,
    /// Writers wait for a fold when the log is larger than this.
    pub log_cap_pages: u64,
}

/// What the driver gives a store when it opens it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The sizes.
    pub limits: Limits,
    /// The checksum algorithm for a new store; `None` accepts whatever an existing one has.
    pub checksum: Option<Checksum>,
    /// Random bytes of this open: the identity of a new store, the salts of its segments.
    pub seed: [u8; 16],
    /// Wall clock, ms since 1970.
    pub now_ms: u64,
    /// Write nothing.
    pub read_only: bool,
    /// Make a new store where there is none.
    pub create: bool,
    /// Where the store is, for messages.
    pub name: String,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Committed,
    /// It is not, and never will be.
    NotCommitted,
    /// The store no longer remembers that life; or it is this life's, a write has failed, and only reopening
    /// tells.
    Unknown,
}

/// In words: `committed`, `not committed`, `unknown`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Committed => "committed",
            Self::NotCommitted => "not committed",
            Self::Unknown => "unknown",
        })
    }
}

/// A segment of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) record: SegmentRecord,
    /// Pages written, the header included.
    pub(crate) pages: u32,
    /// Set once it is sealed: the last commit in it, if no batch reaches over its end.
    pub(crate) fold_end: Option<Lsn>,
}

/// Where appends go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active {
    pub(crate) tail: Tail,
    /// Pages of written, zero-filled space.
    pub(crate) reserved: u32,
}

/// The end of a commit in the life's own page count, and the watermark its header carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitEnd {
    pub(crate) lsn: Lsn,
    pub(crate) end: u64,
    pub(crate) carries: Lsn,
}

/// Bytes of an append that is not complete yet.
#[derive(Clone, Debug)]
pub(crate) struct Retained {
    pub(crate) segment: SegmentId,
    pub(crate) page: u32,
    pub(crate) bytes: Arc<[u8]>,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    pub(crate) name: String,
    pub(crate) limits: Limits,
    pub(crate) seed: [u8; 16],
    pub(crate) read_only: bool,
    /// As last published, or being published.
    pub(crate) meta: Meta,
    pub(crate) index: Index,
    /// Logical size after each commit that changed it, above `folded`; always one at or below it.
    pub(crate) sizes: BTreeMap<Lsn, u64>,
    pub(crate) pins: BTreeMap<Lsn, u64>,
    /// The log, oldest first; the last one is active if `active` is there.
    pub(crate) segments: Vec<Segment>,
    pub(crate) active: Option<Active>,
    /// The file of the next segment is there with its reserve.
    pub(crate) spare_ready: bool,
    /// The last batch that began, committed or not.
    pub(crate) last_begun: Lsn,
    /// The batch that has spilled and is neither committed nor given up.
    pub(crate) open_batch: Option<Lsn>,
    pub(crate) committed: Lsn,
    pub(crate) durable: Lsn,
    pub(crate) visible: Lsn,
    /// Commits that somebody waits for.
    pub(crate) awaiting: BTreeSet<Lsn>,
    /// Commits from `witnessed` on.
    pub(crate) ends: VecDeque<CommitEnd>,
    /// The highest commit that a durable header or META proves durable.
    pub(crate) witnessed: Lsn,
    pub(crate) pages_appended: u64,
    pub(crate) retained: VecDeque<Retained>,
    pub(crate) poisoned: Option<String>,
    pub(crate) fold: Option<Fold>,
    /// The two slots of a `base.sum` page may be unproven: level them before writing either.
    pub(crate) level_first: bool,
    /// How far folds that were given up may have written into the base, in blocks.
    pub(crate) reach: u64,
    pub(crate) base: BaseSums,
    pub(crate) free: FreeList,
    /// Tags of commits above `folded`, oldest first.
    pub(crate) log_tags: Vec<TagRecord>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) stats: Stats,
}

impl Store {
    /// A store with what META says and no log.
    pub(crate) fn empty(setup: &Setup, meta: Meta) -> Self {
        let folded = meta.body.folded;
        let free = FreeList::from_hint(&meta.body.free, meta.body.free_unlisted);
        Self {
            name: setup.name.clone(),
            limits: setup.limits,
            seed: setup.seed,
            read_only: setup.read_only,
            index: Index::default(),
            sizes: BTreeMap::from([(Lsn(0), meta.body.size)]),
            pins: BTreeMap::new(),
            segments: Vec::new(),
            active: None,
            spare_ready: false,
            last_begun: folded,
            open_batch: None,
            committed: folded,
            durable: folded,
            visible: folded,
            awaiting: BTreeSet::new(),
            ends: VecDeque::new(),
            witnessed: folded,
            pages_appended: 0,
            retained: VecDeque::new(),
            poisoned: None,
            fold: None,
            level_first: !meta.body.clean,
            reach: 0,
            base: BaseSums::default(),
            free,
            log_tags: Vec::new(),
            damage: Vec::new(),
            stats: Stats::default(),
            meta,
        }
    }

    /// Identity of the store.
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.meta.store
    }

    /// The algorithm of its payload sums.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.meta.checksum()
    }

    /// This life's number.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.meta.epoch
    }

    /// The highest commit.
    #[must_use]
    pub fn committed(&self) -> Lsn {
        self.committed
    }

    /// The highest commit known to survive power loss.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// The highest commit such that it and all before it have been acknowledged.
    #[must_use]
    pub fn visible(&self) -> Lsn {
        self.visible
    }

    /// Logical size in bytes as of commit `at`.
    #[must_use]
    pub fn size_at(&self, at: Lsn) -> u64 {
        let (_, size) =
            self.sizes.range(..=at).next_back().expect("there is always a size at or below `folded`");
        *size
    }

    /// Pins `at`: what it shows stays readable until [`Store::unpin`].
    pub fn pin(&mut self, at: Lsn) {
        assert!(at >= self.meta.body.folded && at <= self.committed, "pin {at} outside the log");
        *self.pins.entry(at).or_insert(0) += 1;
    }

    /// Lets go of one pin of `at`.
    pub fn unpin(&mut self, at: Lsn) {
        let count = self.pins.get_mut(&at).expect("unpinned once more than pinned");
        *count -= 1;
        if *count == 0 {
            self.pins.remove(&at);
        }
    }

    /// The oldest pin.
    #[must_use]
    pub fn oldest_pin(&self) -> Option<Lsn> {
        self.pins.keys().next().copied()
    }

    /// Whether a read view of `at` keeps a segment from being folded that nothing else would keep.
    #[must_use]
    pub fn holds_back(&self, at: Lsn) -> bool {
        let bound = self.durable.min(self.visible);
        self.segments.iter().filter_map(|segment| segment.fold_end).any(|end| end > at && end <= bound)
    }

    /// Whether nothing of the log could be folded, with or without read views, before the active segment ends.
    #[must_use]
    pub fn waits_for_its_end(&self) -> bool {
        self.active.is_some() && self.segments.iter().all(|segment| segment.fold_end.is_none())
    }

    /// Pages of the log that hold something.
    #[must_use]
    pub fn log_pages(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.pages)).sum()
    }

    /// Whether commits should wait for a fold.
    #[must_use]
    pub fn over_cap(&self) -> bool {
        self.log_pages() > self.limits.log_cap_pages || self.segments.len() > SEGMENTS_MAX / 2
    }

    /// Whether the log has twice the size it should have, or nearly as many segments as META can list.
    #[must_use]
    pub fn far_over_cap(&self) -> bool {
        self.log_pages() > 2 * self.limits.log_cap_pages || self.segments.len() > SEGMENTS_MAX / 4 * 3
    }

    /// Whether a watermark can be appended without preparing space.
    #[must_use]
    pub fn active_has_room(&self) -> bool {
        self.active.is_some_and(|active| active.tail.page < active.reserved)
    }

    /// Where every version in the log is.
    #[must_use]
    pub fn log_entries(&self) -> Vec<Address> {
        let address = |(block, entry): (BlockNo, index::Entry)| {
            Some(read::log_address(block, entry.version, entry.place?))
        };
        self.index.entries().filter_map(address).collect()
    }

    /// Whether a version found by [`Store::log_entries`] is still there.
    #[must_use]
    pub fn still_in_log(&self, address: &Address) -> bool {
        self.index.versions_of(address.block).iter().any(|entry| entry.version == address.version)
    }

    /// Whether a fold may be at work on the sums of these blocks.
    #[must_use]
    pub fn touches_log(&self, from: BlockNo, to: BlockNo) -> bool {
        self.fold.is_some() || self.index.any_in(from, to)
    }

    /// What became of a commit of this or an earlier life.
    #[must_use]
    pub fn outcome_of(&self, id: CommitId) -> Outcome {
        let verdict = |there| if there { Outcome::Committed } else { Outcome::NotCommitted };
        if id.lsn == Lsn(0) {
            return Outcome::Committed;
        }
        if id.epoch == self.meta.epoch {
            let open = self.is_poisoned() && !planted(Bug::OutcomeIgnoresPoison);
            if open && id.lsn > self.durable && id.lsn <= self.committed {
                return Outcome::Unknown;
            }
            let begun_here = self.meta.body.epochs.last().is_none_or(|end| id.lsn > end.last);
            return verdict(begun_here && id.lsn <= self.committed);
        }
        if id.epoch > self.meta.epoch {
            return Outcome::NotCommitted;
        }
        match self.meta.body.epochs.iter().find(|end| end.epoch == id.epoch) {
            Some(end) => verdict(id.lsn > end.after && id.lsn <= end.last),
            None => Outcome::Unknown,
        }
    }

    /// The full name of commit `lsn`, which is there: the life that made it is that of the newest end above it.
    #[must_use]
    pub fn id_of(&self, lsn: Lsn) -> CommitId {
        let earlier = self.meta.body.epochs.iter().find(|end| lsn > end.after && lsn <= end.last);
        CommitId { epoch: earlier.map_or(self.meta.epoch, |end| end.epoch), lsn }
    }

    /// The last request of `client` that was committed.
    #[must_use]
    pub fn last_request(&self, client: u64) -> Option<Tag> {
        let of_client = |record: &&TagRecord| record.tag.client == client;
        let in_log = self.log_tags.iter().rev().find(of_client);
        in_log.or_else(|| self.meta.body.tags.iter().find(of_client)).map(|record| record.tag)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            committed: self.committed,
            durable: self.durable,
            epoch: self.meta.epoch,
            folded: self.meta.body.folded,
            segments: self.segments.len() as u64,
            log_bytes: self.log_pages() * BLOCK_SIZE as u64,
            log_blocks: self.index.block_count() as u64,
            base_blocks: self.meta.body.base_blocks,
            size_bytes: self.size_at(self.committed),
            free_blocks: self.free.count(),
            pins: self.pins.values().sum(),
            ..self.stats
        }
    }

    /// Damage that was met since opening (and at opening, for a read-only store).
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Says that an op failed: nothing can be promised any more.
    pub fn poison(&mut self, error: &Error) {
        if self.poisoned.is_none() && !planted(Bug::SkipPoison) {
            self.poisoned = Some(error.to_string());
        }
    }

    /// Fails if the store is poisoned or read-only.
    ///
    /// # Errors
    /// `Poisoned` or `ReadOnly`.
    pub fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return fail(ErrorKind::ReadOnly, format!("{} is open for reading only", self.name));
        }
        match &self.poisoned {
            Some(why) => fail(
                ErrorKind::Poisoned,
                format!("{}: an earlier write failed ({why}); close it and open it again", self.name),
            ),
            None => Ok(()),
        }
    }

    /// Whether a failed write has made the store read-only for the rest of its life.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.is_some()
    }
}
