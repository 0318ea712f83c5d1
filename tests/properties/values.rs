//! Arbitrary values of the format, within the bounds that its document gives, for quickcheck. A value shrinks by
//! what it lists; numbers stay.

use datasync::block::{
    BLOCK_COUNT_MAX, BLOCK_SIZE, BlockNo, Epoch, Lsn, NUMBER_MAX, SegmentId, StoreId, Tag,
};
use datasync::format::checksum::Checksum;
use datasync::format::group::{Change, DESCRIPTORS_MAX, Group, Identity, Role};
use datasync::format::meta::{
    CLIENTS_MAX, EPOCHS_MAX, EpochEnd, FREE_RANGES_MAX, Meta, MetaBody, SEGMENTS_MAX, SegmentRecord,
    TagRecord,
};
use datasync::format::segment::{Cut, SegmentHeader};
use datasync::format::sums::{BLOCKS_PER_PAGE, BaseEntry, SumsPage};
use quickcheck::{Arbitrary, Gen};

/// A value of the format under a name of ours, as quickcheck wants it.
#[derive(Clone, Debug)]
pub struct Of<T>(pub T);

/// A page of `base.sum` and the slot it is in.
#[derive(Clone, Debug)]
pub struct InSlot(pub SumsPage, pub u8);

/// A number below `bound`; often a small one, sometimes the largest.
fn below(g: &mut Gen, bound: u64) -> u64 {
    match u8::arbitrary(g) % 8 {
        0 => bound - 1,
        1..4 => u64::arbitrary(g) % 16 % bound,
        _ => u64::arbitrary(g) % bound,
    }
}

fn number(g: &mut Gen) -> u64 {
    below(g, NUMBER_MAX)
}

/// At most `most` of them, seldom so many.
fn list<T>(g: &mut Gen, most: usize, mut one: impl FnMut(&mut Gen) -> T) -> Vec<T> {
    let most = if u8::arbitrary(g) % 8 == 0 { most } else { most.min(6) };
    (0..below(g, most as u64 + 1)).map(|_| one(g)).collect()
}

pub fn store(g: &mut Gen) -> StoreId {
    StoreId([0; 16].map(|_: u8| u8::arbitrary(g)))
}

pub fn checksum(g: &mut Gen) -> Checksum {
    *g.choose(&[Checksum::Crc32, Checksum::Xxh3]).expect("two")
}

pub fn identity(g: &mut Gen) -> Identity {
    let (segment, epoch) = (SegmentId(number(g)), Epoch(number(g)));
    Identity { store: store(g), checksum: checksum(g), segment, salt: u64::arbitrary(g), epoch }
}

pub fn tag(g: &mut Gen) -> Tag {
    Tag { client: u64::arbitrary(g), seq: u64::arbitrary(g), ordinal: u32::arbitrary(g) }
}

fn cut(g: &mut Gen) -> Cut {
    Cut { end_page: u32::arbitrary(g), lsn: Lsn(number(g)), chain: u64::arbitrary(g) }
}

fn change(g: &mut Gen) -> Change {
    let block = BlockNo(below(g, BLOCK_COUNT_MAX));
    match u8::arbitrary(g) % 4 {
        0 => Change::Trim { block },
        1 => {
            let more = 1 + below(g, BLOCK_COUNT_MAX - block.0);
            Change::TrimRange { from: block, to: BlockNo(block.0 + more) }
        }
        _ => Change::Put { block, sum: u64::arbitrary(g) },
    }
}

fn size(g: &mut Gen) -> u64 {
    below(g, BLOCK_COUNT_MAX * BLOCK_SIZE as u64 + 1)
}

impl Arbitrary for Of<Group> {
    fn arbitrary(g: &mut Gen) -> Self {
        let role = match u8::arbitrary(g) % 5 {
            0 => Role::Watermark,
            which => Role::Batch { first: which & 1 != 0, last: which & 2 != 0 },
        };
        let changes = if role == Role::Watermark { Vec::new() } else { list(g, DESCRIPTORS_MAX, change) };
        Self(Group {
            identity: identity(g),
            role,
            lsn: Lsn(number(g)),
            page: u32::arbitrary(g),
            durable: Lsn(u64::arbitrary(g)),
            size: size(g),
            chain: u64::arbitrary(g),
            batch: u64::arbitrary(g),
            tag: tag(g),
            wall_ms: u64::arbitrary(g),
            changes,
        })
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let group = self.0.clone();
        let fewer = fewer(&self.0.changes);
        Box::new(fewer.map(move |changes| Self(Group { changes, ..group.clone() })))
    }
}

impl Arbitrary for Of<SegmentHeader> {
    fn arbitrary(g: &mut Gen) -> Self {
        Self(SegmentHeader {
            identity: identity(g),
            after: Lsn(u64::arbitrary(g)),
            born_pages: u32::arbitrary(g).max(1),
            previous: bool::arbitrary(g).then(|| (SegmentId(u64::arbitrary(g)), cut(g))),
        })
    }
}

impl Arbitrary for Of<Meta> {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut ids = list(g, SEGMENTS_MAX, |g| below(g, NUMBER_MAX - 1));
        ids.sort_unstable();
        ids.dedup();
        let mut after = ids.clone();
        after.iter_mut().for_each(|after| *after = (*after).min(number(g)));
        after.sort_unstable();
        let last = ids.len();
        let record = |g: &mut Gen, at: usize| SegmentRecord {
            id: SegmentId(ids[at]),
            epoch: Epoch(number(g)),
            salt: u64::arbitrary(g),
            after: Lsn(after[at]),
            cut: (at + 1 < last || bool::arbitrary(g)).then(|| cut(g)),
        };
        let segments: Vec<SegmentRecord> = (0..last).map(|at| record(g, at)).collect();
        let least = ids.last().map_or(0, |id| id + 1);
        let epoch =
            |g: &mut Gen| EpochEnd { epoch: Epoch(number(g)), after: Lsn(number(g)), last: Lsn(number(g)) };
        let range = |g: &mut Gen| {
            let start = below(g, BLOCK_COUNT_MAX);
            (BlockNo(start), below(g, BLOCK_COUNT_MAX - start + 1))
        };
        let body = MetaBody {
            checksum: checksum(g).code(),
            created_ms: u64::arbitrary(g),
            clean: bool::arbitrary(g),
            folded: Lsn(number(g)),
            durable: Lsn(number(g)),
            size: size(g),
            base_blocks: below(g, BLOCK_COUNT_MAX + 1),
            next_segment: SegmentId((least + below(g, 9)).min(NUMBER_MAX - 1)),
            segments,
            epochs: list(g, EPOCHS_MAX, epoch),
            tags: list(g, CLIENTS_MAX, |g| TagRecord { tag: tag(g), lsn: Lsn(u64::arbitrary(g)) }),
            free: list(g, FREE_RANGES_MAX, range),
            free_unlisted: below(g, BLOCK_COUNT_MAX + 1),
        };
        Self(Meta { store: store(g), seq: number(g), epoch: Epoch(number(g)), body })
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let meta = self.0.clone();
        let tags = fewer(&meta.body.tags).map({
            let meta = meta.clone();
            move |tags| Self(Meta { body: MetaBody { tags, ..meta.body.clone() }, ..meta.clone() })
        });
        let epochs = fewer(&meta.body.epochs).map({
            let meta = meta.clone();
            move |epochs| Self(Meta { body: MetaBody { epochs, ..meta.body.clone() }, ..meta.clone() })
        });
        let segments = fewer(&meta.body.segments).map(move |segments| {
            Self(Meta { body: MetaBody { segments, ..meta.body.clone() }, ..meta.clone() })
        });
        Box::new(tags.chain(epochs).chain(segments))
    }
}

impl Arbitrary for InSlot {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut page = SumsPage::empty(store(g), checksum(g), u64::arbitrary(g));
        page.seq = u64::arbitrary(g);
        for _ in 0..below(g, BLOCKS_PER_PAGE) {
            let at = below(g, BLOCKS_PER_PAGE) as usize;
            let (version, modified_ms) = (Lsn(u64::arbitrary(g)), below(g, 1 << 48));
            page.entries[at] = if bool::arbitrary(g) {
                BaseEntry::Present { version, sum: u64::arbitrary(g), modified_ms }
            } else {
                BaseEntry::Trimmed { version, modified_ms }
            };
        }
        Self(page, u8::arbitrary(g) % 2)
    }
}

/// The list with its first half, its second half, and each one left out.
fn fewer<T: Clone + 'static>(all: &[T]) -> impl Iterator<Item = Vec<T>> + use<T> {
    let all = all.to_vec();
    let half = all.len().div_ceil(2);
    let halves = [(0, half), (half, all.len())].into_iter().filter(|(from, to)| from < to);
    let ones = (0..all.len()).map(|at| (at, at + 1));
    let pieces: Vec<(usize, usize)> = halves.chain(ones).collect();
    pieces.into_iter().map(move |(from, to)| [&all[..from], &all[to..]].concat())
}
