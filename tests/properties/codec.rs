//! Every structure of the format and the log: what was written reads back as it was, one changed byte is noticed,
//! and what is read from any bytes at all encodes to those bytes again.

use datasync::backend::memory::Memory;
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, Lsn};
use datasync::format::checksum::digest;
use datasync::format::group::{Change, Group, Identity, Role};
use datasync::format::meta::{META_BYTES, Meta};
use datasync::format::segment::SegmentHeader;
use datasync::log::plan::{Area, Op};
use datasync::log::reader::{Position, first_bad_payload, payloads, read_group, read_segment_header};
use datasync::log::writer::{BatchHead, BatchProgress, StagedChange, Tail, append, watermark};
use quickcheck::{Arbitrary, Gen, QuickCheck, TestResult, Testable};

use crate::invariants::{Checked, Violation, ensure, no_panic};
use crate::pages::decode_group;
use crate::reference::fill;
use crate::values::{InSlot, Of, checksum, identity, store, tag};

/// Holds `property` to `tests` values of a seed; the smallest value that breaks it is in the sentence.
fn hold(name: &str, tests: u64, property: impl Testable) -> Checked<()> {
    let seed = crate::settings::only_seed().unwrap_or(1);
    let held = QuickCheck::new().tests(tests).rng(Gen::from_size_and_seed(200, seed)).quicktest(property);
    held.map(drop)
        .map_err(|broken| Violation::new("codec", format!("{name}: {broken:?} (DATASYNC_SEED={seed})")))
}

/// A property's answer to quickcheck: a broken promise or a panic is a failure that says why.
fn answer(checked: impl FnOnce() -> Checked<()>) -> TestResult {
    match no_panic(checked) {
        Ok(()) => TestResult::passed(),
        Err(violation) => TestResult::error(violation.to_string()),
    }
}

/// One byte of a page that becomes another.
#[derive(Clone, Copy, Debug)]
struct Flip {
    at: usize,
    bits: u8,
}

impl Arbitrary for Flip {
    fn arbitrary(g: &mut Gen) -> Self {
        Self { at: usize::arbitrary(g), bits: u8::arbitrary(g).max(1) }
    }
}

impl Flip {
    fn change(self, bytes: &mut [u8]) {
        let at = self.at % bytes.len();
        bytes[at] ^= self.bits;
    }
}

fn holds(what: &str, holds: bool) -> Checked<()> {
    ensure(holds, "format", || what.to_owned())
}

/// `bytes` with one byte changed is refused; with its digest made right again it is refused, or means exactly what
/// it says.
fn noticed(bytes: &[u8], flip: Flip, refused: impl Fn(&[u8]) -> bool) -> Checked<()> {
    let mut bad = bytes.to_vec();
    flip.change(&mut bad);
    holds("a changed byte is not noticed", refused(&bad))?;
    let end = bad.len() - 8;
    let sum = digest(&bad[..end]);
    bad[end..].copy_from_slice(&sum.to_le_bytes());
    decode_group(&bad)
}

fn page(bytes: &[u8]) -> &BlockBytes {
    bytes.first_chunk().expect("a page")
}

fn group(Of(group): Of<Group>, flip: Flip) -> TestResult {
    answer(|| {
        let mut bytes = [0xFF; BLOCK_SIZE];
        let sum = group.encode(&mut bytes);
        holds("a group reads back as another", Group::decode(&bytes) == Ok((group, sum)))?;
        noticed(&bytes, flip, |bad| Group::decode(page(bad)).is_err())
    })
}

fn segment(Of(header): Of<SegmentHeader>, flip: Flip) -> TestResult {
    answer(|| {
        let mut bytes = [0xFF; BLOCK_SIZE];
        let sum = header.encode(&mut bytes);
        holds("a segment header reads back as another", SegmentHeader::decode(&bytes) == Ok((header, sum)))?;
        noticed(&bytes, flip, |bad| SegmentHeader::decode(page(bad)).is_err())
    })
}

fn meta(Of(meta): Of<Meta>, flip: Flip) -> TestResult {
    answer(|| {
        let bytes = meta.encode();
        let mut wanted = meta.clone();
        if Meta::decode(&bytes).is_ok_and(|read| read.body.free.is_empty()) {
            // A body that does not fit leaves the free ranges out and counts their blocks.
            let listed = wanted.body.free.drain(..).map(|(_, count)| count).sum::<u64>();
            let most = datasync::block::BLOCK_COUNT_MAX;
            wanted.body.free_unlisted = (wanted.body.free_unlisted + listed).min(most);
        }
        holds("META reads back as another", Meta::decode(&bytes) == Ok(wanted))?;
        noticed(&bytes, flip, |bad| Meta::decode(bad).is_err())
    })
}

fn sums(InSlot(sums, slot): InSlot, flip: Flip) -> TestResult {
    use datasync::format::sums::SumsPage;
    answer(|| {
        let mut bytes = [0xFF; BLOCK_SIZE];
        sums.encode(slot, &mut bytes);
        let place = (sums.store, sums.page, slot);
        let read = |bytes: &[u8], (store, number, slot)| SumsPage::decode(page(bytes), store, number, slot);
        holds("a page of sums reads back as another", read(&bytes, place).as_ref() == Ok(&sums))?;
        holds("the other slot is taken for this", read(&bytes, (place.0, place.1, 1 - slot)).is_err())?;
        holds("another page is taken for this", read(&bytes, (place.0, !place.1, slot)).is_err())?;
        let mut other = sums.store;
        flip.change(&mut other.0);
        holds("a page of another store is taken", read(&bytes, (other, place.1, slot)).is_err())?;
        noticed(&bytes, flip, |bad| read(bad, place).is_err())
    })
}

/// Bytes as a fuzzer would give them: some with the beginning of a structure.
#[derive(Clone, Debug)]
struct Hostile(Vec<u8>);

impl Arbitrary for Hostile {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut bytes: Vec<u8> = (0..u16::arbitrary(g) % 6000).map(|_| u8::arbitrary(g)).collect();
        let magics: [&[u8]; 5] =
            [b"", b"DSM1\x01\0\0\0", b"DSS1\x01\0", b"DSG1\x01\0\x03\x01", b"DSB1\x01\0\x02"];
        let magic = g.choose(&magics).expect("five");
        bytes.splice(0..magic.len().min(bytes.len()), magic.iter().copied());
        if bool::arbitrary(g) {
            bytes.iter_mut().skip(8).filter(|byte| **byte >= 8).for_each(|byte| *byte = 0);
        }
        Self(bytes)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().map(Self))
    }
}

fn hostile(Hostile(bytes): Hostile) -> TestResult {
    answer(|| {
        let short = &bytes[..bytes.len().min(META_BYTES)];
        holds("META out of too few bytes", Meta::decode(short).is_err())?;
        decode_group(&bytes)
    })
}

/// A sum is of its bytes, its block, its version and its store, and of nothing else.
#[derive(Clone, Debug)]
struct Summed {
    identity: Identity,
    block: u64,
    version: u64,
    stamp: u64,
    flip: Flip,
}

impl Arbitrary for Summed {
    fn arbitrary(g: &mut Gen) -> Self {
        let (block, version, stamp) = (u64::arbitrary(g), u64::arbitrary(g), u64::arbitrary(g));
        Self { identity: identity(g), block, version, stamp, flip: Flip::arbitrary(g) }
    }
}

fn summed(value: Summed) -> TestResult {
    let Summed { identity: Identity { store, checksum, .. }, block, version, stamp, flip } = value;
    answer(|| {
        let bytes = fill(block, stamp);
        let sum = |block: u64, version: u64, bytes| checksum.sum(store, BlockNo(block), Lsn(version), bytes);
        let (mut bad, mut other) = (bytes, store);
        flip.change(&mut bad);
        flip.change(&mut other.0);
        let right = sum(block, version, &bytes);
        holds("a sum is another the second time", sum(block, version, &bytes) == right)?;
        holds("the sum of a changed byte is the same", sum(block, version, &bad) != right)?;
        holds("the sum of another block is the same", sum(block ^ 1, version, &bytes) != right)?;
        holds("the sum of another version is the same", sum(block, version ^ 1, &bytes) != right)?;
        let foreign = checksum.sum(other, BlockNo(block), Lsn(version), &bytes);
        holds("the sum of another store is the same", foreign != right)
    })
}

/// A segment with its batches, each a list of changes written in pieces, with watermarks between.
#[derive(Clone, Debug)]
struct Log {
    header: SegmentHeader,
    /// For each batch its spills: puts where there is a stamp, else trims.
    batches: Vec<Vec<Vec<(u64, Option<u64>)>>>,
    flip: Flip,
}

impl Arbitrary for Log {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut identity = Identity { store: store(g), checksum: checksum(g), ..identity(g) };
        identity.segment.0 %= 1 << 20;
        let Of(header) = Of::<SegmentHeader>::arbitrary(g);
        let change = |g: &mut Gen| (u64::arbitrary(g) % 64, Option::<u64>::arbitrary(g));
        let mut small = Gen::from_size_and_seed(6, u64::arbitrary(g));
        let spill = |g: &mut Gen| (0..u8::arbitrary(g) % 8).map(|_| change(g)).collect();
        let batch = |g: &mut Gen| (0..1 + u8::arbitrary(g) % 3).map(|_| spill(g)).collect();
        let batches = (0..1 + u8::arbitrary(g) % 4).map(|_| batch(&mut small)).collect();
        Self { header: SegmentHeader { identity, ..header }, batches, flip: Flip::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let log = self.clone();
        Box::new(self.batches.shrink().map(move |batches| Self { batches, ..log.clone() }))
    }
}

/// What a walk finds: each group, and whether its payloads verify.
type Walked = Vec<(Group, bool)>;

impl Log {
    /// The bytes, header and all, and the groups that were written.
    fn written(&self) -> (Vec<u8>, usize) {
        let mut bytes = vec![0; BLOCK_SIZE];
        let identity = self.header.identity;
        let first: &mut BlockBytes = bytes.first_chunk_mut().expect("a page");
        let mut tail = Tail { identity, page: 1, chain: self.header.encode(first) };
        let mut groups = 0;
        for (lsn, batch) in (1..).map(Lsn).zip(&self.batches) {
            let head = BatchHead {
                lsn,
                durable: Lsn(lsn.0 - 1),
                size: 1 << 20,
                tag: tag(&mut Gen::from_size_and_seed(1, lsn.0)),
                wall_ms: lsn.0,
            };
            let mut progress = BatchProgress::default();
            for (at, spill) in batch.iter().enumerate() {
                let payloads: Vec<_> = spill.iter().map(|(b, stamp)| stamp.map(|s| fill(*b, s))).collect();
                let changes: Vec<StagedChange<'_>> = spill
                    .iter()
                    .zip(&payloads)
                    .map(|((block, _), payload)| {
                        (staged(&identity, BlockNo(*block), lsn, payload), payload.as_ref())
                    })
                    .collect();
                let last = at + 1 == batch.len();
                bytes.extend(append(&mut tail, &head, &mut progress, &changes, last).0);
                groups += 1;
            }
            bytes.extend(watermark(&mut tail, &BatchHead { durable: lsn, ..head }));
            groups += 1;
        }
        (bytes, groups)
    }

    fn walk(&self, bytes: &[u8]) -> Checked<Walked> {
        let medium = Memory::new();
        let identity = self.header.identity;
        let area = Area::Segment(identity.segment);
        let offset = 0;
        let ops = [Op::Create(area), Op::Write { area, offset, bytes: bytes.to_vec().into() }];
        let fail = |error| Violation::new("log", format!("{error}"));
        ops.iter().try_for_each(|op| medium.apply(op)).map_err(fail)?;
        let source: &dyn Source = &medium;
        let Ok((header, chain)) = read_segment_header(source, &identity).map_err(fail)? else {
            return Ok(Vec::new());
        };
        holds("a segment header reads back as another", header == self.header)?;
        let mut position = Position { page: 1, chain };
        let mut walked = Vec::new();
        while let Ok((group, chain)) = read_group(source, &identity, position).map_err(fail)? {
            let whole = first_bad_payload(source, &group).map_err(fail)?.is_none();
            position = Position { page: group.page + group.pages(), chain };
            walked.push((group, whole));
        }
        Ok(walked)
    }

    /// The changes of the groups, batch by batch, as they were staged.
    fn same(&self, walked: &Walked, bytes: &[u8]) -> bool {
        let mut batches: Vec<Vec<Vec<(u64, Option<u64>)>>> = Vec::new();
        for (group, _) in walked {
            let Role::Batch { first, .. } = group.role else { continue };
            if first {
                batches.push(Vec::new());
            }
            let mut pages = payloads(group).map(|(_, _, page)| page as usize * BLOCK_SIZE);
            let spill = group.changes.iter().map(|change| match *change {
                Change::Put { block, .. } => {
                    let at = pages.next().expect("a page for each put");
                    let stamp = u64::from_le_bytes(*bytes[at..].first_chunk().expect("a page"));
                    (block.0, Some(stamp))
                }
                Change::Trim { block } => (block.0, None),
                Change::TrimRange { from, .. } => (from.0, None),
            });
            batches.last_mut().expect("a batch begins with FIRST").push(spill.collect());
        }
        batches == self.batches
    }
}

fn staged(identity: &Identity, block: BlockNo, lsn: Lsn, payload: &Option<BlockBytes>) -> Change {
    match payload {
        Some(payload) => {
            Change::Put { block, sum: identity.checksum.sum(identity.store, block, lsn, payload) }
        }
        None => Change::Trim { block },
    }
}

fn log(log: Log) -> TestResult {
    answer(|| {
        let (mut bytes, groups) = log.written();
        let walked = log.walk(&bytes)?;
        holds("the log reads back with another number of groups", walked.len() == groups)?;
        holds("a payload does not verify", walked.iter().all(|(_, whole)| *whole))?;
        holds("the log reads back with other changes", log.same(&walked, &bytes))?;
        log.flip.change(&mut bytes);
        let after = log.walk(&bytes)?;
        let sound = after.iter().take_while(|(_, whole)| *whole).count();
        holds("a changed byte of the log is not noticed", sound < groups)?;
        holds("a group changed with a byte of another", after[..sound] == walked[..sound])
    })
}

/// All of it, `tests` values of each.
pub fn run(tests: u64) -> Checked<()> {
    hold("group", tests, group as fn(Of<Group>, Flip) -> TestResult)?;
    hold("segment header", tests, segment as fn(Of<SegmentHeader>, Flip) -> TestResult)?;
    hold("META", tests / 4, meta as fn(Of<Meta>, Flip) -> TestResult)?;
    hold("page of sums", tests, sums as fn(InSlot, Flip) -> TestResult)?;
    hold("any bytes", tests, hostile as fn(Hostile) -> TestResult)?;
    hold("payload sum", tests, summed as fn(Summed) -> TestResult)?;
    hold("log", tests / 4, log as fn(Log) -> TestResult)
}

#[test]
fn what_is_written_reads_back_and_a_changed_byte_is_noticed() {
    if let Err(violation) = run(20_000) {
        panic!("{violation}");
    }
}
