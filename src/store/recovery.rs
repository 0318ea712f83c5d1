//! From surviving bytes to a store, once, at open.
//!
//! [`Recovery`] hands out plans until it is done; it can be cut off anywhere and started again. After an
//! unclean end nothing that was *read* is proven durable (a process crash leaves bytes in a cache that a
//! power cut still takes), so:
//! 1. barriers on everything that is there, before anything is believed;
//! 2. the winning META is written again where it is, before the other slot is touched;
//! 3. commits at the end of the log that nothing proves durable are written again into a new segment, and
//!    META cuts the old one before them. Old bytes are never edited.
//!
//! The new epoch is published before anything is created under it.

use std::collections::BTreeMap;
use std::fmt;

use super::found::{
    clean_base_damage, damaged, find_meta, first_to_prove, lost_meta_damage, short_sums_damage,
};
use super::scan::{Committed, Scan, scan};
use super::stats::{Damage, OpenKind, RecoveryReport};
use super::{Segment, Setup, Store, publish, relog};
use crate::block::{BLOCK_SIZE, BlockNo, Epoch, Lsn, SegmentId, StoreId};
use crate::error::{ErrorKind, Result, fail};
use crate::format::group::Change;
use crate::format::meta::{EPOCHS_MAX, EpochEnd, Meta, MetaBody};
use crate::log::plan::{Area, Effect, Op, Plan};
use crate::log::source::Source;
use crate::planted::{Bug, planted};
use crate::store::index::Place;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Look,
    Barriers,
    Scan,
    RaiseEpoch,
    Reserve,
    Relog,
    Publish,
    Orphans,
    Done,
}

/// A recovery under way.
pub struct Recovery {
    setup: Setup,
    step: Step,
    meta: Option<Meta>,
    /// The copy of its slot to begin with when it is written again.
    prove_first: u64,
    scan: Option<Scan>,
    /// How many of the scanned commits are kept; the rest is given up for want of space.
    keep: usize,
    /// How many of the scanned commits are proven, and stay where they are.
    proven: usize,
    /// The new epoch has been published already.
    raised: bool,
    store: Option<Store>,
    report: RecoveryReport,
}

/// Where, and what comes next.
impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Recovery");
        fields.field("name", &self.setup.name).field("step", &self.step).finish_non_exhaustive()
    }
}

impl Recovery {
    /// A recovery of whatever is there.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let report = RecoveryReport {
            kind: OpenKind::Unclean,
            epoch: Epoch(0),
            last: Lsn(0),
            segments: 0,
            commits: 0,
            torn_tail_bytes: 0,
            rolled_back_batches: 0,
            unproven_commits: 0,
            relogged_bytes: 0,
            given_up_commits: 0,
            damage: Vec::new(),
        };
        Self {
            setup,
            step: Step::Look,
            meta: None,
            prove_first: 0,
            scan: None,
            keep: 0,
            proven: 0,
            raised: false,
            store: None,
            report,
        }
    }

    /// The next plan; `None` when the store is ready. Call again after each plan.
    ///
    /// # Errors
    /// * `NotFound`, `NotAStore`, `Unsupported`, `AlgoMismatch`: this is not a store we can open.
    /// * `Corrupt`: durable bytes are damaged; nothing was changed. Open it for reading, or salvage.
    /// * `Io`: the medium refused.
    pub fn next(&mut self, source: &dyn Source) -> Result<Option<Plan>> {
        loop {
            let plan = match self.step {
                Step::Look => self.look(source)?,
                Step::Barriers => Some(self.barriers()),
                Step::Scan => self.scan(source)?,
                Step::RaiseEpoch => Some(self.raise_epoch()),
                Step::Reserve => self.reserve(source)?,
                Step::Relog => Some(self.relog(source)?),
                Step::Publish => Some(self.publish()),
                Step::Orphans => self.orphans(source)?,
                Step::Done => return Ok(None),
            };
            if let Some(ops) = plan {
                return Ok(Some(Plan { ops, effect: Effect::Housekeeping }));
            }
        }
    }

    /// Says that the last plan was refused for want of space: recovery goes on within its reserve.
    ///
    /// # Errors
    /// `Full` if there is not even the reserve.
    pub fn refused(&mut self, source: &dyn Source) -> Result<()> {
        let scan = self.scan.as_ref().expect("only the relog asks for space");
        let spare = source.len(Area::Segment(self.next_segment()))?.unwrap_or(0) / BLOCK_SIZE as u64;
        let room = spare.saturating_sub(1);
        let mut pages = 0;
        self.keep = self.proven;
        for batch in &scan.batches[self.proven..] {
            pages += relog::pages(batch);
            if pages > room {
                break;
            }
            self.keep += 1;
        }
        self.report.given_up_commits = (scan.batches.len() - self.keep) as u64;
        if self.keep == self.proven && spare == 0 {
            return fail(
                ErrorKind::Full,
                format!("{}: no space to recover in; free some and open it again", self.setup.name),
            );
        }
        self.step = if self.keep > self.proven { Step::Relog } else { Step::Publish };
        Ok(())
    }

    /// The store and what was found.
    #[must_use]
    pub fn finish(self) -> (Store, RecoveryReport) {
        assert!(self.step == Step::Done, "recovery is not done");
        let mut store = self.store.expect("set by the last step");
        store.damage.clone_from(&self.report.damage);
        let report = RecoveryReport { epoch: store.meta.epoch, last: store.committed, ..self.report };
        (store, report)
    }

    fn next_segment(&self) -> SegmentId {
        self.meta.as_ref().expect("looked at first").body.next_segment
    }

    fn look(&mut self, source: &dyn Source) -> Result<Option<Vec<Op>>> {
        let Some(meta) = find_meta(source, &self.setup.name)? else { return self.create(source).map(Some) };
        if let Some(wanted) = self.setup.checksum.filter(|wanted| *wanted != meta.checksum()) {
            let (name, has) = (&self.setup.name, meta.checksum().name());
            let message = format!("{name} is summed with {has}, not {}: leave the option out", wanted.name());
            return fail(ErrorKind::AlgoMismatch, message);
        }
        let missing = |area: Area| -> Result<bool> { Ok(source.len(area)?.is_none()) };
        let base_missing = meta.body.base_blocks > 0 && (missing(Area::Base)? || missing(Area::Sums)?);
        self.prove_first = first_to_prove(source, &meta)?;
        let mut gone = Vec::new();
        for record in &meta.body.segments {
            if missing(Area::Segment(record.id))? {
                gone.push(Area::Segment(record.id).to_string());
            }
        }
        if base_missing {
            gone.push("base.db or base.sum".into());
        }
        if !gone.is_empty() && !self.setup.read_only {
            let message = format!(
                "{}: {} is missing; put it back, or save the rest with `datasync salvage`",
                self.setup.name,
                gone.join(", ")
            );
            return fail(ErrorKind::Corrupt, message);
        }
        if base_missing {
            let what = "base.db or base.sum: missing".into();
            self.report.damage.push(Damage { what, segment: None, offset: 0, block: None, version: None });
        }
        self.report.kind = if meta.body.clean { OpenKind::Clean } else { OpenKind::Unclean };
        self.meta = Some(meta);
        self.step = if self.setup.read_only { Step::Scan } else { Step::Barriers };
        Ok(None)
    }

    fn create(&mut self, source: &dyn Source) -> Result<Vec<Op>> {
        let Setup { name, create, read_only, .. } = &self.setup;
        let filled = |area: Area| -> Result<bool> { Ok(source.len(area)?.unwrap_or(0) > 0) };
        if !source.segments()?.is_empty() || filled(Area::Base)? || filled(Area::Sums)? {
            let message = format!(
                "{name}: META is damaged (no valid copy of four), but there is data beside it; `datasync \
                     salvage` may still read base.db"
            );
            return fail(ErrorKind::Corrupt, message);
        }
        if !create || *read_only {
            return fail(ErrorKind::NotFound, format!("{name}: there is no store here"));
        }
        let body = MetaBody {
            checksum: self.setup.checksum.unwrap_or_default().code(),
            created_ms: self.setup.now_ms,
            clean: false,
            folded: Lsn(0),
            durable: Lsn(0),
            size: 0,
            base_blocks: 0,
            next_segment: SegmentId(1),
            segments: Vec::new(),
            epochs: Vec::new(),
            tags: Vec::new(),
            free: Vec::new(),
            free_unlisted: 0,
        };
        let meta = Meta { store: StoreId(self.setup.seed), seq: 1, epoch: Epoch(1), body };
        let mut ops = vec![Op::Create(Area::Meta)];
        // The other slot gets its space now: the first publish into it must not find the disk full.
        if !planted(Bug::LeaveSlotUnwritten) {
            ops.push(publish::empty_slot(meta.seq + 1));
        }
        ops.extend(publish::publish_ops(&meta, Bug::SkipCreationPublish));
        ops.extend([Op::Create(Area::Base), Op::Create(Area::Sums)]);
        // ORDER: META is durable, entry and all, before anything is told or written; else a crash leaves data
        // without META. The empty files beside it are no data.
        ops.extend((!planted(Bug::SkipCreationEntries)).then_some(Op::BarrierDirectory));
        self.store = Some(Store::empty(&self.setup, meta));
        self.report.kind = OpenKind::Created;
        self.step = Step::Done;
        Ok(ops)
    }

    /// Turns pages that a failed barrier has lost into errors now.
    fn barriers(&mut self) -> Vec<Op> {
        let meta = self.meta.as_ref().expect("looked at first");
        let mut ops = vec![Op::Create(Area::Base), Op::Create(Area::Sums)];
        let areas = [Area::Meta, Area::Base, Area::Sums].into_iter();
        let segments = meta.body.segments.iter().map(|record| Area::Segment(record.id));
        ops.extend(areas.chain(segments).map(Op::Barrier));
        // ORDER: a spare that a dead process created is durable, entry and all, before a rotation lists it.
        ops.extend((!planted(Bug::SkipEntriesAtOpen)).then_some(Op::BarrierDirectory));
        self.step = Step::Scan;
        ops
    }

    fn scan(&mut self, source: &dyn Source) -> Result<Option<Vec<Op>>> {
        let meta = self.meta.clone().expect("looked at first");
        let mut found = scan(source, &meta)?;
        if let Some(damage) = clean_base_damage(source, &meta)? {
            found.damage = found.damage.or(Some(damage));
        }
        if let Some(damage) = short_sums_damage(source, &meta)? {
            found.damage = found.damage.or(Some(damage));
        }
        if let Some(damage) = lost_meta_damage(source, &meta)? {
            found.damage = found.damage.or(Some(damage));
        }
        let report = &mut self.report;
        report.segments = found.segments.len() as u64;
        report.commits = found.batches.len() as u64;
        report.torn_tail_bytes = found.torn_tail_bytes;
        report.rolled_back_batches = found.rolled_back_batches;
        if let Some(damage) = &found.damage {
            if !self.setup.read_only {
                return Err(damaged(&self.setup.name, damage, found.committed));
            }
            report.damage.push(damage.clone());
        }
        self.proven = found.batches.iter().filter(|batch| batch.lsn <= found.proven).count();
        if planted(Bug::SkipRelog) {
            self.proven = found.batches.len();
        }
        self.keep = found.batches.len();
        report.unproven_commits = (self.keep - self.proven) as u64;
        if self.setup.read_only {
            let mut store = Store::empty(&self.setup, meta);
            store.segments =
                found.segments.iter().map(|walked| walked_segment(walked, &found.batches)).collect();
            load(&mut store, &found, found.batches.len(), &BTreeMap::new());
            // No barrier was run: what was read may be in a cache only.
            store.durable = found.proven.min(store.committed);
            self.store = Some(store);
            self.step = Step::Done;
        } else {
            self.step = if self.keep > self.proven { Step::RaiseEpoch } else { Step::Publish };
        }
        self.scan = Some(found);
        Ok(None)
    }

    /// Publishes the new epoch alone: something is about to be created under it.
    fn raise_epoch(&mut self) -> Vec<Op> {
        let meta = self.meta.as_mut().expect("looked at first");
        let mut ops =
            if planted(Bug::SkipMetaProof) { Vec::new() } else { publish::prove_ops(meta, self.prove_first) };
        meta.seq += 1;
        meta.epoch = if planted(Bug::KeepEpoch) { meta.epoch } else { meta.epoch.next() };
        meta.body.clean = false;
        // ORDER: the new epoch is durable before a byte is written under it; else a crash leaves a segment that
        // looks as if a newer META had been lost.
        if !planted(Bug::CopyBeforeEpoch) {
            ops.extend(publish::publish_ops(meta, Bug::SkipEpochPublish));
        }
        self.raised = true;
        self.step = Step::Reserve;
        ops
    }

    fn reserve(&mut self, source: &dyn Source) -> Result<Option<Vec<Op>>> {
        let scan = self.scan.as_ref().expect("scanned before");
        let tail: u64 = scan.batches[self.proven..self.keep].iter().map(relog::pages).sum();
        let wanted = 1 + tail.max(u64::from(self.setup.limits.reserve_pages));
        let segment = self.next_segment();
        self.step = Step::Relog;
        if source.len(Area::Segment(segment))?.unwrap_or(0) >= wanted * BLOCK_SIZE as u64 {
            return Ok(None);
        }
        let pages = u32::try_from(wanted).expect("a segment's tail");
        // Its entry is made durable with what is written into it.
        Ok(Some(vec![Op::Create(Area::Segment(segment)), Op::Reserve { segment, pages }]))
    }

    /// Writes the unproven commits into a new segment and publishes it together with the cut before them.
    fn relog(&mut self, source: &dyn Source) -> Result<Vec<Op>> {
        let scan = self.scan.as_ref().expect("scanned before");
        let mut store = self.cut_store();
        let tail = &scan.batches[self.proven..self.keep];
        let relogged = relog::relog(source, &mut store, scan, tail)?;
        self.report.relogged_bytes = relogged.bytes;
        load(&mut store, scan, self.keep, &relogged.moved);
        let mut ops = relogged.ops;
        let meta = store.next_meta(store.committed, store.records());
        let at = if planted(Bug::CutBeforeCopy) { 0 } else { ops.len() };
        ops.splice(at..at, publish::publish_ops(&meta, Bug::SkipRelogPublish));
        store.meta = meta;
        self.store = Some(store);
        self.step = Step::Orphans;
        Ok(ops)
    }

    /// Publishes the new epoch and the end of the log together: nothing has to be written again.
    fn publish(&mut self) -> Vec<Op> {
        let meta = self.meta.as_mut().expect("looked at first");
        let mut ops = if self.raised || planted(Bug::SkipMetaProof) {
            Vec::new()
        } else {
            publish::prove_ops(meta, self.prove_first)
        };
        if !self.raised && !planted(Bug::KeepEpoch) {
            meta.epoch = meta.epoch.next();
        }
        let mut store = self.cut_store();
        load(&mut store, self.scan.as_ref().expect("scanned before"), self.keep, &BTreeMap::new());
        let meta = store.next_meta(store.committed, store.records());
        ops.extend(publish::publish_ops(&meta, Bug::SkipOpenPublish));
        store.meta = meta;
        self.store = Some(store);
        self.step = Step::Orphans;
        ops
    }

    /// A store whose log ends where the proven part does.
    fn cut_store(&self) -> Store {
        let scan = self.scan.as_ref().expect("scanned before");
        let mut meta = self.meta.clone().expect("looked at first");
        let last = scan.batches[..self.keep].last().map_or(meta.body.folded, |batch| batch.lsn);
        end_epochs(&mut meta, last);
        let mut store = Store::empty(&self.setup, meta);
        // What is given up holds no segment that it began in: it never comes to its end.
        let kept = if planted(Bug::HoldForGivenUp) { &scan.batches } else { &scan.batches[..self.keep] };
        store.segments = scan.segments.iter().map(|walked| walked_segment(walked, kept)).collect();
        relog::cut_last(&mut store, scan, &scan.batches[..self.proven]);
        store
    }

    /// Removes what META does not list: the leftovers of a rotation or fold that did not finish.
    fn orphans(&mut self, source: &dyn Source) -> Result<Option<Vec<Op>>> {
        let store = self.store.as_mut().expect("set by the step before");
        let listed: Vec<SegmentId> = store.segments.iter().map(|segment| segment.record.id).collect();
        let spare = store.meta.body.next_segment;
        let orphan = |id: &SegmentId| *id != spare && !listed.contains(id) && !planted(Bug::KeepOrphans);
        let mut ops: Vec<Op> = source.segments()?.into_iter().filter(orphan).map(Op::Remove).collect();
        let base_bytes = store.meta.body.base_blocks * BLOCK_SIZE as u64;
        let uncut = self.report.kind == OpenKind::Unclean && !planted(Bug::SkipBaseCut);
        if uncut && source.len(Area::Base)?.unwrap_or(0) > base_bytes {
            // A fold that shrank the base was cut off before it cut the file; what is behind must not come back.
            ops.push(Op::Resize { area: Area::Base, bytes: base_bytes });
        }
        let spare_bytes = source.len(Area::Segment(spare))?.unwrap_or(0);
        let believed = planted(Bug::BelieveSpare);
        store.spare_ready =
            believed || spare_bytes >= u64::from(1 + store.limits.reserve_pages) * BLOCK_SIZE as u64;
        self.step = Step::Done;
        Ok((!ops.is_empty()).then_some(ops))
    }
}

/// Writes down how every life ended that META has not got yet: the first of them wrote the log, the others
/// crashed while recovering it.
fn end_epochs(meta: &mut Meta, last: Lsn) {
    if planted(Bug::ForgetEpochEnds) {
        return;
    }
    let known = meta.body.epochs.last().copied();
    let mut after = known.map_or(Lsn(0), |end| end.last);
    let mut epoch = known.map_or(Epoch(1), |end| end.epoch.next());
    while epoch < meta.epoch {
        // Of more crashed recoveries than are remembered, the oldest need not be written down to be forgotten.
        if meta.epoch.0 - epoch.0 > EPOCHS_MAX as u64 {
            after = last.max(after);
            epoch = Epoch(meta.epoch.0 - EPOCHS_MAX as u64);
        }
        meta.body.epochs.push(EpochEnd { epoch, after, last: last.max(after) });
        after = last.max(after);
        epoch = epoch.next();
    }
    let excess = meta.body.epochs.len().saturating_sub(EPOCHS_MAX);
    meta.body.epochs.drain(..excess);
}

/// A segment as the walk found it, where `kept` are the commits that count.
fn walked_segment(walked: &super::scan::WalkedSegment, kept: &[Committed]) -> Segment {
    let came_to_nothing = |lsn: Lsn| kept.iter().all(|batch| batch.lsn != lsn);
    let whole = walked.open.is_none_or(|(lsn, _)| came_to_nothing(lsn));
    let fold_end = (walked.record.cut.is_some() && whole).then_some(walked.committed);
    Segment { record: walked.record, pages: walked.end.page, fold_end }
}

/// Takes the first `keep` scanned commits into the store; `moved` says where relogged pages are now.
fn load(store: &mut Store, scan: &Scan, keep: usize, moved: &BTreeMap<u32, (SegmentId, u32)>) {
    let last = scan.segments.last().map(|walked| walked.record.id);
    for batch in &scan.batches[..keep] {
        // Nobody will ask for a version below the last of these commits.
        store.visible = batch.lsn;
        for (change, place) in &batch.changes {
            let place = place.map(|place| match moved.get(&place.page) {
                Some((segment, page)) if Some(place.segment) == last => {
                    Place { segment: *segment, page: *page, ..place }
                }
                _ => place,
            });
            load_change(store, batch, *change, place);
        }
        let before = store.size_at(store.committed);
        if batch.size != before {
            store.sizes.insert(batch.lsn, batch.size);
            store.free.truncate(BlockNo(crate::block::blocks_for(batch.size)));
        }
        store.index_tag(batch.tag, batch.lsn);
        store.committed = batch.lsn;
    }
    store.last_begun = store.last_begun.max(store.committed);
    (store.durable, store.visible, store.witnessed) = (store.committed, store.committed, store.committed);
}

fn load_change(store: &mut Store, batch: &Committed, change: Change, place: Option<Place>) {
    match change {
        Change::Put { block, .. } | Change::Trim { block } => {
            store.index_block(block, batch.lsn, place, batch.wall_ms)
        }
        Change::TrimRange { from, to } => store.index_range((from, to), batch.lsn, batch.wall_ms),
    }
}
