//! Turns the changes of a batch into groups at the tail of a segment.
//!
//! Knows pages and chains, nothing of files or commits in flight. The rule it keeps: a group starts on a
//! page of its own, and every header names its place, its life and the header before it.

use crate::block::{BLOCK_SIZE, BlockBytes, Lsn, Tag};
use crate::format::checksum::chain;
use crate::format::group::{Change, DESCRIPTORS_MAX, Group, Identity, Role};

/// Where the next group goes.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// Whose segment it is.
    pub identity: Identity,
    /// The next free page.
    pub page: u32,
    /// Digest of the last header.
    pub chain: u64,
}

/// What all groups of one batch have in common.
#[derive(Clone, Copy, Debug)]
pub struct BatchHead {
    /// Number of the commit.
    pub lsn: Lsn,
    /// What is known to be durable now.
    pub durable: Lsn,
    /// Logical size once committed, bytes.
    pub size: u64,
    /// Who asked.
    pub tag: Tag,
    /// Wall clock, ms since 1970.
    pub wall_ms: u64,
}

/// One staged change and, for a put, the bytes.
pub type StagedChange<'a> = (Change, Option<&'a BlockBytes>);

/// How far the groups of a batch have got; carried from one spill to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchProgress {
    /// A group of the batch has been written.
    pub begun: bool,
    /// Running digest of the header digests so far.
    pub digest: u64,
}

/// Encodes `changes` as groups at `tail` and moves the tail behind them.
///
/// With `last` the final group carries the commit marker (an empty batch then still makes one group).
/// Returns the bytes, a whole number of pages to be written at the old tail, and, in order, the sum and the page
/// of each put.
pub fn append(
    tail: &mut Tail,
    head: &BatchHead,
    progress: &mut BatchProgress,
    changes: &[StagedChange<'_>],
    last: bool,
) -> (Vec<u8>, Vec<(u64, u32)>) {
    let mut bytes = Vec::with_capacity(pages_for(changes) * BLOCK_SIZE);
    let mut places = Vec::with_capacity(changes.len());
    let mut rest = changes;
    loop {
        let (now, later) = rest.split_at(rest.len().min(DESCRIPTORS_MAX));
        let marker = last && later.is_empty();
        let group = Group {
            identity: tail.identity,
            role: Role::Batch { first: !progress.begun, last: marker },
            lsn: head.lsn,
            page: tail.page,
            durable: head.durable,
            size: head.size,
            chain: tail.chain,
            batch: if marker { progress.digest } else { 0 },
            tag: head.tag,
            wall_ms: head.wall_ms,
            changes: now.iter().map(|(change, _)| *change).collect(),
        };
        let digest = push(&mut bytes, &group);
        let mut page = tail.page;
        for (change, payload) in now {
            if let (Change::Put { sum, .. }, Some(payload)) = (change, payload) {
                page += 1;
                places.push((*sum, page));
                bytes.extend_from_slice(&payload[..]);
            }
        }
        *progress = BatchProgress { begun: true, digest: chain(progress.digest, digest) };
        tail.page += group.pages();
        tail.chain = digest;
        rest = later;
        if rest.is_empty() {
            return (bytes, places);
        }
    }
}

/// Encodes a watermark group at `tail` and moves the tail behind it.
pub fn watermark(tail: &mut Tail, head: &BatchHead) -> Vec<u8> {
    let group = Group {
        identity: tail.identity,
        role: Role::Watermark,
        lsn: head.lsn,
        page: tail.page,
        durable: head.durable,
        size: head.size,
        chain: tail.chain,
        batch: 0,
        tag: Tag::default(),
        wall_ms: head.wall_ms,
        changes: Vec::new(),
    };
    let mut bytes = Vec::with_capacity(BLOCK_SIZE);
    tail.chain = push(&mut bytes, &group);
    tail.page += 1;
    bytes
}

/// Pages that `changes` take up in the log, headers included; at least one.
#[must_use]
pub fn pages_for(changes: &[StagedChange<'_>]) -> usize {
    let puts = changes.iter().filter(|(_, payload)| payload.is_some()).count();
    changes.len().div_ceil(DESCRIPTORS_MAX).max(1) + puts
}

fn push(bytes: &mut Vec<u8>, group: &Group) -> u64 {
    let mut page = [0; BLOCK_SIZE];
    let digest = group.encode(&mut page);
    bytes.extend_from_slice(&page);
    digest
}
