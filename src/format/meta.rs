//! A META slot: what a store is, in 16 KiB, self-checking.
//!
//! A fixed header and digest around a postcard body. Two slots of two copies each are written
//! alternately; which one counts is `store::recovery`'s question.

use serde::{Deserialize, Serialize};

use super::checksum::{Checksum, digest};
use super::segment::Cut;
use super::{FORMAT_VERSION, Flaw, Put, Take};
use crate::block::{BLOCK_COUNT_MAX, BLOCK_SIZE, BlockNo, Epoch, Lsn, NUMBER_MAX, SegmentId, StoreId, Tag};
use crate::planted::{Bug, planted};

/// First bytes of a META slot.
pub const MAGIC: [u8; 4] = *b"DSM1";
/// Bytes of one copy of one slot.
pub const META_BYTES: usize = 16 * 1024;
const BODY_AT: usize = 48;
const DIGEST_AT: usize = META_BYTES - 8;

/// Most segments a META can list. Commits wait for a fold before the log gets there.
pub const SEGMENTS_MAX: usize = 96;
/// Ends of earlier epochs that are remembered; `outcome_of` answers "unknown" for older ones.
pub const EPOCHS_MAX: usize = 128;
/// Clients whose last request is remembered; the one that committed longest ago is forgotten first.
pub const CLIENTS_MAX: usize = 128;
/// Ranges of free blocks that are remembered; the rest is found again by reading `base.sum`.
pub const FREE_RANGES_MAX: usize = 96;

/// One segment of the log as META knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Its number.
    pub id: SegmentId,
    /// The life that wrote it.
    pub epoch: Epoch,
    /// Its salt.
    pub salt: u64,
    /// The first batch that begins here has a number one higher than this.
    pub after: Lsn,
    /// Where it ends; `None` for the segment that is still being written.
    pub cut: Option<Cut>,
}

/// How far an earlier life of the store came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochEnd {
    /// The life.
    pub epoch: Epoch,
    /// Its first commit has a number higher than this.
    pub after: Lsn,
    /// The last commit of it that survived.
    pub last: Lsn,
}

/// The last request of one client that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// The request.
    pub tag: Tag,
    /// The commit that carried it.
    pub lsn: Lsn,
}

/// What a store is. `seq`, `epoch` and `store` stand in the fixed header, the rest in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Identity of the store.
    pub store: StoreId,
    /// Raised by every publish; the highest valid one counts.
    pub seq: u64,
    /// The writer's life.
    pub epoch: Epoch,
    /// Everything else.
    pub body: MetaBody,
}

/// The variable part of [`Meta`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaBody {
    /// Code of the payload checksum algorithm.
    pub checksum: u8,
    /// Wall clock at creation, ms since 1970.
    pub created_ms: u64,
    /// The last writer closed properly: no log, and `base.db` is a plain database.
    pub clean: bool,
    /// Every commit up to this one is in the base.
    pub folded: Lsn,
    /// Every commit up to this one was durable when this was published: where the log lacks one of them,
    /// it is damaged, not torn.
    pub durable: Lsn,
    /// Logical size in bytes after commit `folded`.
    pub size: u64,
    /// Blocks the base has; every page of `base.sum` below that is there.
    pub base_blocks: u64,
    /// The next segment's number; a file of that name may already be there as a spare.
    pub next_segment: SegmentId,
    /// The log, oldest first. Only the last may have no cut.
    pub segments: Vec<SegmentRecord>,
    /// How earlier lives ended, oldest first.
    pub epochs: Vec<EpochEnd>,
    /// Last request per client as of commit `folded`.
    pub tags: Vec<TagRecord>,
    /// Free blocks as of commit `folded`: first block and count. A hint: `base.sum` knows all of them.
    pub free: Vec<(BlockNo, u64)>,
    /// Free blocks that did not fit into `free`.
    pub free_unlisted: u64,
}

impl Meta {
    /// The payload checksum algorithm.
    ///
    /// # Panics
    /// Never on a decoded value: decoding refuses unknown codes.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        Checksum::from_code(self.body.checksum).expect("checked when decoded, written from a known one")
    }

    /// The 16 KiB of one copy.
    ///
    /// # Panics
    /// When the bounded lists are longer than their bounds.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.body.segments.len() <= SEGMENTS_MAX, "{} segments", self.body.segments.len());
        let body = postcard::to_allocvec(&self.body).expect("plain numbers always serialize");
        let len = u32::try_from(body.len()).expect("a body is less than 16 KiB");
        let mut bytes = vec![0; META_BYTES];
        let mut put = Put::new(&mut bytes);
        put.bytes(&MAGIC).u16(FORMAT_VERSION).u16(0).bytes(&self.store.0).u64(self.seq).u64(self.epoch.0);
        put.u32(len).u32(0).bytes(&body);
        let sum = digest(&bytes[..DIGEST_AT]);
        Put::new(&mut bytes[DIGEST_AT..]).u64(sum);
        bytes
    }

    /// Reads one copy.
    ///
    /// # Errors
    /// The first [`Flaw`] found.
    pub fn decode(bytes: &[u8]) -> Result<Self, Flaw> {
        if bytes.len() != META_BYTES {
            return Err(Flaw::NotThere);
        }
        let mut take = Take::new(bytes);
        if take.array::<4>() != MAGIC {
            return Err(Flaw::NotThere);
        }
        let (version, zero) = (take.u16(), take.u16());
        let sound = digest(&bytes[..DIGEST_AT]) == Take::new(&bytes[DIGEST_AT..]).u64();
        if !sound && !planted(Bug::SkipMetaDigest) {
            return Err(Flaw::Digest);
        }
        if version > FORMAT_VERSION {
            return Err(Flaw::Newer { version });
        }
        let (store, seq, epoch, len) = (StoreId(take.array()), take.u64(), Epoch(take.u64()), take.u32());
        let zeros = u32::from(zero) | take.u32();
        let end = BODY_AT.saturating_add(len as usize);
        if version == 0 || zeros != 0 || end > DIGEST_AT {
            return Err(Flaw::Malformed("META header"));
        }
        let (body, rest): (MetaBody, _) =
            postcard::take_from_bytes(&bytes[BODY_AT..end]).map_err(|_| Flaw::Malformed("META body"))?;
        if !rest.is_empty() || !crate::block::is_zero(&bytes[end..DIGEST_AT]) {
            return Err(Flaw::Malformed("bytes after the META body"));
        }
        if !planted(Bug::SkipMetaBounds) {
            body.check()?;
        }
        if seq >= NUMBER_MAX || epoch.0 >= NUMBER_MAX {
            return Err(Flaw::Malformed("numbers of META that no store counts to"));
        }
        // Postcard reads a number in more than one spelling; only the one we write is the format.
        if postcard::to_allocvec(&body).is_ok_and(|written| written != bytes[BODY_AT..end]) {
            return Err(Flaw::Malformed("META body in another spelling"));
        }
        Ok(Self { store, seq, epoch, body })
    }
}

impl MetaBody {
    fn check(&self) -> Result<(), Flaw> {
        let bounded = self.segments.len() <= SEGMENTS_MAX
            && self.epochs.len() <= EPOCHS_MAX
            && self.tags.len() <= CLIENTS_MAX
            && self.free.len() <= FREE_RANGES_MAX;
        if !bounded {
            return Err(Flaw::Malformed("a list of META is too long"));
        }
        if Checksum::from_code(self.checksum).is_none() {
            return Err(Flaw::Malformed("unknown checksum algorithm"));
        }
        let most_bytes = BLOCK_COUNT_MAX * BLOCK_SIZE as u64;
        if self.base_blocks > BLOCK_COUNT_MAX
            || self.size > most_bytes
            || self.free_unlisted > BLOCK_COUNT_MAX
        {
            return Err(Flaw::Malformed("larger than any store"));
        }
        let of_segment = |one: &SegmentRecord| [one.epoch.0, one.after.0, one.cut.map_or(0, |cut| cut.lsn.0)];
        let of_epoch = |one: &EpochEnd| [one.epoch.0, one.after.0, one.last.0];
        let numbers = [self.folded.0, self.durable.0, self.next_segment.0].into_iter();
        let numbers = numbers.chain(self.segments.iter().flat_map(of_segment));
        if numbers.chain(self.epochs.iter().flat_map(of_epoch)).any(|number| number >= NUMBER_MAX) {
            return Err(Flaw::Malformed("numbers of META that no store counts to"));
        }
        let open = self.segments.iter().rev().skip(1).any(|segment| segment.cut.is_none());
        let ordered = self.segments.is_sorted_by(|one, next| one.id < next.id && one.after <= next.after);
        let below_end = |end: Option<u64>| end.is_some_and(|end| end <= BLOCK_COUNT_MAX);
        let free_sane = self.free.iter().all(|(start, count)| below_end(start.0.checked_add(*count)));
        if open
            || !ordered
            || !free_sane
            || self.segments.iter().any(|segment| segment.id >= self.next_segment)
        {
            return Err(Flaw::Malformed("segments or free blocks of META"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Meta {
        let cut = Cut { end_page: 9, lsn: Lsn(5), chain: 2 };
        let record =
            |id, cut| SegmentRecord { id: SegmentId(id), epoch: Epoch(1), salt: 7, after: Lsn(id), cut };
        let body = MetaBody {
            checksum: 2,
            created_ms: 5,
            clean: false,
            folded: Lsn(3),
            durable: Lsn(4),
            size: 8192,
            base_blocks: 2,
            next_segment: SegmentId(3),
            segments: vec![record(1, Some(cut)), record(2, None)],
            epochs: vec![EpochEnd { epoch: Epoch(1), after: Lsn(0), last: Lsn(2) }],
            tags: vec![TagRecord { tag: Tag { client: 1, seq: 1, ordinal: 1 }, lsn: Lsn(2) }],
            free: vec![(BlockNo(4), 2)],
            free_unlisted: 0,
        };
        Meta { store: StoreId([1; 16]), seq: 6, epoch: Epoch(2), body }
    }

    #[test]
    fn a_meta_reads_back_as_it_was_written() {
        assert_eq!(Meta::decode(&sample().encode()), Ok(sample()));
    }

    /// The largest of everything.
    fn fullest() -> Meta {
        let number = NUMBER_MAX - 1;
        let cut = Some(Cut { end_page: u32::MAX, lsn: Lsn(number), chain: u64::MAX });
        let record = |at: usize| SegmentRecord {
            id: SegmentId(number - (SEGMENTS_MAX - at) as u64),
            epoch: Epoch(number),
            salt: u64::MAX,
            after: Lsn(number),
            cut,
        };
        let end = EpochEnd { epoch: Epoch(number), after: Lsn(number), last: Lsn(number) };
        let tag = Tag { client: u64::MAX, seq: u64::MAX, ordinal: u32::MAX };
        let body = MetaBody {
            checksum: 2,
            created_ms: u64::MAX,
            clean: true,
            folded: Lsn(number),
            durable: Lsn(number),
            size: BLOCK_COUNT_MAX * BLOCK_SIZE as u64,
            base_blocks: BLOCK_COUNT_MAX,
            next_segment: SegmentId(number),
            segments: (0..SEGMENTS_MAX).map(record).collect(),
            epochs: vec![end; EPOCHS_MAX],
            tags: vec![TagRecord { tag, lsn: Lsn(u64::MAX) }; CLIENTS_MAX],
            free: vec![(BlockNo(BLOCK_COUNT_MAX - 1), 1); FREE_RANGES_MAX],
            free_unlisted: BLOCK_COUNT_MAX,
        };
        Meta { store: StoreId([1; 16]), seq: number, epoch: Epoch(number), body }
    }

    #[test]
    fn the_fullest_meta_fits() {
        assert_eq!(Meta::decode(&fullest().encode()), Ok(fullest()));
    }

    #[test]
    fn one_more_than_the_largest_is_refused() {
        let wrong: [fn(&mut Meta); 22] = [
            |meta| meta.seq += 1,
            |meta| meta.epoch.0 += 1,
            |meta| meta.body.folded.0 += 1,
            |meta| meta.body.durable.0 += 1,
            |meta| meta.body.next_segment.0 += 1,
            |meta| meta.body.size += 1,
            |meta| meta.body.base_blocks += 1,
            |meta| meta.body.free_unlisted += 1,
            |meta| meta.body.segments.iter_mut().for_each(|one| one.epoch.0 += 1),
            |meta| meta.body.segments.iter_mut().for_each(|one| one.after.0 += 1),
            |meta| meta.body.segments.iter_mut().flat_map(|one| &mut one.cut).for_each(|cut| cut.lsn.0 += 1),
            |meta| meta.body.epochs[7].epoch.0 += 1,
            |meta| meta.body.epochs[7].after.0 += 1,
            |meta| meta.body.epochs[7].last.0 += 1,
            |meta| meta.body.free[7].0.0 += 1,
            |meta| meta.body.free[7].1 += 1,
            |meta| meta.body.free[7] = (BlockNo(u64::MAX), 1),
            |meta| meta.body.epochs.extend_from_within(..1),
            |meta| meta.body.tags.extend_from_within(..1),
            |meta| meta.body.free.extend_from_within(..1),
            |meta| meta.body.checksum = 3,
            |meta| meta.body.next_segment.0 -= 1,
        ];
        for (at, spoil) in wrong.iter().enumerate() {
            let mut meta = fullest();
            spoil(&mut meta);
            assert!(matches!(Meta::decode(&meta.encode()), Err(Flaw::Malformed(_))), "{at}");
        }
        // More segments than there may be are never written.
        let mut body = fullest().body;
        body.segments.insert(0, SegmentRecord { id: SegmentId(1), ..body.segments[0] });
        assert_eq!(body.check(), Err(Flaw::Malformed("a list of META is too long")));
    }

    #[test]
    fn a_log_has_an_order_and_one_open_end() {
        let wrong: [fn(&mut Vec<SegmentRecord>); 4] = [
            |segments| segments.swap(0, 1),
            |segments| segments[1].id = segments[0].id,
            |segments| segments[1].after = Lsn(0),
            |segments| segments[0].cut = None,
        ];
        for (at, spoil) in wrong.iter().enumerate() {
            let mut meta = sample();
            spoil(&mut meta.body.segments);
            let flaw = Flaw::Malformed("segments or free blocks of META");
            assert_eq!(Meta::decode(&meta.encode()), Err(flaw), "{at}");
        }
    }

    #[test]
    fn what_has_to_be_zero_is() {
        for set in [[6, 6], [44, 44], [6, 44]] {
            let mut bytes = sample().encode();
            set.iter().for_each(|at| bytes[*at] = 1);
            let sum = digest(&bytes[..DIGEST_AT]);
            Put::new(&mut bytes[DIGEST_AT..]).u64(sum);
            assert_eq!(Meta::decode(&bytes), Err(Flaw::Malformed("META header")), "{set:?}");
        }
    }

    #[test]
    fn hostile_bodies_are_refused_without_allocation() {
        for (at, byte) in [(BODY_AT, 9_u8), (40, 0xFF), (BODY_AT + 8, 0xFF)] {
            let mut bytes = sample().encode();
            bytes[at] = byte;
            let sum = digest(&bytes[..DIGEST_AT]);
            Put::new(&mut bytes[DIGEST_AT..]).u64(sum);
            assert!(Meta::decode(&bytes) != Ok(sample()), "byte {at}");
        }
    }
}
