//! Transactions that reach over segments and are given up: what comes behind them stays.

use datasync::backend::sim::SimDisk;
use datasync::block::{BlockNo, Durability};
use datasync::volume::Volume;

use super::attack::{holds, power_cut, put};
use crate::reference::fill;
use crate::settings::options;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_commit_behind_what_was_given_up_outlives_the_fold_of_its_beginning,
    what_was_given_up_in_a_segment_that_is_left_is_no_damage,
];

fn open(disk: &SimDisk) -> Volume {
    Volume::open(disk.clone(), options()).expect("a healthy disk")
}

/// A transaction that began in segments which are folded away has been given up in the one that is left.
fn beheaded(disk: &SimDisk, blocks: u64) -> Volume {
    let volume = open(disk);
    put(&volume, &[0], 1, Durability::Durable);
    let mut writer = volume.begin().expect("the slot is free");
    (0..blocks).try_for_each(|block| writer.write(BlockNo(block), &fill(block, 2))).expect("spills");
    drop(writer);
    while volume.compact_step().expect("folds") {}
    assert_eq!(volume.stats().segments, 1, "the one that is not full");
    volume
}

#[test]
pub fn a_commit_behind_what_was_given_up_outlives_the_fold_of_its_beginning() {
    // More or less of it is left.
    for (blocks, commits) in (30..45).flat_map(|blocks| (1..4).map(move |commits| (blocks, commits))) {
        let disk = SimDisk::new(1);
        let volume = beheaded(&disk, blocks);
        for stamp in 3..3 + commits {
            put(&volume, &[0], stamp, Durability::Durable);
        }
        drop(volume);
        for disk in [power_cut(&disk), disk.crash_process()] {
            let volume = open(&disk);
            let found = volume.recovery();
            assert_eq!((found.torn_tail_bytes, found.last.0), (0, 2 + commits), "{blocks} blocks");
            assert!(holds(&volume.snapshot().expect("open"), 0, 2 + commits), "{blocks} blocks");
            put(&volume, &[1], 9, Durability::Durable);
            drop(volume);
            open(&power_cut(&disk)).close().expect("folds");
        }
    }
}

#[test]
pub fn what_was_given_up_in_a_segment_that_is_left_is_no_damage() {
    let disk = SimDisk::new(1);
    let volume = beheaded(&disk, 40);
    put(&volume, &[3], 3, Durability::Witnessed);
    // The segment gets an end, and another behind it.
    volume.rotate().expect("seals");
    put(&volume, &[4], 4, Durability::Witnessed);
    drop(volume);
    let volume = open(&power_cut(&disk));
    let view = volume.snapshot().expect("open");
    assert!(holds(&view, 0, 1) && holds(&view, 3, 3) && holds(&view, 4, 4));
    drop(view);
    assert!(volume.verify(&mut |_, _| {}).expect("readable").damage.is_empty());
    volume.close().expect("folds");
}
