//! From a batch to bytes in the log, and from completed plans to what may be promised.
//!
//! A commit is three steps of the driver: [`Store::prepare`] until it asks for nothing more (all that can
//! fail for want of space happens there), [`Store::commit`] (the append), [`Store::sync`] (the barrier that
//! covers it). The plan and what its completion means stand next to each other in this file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::batch::Batch;
use super::index::{Entry, Place, Resolved};
use super::{Active, CommitEnd, Retained, Segment, Store};
use crate::block::{BLOCK_SIZE, BlockNo, Durability, Lsn, SegmentId, Tag, blocks_for};
use crate::error::{ErrorKind, Result, fail};
use crate::format::meta::{SEGMENTS_MAX, SegmentRecord, TagRecord};
use crate::format::segment::{Cut, SegmentHeader};
use crate::format::sums::BaseEntry;
use crate::log::plan::{Area, Effect, Op, Plan};
use crate::log::source::Source;
use crate::log::writer::{self, BatchHead, Tail};
use crate::planted::{Bug, planted};
use crate::store::publish::publish_ops;

/// Pages by which the written, zero-filled space of a segment grows: 1 MiB.
const GROW_PAGES: u32 = 256;

impl Store {
    /// An empty batch on top of the newest commit.
    ///
    /// # Errors
    /// `ReadOnly`, `Poisoned`.
    pub fn begin(&self) -> Result<Batch> {
        self.check_writable()?;
        Ok(Batch::new(self.committed, self.size_at(self.committed)))
    }

    /// The next thing to be done so that `pages` pages can be appended without allocating; `None` when all
    /// is ready. Call again after each plan. Without `may_rotate` the active segment grows past its soft size.
    ///
    /// A plan with [`Effect::Reserved`] that fails with `Full` is reported with [`Store::refused`], harms
    /// nothing, and means the commit has to be given up.
    ///
    /// # Errors
    /// `ReadOnly`, `Poisoned`.
    pub fn prepare(&mut self, pages: usize, may_rotate: bool) -> Result<Option<Plan>> {
        self.check_writable()?;
        // Whatever is appended may make a recovery end this segment and list one more.
        if !planted(Bug::AppendToFullList) {
            self.check_segments_fit(0)?;
        }
        // A proof alone may be in the last one, of which a recovery keeps nothing.
        let next = usize::from(pages > 0);
        let pages = u32::try_from(pages).expect("a spill is bounded");
        if !self.spare_ready {
            let segment = self.meta.body.next_segment;
            let pages = 1 + self.limits.reserve_pages;
            let mut ops = vec![Op::Create(Area::Segment(segment)), Op::Reserve { segment, pages }];
            if !planted(Bug::SkipSpareBarrier) {
                ops.push(Op::Barrier(Area::Segment(segment)));
            }
            // ORDER: the entry is durable before a rotation lists the segment; else META may list no file.
            if !planted(Bug::SkipSpareEntry) {
                ops.push(Op::BarrierDirectory);
            }
            return Ok(Some(Plan { ops, effect: Effect::Reserved { segment, pages } }));
        }
        let Some(active) = self.active else {
            self.check_segments_fit(next)?;
            return self.rotate().map(Some);
        };
        let end = active.tail.page.checked_add(pages + 1).expect("segments stay far below 2^32 pages");
        // A log that cannot be folded (a huge transaction, a stuck reader) gets larger segments, not more.
        let most = self.limits.segment_pages << (self.segments.len() / 16);
        if may_rotate && end > most && active.tail.page > 1 {
            self.check_segments_fit(next)?;
            return self.rotate().map(Some);
        }
        if end > active.reserved {
            let ahead = active.reserved + GROW_PAGES;
            let wanted = if end > most { ahead } else { ahead.min(most) }.max(end);
            let segment = active.tail.identity.segment;
            let op = Op::Reserve { segment, pages: wanted };
            let ops = if planted(Bug::SkipReserve) { Vec::new() } else { vec![op] };
            return Ok(Some(Plan { ops, effect: Effect::Reserved { segment, pages: wanted } }));
        }
        Ok(None)
    }

    /// Fails if META could not list so many segments more, and one that a recovery may need besides.
    fn check_segments_fit(&self, more: usize) -> Result<()> {
        if self.segments.len() + more < SEGMENTS_MAX {
            return Ok(());
        }
        fail(
            ErrorKind::Full,
            format!(
                "{}: the log has as many segments as META can list; end the transactions and read views that \
                 hold it",
                self.name
            ),
        )
    }

    /// The plan that ends the active segment, if any, and starts the next one in the spare.
    ///
    /// # Errors
    /// `ReadOnly`, `Poisoned`.
    pub fn rotate(&mut self) -> Result<Plan> {
        self.check_writable()?;
        assert!(self.spare_ready, "a segment is started in a spare only");
        let mut ops = Vec::new();
        if let Some(active) = self.active {
            // ORDER: the old segment is durable before META names its end; else a power cut leaves a META
            // that promises groups the disk never got.
            if !planted(Bug::SkipRotationBarrier) {
                ops.push(Op::Barrier(Area::Segment(active.tail.identity.segment)));
            }
            self.seal();
        }
        let id = self.meta.body.next_segment;
        let identity = self.identity_for(id);
        let previous = self.segments.last().and_then(|last| Some((last.record.id, last.record.cut?)));
        let header = SegmentHeader { identity, after: self.last_begun, born_pages: 1, previous };
        let mut page = [0; BLOCK_SIZE];
        let digest = header.encode(&mut page);
        ops.push(Op::Write { area: Area::Segment(id), offset: 0, bytes: Arc::from(&page[..]) });
        // ORDER: the new segment is durable before META lists it; else META may list a file without a header.
        if !planted(Bug::SkipNewSegmentBarrier) {
            ops.push(Op::Barrier(Area::Segment(id)));
        }
        let record = SegmentRecord {
            id,
            epoch: identity.epoch,
            salt: identity.salt,
            after: self.last_begun,
            cut: None,
        };
        self.segments.push(Segment { record, pages: 1, fold_end: None });
        self.meta.body.next_segment = id.next();
        self.spare_ready = false;
        let meta = self.next_meta(self.committed, self.records());
        let published = publish_ops(&meta, Bug::SkipRotationPublish);
        let at = if planted(Bug::PublishBeforeSegment) { 0 } else { ops.len() };
        ops.splice(at..at, published);
        self.meta = meta;
        let tail = Tail { identity, page: 1, chain: digest };
        self.active = Some(Active { tail, reserved: 1 + self.limits.reserve_pages });
        self.stats.rotations += 1;
        Ok(Plan { ops, effect: Effect::Published { seq: self.meta.seq, durable: Some(self.committed) } })
    }

    /// Ends the active segment in memory: nothing is appended to it any more. META learns its end with the
    /// next publish; until then recovery walks it to its end.
    pub(crate) fn seal(&mut self) {
        let Some(active) = self.active.take() else { return };
        let cut = Cut { end_page: active.tail.page, lsn: self.last_begun, chain: active.tail.chain };
        let whole = self.open_batch.is_none() || planted(Bug::FoldOpenBatch);
        let last = self.segments.last_mut().expect("the active segment is the last");
        last.record.cut = Some(cut);
        last.fold_end = whole.then_some(self.committed);
    }

    /// Appends the first `max` staged changes of `batch` without a commit marker. The space must be prepared.
    pub fn spill(&mut self, batch: &mut Batch, max: usize, now_ms: u64) -> Plan {
        self.stats.spills += 1;
        self.append(batch, max, false, now_ms)
    }

    /// Makes `batch` the next commit and returns the plan that appends it. The space must be prepared.
    ///
    /// When this returns, the next writer sees the batch as a whole; no byte has reached storage. With
    /// `Durable` and above nobody else sees it before [`Store::acknowledge`].
    pub fn commit(&mut self, batch: &mut Batch, durability: Durability, now_ms: u64) -> (Lsn, Plan) {
        let plan = self.append(batch, usize::MAX, true, now_ms);
        let lsn = batch.lsn.expect("an appended batch has a number");
        assert!(lsn > self.committed, "S1: commit {lsn} after {}", self.committed);
        self.committed = lsn;
        self.stats.commits += 1;
        self.publish_in_memory(batch, lsn, now_ms);
        let end = CommitEnd { lsn, end: self.pages_appended, carries: self.durable };
        self.ends.push_back(end);
        if durability > Durability::Applied {
            self.awaiting.insert(lsn);
        }
        self.raise_visible();
        (lsn, plan)
    }

    /// Gives a batch up. What it spilled stays in the log without a marker and never counts; its number is
    /// not used again.
    pub fn abandon(&mut self, batch: Batch) {
        let Some(lsn) = batch.lsn.filter(|lsn| self.open_batch == Some(*lsn)) else { return };
        self.open_batch = None;
        if planted(Bug::ReuseAbandonedNumber) {
            self.last_begun = self.committed;
        }
        // Segments that were sealed while it was open hold nothing but what was committed before it.
        for segment in &mut self.segments {
            if segment.record.cut.is_some_and(|cut| cut.lsn == lsn) {
                segment.fold_end = Some(self.committed);
            }
        }
    }

    /// Makes commit `lsn` of a whole batch visible in the index, ranges first.
    fn publish_in_memory(&mut self, batch: &Batch, lsn: Lsn, now_ms: u64) {
        let size_before = self.size_at(self.committed);
        for range in &batch.gone {
            self.index_range(*range, lsn, now_ms);
        }
        for (block, place) in &batch.spilled {
            self.index_block(*block, lsn, *place, now_ms);
        }
        if batch.size != size_before {
            self.sizes.insert(lsn, batch.size);
            self.free.truncate(BlockNo(blocks_for(batch.size)));
        }
        self.index_tag(batch.tag, lsn);
    }

    pub(crate) fn index_range(&mut self, range: (BlockNo, BlockNo), lsn: Lsn, now_ms: u64) {
        let Self { index, pins, segments, visible, .. } = self;
        index.trim_range(range, lsn, now_ms, |older, newer| needed(pins, *visible, segments, older, newer));
        self.free.insert(range.0, range.1.0 - range.0.0);
    }

    pub(crate) fn index_block(&mut self, block: BlockNo, lsn: Lsn, place: Option<Place>, now_ms: u64) {
        let Self { index, pins, segments, visible, .. } = self;
        let entry = Entry { version: lsn, modified_ms: now_ms, place };
        index.push(block, entry, |older, newer| needed(pins, *visible, segments, older, newer));
        match place {
            Some(_) if planted(Bug::FreeListKeepsPuts) => {}
            Some(_) => self.free.remove(block),
            None => self.free.insert(block, 1),
        }
    }

    pub(crate) fn index_tag(&mut self, tag: Tag, lsn: Lsn) {
        if tag != Tag::default() && !planted(Bug::ForgetTags) {
            self.log_tags.push(TagRecord { tag, lsn });
        }
    }

    /// The barrier that makes everything committed so far durable; `None` if it already is.
    ///
    /// # Errors
    /// `ReadOnly`, `Poisoned`.
    pub fn sync(&mut self) -> Result<Option<Plan>> {
        self.check_writable()?;
        if self.durable >= self.committed {
            return Ok(None);
        }
        let Some(active) = self.active else { return Ok(None) };
        self.stats.barriers += 1;
        let barrier = Op::Barrier(Area::Segment(active.tail.identity.segment));
        let ops = if planted(Bug::SkipCommitBarrier) { Vec::new() } else { vec![barrier] };
        Ok(Some(Plan { ops, effect: Effect::Durable(self.committed) }))
    }

    /// Whether acknowledging up to `lsn` needs a durable proof first: the part of the log that nothing
    /// proves durable is larger than what recovery can always write again.
    #[must_use]
    pub fn needs_witness(&self, lsn: Lsn) -> bool {
        let end_of = |at: Lsn| self.ends.iter().rev().find(|end| end.lsn <= at).map_or(0, |end| end.end);
        let unproven = end_of(lsn).saturating_sub(end_of(self.witnessed));
        unproven > u64::from(self.limits.reserve_pages) && !planted(Bug::SkipWitness)
    }

    /// Whether the log holds a durable proof of commit `lsn`.
    #[must_use]
    pub fn is_witnessed(&self, lsn: Lsn) -> bool {
        self.witnessed >= lsn
    }

    /// Appends a group that carries the durable LSN, and makes it durable. One page must be prepared.
    pub fn witness(&mut self, now_ms: u64) -> Option<Plan> {
        let durable = if planted(Bug::WatermarkTooEarly) { self.committed } else { self.durable };
        let head = BatchHead {
            lsn: self.last_begun,
            durable,
            size: self.size_at(self.committed),
            tag: Tag::default(),
            wall_ms: now_ms,
        };
        let active = self.active.as_mut()?;
        let (segment, page) = (active.tail.identity.segment, active.tail.page);
        let bytes = writer::watermark(&mut active.tail, &head);
        let write = self.appended(segment, page, bytes);
        self.stats.barriers += 1;
        let barrier = (!planted(Bug::SkipWitnessBarrier)).then_some(Op::Barrier(Area::Segment(segment)));
        let ops = std::iter::once(write).chain(barrier).collect();
        Some(Plan { ops, effect: Effect::Witnessed(durable) })
    }

    /// Says that a plan's ops are all done.
    pub fn complete(&mut self, plan: &Plan) {
        match plan.effect {
            Effect::Appended => {
                self.retained.pop_front();
            }
            Effect::Durable(lsn) => self.raise_durable(lsn),
            Effect::Witnessed(lsn) => {
                self.retained.pop_front();
                self.raise_witnessed(lsn);
            }
            Effect::Published { seq, durable } => {
                assert!(seq == self.meta.seq, "S3: META {seq} completed, {} is the newest", self.meta.seq);
                if let Some(durable) = durable {
                    self.raise_durable(durable);
                    self.raise_witnessed(durable);
                }
            }
            Effect::Reserved { segment, pages } => self.reserved(segment, pages),
            Effect::Folded => self.fold_stepped(),
            Effect::FoldPublished { seq } => {
                assert!(seq == self.meta.seq, "S3: META {seq} completed, {} is the newest", self.meta.seq);
                self.fold_published();
            }
            Effect::Housekeeping => {}
        }
    }

    /// Says that a plan which prepares space, or a step of a fold, was refused for want of space. Nothing is
    /// harmed; a fold starts over later.
    pub fn refused(&mut self, plan: &Plan) {
        if plan.effect == Effect::Folded {
            self.abandon_fold();
        }
    }

    /// Acknowledges every commit up to `lsn`: from now on everybody sees them.
    pub fn acknowledge(&mut self, lsn: Lsn) {
        self.awaiting = self.awaiting.split_off(&lsn.next());
        self.raise_visible();
    }

    fn reserved(&mut self, segment: SegmentId, pages: u32) {
        match &mut self.active {
            Some(active) if active.tail.identity.segment == segment => {
                active.reserved = active.reserved.max(pages)
            }
            _ => self.spare_ready |= segment == self.meta.body.next_segment,
        }
    }

    fn raise_durable(&mut self, lsn: Lsn) {
        assert!(lsn <= self.committed, "S1: durable {lsn} above {}", self.committed);
        self.durable = self.durable.max(lsn);
        let carried = self.ends.iter().filter(|end| end.lsn <= lsn).map(|end| end.carries).max();
        self.raise_witnessed(carried.unwrap_or_default());
    }

    fn raise_witnessed(&mut self, lsn: Lsn) {
        self.witnessed = self.witnessed.max(lsn);
        while self.ends.get(1).is_some_and(|second| second.lsn <= self.witnessed) {
            self.ends.pop_front();
        }
    }

    fn raise_visible(&mut self) {
        let first = self.awaiting.first().filter(|_| !planted(Bug::ShowUnacknowledged));
        let bound = match first {
            Some(first) => Lsn(first.0 - 1),
            None => self.committed,
        };
        self.visible = self.visible.max(bound);
    }

    /// Appends staged changes as groups; the last one with the commit marker if `last`.
    fn append(&mut self, batch: &mut Batch, max: usize, last: bool, now_ms: u64) -> Plan {
        let lsn = *batch.lsn.get_or_insert_with(|| self.last_begun.next());
        self.last_begun = lsn;
        self.open_batch = (!last).then_some(lsn);
        let durable = if planted(Bug::WatermarkTooEarly) { lsn } else { self.durable };
        let head = BatchHead { lsn, durable, size: batch.size, tag: batch.tag, wall_ms: now_ms };
        let (checksum, store) = (self.checksum(), self.meta.store);
        let active = self.active.as_mut().expect("the space was prepared");
        let (segment, page) = (active.tail.identity.segment, active.tail.page);
        let mut progress = batch.progress;
        let changes = batch.changes(checksum, store, lsn, max);
        let count = changes.len();
        let (bytes, places) = writer::append(&mut active.tail, &head, &mut progress, &changes, last);
        drop(changes);
        assert!(active.tail.page <= active.reserved, "appended beyond the prepared space");
        let place = |(sum, page)| Place { segment, page, sum };
        let places: Vec<Place> = places.into_iter().map(place).collect();
        batch.progress = progress;
        batch.spilled(count, &places);
        self.stats.blocks_written += places.len() as u64;
        let write = self.appended(segment, page, bytes);
        Plan { ops: vec![write], effect: Effect::Appended }
    }

    /// Books pages that were just encoded at `page` of the active segment.
    fn appended(&mut self, segment: SegmentId, page: u32, bytes: Vec<u8>) -> Op {
        let pages = bytes.len() / BLOCK_SIZE;
        self.pages_appended += pages as u64;
        self.stats.bytes_appended += bytes.len() as u64;
        let last = self.segments.last_mut().expect("the active segment is the last");
        last.pages = page + u32::try_from(pages).expect("a spill is bounded");
        let bytes: Arc<[u8]> = bytes.into();
        self.retained.push_back(Retained { segment, page, bytes: Arc::clone(&bytes) });
        Op::Write { area: Area::Segment(segment), offset: u64::from(page) * BLOCK_SIZE as u64, bytes }
    }

    /// Lists free blocks that the list had no room for, if it has run dry: a scan of `base.sum`.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn list_free_blocks(&mut self, source: &dyn Source, batch: &Batch) -> Result<()> {
        let end = BlockNo(blocks_for(batch.size));
        let usable = |block: BlockNo| !batch.allocated.contains(&block) && !batch.writes(block);
        if self.free.unlisted() == 0 || self.free.find(end, usable).is_some() {
            return Ok(());
        }
        for block in (0..self.meta.body.base_blocks).map(BlockNo) {
            let free = match self.index.resolve(block, self.committed) {
                Resolved::Entry(entry) => entry.place.is_none(),
                Resolved::Trimmed(_) => true,
                Resolved::NotInLog => matches!(self.base_entry(source, block)?, BaseEntry::Trimmed { .. }),
            };
            if free {
                self.free.insert(block, 1);
            }
        }
        self.free.scanned();
        Ok(())
    }

    /// A block that is free, or the one behind the end; the batch remembers that it is taken.
    ///
    /// # Errors
    /// `Full` when all block numbers are used up.
    pub fn allocate(&mut self, batch: &mut Batch) -> Result<BlockNo> {
        let end = BlockNo(blocks_for(batch.size));
        let usable = |block: BlockNo| !batch.allocated.contains(&block) && !batch.writes(block);
        let block = self.free.find(end, usable).unwrap_or_else(|| {
            let beyond = batch.allocated.last().map_or(end, |last| last.next());
            beyond.max(end)
        });
        if block.0 >= crate::block::BLOCK_COUNT_MAX {
            return fail(ErrorKind::Full, format!("{}: all block numbers are in use", self.name));
        }
        batch.allocated.insert(block);
        Ok(block)
    }
}

/// Whether anybody can still ask for `older` once `newer` is there: a pin, a snapshot that is yet to be taken
/// (of what is visible, or of a commit above it), or a fold that ends in between.
fn needed(
    pins: &BTreeMap<Lsn, u64>,
    visible: Lsn,
    segments: &[Segment],
    older: &Entry,
    newer: &Entry,
) -> bool {
    let between = older.version..newer.version;
    let asked = pins.range(between.clone()).next().is_some() || visible < newer.version;
    let folded = segments.iter().filter_map(|segment| segment.fold_end).any(|end| between.contains(&end));
    (asked && !planted(Bug::ForgetPinnedVersions)) || folded
}
