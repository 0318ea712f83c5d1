//! Found by a reviewer who tried to break the store: each test is one attack that must fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use datasync::backend::memory::{Memory, Request};
use datasync::backend::sim::{BarrierFailure, Cut, Fault, SimDisk};
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, BlockNo, CommitId, Durability, Epoch, Lsn, SegmentId, StoreId};
use datasync::error::ErrorKind;
use datasync::format::meta::{EpochEnd, Meta, MetaBody};
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Outcome, Snapshot, Volume};

use crate::reference::fill;
use crate::settings::options;

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each attack that needs no other thread, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_trim_that_a_crash_took_back_frees_no_block,
    what_a_rotation_made_durable_is_proven_before_it_is_acknowledged,
    a_store_with_a_large_log_opens_on_a_full_disk,
    sealing_under_a_reader_never_outgrows_meta,
    the_fate_of_a_commit_is_open_until_a_poisoned_store_is_reopened,
    hostile_numbers_in_meta_neither_panic_nor_take_all_memory,
    a_damaged_store_opens_for_reading_although_a_segment_is_gone,
    sums_that_end_too_early_are_noticed_at_opening,
];

pub fn put(volume: &Volume, blocks: &[u64], stamp: u64, durability: Durability) -> CommitId {
    let mut writer = volume.begin().expect("the slot is free");
    for block in blocks {
        writer.write(BlockNo(*block), &fill(*block, stamp)).expect("there is space");
    }
    writer.commit(durability).expect("a healthy medium").commit
}

pub fn holds(snapshot: &Snapshot, block: u64, stamp: u64) -> bool {
    let mut bytes = [0; BLOCK_SIZE];
    snapshot.read(BlockNo(block), &mut bytes).expect("readable");
    bytes == fill(block, stamp)
}

pub fn power_cut(disk: &SimDisk) -> SimDisk {
    SimDisk::from_state(disk.state().after(&Cut::default()), 1)
}

#[test]
pub fn a_trim_that_a_crash_took_back_frees_no_block() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options()).expect("a new store");
    put(&volume, &[0, 1, 2], 1, Durability::Durable);
    volume.compact().expect("folds");
    put(&volume, &[2], 2, Durability::Durable);
    volume.rotate().expect("seals");
    let mut writer = volume.begin().expect("the slot is free");
    writer.trim(BlockNo(1)).expect("in memory");
    writer.commit(Durability::Applied).expect("in the log");
    while volume.compact_step().expect("folds") {}
    drop(volume);
    let volume = Volume::open(power_cut(&disk), options()).expect("recovers");
    assert!(holds(&volume.snapshot().expect("open"), 1, 1), "the trim was never durable");
    let mut writer = volume.begin().expect("the slot is free");
    assert_eq!(writer.allocate().expect("space"), BlockNo(3), "block 1 holds data");
}

#[test]
pub fn a_full_log_expires_nobody_who_is_not_in_the_way() {
    let options = options().background(true).reader_patience(Duration::ZERO);
    let volume = Volume::open(SimDisk::new(1), options).expect("a new store");
    put(&volume, &[0], 1, Durability::Durable);
    let reader = volume.snapshot().expect("open");
    let mut writer = volume.begin().expect("the slot is free");
    for block in 1..200 {
        writer.write(BlockNo(block), &fill(block, 2)).expect("spills");
    }
    let refused = volume.begin().map(drop).expect_err("the slot is taken");
    assert_eq!(refused.kind(), ErrorKind::Busy);
    writer.write(BlockNo(0), &fill(0, 2)).expect("staged");
    let pending = writer.append(Durability::Durable).expect("in the log");
    assert!(holds(&volume.snapshot().expect("open"), 0, 1), "what is not acknowledged hid what is");
    assert!(holds(&reader, 0, 1), "the view was not in the way of any fold");
    pending.wait().expect("durable");
    assert!(holds(&volume.snapshot().expect("open"), 0, 2));
}

#[test]
pub fn what_a_rotation_made_durable_is_proven_before_it_is_acknowledged() {
    let options = options().segment_bytes(64 * PAGE).log_cap_bytes(256 * PAGE);
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options.clone()).expect("a new store");
    for stamp in 1..=12 {
        put(&volume, &[0], stamp, Durability::Applied);
    }
    volume.rotate().expect("seals");
    volume.sync().expect("durable");
    drop(volume);
    let disk = power_cut(&disk);
    disk.set_free_pages(Some(0));
    let volume = Volume::open(disk, options).expect("recovers on a full disk");
    assert!(holds(&volume.snapshot().expect("open"), 0, 12), "{:?}", volume.recovery());
}

#[test]
pub fn a_store_with_a_large_log_opens_on_a_full_disk() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options()).expect("a new store");
    let blocks: Vec<u64> = (0..200).collect();
    put(&volume, &blocks, 1, Durability::Durable);
    drop(volume);
    let disk = power_cut(&disk);
    disk.set_free_pages(Some(0));
    let volume = Volume::open(disk.clone(), options()).expect("recovers on a full disk");
    assert!(holds(&volume.snapshot().expect("open"), 199, 1));
    disk.set_free_pages(None);
    put(&volume, &[0], 2, Durability::Durable);
    volume.close().expect("folds");
}

#[test]
pub fn sealing_under_a_reader_never_outgrows_meta() {
    let volume = Volume::open(SimDisk::new(1), options().log_cap_bytes(4096 * PAGE)).expect("a new store");
    put(&volume, &[0], 1, Durability::Durable);
    let reader = volume.snapshot().expect("open");
    for stamp in 2..150 {
        put(&volume, &[0], stamp, Durability::Durable);
        volume.rotate().expect("seals");
    }
    let mut bytes = [0; BLOCK_SIZE];
    match reader.read(BlockNo(0), &mut bytes) {
        Ok(()) => assert_eq!(bytes, fill(0, 1)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Expired),
    }
    assert!(holds(&volume.snapshot().expect("open"), 0, 149));
}

#[test]
pub fn nobody_waits_for_readers_after_a_large_transaction() {
    // Whoever waits for the reader expires it when this is over, however long the rest takes.
    let options = options().background(true).reader_patience(Duration::from_secs(60));
    let volume = Volume::open(SimDisk::new(1), options).expect("a new store");
    let blocks: Vec<u64> = (0..200).collect();
    put(&volume, &blocks, 1, Durability::Durable);
    let reader = volume.snapshot().expect("open");
    let rotations = volume.stats().rotations;
    put(&volume, &[0], 2, Durability::Durable);
    assert!(volume.stats().rotations > rotations, "nobody sealed the end of the transaction");
    assert!(holds(&reader, 0, 1));
}

#[test]
pub fn the_fate_of_a_commit_is_open_until_a_poisoned_store_is_reopened() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options()).expect("a new store");
    let first = put(&volume, &[0], 1, Durability::Durable);
    let lost = put(&volume, &[0], 2, Durability::Applied);
    disk.inject(Fault::FailBarrier { nth: 1, how: BarrierFailure::Drops, kind: ErrorKind::Io });
    volume.sync().expect_err("the barrier failed");
    assert_eq!(volume.outcome_of(first), Outcome::Committed);
    assert_eq!(volume.outcome_of(lost), Outcome::Unknown);
}

#[test]
pub fn nothing_touches_the_medium_after_close() {
    for _ in 0..30 {
        let (released, touched) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&touched);
        let medium = Memory::new().with_hook(move |request| {
            match request {
                Request::Release => released.store(true, Ordering::SeqCst),
                Request::Read(_) | Request::Apply(_) => {
                    seen.fetch_or(released.load(Ordering::SeqCst), Ordering::SeqCst);
                }
            }
            Ok(())
        });
        let volume = Volume::open(medium, options()).expect("a new store");
        put(&volume, &[0], 1, Durability::Durable);
        let holder = volume.begin().expect("the slot is free");
        let wait = Duration::from_secs(5);
        thread::scope(|scope| {
            scope.spawn(|| {
                let Ok(mut writer) = volume.begin_within(wait) else { return };
                let _ = writer.write(BlockNo(0), &fill(0, 2));
                let _ = writer.commit(Durability::Durable);
            });
            scope.spawn(|| drop(volume.close()));
            scope.spawn(|| drop(volume.close()));
            // A head start for the three, so that they meet; without one they are only tried less.
            thread::sleep(Duration::from_millis(5));
            drop(holder);
        });
        volume.close().expect("closed by now");
        assert!(!touched.load(Ordering::SeqCst), "used after it was released");
    }
}

fn hostile(change: impl FnOnce(&mut Meta)) -> Memory {
    let body = MetaBody {
        checksum: 2,
        created_ms: 0,
        clean: false,
        folded: Lsn(0),
        durable: Lsn(0),
        size: 0,
        base_blocks: 0,
        next_segment: SegmentId(1),
        segments: Vec::new(),
        epochs: Vec::new(),
        tags: Vec::new(),
        free: Vec::new(),
        free_unlisted: 0,
    };
    let mut meta = Meta { store: StoreId([1; 16]), seq: 1, epoch: Epoch(1), body };
    change(&mut meta);
    let memory = Memory::new();
    let mut all = vec![0; 32 * 1024];
    all.extend(meta.encode());
    all.extend(meta.encode());
    for area in [Area::Meta, Area::Base, Area::Sums] {
        memory.apply(&Op::Create(area)).expect("memory");
    }
    memory.apply(&Op::Write { area: Area::Meta, offset: 0, bytes: all.into() }).expect("memory");
    memory
}

#[test]
pub fn hostile_numbers_in_meta_neither_panic_nor_take_all_memory() {
    let metas: [fn(&mut Meta); 13] = [
        |meta| meta.seq = u64::MAX,
        |meta| meta.epoch = Epoch(u64::MAX),
        |meta| meta.epoch = Epoch(1 << 50),
        |meta| {
            let (after, last) = (Lsn(0), Lsn(0));
            meta.body.epochs = vec![EpochEnd { epoch: Epoch(1 << 45), after, last }];
            meta.epoch = Epoch(1 << 50);
        },
        |meta| meta.body.next_segment = SegmentId(u64::MAX),
        |meta| (meta.body.folded, meta.body.durable) = (Lsn(u64::MAX), Lsn(u64::MAX)),
        |meta| meta.body.size = u64::MAX,
        |meta| meta.body.base_blocks = 1 << 36,
        |meta| meta.body.free = vec![(BlockNo(1 << 60), 1 << 61)],
        |meta| meta.body.free = vec![(BlockNo(5), 1 << 35)],
        |meta| meta.body.free_unlisted = u64::MAX,
        |meta| meta.body.durable = Lsn(u64::MAX),
        |meta| meta.body.created_ms = u64::MAX,
    ];
    for (at, change) in metas.into_iter().enumerate() {
        let memory = hostile(change);
        let Ok(volume) = Volume::open(memory, options()) else { continue };
        if let Ok(mut writer) = volume.begin() {
            let _ = writer.allocate();
            let _ = writer.write(BlockNo(0), &fill(0, 1));
            let _ = writer.commit(Durability::Durable);
        }
        if let Ok(report) = volume.verify(&mut |_, _| {}) {
            assert!(report.damage.len() <= 1000, "META {at}: {} reports", report.damage.len());
        }
        let _ = volume.close();
    }
}

#[test]
pub fn a_damaged_store_opens_for_reading_although_a_segment_is_gone() {
    let memory = Memory::new();
    let volume = Volume::open(memory.clone(), options()).expect("a new store");
    put(&volume, &[0], 1, Durability::Durable);
    volume.compact().expect("folds");
    put(&volume, &[1], 1, Durability::Durable);
    drop(volume);
    let segments = memory.segments().expect("memory");
    for segment in segments {
        memory.forget(Area::Segment(segment));
    }
    assert_eq!(
        Volume::open(memory.clone(), options()).map(drop).expect_err("refused").kind(),
        ErrorKind::Corrupt
    );
    let volume = Volume::open(memory, Options::new().read_only(true)).expect("for reading");
    assert!(!volume.damage().is_empty());
    assert!(holds(&volume.snapshot().expect("open"), 0, 1));
}

#[test]
pub fn sums_that_end_too_early_are_noticed_at_opening() {
    let memory = Memory::new();
    let volume = Volume::open(memory.clone(), options()).expect("a new store");
    put(&volume, &[0], 1, Durability::Durable);
    volume.compact().expect("folds");
    put(&volume, &[1], 1, Durability::Durable);
    drop(volume);
    memory.apply(&Op::Resize { area: Area::Sums, bytes: 0 }).expect("memory");
    let refused = Volume::open(memory, options()).map(drop).expect_err("damaged");
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
}
