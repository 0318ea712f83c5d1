//! One value of each structure of the format, with every field different from zero where it may be.

use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, Epoch, Lsn, SegmentId, StoreId, Tag};
use datasync::format::Flaw;
use datasync::format::checksum::Checksum;
use datasync::format::group::{Change, Group, Identity, Role};
use datasync::format::meta::{EpochEnd, Meta, MetaBody, SegmentRecord, TagRecord};
use datasync::format::segment::{Cut, SegmentHeader};
use datasync::format::sums::{BaseEntry, SumsPage};

/// A structure and its bytes.
pub struct Page {
    /// Name of its file.
    pub name: &'static str,
    /// What its encoder writes.
    pub bytes: Vec<u8>,
    /// Decodes bytes and encodes the value again.
    pub reencode: fn(&[u8]) -> Result<Vec<u8>, Flaw>,
}

const STORE: StoreId = StoreId([0xD5; 16]);
const SUMS_PAGE: u64 = 2;
const SUMS_SLOT: u8 = 1;

pub fn pages() -> Vec<Page> {
    vec![
        Page { name: "meta", bytes: meta().encode(), reencode: |bytes| Ok(Meta::decode(bytes)?.encode()) },
        Page { name: "segment", bytes: page(|out| _ = segment().encode(out)), reencode: segment_again },
        Page { name: "group", bytes: page(|out| _ = group().encode(out)), reencode: group_again },
        Page { name: "watermark", bytes: page(|out| _ = watermark().encode(out)), reencode: group_again },
        Page { name: "sums", bytes: page(|out| sums().encode(SUMS_SLOT, out)), reencode: sums_again },
    ]
}

fn page(write: impl FnOnce(&mut BlockBytes)) -> Vec<u8> {
    let mut out = [0; BLOCK_SIZE];
    write(&mut out);
    out.to_vec()
}

fn block(bytes: &[u8]) -> &BlockBytes {
    bytes.try_into().expect("golden pages are 4 KiB")
}

fn segment_again(bytes: &[u8]) -> Result<Vec<u8>, Flaw> {
    let (header, _) = SegmentHeader::decode(block(bytes))?;
    Ok(page(|out| _ = header.encode(out)))
}

fn group_again(bytes: &[u8]) -> Result<Vec<u8>, Flaw> {
    let (group, _) = Group::decode(block(bytes))?;
    Ok(page(|out| _ = group.encode(out)))
}

fn sums_again(bytes: &[u8]) -> Result<Vec<u8>, Flaw> {
    let sums = SumsPage::decode(block(bytes), STORE, SUMS_PAGE, SUMS_SLOT)?;
    Ok(page(|out| sums.encode(SUMS_SLOT, out)))
}

fn identity() -> Identity {
    Identity {
        store: STORE,
        checksum: Checksum::Xxh3,
        segment: SegmentId(12),
        salt: 0x0123_4567_89AB_CDEF,
        epoch: Epoch(3),
    }
}

fn cut() -> Cut {
    Cut { end_page: 300, lsn: Lsn(1000), chain: 0xFEDC_BA98_7654_3210 }
}

fn segment() -> SegmentHeader {
    SegmentHeader {
        identity: identity(),
        after: Lsn(1000),
        born_pages: 1,
        previous: Some((SegmentId(11), cut())),
    }
}

fn group() -> Group {
    Group {
        identity: Identity { checksum: Checksum::Crc32, ..identity() },
        role: Role::Batch { first: true, last: true },
        lsn: Lsn(1001),
        page: 7,
        durable: Lsn(999),
        size: 0x1234_5000,
        chain: 0x1111_2222_3333_4444,
        batch: 0x5555_6666_7777_8888,
        tag: Tag { client: 21, seq: 22, ordinal: 23 },
        wall_ms: 1_763_800_000_000,
        changes: vec![
            Change::Put { block: BlockNo(0), sum: 0xC0FF_EE00 },
            Change::Trim { block: BlockNo(5) },
            Change::TrimRange { from: BlockNo(100), to: BlockNo(200) },
            Change::Put { block: BlockNo(9), sum: 0xDEAD_BEEF },
        ],
    }
}

fn watermark() -> Group {
    Group { role: Role::Watermark, tag: Tag::default(), batch: 0, changes: Vec::new(), ..group() }
}

fn meta() -> Meta {
    let body = MetaBody {
        checksum: Checksum::Crc32.code(),
        created_ms: 1_763_800_000_000,
        clean: true,
        folded: Lsn(900),
        durable: Lsn(1002),
        size: 0x1234_5000,
        base_blocks: 0x1_2345,
        next_segment: SegmentId(13),
        segments: vec![
            SegmentRecord { id: SegmentId(11), epoch: Epoch(2), salt: 77, after: Lsn(900), cut: Some(cut()) },
            SegmentRecord { id: SegmentId(12), epoch: Epoch(3), salt: 78, after: Lsn(1000), cut: None },
        ],
        epochs: vec![EpochEnd { epoch: Epoch(2), after: Lsn(800), last: Lsn(1000) }],
        tags: vec![TagRecord { tag: Tag { client: 21, seq: 22, ordinal: 1 }, lsn: Lsn(850) }],
        free: vec![(BlockNo(40), 2), (BlockNo(50), 300)],
        free_unlisted: 6,
    };
    Meta { store: STORE, seq: 41, epoch: Epoch(3), body }
}

fn sums() -> SumsPage {
    let mut sums = SumsPage::empty(STORE, Checksum::Xxh3, SUMS_PAGE);
    sums.seq = 9;
    sums.entries[0] =
        BaseEntry::Present { version: Lsn(800), sum: 0x0102_0304_0506_0708, modified_ms: 1_763_800_000_000 };
    sums.entries[167] = BaseEntry::Trimmed { version: Lsn(801), modified_ms: 1_763_800_000_001 };
    sums
}
