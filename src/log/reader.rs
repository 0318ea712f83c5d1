//! Turns the bytes of a segment back into groups, one after the other.
//!
//! The reader checks everything that can be checked of one page and its neighbours: digest, identity, own
//! place, chain, payload sums. It keeps no state but its position, never writes, and gives no verdict.

use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, Lsn};
use crate::error::Result;
use crate::format::Flaw;
use crate::format::group::{Change, Group, Identity};
use crate::format::segment::SegmentHeader;
use crate::log::plan::Area;
use crate::log::source::Source;
use crate::planted::{Bug, planted};

/// Reads one 4 KiB page; `false` when the area ends before the page does. What is missing is zeros.
///
/// # Errors
/// As the source's.
pub fn read_page(source: &dyn Source, area: Area, page: u64, out: &mut BlockBytes) -> Result<bool> {
    out.fill(0);
    let got = match source.read(area, page * BLOCK_SIZE as u64, out) {
        Err(_) if planted(Bug::ReadErrorIsEnd) => 0,
        got => got?,
    };
    out[got.min(BLOCK_SIZE)..].fill(0);
    Ok(got == BLOCK_SIZE)
}

/// Reads the header of a segment and compares it with what is expected of it.
///
/// # Errors
/// As the source's; the inner result is the verdict on the bytes.
pub fn read_segment_header(
    source: &dyn Source,
    expected: &Identity,
) -> Result<std::result::Result<(SegmentHeader, u64), Flaw>> {
    let mut page = [0; BLOCK_SIZE];
    read_page(source, Area::Segment(expected.segment), 0, &mut page)?;
    Ok(SegmentHeader::decode(&page).and_then(|(header, digest)| {
        same_identity(&header.identity, expected)?;
        Ok((header, digest))
    }))
}

/// A position in a segment: the next page and the digest of the header before it.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The next page.
    pub page: u32,
    /// Digest of the last header.
    pub chain: u64,
}

/// Reads the group at `position`.
///
/// # Errors
/// As the source's; the inner result is the verdict on the header page, payloads not included.
pub fn read_group(
    source: &dyn Source,
    expected: &Identity,
    position: Position,
) -> Result<std::result::Result<(Group, u64), Flaw>> {
    let mut page = [0; BLOCK_SIZE];
    read_page(source, Area::Segment(expected.segment), u64::from(position.page), &mut page)?;
    Ok(decode_at(&page, expected, position.page).and_then(|(group, digest)| {
        if group.chain != position.chain && !planted(Bug::SkipChainCheck) {
            return Err(Flaw::Foreign("does not follow the header before it"));
        }
        Ok((group, digest))
    }))
}

/// Whatever sound group of this very segment, life and page these bytes are, whatever it follows.
#[must_use]
pub fn group_in(bytes: &BlockBytes, expected: &Identity, page: u32) -> Option<Group> {
    decode_at(bytes, expected, page).ok().map(|(group, _)| group)
}

/// Each put of a group with the page its payload is on.
pub fn payloads(group: &Group) -> impl Iterator<Item = (BlockNo, u64, u32)> + '_ {
    let puts = group.changes.iter().filter_map(|change| match *change {
        Change::Put { block, sum } => Some((block, sum)),
        Change::Trim { .. } | Change::TrimRange { .. } => None,
    });
    puts.zip(group.page + 1..).map(|((block, sum), page)| (block, sum, page))
}

/// Verifies the payloads of a group; returns the first block that is not what was written.
///
/// # Errors
/// As the source's.
pub fn first_bad_payload(source: &dyn Source, group: &Group) -> Result<Option<BlockNo>> {
    let mut bytes = [0; BLOCK_SIZE];
    for (block, sum, page) in payloads(group) {
        read_page(source, Area::Segment(group.identity.segment), u64::from(page), &mut bytes)?;
        if !payload_matches(&group.identity, block, group.lsn, sum, &bytes) {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// Whether these bytes are what commit `version` wrote to `block`.
#[must_use]
pub fn payload_matches(
    identity: &Identity,
    block: BlockNo,
    version: Lsn,
    sum: u64,
    bytes: &BlockBytes,
) -> bool {
    identity.checksum.sum(identity.store, block, version, bytes) == sum
}

fn decode_at(bytes: &BlockBytes, expected: &Identity, page: u32) -> std::result::Result<(Group, u64), Flaw> {
    let (group, digest) = Group::decode(bytes)?;
    same_identity(&group.identity, expected)?;
    if group.page != page {
        return Err(Flaw::Foreign("another page"));
    }
    Ok((group, digest))
}

fn same_identity(found: &Identity, expected: &Identity) -> std::result::Result<(), Flaw> {
    if found.store != expected.store && !planted(Bug::SkipStoreCheck) {
        return Err(Flaw::Foreign("another store"));
    }
    if found.segment != expected.segment && !planted(Bug::SkipSegmentCheck) {
        return Err(Flaw::Foreign("another segment"));
    }
    if found.epoch != expected.epoch && !planted(Bug::SkipEpochCheck) {
        return Err(Flaw::Foreign("another life"));
    }
    if found.salt != expected.salt && !planted(Bug::SkipSaltCheck) {
        return Err(Flaw::Foreign("another segment of that number"));
    }
    if found.checksum != expected.checksum && !planted(Bug::SkipAlgorithmCheck) {
        return Err(Flaw::Foreign("another checksum algorithm"));
    }
    Ok(())
}
