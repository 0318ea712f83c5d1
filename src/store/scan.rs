//! Walks the log that META lists and says how far it is good, and what stands at the first page that is not.
//!
//! **Torn tail or corruption** is decided here and nowhere else:
//! * a segment with a cut was durable up to it when META named it: any flaw before the cut is corruption;
//! * in the segment that was still being written, a flaw is corruption if anything proves that a commit
//!   behind the last good one had been durable: the watermark of a later group of the same life, or META;
//! * without such proof it is a torn tail: those bytes were never acknowledged (or the proof itself is lost
//!   with them: the window that `docs/guarantees.md` names);
//! * a read that *fails* is an error of the caller's medium and never the end of the log.
//!
//! A batch whose beginning is followed by another beginning is void: it spilled and was rolled back. So is what
//! stands before the first beginning, where a fold has taken the segments in which such a batch began.

use crate::block::{BLOCK_SIZE, BlockNo, Lsn, SegmentId, Tag};
use crate::error::Result;
use crate::format::Flaw;
use crate::format::checksum::chain;
use crate::format::group::{Change, Group, Role};
use crate::format::meta::{Meta, SegmentRecord};
use crate::format::segment::SegmentHeader;
use crate::log::plan::Area;
use crate::log::reader::{self, Position};
use crate::log::source::Source;
use crate::planted::{Bug, planted};
use crate::store::index::Place;
use crate::store::publish::record_identity;
use crate::store::stats::Damage;

/// One committed batch, as its groups say.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) lsn: Lsn,
    pub(crate) size: u64,
    pub(crate) tag: Tag,
    pub(crate) wall_ms: u64,
    /// In the order they apply; puts with their place.
    pub(crate) changes: Vec<(Change, Option<Place>)>,
    /// Its groups in the last segment, in order, first page and length: what a new segment would have to repeat.
    pub(crate) groups_in_last: Vec<(u32, u32)>,
    /// Where its last group ends in the last segment.
    pub(crate) end_in_last: Option<Position>,
}

/// One segment after the walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkedSegment {
    pub(crate) record: SegmentRecord,
    /// Where the walk ended in it.
    pub(crate) end: Position,
    pub(crate) committed: Lsn,
    /// The batch that reached over its end, if any, and its running digest.
    pub(crate) open: Option<(Lsn, u64)>,
}

/// The result of the walk.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) batches: Vec<Committed>,
    pub(crate) segments: Vec<WalkedSegment>,
    /// The last commit, and the last batch that began.
    pub(crate) committed: Lsn,
    pub(crate) last_begun: Lsn,
    /// The highest commit that something proves durable.
    pub(crate) proven: Lsn,
    pub(crate) torn_tail_bytes: u64,
    pub(crate) rolled_back_batches: u64,
    /// Set if the walk ended at damage.
    pub(crate) damage: Option<Damage>,
}

/// A batch whose marker has not been met yet.
struct Open {
    batch: Committed,
    digest: u64,
    /// Its first payload that does not verify.
    bad: Option<(SegmentId, u32, BlockNo)>,
}

struct Walk<'a> {
    source: &'a dyn Source,
    meta: &'a Meta,
    scan: Scan,
    open: Option<Open>,
    /// A batch has begun in what has been walked.
    begun: bool,
}

/// What stopped the walk of one segment.
struct Stop {
    page: u32,
    what: String,
    block: Option<BlockNo>,
}

/// Walks the log that `meta` lists.
///
/// # Errors
/// `Io` when the medium refuses a read.
pub(crate) fn scan(source: &dyn Source, meta: &Meta) -> Result<Scan> {
    let body = &meta.body;
    let start = body.segments.first().map_or(body.folded, |first| first.after);
    let scan = Scan {
        batches: Vec::new(),
        segments: Vec::new(),
        committed: body.folded,
        last_begun: start.max(body.folded),
        proven: body.durable,
        torn_tail_bytes: 0,
        rolled_back_batches: 0,
        damage: None,
    };
    let mut walk = Walk { source, meta, scan, open: None, begun: false };
    for at in 0..body.segments.len() {
        if let Some(stop) = walk.segment(at)? {
            walk.judge(at, stop)?;
            break;
        }
    }
    let mut scan = walk.scan;
    scan.rolled_back_batches += u64::from(walk.open.is_some());
    let short = body.durable > scan.committed && !planted(Bug::IgnoreMetaDurable);
    if scan.damage.is_none() && short && !planted(Bug::IgnoreEvidence) {
        let what = format!("the log ends at commit {}, META knows of {}", scan.committed, body.durable);
        scan.damage = Some(Damage {
            what,
            segment: None,
            offset: 0,
            block: None,
            version: Some(scan.committed.next()),
        });
    }
    Ok(scan)
}

impl Walk<'_> {
    /// Walks one segment; `None` when it ended where it should.
    fn segment(&mut self, at: usize) -> Result<Option<Stop>> {
        let record = self.meta.body.segments[at];
        let identity = record_identity(self.meta, &record);
        let Some(len) = self.source.len(Area::Segment(record.id))? else {
            return Ok(Some(Stop { page: 0, what: "missing".into(), block: None }));
        };
        let (header, digest) = match reader::read_segment_header(self.source, &identity)? {
            Ok(found) => found,
            Err(flaw) => {
                return Ok(Some(Stop { page: 0, what: format!("segment header: {flaw}"), block: None }));
            }
        };
        if let Some(why) = self.misplaced(at, &header) {
            return Ok(Some(Stop { page: 0, what: why, block: None }));
        }
        let pages = |len: u64| u32::try_from(len.div_ceil(BLOCK_SIZE as u64)).unwrap_or(u32::MAX);
        let length = pages(len);
        let mut position = Position { page: 1, chain: digest };
        let last = at + 1 == self.meta.body.segments.len();
        loop {
            let end = record.cut.map_or(length, |cut| cut.end_page);
            if position.page >= end {
                break;
            }
            let stop = match reader::read_group(self.source, &identity, position)? {
                Ok((group, digest)) => match self.group(&group, digest, end, last)? {
                    None => {
                        position = Position { page: group.page + group.pages(), chain: digest };
                        continue;
                    }
                    Some((what, block)) => Stop { page: position.page, what, block },
                },
                Err(flaw) => Stop { page: position.page, what: flaw_text(flaw), block: None },
            };
            self.walked(record, position);
            return Ok(Some(stop));
        }
        let cut_met = record.cut.is_none_or(|cut| {
            let exact = (position.page, position.chain) == (cut.end_page, cut.chain);
            (exact && cut.lsn == self.scan.last_begun) || planted(Bug::SkipCutCheck)
        });
        self.walked(record, position);
        if !cut_met {
            return Ok(Some(Stop {
                page: position.page,
                what: "does not end where META says".into(),
                block: None,
            }));
        }
        if record.cut.is_some() {
            self.scan.proven = self.scan.proven.max(self.scan.committed);
        }
        Ok(None)
    }

    fn walked(&mut self, record: SegmentRecord, end: Position) {
        let committed = self.scan.committed;
        let open = self.open.as_ref().map(|open| (open.batch.lsn, open.digest));
        self.scan.segments.push(WalkedSegment { record, end, committed, open });
    }

    /// Why the header does not belong behind the segments before it.
    fn misplaced(&self, at: usize, header: &SegmentHeader) -> Option<String> {
        let record = self.meta.body.segments[at];
        let after = header.after == record.after && record.after == self.scan.last_begun;
        if !after && !planted(Bug::SkipAfterCheck) {
            return Some("segment header: another first commit than META says".into());
        }
        let before = at.checked_sub(1).map(|before| self.meta.body.segments[before]);
        match (before, header.previous) {
            (Some(before), previous)
                if previous != before.cut.map(|cut| (before.id, cut)) && !planted(Bug::SkipPreviousCheck) =>
            {
                Some("segment header: does not follow the segment before it".into())
            }
            _ => None,
        }
    }

    /// Takes one sound group header; the reason if it cannot be the next one.
    fn group(
        &mut self,
        group: &Group,
        digest: u64,
        end: u32,
        last: bool,
    ) -> Result<Option<(String, Option<BlockNo>)>> {
        let refuse = |why: &str| Ok(Some((format!("group: {why}"), None)));
        if group.page.saturating_add(group.pages()) > end {
            return refuse("reaches over the end");
        }
        let Role::Batch { first, last: marker } = group.role else {
            if group.lsn != self.scan.last_begun || group.durable > self.scan.committed {
                return refuse("watermark of another place");
            }
            self.scan.proven = self.scan.proven.max(group.durable);
            return Ok(None);
        };
        if first {
            if group.lsn <= self.scan.last_begun && !planted(Bug::SkipRisingCheck) {
                return refuse("commit number does not rise");
            }
            self.open = Some(Open { batch: empty_batch(group), digest: 0, bad: None });
            self.scan.last_begun = group.lsn;
            self.begun = true;
        }
        let Some(open) = self.open.as_mut().filter(|open| open.batch.lsn == group.lsn) else {
            // Of one that was given up the beginning may have been folded away; a marker never stands here then.
            let beheaded = !self.begun && group.lsn == self.scan.last_begun && !marker;
            return match beheaded && !planted(Bug::RefuseBeheadedBatch) {
                true => Ok(None),
                false => refuse("continues a batch that never began"),
            };
        };
        self.scan.proven = self.scan.proven.max(group.durable.min(self.scan.committed));
        if marker && group.batch != open.digest && !planted(Bug::SkipBatchDigest) {
            return refuse("commit marker of another batch");
        }
        open.digest = chain(open.digest, digest);
        if let Some(block) = reader::first_bad_payload(self.source, group)?
            && !planted(Bug::SkipPayloadCheckAtRecovery)
        {
            open.bad = open.bad.or(Some((group.identity.segment, group.page, block)));
        }
        take_changes(&mut open.batch, group, last.then_some(digest));
        if !marker && !planted(Bug::CommitWithoutMarker) {
            return Ok(None);
        }
        if let Some((segment, page, block)) = open.bad {
            let what =
                format!("payload of block {block} in the group at page {page} of log-{:04}", segment.0);
            return Ok(Some((what, Some(block))));
        }
        let open = self.open.take().expect("just looked at");
        self.scan.committed = open.batch.lsn;
        self.scan.batches.push(open.batch);
        Ok(None)
    }

    /// Decides what a flaw at `stop` is.
    fn judge(&mut self, at: usize, stop: Stop) -> Result<()> {
        let record = self.meta.body.segments[at];
        let committed = self.scan.committed;
        let later = self.look_behind(&record, stop.page)?;
        // A segment without a cut is the last one: no META that lists others behind it is decoded.
        let ended = stop.page == 0 || record.cut.is_some();
        let proven = (ended && !planted(Bug::IgnoreSuccessor))
            || (self.meta.body.durable > committed && !planted(Bug::IgnoreMetaDurable))
            || (later.watermark > committed && !planted(Bug::IgnoreWatermark));
        if proven && !planted(Bug::IgnoreEvidence) {
            self.scan.damage = Some(Damage {
                what: format!("log-{:04}: {}", record.id.0, stop.what),
                segment: Some(record.id),
                offset: u64::from(stop.page) * BLOCK_SIZE as u64,
                block: stop.block,
                version: Some(committed.next()),
            });
        } else {
            self.scan.torn_tail_bytes = u64::from(later.end.saturating_sub(stop.page)) * BLOCK_SIZE as u64;
            self.scan.rolled_back_batches += later.batches;
        }
        if self.scan.segments.len() == at {
            self.walked(record, Position { page: stop.page, chain: 0 });
        }
        Ok(())
    }

    /// Looks through the rest of a segment for sound groups of the same life.
    fn look_behind(&self, record: &SegmentRecord, page: u32) -> Result<Later> {
        let identity = record_identity(self.meta, record);
        let area = Area::Segment(record.id);
        let mut later = Later { watermark: Lsn(0), end: page, batches: 0 };
        if self.source.len(area)?.is_none() {
            return Ok(later);
        }
        let mut bytes = [0; BLOCK_SIZE];
        for at in page..u32::MAX {
            let whole = reader::read_page(self.source, area, u64::from(at), &mut bytes)?;
            if !crate::block::is_zero(&bytes) {
                later.end = at + 1;
            }
            if !whole {
                break;
            }
            if let Some(group) = reader::group_in(&bytes, &identity, at).filter(|_| at > page) {
                later.watermark = later.watermark.max(group.durable);
                later.batches += u64::from(matches!(group.role, Role::Batch { first: true, .. }));
            }
        }
        Ok(later)
    }
}

/// What is behind a flaw.
struct Later {
    watermark: Lsn,
    /// One more than the last page that is not all zeros.
    end: u32,
    batches: u64,
}

fn empty_batch(group: &Group) -> Committed {
    let Group { lsn, size, tag, wall_ms, .. } = *group;
    Committed { lsn, size, tag, wall_ms, changes: Vec::new(), groups_in_last: Vec::new(), end_in_last: None }
}

fn take_changes(batch: &mut Committed, group: &Group, digest_in_last: Option<u64>) {
    let segment = group.identity.segment;
    // One for each put, in their order.
    let mut places = reader::payloads(group).map(|(_, sum, page)| Place { segment, page, sum });
    for change in &group.changes {
        let place = match change {
            Change::Put { .. } => places.next(),
            Change::Trim { .. } | Change::TrimRange { .. } => None,
        };
        batch.changes.push((*change, place));
    }
    (batch.size, batch.tag, batch.wall_ms) = (group.size, group.tag, group.wall_ms);
    if let Some(chain) = digest_in_last {
        batch.groups_in_last.push((group.page, group.pages()));
        batch.end_in_last = Some(Position { page: group.page + group.pages(), chain });
    }
}

fn flaw_text(flaw: Flaw) -> String {
    format!("group: {flaw}")
}
