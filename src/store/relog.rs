//! Writing the unproven end of the log again, into a segment of the new life.
//!
//! Only headers change (place, life, chain, watermark); numbers, tags, times and payloads stay what they
//! were, so a commit is the same commit afterwards.

use std::collections::BTreeMap;

use super::scan::{Committed, Scan};
use super::{Active, Segment, Store};
use crate::block::{BLOCK_SIZE, Lsn, SegmentId};
use crate::error::{ErrorKind, Result, fail};
use crate::format::checksum::chain;
use crate::format::group::{Group, Role};
use crate::format::meta::SegmentRecord;
use crate::format::segment::{Cut, SegmentHeader};
use crate::log::plan::{Area, Op};
use crate::log::reader::{Position, read_page};
use crate::log::source::Source;
use crate::log::writer::Tail;
use crate::planted::{Bug, planted};

/// The result: what to write, and where each page went.
pub(crate) struct Relogged {
    pub(crate) ops: Vec<Op>,
    pub(crate) moved: BTreeMap<u32, (SegmentId, u32)>,
    pub(crate) bytes: u64,
}

/// Pages of a commit in the last segment.
pub(crate) fn pages(batch: &Committed) -> u64 {
    batch.groups_in_last.iter().map(|(_, pages)| u64::from(*pages)).sum()
}

/// Ends the last segment of `store` behind the proven commits; drops it if nothing of it is left.
pub(crate) fn cut_last(store: &mut Store, scan: &Scan, proven: &[Committed]) {
    let (Some(last), Some(walked)) = (store.segments.last_mut(), scan.segments.last()) else { return };
    if last.record.cut.is_none() {
        let end = proven.last().and_then(|batch| Some((batch.end_in_last?, batch.lsn)));
        let Some((Position { page, chain }, lsn)) = end else {
            store.segments.pop();
            store.last_begun = store
                .segments
                .last()
                .and_then(|last| last.record.cut)
                .map_or(walked.record.after, |cut| cut.lsn);
            return;
        };
        if !planted(Bug::SkipCut) {
            last.record.cut = Some(Cut { end_page: page, lsn, chain });
        }
        last.pages = page;
        last.fold_end = Some(lsn);
    }
    store.last_begun = last.record.cut.map_or(scan.last_begun, |cut| cut.lsn);
}

/// Writes `tail`, which is in the last scanned segment, into the next segment and makes that the active one.
pub(crate) fn relog(
    source: &dyn Source,
    store: &mut Store,
    scan: &Scan,
    tail: &[Committed],
) -> Result<Relogged> {
    let old = scan.segments.last().expect("a tail lies in a segment").record.id;
    let id = store.meta.body.next_segment;
    let identity = store.identity_for(id);
    let previous = store.segments.last().and_then(|last| Some((last.record.id, last.record.cut?)));
    let after = store.last_begun;
    let mut bytes = vec![0; BLOCK_SIZE];
    let born_pages = 1 + u32::try_from(tail.iter().map(pages).sum::<u64>()).expect("a segment's tail");
    let header = SegmentHeader { identity, after, born_pages, previous };
    let page: &mut [u8; BLOCK_SIZE] = bytes.first_chunk_mut().expect("one page long");
    let mut tail_at = Tail { identity, page: 1, chain: header.encode(page) };
    let mut moved = BTreeMap::new();
    for batch in tail {
        let mut digest = continued(scan, batch.lsn);
        for (page, _) in &batch.groups_in_last {
            let group = read_again(source, old, *page)?;
            let payload = group.payload_pages();
            (*page..=*page + payload).zip(tail_at.page..).for_each(|(from, to)| {
                moved.insert(from, (id, to));
            });
            let marker = matches!(group.role, Role::Batch { last: true, .. });
            let batch_digest = if marker { digest } else { 0 };
            let again =
                Group { identity, page: tail_at.page, chain: tail_at.chain, batch: batch_digest, ..group };
            let mut header = [0; BLOCK_SIZE];
            tail_at.chain = again.encode(&mut header);
            digest = chain(digest, tail_at.chain);
            bytes.extend_from_slice(&header);
            copy_payload(source, old, *page, payload, &mut bytes)?;
            tail_at.page += again.pages();
        }
    }
    let record = SegmentRecord { id, epoch: identity.epoch, salt: identity.salt, after, cut: None };
    store.segments.push(Segment { record, pages: tail_at.page, fold_end: None });
    store.active = Some(Active { tail: tail_at, reserved: tail_at.page });
    store.meta.body.next_segment = id.next();
    store.last_begun = tail.last().map_or(after, |batch| batch.lsn);
    let written = bytes.len() as u64 - BLOCK_SIZE as u64;
    let mut ops = vec![Op::Write { area: Area::Segment(id), offset: 0, bytes: bytes.into() }];
    // ORDER: the copy is durable before META cuts the original off; else a power cut loses both.
    if !planted(Bug::SkipRelogBarrier) {
        ops.push(Op::Barrier(Area::Segment(id)));
    }
    if !planted(Bug::SkipRelogEntry) {
        ops.push(Op::BarrierDirectory);
    }
    Ok(Relogged { ops, moved, bytes: written })
}

/// The running digest of a batch that began before the last segment; 0 for one that begins in it.
fn continued(scan: &Scan, lsn: Lsn) -> u64 {
    let before = scan.segments.iter().rev().nth(1);
    before.and_then(|segment| segment.open).filter(|(open, _)| *open == lsn).map_or(0, |(_, digest)| digest)
}

fn read_again(source: &dyn Source, segment: SegmentId, page: u32) -> Result<Group> {
    let mut bytes = [0; BLOCK_SIZE];
    read_page(source, Area::Segment(segment), u64::from(page), &mut bytes)?;
    match Group::decode(&bytes) {
        Ok((group, _)) => Ok(group),
        Err(flaw) => fail(
            ErrorKind::Corrupt,
            format!("{}: page {page} changed while it was read: {flaw}", Area::Segment(segment)),
        ),
    }
}

fn copy_payload(
    source: &dyn Source,
    segment: SegmentId,
    page: u32,
    count: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let at = out.len();
    out.resize(at + count as usize * BLOCK_SIZE, 0);
    let got =
        source.read(Area::Segment(segment), (u64::from(page) + 1) * BLOCK_SIZE as u64, &mut out[at..])?;
    if got == out.len() - at {
        return Ok(());
    }
    fail(ErrorKind::Corrupt, format!("{}: shorter than when it was read before", Area::Segment(segment)))
}
