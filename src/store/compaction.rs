//! The fold: moving the newest durable versions of whole segments into the base, then removing the segments.
//!
//! In bounded steps, so that a commit never waits for a fold. Phases, each with what a crash in it leaves:
//! 1. `Level` (only when the slots may be unproven): slot 1 of each page of `base.sum` is made equal to slot 0.
//! 2. `Copy`: blocks into `base.db`, sums into slot 0. Half new; every such block is still in the log.
//! 3. `Second`: the same sums into slot 1. Slot 0 is durable.
//! 4. `Publish`: META without the segments. The older or the newer META, both describe a complete store.
//! 5. `Shrink`, `Remove`: files that META does not list; the next open removes them.
//!
//! A trimmed block becomes zeros in `base.db`, so that after a clean close it is the plain database.
//!
//! A payload that does not verify is copied with its *original* sum, so that it stays detectable, and
//! reported; rot must not stop writes.

use std::collections::BTreeSet;

use super::base::{Slots, mask};
use super::fold_ops::{cut, fold_barriers, level_barrier, push_base, second_barrier, sums_op};
use super::index::{Entry, within};
use super::read::log_address;
use super::stats::Damage;
use super::{Store, publish};
use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, Lsn, SegmentId, blocks_for};
use crate::error::{ErrorKind, Result, fail};
use crate::format::meta::TagRecord;
use crate::format::sums::{BLOCKS_PER_PAGE, BaseEntry, SumsPage};
use crate::log::plan::{Area, Effect, Op, Plan};
use crate::log::reader::read_page;
use crate::log::source::Source;
use crate::planted::{Bug, planted};

/// Blocks that one step copies at most, and pages of sums that one step writes at most.
const STEP_BLOCKS: usize = 64;
const STEP_PAGES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Level,
    LevelBarrier,
    Copy,
    CopyBarrier,
    Second,
    SecondBarrier,
    Publish,
    Shrink,
    Remove,
    Done,
}

/// A fold under way.
#[derive(Debug)]
pub(crate) struct Fold {
    phase: Phase,
    /// Everything up to this commit goes into the base.
    target: Lsn,
    /// The segments that go away, from the oldest.
    segments: Vec<SegmentId>,
    /// Least sequence number of the pages of `base.sum` it writes.
    seq: u64,
    size: u64,
    blocks_before: u64,
    blocks_after: u64,
    /// What it copies, in block order.
    items: Vec<(BlockNo, Entry)>,
    ranges: Vec<(BlockNo, BlockNo, Lsn, u64)>,
    /// Pages of `base.sum` it touches, and how many of them the phase has done.
    pages: Vec<u64>,
    done: usize,
    /// The sequence numbers that slot 0 of these pages got.
    written: Vec<u64>,
    /// The page being built and the next block to copy into it.
    building: Option<(SumsPage, BlockNo)>,
    /// A step is with the driver.
    stepping: bool,
}

impl Store {
    /// Whether the next step of the fold publishes META: such a step and a rotation exclude each other.
    #[must_use]
    pub fn fold_publishes_next(&self) -> bool {
        self.fold.as_ref().is_some_and(|fold| fold.phase == Phase::Publish)
    }

    /// Whether the next step of the fold removes segments: no read may be inside one while it runs.
    #[must_use]
    pub fn fold_removes_next(&self) -> bool {
        self.fold.as_ref().is_some_and(|fold| matches!(fold.phase, Phase::Shrink | Phase::Remove))
    }

    /// The next bounded step of the fold under way, or the first of a new one; `None` when nothing can be
    /// folded now. Run each plan and complete it before asking for the next.
    ///
    /// # Errors
    /// * `Io`, `Corrupt`: the log or `base.sum` cannot be read back. The fold is given up; nothing is lost.
    /// * `ReadOnly`, `Poisoned`.
    pub fn fold_step(&mut self, source: &dyn Source) -> Result<Option<Plan>> {
        self.check_writable()?;
        // A fold that was under way may have ended short of what can be folded by now: go on with the next.
        while let Some(mut fold) = self.fold.take().or_else(|| self.new_fold()) {
            assert!(!fold.stepping, "one step of a fold at a time");
            let step = self.next_step(source, &mut fold);
            fold.stepping = matches!(step, Ok(Some(_)));
            self.fold = Some(fold);
            match step {
                Err(error) => {
                    self.abandon_fold();
                    return Err(error);
                }
                Ok(Some(plan)) => return Ok(Some(plan)),
                Ok(None) => {}
            }
            self.fold = None;
            self.reach = 0;
            self.stats.folds += 1;
        }
        Ok(None)
    }

    pub(crate) fn fold_stepped(&mut self) {
        if let Some(fold) = &mut self.fold {
            fold.stepping = false;
        }
    }

    /// Gives the fold up. Its half-written slots are levelled by the next one, which also cuts off what this one
    /// may have written behind the end of the base.
    pub(crate) fn abandon_fold(&mut self) {
        self.level_first = true;
        if let Some(fold) = self.fold.take() {
            self.reach = self.reach.max(fold.blocks_before).max(fold.blocks_after);
        }
    }

    /// Whether [`Store::fold_step`] would find something to do.
    #[must_use]
    pub fn can_fold(&self) -> bool {
        self.fold.is_some() || self.foldable_prefix().is_some()
    }

    /// Ends the active segment so that a fold can take it, and returns the barrier that this takes; `None` if
    /// there is nothing in it.
    ///
    /// # Errors
    /// `Busy` while a batch that has spilled is open, `ReadOnly`, `Poisoned`.
    pub fn seal_for_fold(&mut self) -> Result<Option<Plan>> {
        self.check_writable()?;
        let Some(active) = self.active.filter(|active| active.tail.page > 1) else { return Ok(None) };
        if self.open_batch.is_some() {
            return fail(ErrorKind::Busy, format!("{}: a large write transaction is under way", self.name));
        }
        self.seal();
        // ORDER: META will name this end; else a power cut leaves a META that promises groups the disk lost.
        let barrier = Op::Barrier(Area::Segment(active.tail.identity.segment));
        let ops = if planted(Bug::SkipSealBarrier) { Vec::new() } else { vec![barrier] };
        Ok(Some(Plan { ops, effect: Effect::Durable(self.committed) }))
    }

    /// The plan of a clean close: `base.db` becomes exactly the database, META says so. The log must be folded.
    ///
    /// # Errors
    /// `Busy` if the log is not empty, `ReadOnly`, `Poisoned`.
    pub fn close(&mut self) -> Result<Plan> {
        self.check_writable()?;
        if self.segments.iter().any(|segment| segment.pages > 1) || self.fold.is_some() {
            return fail(ErrorKind::Busy, format!("{}: read views still hold the log", self.name));
        }
        let leftovers: Vec<SegmentId> = self.segments.drain(..).map(|segment| segment.record.id).collect();
        self.active = None;
        let mut meta = self.next_meta(self.durable, Vec::new());
        meta.body.clean = true;
        let removals = leftovers.into_iter().chain([meta.body.next_segment]).map(Op::Remove);
        let mut ops = vec![Op::Resize { area: Area::Base, bytes: meta.body.size }];
        // ORDER: the length is durable before META calls the base a plain database; else a crash leaves one that
        // looks as if another program had cut it.
        if !planted(Bug::SkipCloseBarrier) {
            ops.push(Op::Barrier(Area::Base));
        }
        let at = if planted(Bug::CloseBeforeBase) { 0 } else { ops.len() };
        ops.splice(at..at, publish::publish_ops(&meta, Bug::SkipClosePublish));
        // ORDER: the log goes after the META without it is durable; else the older META lists what is gone.
        let at = if planted(Bug::RemoveBeforeClose) { 0 } else { ops.len() };
        ops.splice(at..at, removals);
        self.meta = meta;
        self.spare_ready = false;
        Ok(Plan { ops, effect: Effect::Published { seq: self.meta.seq, durable: None } })
    }

    /// The longest prefix of segments that can be folded: its length and last commit.
    fn foldable_prefix(&self) -> Option<(usize, Lsn)> {
        let pin = if planted(Bug::FoldIgnoresPins) { None } else { self.oldest_pin() };
        let bound = pin.unwrap_or(self.durable).min(self.durable).min(self.visible);
        // ORDER: what a recovery on a full disk may give up is proven before it is folded; else a crash leaves a base
        // that is ahead of the log, and what was there before is gone.
        let kept = |end: Lsn| !self.needs_witness(end) || planted(Bug::FoldUnproven);
        let ends = self.segments.iter().enumerate();
        let ends = ends.filter_map(|(at, segment)| Some((at + 1, segment.fold_end?)));
        ends.rev().find(|(_, end)| *end <= bound && kept(*end))
    }

    fn new_fold(&mut self) -> Option<Fold> {
        let (count, target) = self.foldable_prefix()?;
        let items = self.index.foldable(target);
        let ranges =
            if planted(Bug::FoldForgetsRanges) { Vec::new() } else { self.index.foldable_ranges(target) };
        let size = self.size_at(target);
        let blocks_before = self.meta.body.base_blocks;
        let highest =
            items.iter().rev().find(|(_, entry)| entry.place.is_some()).map_or(0, |(block, _)| block.0 + 1);
        let blocks_after = blocks_before.min(blocks_for(size)).max(highest);
        let pages_for = |blocks: u64| blocks.div_ceil(BLOCKS_PER_PAGE);
        let mut pages = BTreeSet::new();
        pages.extend(pages_for(blocks_before)..pages_for(blocks_after));
        pages.extend(
            items
                .iter()
                .filter(|(block, _)| block.0 < blocks_after)
                .map(|(block, _)| block.0 / BLOCKS_PER_PAGE),
        );
        for (from, to, ..) in &ranges {
            pages.extend(from.0 / BLOCKS_PER_PAGE..pages_for(to.0.min(blocks_after)));
        }
        Some(Fold {
            phase: if self.level_first && !planted(Bug::SkipLevel) { Phase::Level } else { Phase::Copy },
            target,
            segments: self.segments[..count].iter().map(|segment| segment.record.id).collect(),
            seq: self.meta.seq + 1,
            size,
            blocks_before,
            blocks_after,
            items,
            ranges,
            pages: pages.into_iter().collect(),
            done: 0,
            written: Vec::new(),
            building: None,
            stepping: false,
        })
    }

    fn next_step(&mut self, source: &dyn Source, fold: &mut Fold) -> Result<Option<Plan>> {
        loop {
            let (ops, next) = match fold.phase {
                Phase::Level => (self.level(source, fold)?, Phase::LevelBarrier),
                Phase::LevelBarrier => (level_barrier(), Phase::Copy),
                Phase::Copy => (self.copy(source, fold)?, Phase::CopyBarrier),
                Phase::CopyBarrier if planted(Bug::SecondSlotTooEarly) => (Vec::new(), Phase::Second),
                Phase::CopyBarrier => (fold_barriers(), Phase::Second),
                Phase::Second => (self.second(source, fold)?, Phase::SecondBarrier),
                Phase::SecondBarrier => (second_barrier(), Phase::Publish),
                Phase::Publish => {
                    fold.phase = Phase::Shrink;
                    return Ok(Some(self.publish_fold(fold)));
                }
                Phase::Shrink if planted(Bug::ForgetShrink) => (Vec::new(), Phase::Remove),
                Phase::Shrink => (self.shrink(fold), Phase::Remove),
                Phase::Remove => (fold.segments.iter().map(|id| Op::Remove(*id)).collect(), Phase::Done),
                Phase::Done => return Ok(None),
            };
            let per_page = matches!(fold.phase, Phase::Level | Phase::Copy | Phase::Second);
            if !per_page || fold.done == fold.pages.len() {
                fold.phase = next;
                fold.done = 0;
            }
            if !ops.is_empty() {
                return Ok(Some(Plan { ops, effect: Effect::Folded }));
            }
        }
    }

    /// Makes slot 1 of the next pages as good as slot 0, where slot 0 is the only one proven.
    fn level(&mut self, source: &dyn Source, fold: &mut Fold) -> Result<Vec<Op>> {
        let mut ops = Vec::new();
        let upto = fold.pages.len().min(fold.done + STEP_PAGES);
        for page in &fold.pages[fold.done..upto] {
            let slots = Slots::read(source, self.meta.store, *page)?;
            if let Some(first) = slots.unproven_second() {
                ops.push(sums_op(first, 1));
            }
        }
        fold.done = upto;
        Ok(ops)
    }

    /// Copies the next blocks into the base and finished pages of sums into slot 0.
    fn copy(&mut self, source: &dyn Source, fold: &mut Fold) -> Result<Vec<Op>> {
        let mut ops = Vec::new();
        let mut copied = 0;
        while copied < STEP_BLOCKS && ops.len() < STEP_BLOCKS && fold.done < fold.pages.len() {
            let (mut page, from) = match fold.building.take() {
                Some(building) => building,
                None => self.start_page(source, fold, fold.pages[fold.done], &mut ops)?,
            };
            let end = BlockNo(((page.page + 1) * BLOCKS_PER_PAGE).min(fold.blocks_after));
            let mut next = from;
            for (block, entry) in within(&fold.items, from, end) {
                if copied == STEP_BLOCKS {
                    break;
                }
                self.copy_block(source, *block, entry, &mut page, &mut ops)?;
                copied += usize::from(entry.place.is_some());
                next = block.next();
            }
            if !within(&fold.items, next, end).is_empty() {
                fold.building = Some((page, next));
                break;
            }
            ops.push(sums_op(&page, 0));
            fold.written.push(page.seq);
            fold.done += 1;
        }
        self.stats.blocks_folded += copied as u64;
        Ok(ops)
    }

    /// The page as it is, with the blocks of trimmed ranges marked and zeros in their place.
    fn start_page(
        &mut self,
        source: &dyn Source,
        fold: &Fold,
        number: u64,
        ops: &mut Vec<Op>,
    ) -> Result<(SumsPage, BlockNo)> {
        let (store, checksum) = (self.meta.store, self.checksum());
        let first = number * BLOCKS_PER_PAGE;
        let mut page = if first >= fold.blocks_before {
            SumsPage::empty(store, checksum, number)
        } else {
            match Slots::read(source, store, number)?.winner() {
                Some(winner) => winner.clone(),
                None => self.lost_page(number),
            }
        };
        mask(&mut page, fold.blocks_before.min(fold.blocks_after));
        // Never the number of what is there, which a fold that was given up may have used: equal slots mean that
        // the first one is durable.
        let above = if planted(Bug::ReuseSumsSequence) { 0 } else { page.seq.saturating_add(1) };
        page.seq = if planted(Bug::KeepSumsSequence) { page.seq } else { fold.seq.max(above) };
        let folded = if planted(Bug::TrustUnfinishedTrim) { fold.target } else { self.meta.body.folded };
        for (from, to, version, modified_ms) in &fold.ranges {
            for (block, entry) in (first..).zip(&mut page.entries) {
                let inside = (from.0..to.0).contains(&block) && block < fold.blocks_after;
                // An entry that is absent may be one that a fold masked which was cut off before it cut the base,
                // and one that is newer than META is of a fold whose zeros no barrier covers: then the old bytes
                // are still there, and plain SQLite would find them after a clean close.
                let held = block < fold.blocks_before && !entry.trimmed_by(folded);
                if inside && held {
                    *entry = BaseEntry::Trimmed { version: *version, modified_ms: *modified_ms };
                    push_base(ops, BlockNo(block), &[0; BLOCK_SIZE]);
                }
            }
        }
        Ok((page, BlockNo(first)))
    }

    /// A page whose both slots are damaged: its blocks get sums that nothing matches, so they stay damaged.
    fn lost_page(&mut self, number: u64) -> SumsPage {
        let mut page = SumsPage::empty(self.meta.store, self.checksum(), number);
        page.entries.fill(BaseEntry::Present { version: Lsn(0), sum: u64::MAX, modified_ms: 0 });
        let what = format!("base.sum: both copies of page {number}");
        self.note_damage(Damage {
            what,
            segment: None,
            offset: SumsPage::offset(number, 0),
            block: None,
            version: None,
        });
        page
    }

    fn copy_block(
        &mut self,
        source: &dyn Source,
        block: BlockNo,
        entry: &Entry,
        page: &mut SumsPage,
        ops: &mut Vec<Op>,
    ) -> Result<()> {
        let Entry { version, modified_ms, place } = *entry;
        let (_, at) = SumsPage::place(block);
        let Some(place) = place else {
            if !planted(Bug::FoldForgetsTrim) {
                page.entries[at] = BaseEntry::Trimmed { version, modified_ms };
                push_base(ops, block, &[0; BLOCK_SIZE]);
            }
            return Ok(());
        };
        let mut bytes: BlockBytes = [0; BLOCK_SIZE];
        read_page(source, Area::Segment(place.segment), u64::from(place.page), &mut bytes)?;
        let address = log_address(block, version, place);
        let mut sum = place.sum;
        let mut now = self.checksum().sum(self.meta.store, block, version, &bytes);
        if now != sum {
            // Once more, as every read does: the good bytes go away with the segment.
            read_page(source, Area::Segment(place.segment), u64::from(place.page), &mut bytes)?;
            now = self.checksum().sum(self.meta.store, block, version, &bytes);
        }
        if now != sum {
            self.note_damage(Damage {
                what: format!("{}: bytes that are not what was written", address.area),
                segment: Some(place.segment),
                offset: address.offset,
                block: Some(block),
                version: Some(version),
            });
        }
        if planted(Bug::FoldLaundersRot) {
            sum = now;
        }
        page.entries[at] = BaseEntry::Present { version, sum, modified_ms };
        push_base(ops, block, &bytes);
        Ok(())
    }

    /// Writes finished pages of sums into slot 1.
    fn second(&mut self, source: &dyn Source, fold: &mut Fold) -> Result<Vec<Op>> {
        let mut ops = Vec::new();
        let upto = fold.pages.len().min(fold.done + STEP_PAGES);
        for (page, seq) in fold.pages[fold.done..upto].iter().zip(&fold.written[fold.done..upto]) {
            match &Slots::read(source, self.meta.store, *page)?.slots[0] {
                Ok(first) if first.seq == *seq => ops.push(sums_op(first, 1)),
                _ => {
                    return fail(
                        ErrorKind::Corrupt,
                        format!("base.sum: page {page} does not read back as it was just written"),
                    );
                }
            }
        }
        fold.done = upto;
        Ok(if planted(Bug::SkipSecondSlot) { Vec::new() } else { ops })
    }

    /// Cuts off what is behind the new end: of the base as it was, or of a fold that was given up.
    fn shrink(&self, fold: &Fold) -> Vec<Op> {
        let reach = if planted(Bug::ForgetReach) { 0 } else { self.reach };
        if fold.blocks_after < fold.blocks_before.max(reach) { cut(fold.blocks_after) } else { Vec::new() }
    }

    fn publish_fold(&mut self, fold: &Fold) -> Plan {
        let gone = |id: &SegmentId| fold.segments.contains(id);
        let records = self.records().into_iter().filter(|record| !gone(&record.id)).collect();
        let mut meta = self.next_meta(self.durable, records);
        let body = &mut meta.body;
        (body.folded, body.base_blocks) = (fold.target, fold.blocks_after);
        body.size = if planted(Bug::FoldForgetsSize) { body.size } else { fold.size };
        let carried = |record: &&TagRecord| record.lsn <= fold.target && !planted(Bug::FoldForgetsTags);
        for record in self.log_tags.iter().filter(carried) {
            publish::remember(&mut body.tags, *record);
        }
        let mut ops = publish::publish_ops(&meta, Bug::SkipFoldPublish);
        if planted(Bug::RemoveBeforePublish) {
            ops.splice(0..0, fold.segments.iter().map(|id| Op::Remove(*id)));
        }
        self.meta = meta;
        Plan { ops, effect: Effect::FoldPublished { seq: self.meta.seq } }
    }

    pub(crate) fn fold_published(&mut self) {
        let fold = self.fold.as_mut().expect("only a fold publishes this way");
        fold.stepping = false;
        let (target, size) = (fold.target, fold.size);
        fold.items = Vec::new();
        self.segments.retain(|segment| !fold.segments.contains(&segment.record.id));
        self.index.forget(target);
        self.log_tags.retain(|record| record.lsn > target);
        self.sizes = self.sizes.split_off(&target.next());
        self.sizes.insert(Lsn(0), size);
        self.base.clear();
    }

    pub(crate) fn note_damage(&mut self, damage: Damage) {
        self.stats.checksum_failures += 1;
        if self.damage.len() < 1000 && !self.damage.contains(&damage) {
            self.damage.push(damage);
        }
    }
}
