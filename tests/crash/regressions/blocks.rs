//! Which blocks are given out again, and which versions of a block are kept.

use std::collections::BTreeSet;

use datasync::backend::sim::SimDisk;
use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, Durability};
use datasync::error::Result;
use datasync::format::meta::FREE_RANGES_MAX;
use datasync::store::free::FreeList;
use datasync::volume::{Volume, Writer};

use super::attack::{holds, put};
use crate::reference::fill;
use crate::settings::options;

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    every_free_block_is_given_out_before_a_store_grows,
    a_free_block_that_was_written_is_not_given_out,
    a_list_of_free_blocks_is_enough_as_long_as_it_lasts,
    blocks_that_are_free_already_are_not_added_again,
    a_transaction_reads_what_it_has_cut_off_as_zeros,
    a_reader_finds_what_is_acknowledged_below_what_is_not,
    versions_that_nobody_can_ask_for_are_forgotten,
];

fn open(disk: &SimDisk) -> Volume {
    Volume::open(disk.clone(), options()).expect("a healthy medium")
}

/// A store in which every other of twice as many blocks is free, closed; more than its META can list if `most` is.
fn with_holes(most: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &(0..2 * most).collect::<Vec<_>>(), 1, Durability::Durable);
    let mut writer = volume.begin().expect("the slot is free");
    holes(most).try_for_each(|block| writer.trim(BlockNo(block))).expect("there is space");
    writer.commit(Durability::Durable).expect("a healthy medium");
    volume.close().expect("folds");
    disk
}

fn holes(most: u64) -> impl Iterator<Item = u64> {
    (0..most).map(|at| 2 * at)
}

fn allocate(writer: &mut Writer) -> u64 {
    writer.allocate().expect("there are numbers left").0
}

/// More holes than META can list.
const MANY: u64 = FREE_RANGES_MAX as u64 + 6;

#[test]
pub fn every_free_block_is_given_out_before_a_store_grows() {
    let volume = open(&with_holes(MANY));
    assert_eq!(volume.stats().free_blocks, MANY);
    let mut writer = volume.begin().expect("the slot is free");
    let given: BTreeSet<u64> = (0..MANY).map(|_| allocate(&mut writer)).collect();
    assert_eq!(given, holes(MANY).collect());
    assert_eq!(allocate(&mut writer), 2 * MANY, "the one behind the end");
    for block in given {
        writer.write(BlockNo(block), &fill(block, 2)).expect("there is space");
    }
    writer.commit(Durability::Durable).expect("a healthy medium");
    assert_eq!(volume.stats().free_blocks, 0);
}

#[test]
pub fn a_free_block_that_was_written_is_not_given_out() {
    let volume = open(&with_holes(MANY));
    let mut writer = volume.begin().expect("the slot is free");
    for block in holes(FREE_RANGES_MAX as u64) {
        writer.write(BlockNo(block), &fill(block, 2)).expect("there is space");
    }
    let given: Vec<u64> = (0..7).map(|_| allocate(&mut writer)).collect();
    assert_eq!(given, [192, 194, 196, 198, 200, 202, 204]);
}

#[test]
pub fn a_list_of_free_blocks_is_enough_as_long_as_it_lasts() {
    for (most, seen) in [(3, 4), (MANY, FREE_RANGES_MAX)] {
        let disk = with_holes(most);
        let volume = open(&disk);
        let mut writer = volume.begin().expect("the slot is free");
        let before = disk.reads();
        for _ in 0..seen {
            allocate(&mut writer);
        }
        assert_eq!(disk.reads(), before, "the sums of all blocks were read for nothing");
    }
}

#[test]
pub fn blocks_that_are_free_already_are_not_added_again() {
    for (start, count) in [(3, 4), (0, 5)] {
        let mut free = FreeList::from_hint(&[(BlockNo(start), count)], 0);
        free.insert(BlockNo(start + 1), 1);
        assert_eq!(free.hint(9), (vec![(BlockNo(start), count)], 0));
    }
}

#[test]
pub fn a_transaction_reads_what_it_has_cut_off_as_zeros() {
    let volume = open(&SimDisk::new(1));
    put(&volume, &[0, 1, 2, 3, 4, 5, 6], 1, Durability::Durable);
    let mut writer = volume.begin().expect("the slot is free");
    for block in 4..12 {
        // More than a transaction keeps in memory.
        writer.write(BlockNo(block), &fill(block, 2)).expect("there is space");
    }
    writer.set_size(2 * PAGE).expect("in memory");
    writer.write(BlockNo(8), &fill(8, 3)).expect("in memory");
    // Who wrote each block last; nobody, where it reads as zeros.
    let stamps = |read: &dyn Fn(BlockNo, &mut BlockBytes) -> Result<()>| {
        [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|block| {
            let mut bytes = [0; BLOCK_SIZE];
            read(BlockNo(block), &mut bytes).expect("in memory or sound");
            (bytes != [0; BLOCK_SIZE])
                .then(|| (1..4).find(|stamp| bytes == fill(block, *stamp)).expect("what somebody wrote"))
        })
    };
    let wanted = [Some(1), Some(1), None, None, None, None, None, None, Some(3)];
    assert_eq!(stamps(&|block, bytes| writer.read(block, bytes)), wanted);
    writer.commit(Durability::Durable).expect("a healthy medium");
    let view = volume.snapshot().expect("open");
    assert_eq!(stamps(&|block, bytes| view.read(block, bytes)), wanted);
}

#[test]
pub fn a_reader_finds_what_is_acknowledged_below_what_is_not() {
    let volume = open(&SimDisk::new(1));
    put(&volume, &[0], 1, Durability::Durable);
    let mut writer = volume.begin().expect("the slot is free");
    let pending: Vec<_> = (2..6)
        .map(|stamp| {
            writer.write(BlockNo(0), &fill(0, stamp)).expect("staged");
            writer.append(Durability::Durable).expect("in the log")
        })
        .collect();
    assert!(holds(&volume.snapshot().expect("open"), 0, 1), "what nobody was told of hid what is durable");
    for commit in pending {
        commit.wait().expect("a healthy medium");
    }
    assert!(holds(&volume.snapshot().expect("open"), 0, 5));
}

#[test]
pub fn versions_that_nobody_can_ask_for_are_forgotten() {
    for durability in [Durability::Applied, Durability::Durable] {
        let volume = open(&SimDisk::new(1));
        for stamp in 1..20 {
            put(&volume, &[0], stamp, durability);
        }
        // The newest, the one before it, which was asked for until the newest was visible, and the last of each of
        // two segments, for a fold that ends there.
        assert_eq!(volume.verify(&mut |_, _| {}).expect("readable").log_blocks, 4, "{durability:?}");
    }
}
