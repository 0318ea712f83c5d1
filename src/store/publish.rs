//! META: what the next one says, and the ops that publish it.
//!
//! The rule: the slot that counts is never written. A publish writes both copies of the *other* slot and
//! then a barrier, so the worst a crash can do is to leave the older META. The one exception is recovery,
//! which proves what it has read, copy by copy, before it writes anything else.

use std::sync::Arc;

use super::Store;
use crate::block::{Lsn, SegmentId};
use crate::format::checksum::chain;
use crate::format::group::Identity;
use crate::format::meta::{CLIENTS_MAX, FREE_RANGES_MAX, META_BYTES, Meta, SegmentRecord, TagRecord};
use crate::log::plan::{Area, Op};
use crate::planted::{Bug, planted};

/// Both copies of the slot that a META of this sequence number goes to, and the barrier behind them, which
/// only `no_barrier` leaves out.
pub(crate) fn publish_ops(meta: &Meta, no_barrier: Bug) -> Vec<Op> {
    let copy = meta.encode();
    let second = if planted(Bug::PublishOneCopy) { &[0; META_BYTES] } else { &copy[..] };
    let both = [&copy[..], second].concat();
    let slot = if planted(Bug::PublishIntoWinner) { 0 } else { meta.seq % 2 };
    let write = Op::Write { area: Area::Meta, offset: slot * 2 * META_BYTES as u64, bytes: both.into() };
    let barrier = (!planted(no_barrier)).then_some(Op::Barrier(Area::Meta));
    std::iter::once(write).chain(barrier).collect()
}

/// Zeros where a META of this sequence number will go: no META, but its space.
pub(crate) fn empty_slot(seq: u64) -> Op {
    let zeros = vec![0; 2 * META_BYTES].into();
    Op::Write { area: Area::Meta, offset: (seq % 2) * 2 * META_BYTES as u64, bytes: zeros }
}

/// Writes a META again where it already is, one copy and barrier after the other: afterwards it is durable,
/// whatever the cache held. `first` is the copy to begin with ([`crate::store::found::first_to_prove`]).
///
/// It gets a new sequence number of the same slot, one that tells which copy was written first: after a failed
/// barrier the copy written last may be sound in the cache alone.
pub(crate) fn prove_ops(meta: &mut Meta, first: u64) -> Vec<Op> {
    // ORDER: the only copy that is surely durable is never the one being written; else a crash, or a failed
    // barrier, in each of two recoveries takes both.
    let first = if planted(Bug::ProveSoundCopyFirst) { 0 } else { first };
    meta.seq += 2;
    meta.seq += if first_copy(meta.seq) == first { 0 } else { 2 };
    let copy: Arc<[u8]> = meta.encode().into();
    let at = (meta.seq % 2) * 2 * META_BYTES as u64;
    let write = |nth: u64| Op::Write {
        area: Area::Meta,
        offset: at + nth * META_BYTES as u64,
        bytes: Arc::clone(&copy),
    };
    let between = (!planted(Bug::SkipFirstProofBarrier)).then_some(Op::Barrier(Area::Meta));
    let (first, second) = (write(first), write(1 - first));
    std::iter::once(first).chain(between).chain([second, Op::Barrier(Area::Meta)]).collect()
}

/// The copy that was written first when a META of this sequence number was proven.
pub(crate) fn first_copy(seq: u64) -> u64 {
    seq / 2 % 2
}

impl Store {
    /// The META that describes the store once `durable` is durable and the log is `segments`.
    pub(crate) fn next_meta(&self, durable: Lsn, segments: Vec<SegmentRecord>) -> Meta {
        let mut meta = self.meta.clone();
        meta.seq += 1;
        meta.body.clean &= planted(Bug::StayClean);
        meta.body.durable = meta.body.durable.max(durable);
        meta.body.segments = segments;
        // A trim that no barrier covers may be taken back by a crash: its block must not be listed as free then.
        let (free, unlisted) = if durable >= self.committed || planted(Bug::ListUnsyncedFree) {
            self.free.hint(FREE_RANGES_MAX)
        } else {
            (Vec::new(), self.free.count())
        };
        (meta.body.free, meta.body.free_unlisted) = (free, unlisted);
        meta
    }

    /// The records of the log as META lists them.
    pub(crate) fn records(&self) -> Vec<SegmentRecord> {
        self.segments.iter().map(|segment| segment.record).collect()
    }

    /// The identity that segment `id` gets in this life.
    pub(crate) fn identity_for(&self, id: SegmentId) -> Identity {
        let half = |at: usize| u64::from_le_bytes(self.seed[at..at + 8].try_into().expect("eight bytes"));
        Identity {
            store: self.meta.store,
            checksum: self.checksum(),
            segment: id,
            salt: chain(chain(half(0), half(8)), chain(id.0, self.meta.epoch.0)),
            epoch: self.meta.epoch,
        }
    }
}

/// The identity a segment listed in `meta` must have.
pub(crate) fn record_identity(meta: &Meta, record: &SegmentRecord) -> Identity {
    Identity {
        store: meta.store,
        checksum: meta.checksum(),
        segment: record.id,
        salt: record.salt,
        epoch: record.epoch,
    }
}

/// Takes `newer` into a table of last requests; forgets the client that committed longest ago when full.
pub(crate) fn remember(tags: &mut Vec<TagRecord>, newer: TagRecord) {
    tags.retain(|record| record.tag.client != newer.tag.client);
    if tags.len() >= CLIENTS_MAX
        && let Some(oldest) = (0..tags.len()).min_by_key(|at| tags[*at].lsn)
    {
        tags.remove(oldest);
    }
    tags.push(newer);
}
