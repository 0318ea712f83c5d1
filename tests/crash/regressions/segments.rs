//! How large segments become, and when the next one begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use datasync::backend::memory::{Memory, Request};
use datasync::backend::sim::{Moment, SimDisk};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability, Epoch, Lsn, SegmentId, StoreId, Tag};
use datasync::error::{Error, ErrorKind};
use datasync::format::checksum::Checksum;
use datasync::format::group::{Change, Identity};
use datasync::format::meta::SEGMENTS_MAX;
use datasync::log::plan::{Area, Op};
use datasync::log::writer::{BatchHead, BatchProgress, StagedChange, Tail, append, pages_for};
use datasync::volume::{Options, Volume, Writer};

use super::attack::{holds, put};
use crate::reference::fill;
use crate::settings::options;

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    an_append_allocates_nothing,
    a_batch_takes_the_pages_that_were_reckoned,
    space_is_prepared_by_the_mebibyte_and_not_beyond_a_segment,
    a_segment_is_full_before_the_next_begins,
    segments_grow_while_nothing_can_be_folded,
    the_smallest_segments_hold_any_commit,
    a_recovery_finds_a_place_in_a_full_list_of_segments,
    a_transaction_that_would_fill_the_list_of_segments_is_refused,
    what_an_abandoned_transaction_has_filled_is_folded_away,
    a_full_list_of_segments_does_not_keep_a_store_from_closing,
    a_store_that_cannot_fold_never_outgrows_the_list_of_segments,
];

#[test]
pub fn an_append_allocates_nothing() {
    // Commits of every size end everywhere in a segment, and before and behind what was reserved with it.
    for most in 1..12 {
        let disk = SimDisk::new(1);
        let volume = Volume::open(disk.clone(), options()).expect("a new store");
        disk.start_trace();
        for stamp in 1..24 {
            let blocks: Vec<u64> = (0..=stamp % most).collect();
            put(&volume, &blocks, stamp, Durability::Witnessed);
        }
        nothing_is_allocated(&disk.take_trace());
    }
}

#[test]
pub fn a_batch_takes_the_pages_that_were_reckoned() {
    let identity = Identity {
        store: StoreId([1; 16]),
        checksum: Checksum::Crc32,
        segment: SegmentId(1),
        salt: 2,
        epoch: Epoch(1),
    };
    let none = Lsn(0);
    let head = BatchHead { lsn: Lsn(1), durable: none, size: 0, tag: Tag::default(), wall_ms: 0 };
    let payload = [7; BLOCK_SIZE];
    for (puts, trims) in [(0, 0), (1, 0), (0, 1), (122, 0), (100, 22), (100, 23), (0, 245), (300, 0)] {
        let put = (0..puts).map(|block| (Change::Put { block: BlockNo(block), sum: 0 }, Some(&payload)));
        let trim = (0..trims).map(|block| (Change::Trim { block: BlockNo(block) }, None));
        let changes: Vec<StagedChange<'_>> = put.chain(trim).collect();
        let mut tail = Tail { identity, page: 1, chain: 0 };
        let (bytes, places) = append(&mut tail, &head, &mut BatchProgress::default(), &changes, true);
        let pages = pages_for(&changes);
        assert_eq!((bytes.len() / BLOCK_SIZE, places.len()), (pages, puts as usize), "{puts} and {trims}");
        assert_eq!(tail.page as usize, 1 + pages);
    }
}

/// Every segment had the space that was written to.
pub fn nothing_is_allocated(trace: &[Moment]) {
    for pair in trace.windows(2) {
        let Some(Op::Write { area: area @ Area::Segment(_), offset, bytes }) = &pair[1].op else {
            continue;
        };
        let (before, end) = (pair[0].state.len(*area), offset + bytes.len() as u64);
        assert!(before >= Some(end), "{area} had {before:?} bytes before it was written up to {end}");
    }
}

/// How many pages a segment is asked to have, each time that space is prepared for commits of so many blocks.
fn prepared(options: &Options, commits: &[u64]) -> Vec<u32> {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options.clone()).expect("a new store");
    disk.start_trace();
    for blocks in commits {
        put(&volume, &(0..*blocks).collect::<Vec<_>>(), 1, Durability::Applied);
    }
    let wanted = |moment: Moment| match moment.op {
        Some(Op::Reserve { pages, .. }) => Some(pages),
        _ => None,
    };
    disk.take_trace().into_iter().filter_map(wanted).collect()
}

#[test]
pub fn space_is_prepared_by_the_mebibyte_and_not_beyond_a_segment() {
    // The spare, with the reserve of a recovery; then the rest of the segment.
    assert_eq!(prepared(&options(), &[1; 20]), [9, 9, 16, 9, 16, 9, 16]);
    // What is prepared for the last one ends with the segment.
    assert_eq!(prepared(&options().spill_bytes(16 * PAGE), &[1, 2, 8]), [9, 9, 16]);
    let large = options().segment_bytes(700 * PAGE).log_cap_bytes(1400 * PAGE);
    assert_eq!(prepared(&large, &[1; 340]), [9, 9, 265, 521, 700]);
    // A segment that has to grow beyond its size grows by the mebibyte too.
    assert_eq!(prepared(&smallest(), &[2]), [3, 3, 259]);
}

/// Two blocks fill a segment.
fn smallest() -> Options {
    options().segment_bytes(4 * PAGE).reserve_bytes(2 * PAGE).log_cap_bytes(8 * PAGE)
}

/// Writes blocks until META can list one segment more only, which a recovery may need. The newest block.
fn fill_the_list(writer: &mut Writer, volume: &Volume) -> u64 {
    let mut block = 0;
    while volume.stats().segments + 1 < SEGMENTS_MAX as u64 {
        block += 1;
        writer.write(BlockNo(block), &fill(block, 2)).expect("there is space");
    }
    block
}

#[test]
pub fn a_recovery_finds_a_place_in_a_full_list_of_segments() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), smallest()).expect("a new store");
    let mut writer = volume.begin().expect("the slot is free");
    let last = fill_the_list(&mut writer, &volume);
    writer.commit(Durability::Applied).expect("in the log");
    let disk = disk.crash_process();
    drop(volume);
    let volume = Volume::open(disk, smallest()).expect("recovers");
    assert!(volume.recovery().unproven_commits == 1 && holds(&volume.snapshot().expect("open"), last, 2));
    volume.close().expect("folds");
}

#[test]
pub fn a_transaction_that_would_fill_the_list_of_segments_is_refused() {
    let volume = Volume::open(SimDisk::new(1), smallest()).expect("a new store");
    let mut writer = volume.begin().expect("the slot is free");
    let last = fill_the_list(&mut writer, &volume);
    let refused = (last + 1..).find_map(|block| writer.write(BlockNo(block), &fill(block, 2)).err());
    assert_eq!(refused.expect("the loop ends with one").kind(), ErrorKind::Full);
    assert_eq!(volume.stats().segments + 1, SEGMENTS_MAX as u64);
    drop(writer);
    put(&volume, &[0], 3, Durability::Durable);
    assert!(holds(&volume.snapshot().expect("open"), 0, 3));
}

/// After how many commits of one block each the second segment begins, the third, and so on up to `last`.
fn beginnings(volume: &Volume, last: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for commits in 0.. {
        put(volume, &[0], commits + 1, Durability::Durable);
        let segments = volume.stats().segments;
        if segments >= found.len() as u64 + 2 {
            found.push(commits);
        }
        if segments == last {
            break;
        }
    }
    found
}

#[test]
pub fn a_segment_is_full_before_the_next_begins() {
    let volume = Volume::open(SimDisk::new(1), options()).expect("a new store");
    // Of sixteen pages, one is the header, and one stays free for a proof; a commit takes two.
    assert_eq!(beginnings(&volume, 4), [7, 14, 21]);
}

#[test]
pub fn segments_grow_while_nothing_can_be_folded() {
    let volume = Volume::open(SimDisk::new(1), options().log_cap_bytes(4096 * PAGE)).expect("a new store");
    let reader = volume.snapshot().expect("open");
    let found = beginnings(&volume, 34);
    // From the sixteenth on they have room for 32 pages, from the 32nd on for 64.
    let sizes: Vec<u64> = found.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let wanted: Vec<u64> = [[7; 14].as_slice(), &[15; 16], &[31; 2]].concat();
    assert_eq!(sizes, wanted);
    assert_eq!(reader.size(), 0, "the reader sees what it saw");
}

#[test]
pub fn the_smallest_segments_hold_any_commit() {
    for most in 1..7 {
        let volume = Volume::open(SimDisk::new(1), smallest()).expect("a new store");
        for stamp in 1..9 {
            let blocks: Vec<u64> = (0..most).collect();
            put(&volume, &blocks, stamp, Durability::Durable);
            assert!(holds(&volume.snapshot().expect("open"), most - 1, stamp));
            // Each holds two blocks or a proof, and none is ended empty.
            assert!(volume.stats().rotations <= stamp * (most.div_ceil(2) + 1));
        }
    }
}

#[test]
pub fn what_an_abandoned_transaction_has_filled_is_folded_away() {
    let volume = Volume::open(SimDisk::new(1), options()).expect("a new store");
    put(&volume, &[0], 1, Durability::Durable);
    let mut writer = volume.begin().expect("the slot is free");
    (0..40).try_for_each(|block| writer.write(BlockNo(block), &fill(block, 2))).expect("spills");
    assert!(volume.stats().segments > 2);
    drop(writer);
    while volume.compact_step().expect("folds") {}
    assert_eq!(volume.stats().segments, 1, "the one that is not full");
    let view = volume.snapshot().expect("open");
    assert!(holds(&view, 0, 1) && view.size() == PAGE);
}

#[test]
pub fn a_full_list_of_segments_does_not_keep_a_store_from_closing() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), smallest()).expect("a new store");
    let mut writer = volume.begin().expect("the slot is free");
    let last = fill_the_list(&mut writer, &volume);
    writer.commit(Durability::Applied).expect("in the log");
    volume.close().expect("folds");
    drop(volume);
    let volume = Volume::open(disk, smallest()).expect("was closed");
    assert!(holds(&volume.snapshot().expect("open"), last, 2));
}

/// Commits block 0 if there is space; the stamp that it has then.
fn try_commit(volume: &Volume, stamp: u64, newest: u64, durability: Durability) -> u64 {
    let mut writer = volume.begin().expect("nobody waits for a fold for ever");
    writer.write(BlockNo(0), &fill(0, stamp)).expect("in memory");
    match writer.commit(durability) {
        Ok(_) => stamp,
        Err(error) if error.kind() == ErrorKind::Full => newest,
        Err(error) => panic!("{error}"),
    }
}

#[test]
pub fn a_store_that_cannot_fold_never_outgrows_the_list_of_segments() {
    let full = Arc::new(AtomicBool::new(true));
    let (is_full, asked) = (Arc::clone(&full), AtomicU64::new(0));
    let medium = Memory::new().with_hook(move |request| {
        // A planted bug may fold for ever.
        assert!(asked.fetch_add(1, Ordering::SeqCst) < 500_000, "it never ends");
        match request {
            Request::Apply(Op::Write { area: Area::Base, .. }) if is_full.load(Ordering::SeqCst) => {
                Err(Error::new(ErrorKind::Full, "base.db cannot grow"))
            }
            _ => Ok(()),
        }
    });
    let patient = smallest().background(true).reader_patience(Duration::ZERO);
    let volume = Volume::open(medium.clone(), patient.clone()).expect("a new store");
    let mut writer = volume.begin().expect("the slot is free");
    let last = fill_the_list(&mut writer, &volume);
    writer.write(BlockNo(0), &fill(0, 2)).expect("in memory");
    writer.commit(Durability::Applied).expect("in the log");
    // What is sealed is proven by the last segment that META can list.
    assert_eq!(volume.compact().expect_err("no space").kind(), ErrorKind::Full);
    assert_eq!(volume.stats().segments, SEGMENTS_MAX as u64);
    let mut newest = try_commit(&volume, 3, 2, Durability::Witnessed);
    newest = try_commit(&volume, 4, newest, Durability::Applied);
    drop(volume);
    // Each life may leave a commit that nothing proves, which the next one writes into a segment of its own.
    for stamp in [5, 7, 9] {
        let volume = Volume::open(medium.clone(), patient.clone()).expect("to read, if for nothing else");
        let view = volume.snapshot().expect("open");
        assert!(holds(&view, 0, newest) && holds(&view, last, 2));
        newest = try_commit(&volume, stamp, newest, Durability::Witnessed);
        newest = try_commit(&volume, stamp + 1, newest, Durability::Applied);
    }
    full.store(false, Ordering::SeqCst);
    let volume = Volume::open(medium, smallest()).expect("there is space again");
    assert!(holds(&volume.snapshot().expect("open"), 0, newest));
    put(&volume, &[0], 20, Durability::Durable);
    volume.close().expect("folds");
}
