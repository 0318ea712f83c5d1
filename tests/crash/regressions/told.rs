//! What a store tells about itself is true: what it counted, and what a recovery found.

use datasync::backend::sim::{BarrierFailure, Cut, Fate, Fault, SimDisk, bytes_of};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability, Lsn, SegmentId};
use datasync::error::ErrorKind;
use datasync::format::group::Group;
use datasync::log::plan::Area;
use datasync::volume::{OpenKind, Volume};

use super::attack::{power_cut, put};
use crate::reference::fill;
use crate::settings::options;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    what_a_store_counts_is_what_it_did,
    what_a_recovery_tells_is_what_it_found,
    damage_is_told_once_and_every_meeting_is_counted,
    a_copy_of_sums_that_is_rotten_or_old_is_told,
    who_cannot_begin_is_told_of_no_commit,
];

fn open(disk: &SimDisk) -> Volume {
    Volume::open(disk.clone(), options()).expect("a healthy medium")
}

/// Commits, durable, folded; segments, pages of the log, blocks in it, blocks of the base, of the file, read views.
fn holds(volume: &Volume) -> [u64; 9] {
    let found = volume.stats();
    let page = BLOCK_SIZE as u64;
    [
        found.committed.0,
        found.durable.0,
        found.folded.0,
        found.segments,
        found.log_bytes / page,
        found.log_blocks,
        found.base_blocks,
        found.size_bytes / page,
        found.pins,
    ]
}

/// Commits, barriers for them, blocks written, pages appended, spills; segments begun, folds, blocks folded; blocks
/// read from the log, from the base, that did not verify.
fn did(volume: &Volume) -> [u64; 11] {
    let done = volume.stats();
    [
        done.commits,
        done.barriers,
        done.blocks_written,
        done.bytes_appended / BLOCK_SIZE as u64,
        done.spills,
        done.rotations,
        done.folds,
        done.blocks_folded,
        done.reads_log,
        done.reads_base,
        done.checksum_failures,
    ]
}

#[test]
pub fn what_a_store_counts_is_what_it_did() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &[0, 1], 1, Durability::Durable);
    assert_eq!(holds(&volume), [1, 1, 0, 1, 4, 2, 0, 2, 0]);
    assert_eq!(did(&volume), [1, 1, 2, 3, 0, 1, 0, 0, 0, 0, 0]);
    // The proof takes a page and a barrier of its own.
    put(&volume, &[0], 2, Durability::Witnessed);
    put(&volume, &[0], 3, Durability::Applied);
    assert_eq!(holds(&volume), [3, 2, 0, 1, 9, 2, 0, 2, 0]);
    assert_eq!(did(&volume), [3, 3, 4, 8, 0, 1, 0, 0, 0, 0, 0]);
    let many: Vec<u64> = (0..12).collect();
    put(&volume, &many, 4, Durability::Durable);
    assert_eq!(holds(&volume), [4, 4, 0, 2, 26, 12, 0, 12, 0]);
    assert_eq!(did(&volume), [4, 5, 16, 24, 2, 2, 0, 0, 0, 0, 0]);
    volume.rotate().expect("seals");
    volume.compact().expect("folds");
    put(&volume, &[2, 20], 5, Durability::Durable);
    let view = volume.snapshot().expect("open");
    let mut bytes = [0; BLOCK_SIZE];
    for block in [2, 20, 3, 4, 5, 19] {
        view.read(BlockNo(block), &mut bytes).expect("readable");
    }
    assert_eq!(holds(&volume), [5, 5, 4, 1, 4, 2, 12, 21, 1]);
    assert_eq!(did(&volume), [5, 6, 18, 27, 2, 3, 1, 12, 2, 3, 0]);
    drop(view);
    volume.rotate().expect("seals");
    volume.compact().expect("folds");
    assert_eq!(holds(&volume), [5, 5, 5, 0, 0, 0, 21, 21, 0]);
    assert_eq!(did(&volume), [5, 6, 18, 27, 2, 3, 2, 14, 2, 3, 0]);
    // Blocks 12 to 19 were never written, and nobody has looked for them yet.
    assert_eq!(volume.stats().free_blocks, 0);
    let mut writer = volume.begin().expect("the slot is free");
    writer
        .set_size(3 * BLOCK_SIZE as u64)
        .and_then(|()| writer.set_size(21 * BLOCK_SIZE as u64))
        .expect("staged");
    writer.commit(Durability::Durable).expect("a healthy medium");
    assert_eq!(volume.stats().free_blocks, 18);
    assert_eq!(volume.last_request(0), None, "nobody has given a name to a commit");
}

/// Last commit; segments and commits read, torn bytes, batches rolled back; unproven commits, pages written again for
/// them, commits given up.
fn found(volume: &Volume) -> (OpenKind, [u64; 8]) {
    let told = volume.recovery();
    let page = BLOCK_SIZE as u64;
    let numbers = [
        told.last.0,
        told.segments,
        told.commits,
        told.torn_tail_bytes / page,
        told.rolled_back_batches,
        told.unproven_commits,
        told.relogged_bytes / page,
        told.given_up_commits,
    ];
    (told.kind, numbers)
}

#[test]
pub fn what_a_recovery_tells_is_what_it_found() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    assert_eq!(found(&volume), (OpenKind::Created, [0; 8]));
    put(&volume, &[0, 1], 1, Durability::Durable);
    put(&volume, &[0], 2, Durability::Applied);
    volume.rotate().expect("seals");
    put(&volume, &[0], 3, Durability::Durable);
    put(&volume, &[0], 4, Durability::Applied);
    put(&volume, &[0, 1], 5, Durability::Applied);
    let mut writer = volume.begin().expect("the slot is free");
    (0..5).try_for_each(|block| writer.write(BlockNo(block), &fill(block, 6))).expect("spills");
    // Everything is in the cache; nothing is left but what was durable; or pages behind a header that is not.
    let killed = disk.crash_process();
    let cut = power_cut(&disk);
    let mut torn = Cut::default();
    [3, 4, 6, 7, 8]
        .into_iter()
        .for_each(|page| torn.page(Area::Segment(SegmentId(2)), page, Fate::Version(0)));
    let torn = SimDisk::from_state(disk.state().after(&torn), 1);
    drop(writer);
    let volume = open(&killed);
    assert_eq!(found(&volume), (OpenKind::Unclean, [5, 2, 5, 0, 1, 2, 5, 0]));
    assert_eq!(found(&open(&cut)), (OpenKind::Unclean, [3, 2, 3, 0, 0, 1, 2, 0]));
    assert_eq!(found(&open(&torn)), (OpenKind::Unclean, [4, 2, 4, 4, 1, 1, 2, 0]));
    let volume = open(&killed.crash_process());
    assert_eq!(found(&volume), (OpenKind::Unclean, [5, 3, 5, 0, 0, 0, 0, 0]));
    volume.close().expect("folds");
}

#[test]
pub fn damage_is_told_once_and_every_meeting_is_counted() {
    let disk = SimDisk::new(1);
    let large = options().log_cap_bytes(4096 * BLOCK_SIZE as u64);
    let volume = Volume::open(disk.clone(), large).expect("a new store");
    let many: Vec<u64> = (0..1002).collect();
    put(&volume, &many, 1, Durability::Durable);
    let image = disk.state();
    for segment in image.segments() {
        let area = Area::Segment(segment);
        for page in 1..image.len(area).unwrap_or(0) / BLOCK_SIZE as u64 {
            let bytes = *bytes_of(&image.visible(area, page));
            if Group::decode(&bytes).is_err() && bytes != [0; BLOCK_SIZE] {
                disk.inject(Fault::Rot { area, byte: page * BLOCK_SIZE as u64 + 99, flip: 1 });
            }
        }
    }
    let view = volume.snapshot().expect("open");
    for met in 1..4 {
        view.read(BlockNo(7), &mut [0; BLOCK_SIZE]).expect_err("rotten");
        assert_eq!((volume.stats().checksum_failures, volume.damage().len()), (met, 1));
    }
    let damage = volume.damage();
    assert_eq!((damage[0].block, damage[0].version), (Some(BlockNo(7)), Some(Lsn(1))));
    // What is listed has an end, what is counted has none.
    volume.verify(&mut |_, _| {}).expect("readable");
    assert_eq!((volume.stats().checksum_failures, volume.damage().len()), (3 + 1002, 1000));
}

#[test]
pub fn a_copy_of_sums_that_is_rotten_or_old_is_told() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    for stamp in 1..3 {
        put(&volume, &[0], stamp, Durability::Durable);
        volume.compact().expect("folds");
    }
    let told = |fault: Option<Fault>| {
        let disk = disk.crash_process();
        fault.into_iter().for_each(|fault| disk.inject(fault));
        let report = open(&disk).verify(&mut |_, _| ()).expect("readable");
        report.damage.into_iter().map(|damage| damage.what).collect::<Vec<_>>()
    };
    assert_eq!(told(None), [""; 0]);
    for page in [0, 1] {
        let rot = Fault::Rot { area: Area::Sums, byte: page * BLOCK_SIZE as u64 + 70, flip: 1 };
        for fault in [rot, Fault::LostWrite { area: Area::Sums, page }] {
            assert_eq!(told(Some(fault)), ["base.sum: one of the two copies of page 0"], "{fault}");
        }
    }
}

/// To make room for it, commits before it have to be durable; it is not one of them.
#[test]
pub fn who_cannot_begin_is_told_of_no_commit() {
    let mut told = Vec::new();
    for nth in 1..6 {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        let refused = (0..10_000).find_map(|stamp| {
            disk.inject(Fault::FailBarrier { nth, how: BarrierFailure::KeepsDirty, kind: ErrorKind::Io });
            let begun = volume.begin();
            disk.heal();
            let mut writer = match begun {
                Ok(writer) => writer,
                Err(error) => return Some(error),
            };
            // So large that it is not acknowledged without a proof of its own.
            for block in 0..stamp % 13 {
                writer.write(BlockNo(block), &fill(block, stamp)).expect("there is space");
            }
            writer.commit(Durability::Applied).expect("a healthy medium");
            None
        });
        let error = refused.expect("the log is full at last, and its barrier fails");
        assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Poisoned), "barrier {nth}: {error}");
        told.push(error.kind());
    }
    assert!(told.contains(&ErrorKind::Poisoned), "{told:?}");
}
