//! The header page of a group: who wrote it, where it stands, what it changes.
//!
//! A group is one header page and 0 to 122 payload pages. There is no length to trust: the number of
//! payload pages is bounded by the header's own size. `docs/format.md` has the byte table.

use super::checksum::Checksum;
use super::{DIGEST_AT, FORMAT_VERSION, Flaw, Put, Take, check_page, seal_page};
use crate::block::{
    BLOCK_COUNT_MAX, BLOCK_SIZE, BlockBytes, BlockNo, Epoch, Lsn, NUMBER_MAX, SegmentId, StoreId, Tag,
};
use crate::planted::{Bug, planted};

/// First bytes of a group header.
pub const MAGIC: [u8; 4] = *b"DSG1";
/// Most descriptors, and so most payload pages, of one group.
pub const DESCRIPTORS_MAX: usize = 122;
const DESCRIPTOR_BYTES: usize = 32;
const DESCRIPTORS_AT: usize = 128;

const FIRST: u8 = 1;
const LAST: u8 = 2;
const WATERMARK: u8 = 4;

const PUT: u8 = 1;
const TRIM: u8 = 2;
const TRIM_RANGE: u8 = 3;

/// Which life of which segment of which store a group belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The store.
    pub store: StoreId,
    /// The algorithm of its payload sums.
    pub checksum: Checksum,
    /// The segment.
    pub segment: SegmentId,
    /// Drawn when the segment was started.
    pub salt: u64,
    /// The life that writes it.
    pub epoch: Epoch,
}

/// What a group is to its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Part of a batch; `last` is the commit marker.
    Batch {
        /// Begins the batch.
        first: bool,
        /// Ends it: the commit marker.
        last: bool,
    },
    /// Carries a durable LSN and nothing else.
    Watermark,
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The block's bytes are the group's next payload page, with this sum.
    Put {
        /// The block.
        block: BlockNo,
        /// Sum of the payload.
        sum: u64,
    },
    /// The block reads as zeros.
    Trim {
        /// The block.
        block: BlockNo,
    },
    /// All blocks from `from` up to, not including, `to` read as zeros.
    TrimRange {
        /// The first block.
        from: BlockNo,
        /// One more than the last.
        to: BlockNo,
    },
}

/// The content of a group header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose it is.
    pub identity: Identity,
    /// Its part in the batch.
    pub role: Role,
    /// Number of the batch's commit; for a watermark, of the last commit before it.
    pub lsn: Lsn,
    /// Own page number in the segment.
    pub page: u32,
    /// What the writer knew to be durable when it wrote this.
    pub durable: Lsn,
    /// Logical size in bytes once the batch is committed.
    pub size: u64,
    /// Digest of the header before this one: the previous group's, or the segment's.
    pub chain: u64,
    /// With the commit marker: running digest of the batch's earlier header digests, 0 for none.
    pub batch: u64,
    /// Who asked for the commit.
    pub tag: Tag,
    /// Wall clock of the writer, ms since 1970. For people and statistics only.
    pub wall_ms: u64,
    /// The changes, in the order they apply.
    pub changes: Vec<Change>,
}

impl Group {
    /// Payload pages that follow the header.
    #[must_use]
    pub fn payload_pages(&self) -> u32 {
        let puts = self.changes.iter().filter(|change| matches!(change, Change::Put { .. })).count();
        u32::try_from(puts).expect("at most 122")
    }

    /// All pages of the group, header included.
    #[must_use]
    pub fn pages(&self) -> u32 {
        1 + self.payload_pages()
    }

    /// Writes the header page and returns its digest, which the next header carries as `chain`.
    pub fn encode(&self, page: &mut BlockBytes) -> u64 {
        assert!(self.changes.len() <= DESCRIPTORS_MAX, "{} changes in one group", self.changes.len());
        *page = [0; BLOCK_SIZE];
        let flags = match self.role {
            Role::Batch { first, last } => u8::from(first) * FIRST + u8::from(last) * LAST,
            Role::Watermark => WATERMARK,
        };
        let count = u16::try_from(self.changes.len()).expect("at most 122");
        let payload = u16::try_from(self.payload_pages()).expect("at most 122");
        let mut put = Put::new(page);
        put.bytes(&MAGIC).u16(FORMAT_VERSION).u8(flags).u8(self.identity.checksum.code());
        put.bytes(&self.identity.store.0).u64(self.identity.segment.0).u64(self.identity.salt);
        put.u64(self.identity.epoch.0).u64(self.lsn.0).u32(self.page).u16(count).u16(payload);
        put.u64(self.durable.0).u64(self.size).u64(self.chain).u64(self.batch);
        put.u64(self.tag.client).u64(self.tag.seq).u32(self.tag.ordinal).u32(0).u64(self.wall_ms);
        let mut delta = 0;
        for change in &self.changes {
            encode_change(&mut put, *change, self.lsn, &mut delta);
        }
        seal_page(page)
    }

    /// Reads a header page; returns the group and its digest.
    ///
    /// # Errors
    /// The first [`Flaw`] found. A sound header of another store or segment is not a flaw here: compare
    /// [`Group::identity`].
    pub fn decode(page: &BlockBytes) -> Result<(Self, u64), Flaw> {
        let digest = check_page(page, MAGIC)?;
        let mut take = Take::new(&page[6..]);
        let (flags, code) = (take.u8(), take.u8());
        let role = match flags {
            WATERMARK => Role::Watermark,
            _ if flags & !(FIRST | LAST) == 0 => {
                Role::Batch { first: flags & FIRST != 0, last: flags & LAST != 0 }
            }
            _ => return Err(Flaw::Malformed("unknown flags")),
        };
        let checksum = Checksum::from_code(code).ok_or(Flaw::Malformed("unknown checksum algorithm"))?;
        let store = StoreId(take.array());
        let (segment, salt, epoch) = (SegmentId(take.u64()), take.u64(), Epoch(take.u64()));
        let (lsn, own_page, count, payload) = (Lsn(take.u64()), take.u32(), take.u16(), take.u16());
        let (durable, size, chain, batch) = (Lsn(take.u64()), take.u64(), take.u64(), take.u64());
        let tag = Tag { client: take.u64(), seq: take.u64(), ordinal: take.u32() };
        let (zero, wall_ms) = (take.u32(), take.u64());
        let count = usize::from(count);
        let counted = lsn.0 < NUMBER_MAX && size <= BLOCK_COUNT_MAX * BLOCK_SIZE as u64;
        if !counted && !planted(Bug::SkipGroupBounds) {
            return Err(Flaw::Malformed("numbers that no store counts to"));
        }
        if count > DESCRIPTORS_MAX || zero != 0 || (role == Role::Watermark && count != 0) {
            return Err(Flaw::Malformed("counts out of bounds"));
        }
        let rest = DESCRIPTORS_AT + count * DESCRIPTOR_BYTES;
        if !crate::block::is_zero(&page[rest..DIGEST_AT]) {
            return Err(Flaw::Malformed("bytes after the last change"));
        }
        let mut take = Take::new(&page[DESCRIPTORS_AT..]);
        let mut delta = 0;
        let changes =
            (0..count).map(|_| decode_change(&mut take, lsn, &mut delta)).collect::<Result<Vec<_>, _>>()?;
        if delta != payload {
            return Err(Flaw::Malformed("payload pages do not match the changes"));
        }
        let identity = Identity { store, checksum, segment, salt, epoch };
        let group =
            Self { identity, role, lsn, page: own_page, durable, size, chain, batch, tag, wall_ms, changes };
        Ok((group, digest))
    }
}

fn encode_change(put: &mut Put<'_>, change: Change, lsn: Lsn, delta: &mut u16) {
    match change {
        Change::Put { block, sum } => {
            *delta += 1;
            put.u64(block.0).u64(lsn.0).u64(sum).u16(*delta).u8(PUT)
        }
        Change::Trim { block } => put.u64(block.0).u64(lsn.0).u64(0).u16(0).u8(TRIM),
        Change::TrimRange { from, to } => put.u64(from.0).u64(to.0).u64(0).u16(0).u8(TRIM_RANGE),
    };
    put.bytes(&[0; 5]);
}

fn decode_change(take: &mut Take<'_>, lsn: Lsn, delta: &mut u16) -> Result<Change, Flaw> {
    let (block, second, sum, page, op) = (BlockNo(take.u64()), take.u64(), take.u64(), take.u16(), take.u8());
    if take.array::<5>() != [0; 5] {
        return Err(Flaw::Malformed("bytes behind a change"));
    }
    if block.0 >= BLOCK_COUNT_MAX {
        return Err(Flaw::Malformed("block number out of bounds"));
    }
    if op == PUT {
        *delta += 1;
        let sound = second == lsn.0 && page == *delta;
        return if sound { Ok(Change::Put { block, sum }) } else { Err(Flaw::Malformed("put")) };
    }
    match op {
        _ if sum != 0 || page != 0 => Err(Flaw::Malformed("a trim with a payload")),
        TRIM if second == lsn.0 => Ok(Change::Trim { block }),
        TRIM_RANGE if second > block.0 && second <= BLOCK_COUNT_MAX => {
            Ok(Change::TrimRange { from: block, to: BlockNo(second) })
        }
        _ => Err(Flaw::Malformed("unknown change")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Group {
        let identity = Identity {
            store: StoreId([3; 16]),
            checksum: Checksum::Crc32,
            segment: SegmentId(9),
            salt: 0x5A17,
            epoch: Epoch(4),
        };
        let changes = vec![
            Change::TrimRange { from: BlockNo(90), to: BlockNo(100) },
            Change::Put { block: BlockNo(1), sum: 11 },
            Change::Trim { block: BlockNo(2) },
            Change::Put { block: BlockNo(3), sum: 33 },
        ];
        Group {
            identity,
            role: Role::Batch { first: true, last: true },
            lsn: Lsn(77),
            page: 5,
            durable: Lsn(76),
            size: 90 * 4096,
            chain: 1,
            batch: 0,
            tag: Tag { client: 1, seq: 2, ordinal: 3 },
            wall_ms: 1_700_000_000_000,
            changes,
        }
    }

    #[test]
    fn a_group_reads_back_as_it_was_written() {
        let mut page = [0xFF; BLOCK_SIZE];
        let digest = sample().encode(&mut page);
        assert_eq!(Group::decode(&page), Ok((sample(), digest)));
        assert_eq!(sample().pages(), 3);
    }

    #[test]
    fn no_single_flipped_bit_is_accepted() {
        let mut page = [0; BLOCK_SIZE];
        sample().encode(&mut page);
        for at in 0..BLOCK_SIZE {
            page[at] ^= 1 << (at % 8);
            assert!(Group::decode(&page).is_err(), "byte {at}");
            page[at] ^= 1 << (at % 8);
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut page = [0; BLOCK_SIZE];
        sample().encode(&mut page);
        page[4] = 9;
        assert_eq!(Group::decode(&page), Err(Flaw::Digest));
        seal_page(&mut page);
        assert_eq!(Group::decode(&page), Err(Flaw::Newer { version: 9 }));
    }

    /// Whether the sample is accepted with that change.
    fn accepts(change: impl FnOnce(&mut Group)) -> bool {
        let mut group = sample();
        change(&mut group);
        let mut page = [0; BLOCK_SIZE];
        let digest = group.encode(&mut page);
        let decoded = Group::decode(&page);
        assert!(decoded.is_err() || decoded == Ok((group, digest)));
        decoded.is_ok()
    }

    #[test]
    fn numbers_have_bounds() {
        let range = |from, to| accepts(|group| group.changes[0] = Change::TrimRange { from, to });
        for (over, wanted) in [(0, true), (1, false)] {
            assert_eq!(accepts(|group| group.lsn = Lsn(NUMBER_MAX - 1 + over)), wanted);
            let most_bytes = BLOCK_COUNT_MAX * BLOCK_SIZE as u64;
            assert_eq!(accepts(|group| group.size = most_bytes + over), wanted);
            let block = BlockNo(BLOCK_COUNT_MAX - 1 + over);
            assert_eq!(accepts(|group| group.changes[1] = Change::Put { block, sum: 1 }), wanted);
            assert_eq!(accepts(|group| group.changes[2] = Change::Trim { block }), wanted);
            assert_eq!(range(BlockNo(0), BlockNo(BLOCK_COUNT_MAX + over)), wanted);
        }
        assert!(
            range(BlockNo(5), BlockNo(6)) && !range(BlockNo(5), BlockNo(5)) && !range(BlockNo(5), BlockNo(4))
        );
        assert!(accepts(|group| group.changes = vec![Change::Trim { block: BlockNo(0) }; DESCRIPTORS_MAX]));
    }

    #[test]
    fn sound_digests_over_broken_rules_are_refused() {
        for (at, value) in [(6_usize, 0x40_u8), (7, 7), (60, 200), (62, 9), (128 + 26, 9), (4080, 1)] {
            let mut page = [0; BLOCK_SIZE];
            sample().encode(&mut page);
            page[at] = value;
            seal_page(&mut page);
            assert!(matches!(Group::decode(&page), Err(Flaw::Malformed(_))), "byte {at}");
        }
    }
}
