//! No space, at the worst moment, and then something worse: each test is one attack that must fail.

use datasync::backend::sim::{BarrierFailure, Bounds, Fault, SimDisk, bytes_of};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::error::{ErrorKind, Result};
use datasync::log::plan::Area;
use datasync::volume::Volume;

use super::attack::{holds, power_cut, put};
use crate::reference::fill;
use crate::settings::options;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_commit_over_two_segments_that_is_given_up_does_not_keep_a_store_from_closing,
    a_new_store_says_full_and_goes_on,
    a_fold_that_found_no_space_spoils_nothing_for_the_next,
    a_fold_that_found_no_space_leaves_no_bytes_for_plain_sqlite,
];

fn open(disk: &SimDisk) -> Volume {
    Volume::open(disk.clone(), options()).expect("only space is missing")
}

fn try_put(volume: &Volume, blocks: &[u64], stamp: u64) -> Result<()> {
    let mut writer = volume.begin()?;
    blocks.iter().try_for_each(|block| writer.write(BlockNo(*block), &fill(*block, stamp)))?;
    writer.commit(Durability::Durable).map(drop)
}

#[test]
pub fn a_commit_over_two_segments_that_is_given_up_does_not_keep_a_store_from_closing() {
    for blocks in [12, 24, 40, 60] {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        put(&volume, &[0], 1, Durability::Durable);
        let many: Vec<u64> = (0..blocks).collect();
        put(&volume, &many, 2, Durability::Applied);
        let disk = disk.crash_process();
        drop(volume);
        disk.set_free_pages(Some(0));
        let volume = open(&disk);
        let left = if volume.recovery().given_up_commits > 0 { 1 } else { 2 };
        assert!(holds(&volume.snapshot().expect("open"), 0, left));
        disk.set_free_pages(None);
        volume.close().unwrap_or_else(|error| panic!("{blocks} blocks: {error}"));
    }
}

#[test]
pub fn a_new_store_says_full_and_goes_on() {
    for free in 0..40 {
        let disk = SimDisk::new(1);
        drop(open(&disk));
        disk.set_free_pages(Some(free));
        let volume = open(&disk);
        if let Err(error) = try_put(&volume, &[0], 1) {
            assert_eq!(error.kind(), ErrorKind::Full, "{free} pages free: {error}");
        }
        disk.set_free_pages(None);
        put(&volume, &[0], 2, Durability::Durable);
        let again = open(&power_cut(&disk));
        assert!(holds(&again.snapshot().expect("open"), 0, 2), "{free} pages free");
    }
}

/// Folds until there is no space.
fn fold_until_full(volume: &Volume, free: u64, disk: &SimDisk) -> Result<()> {
    disk.set_free_pages(Some(free));
    let mut outcome = Ok(true);
    while matches!(outcome, Ok(true)) {
        outcome = volume.compact_step();
    }
    disk.set_free_pages(None);
    outcome.map(drop)
}

#[test]
pub fn a_fold_that_found_no_space_spoils_nothing_for_the_next() {
    let bounds = Bounds { product: 81, pairs: true, drawn: 2, seed: 4 };
    for (free, nth) in (0..5).flat_map(|free| (1..7).map(move |nth| (free, nth))) {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        put(&volume, &[0, 1, 2], 1, Durability::Durable);
        volume.compact().expect("folds");
        // Block 200 has its sum on a page of its own, which needs space in both slots.
        put(&volume, &[0, 200], 2, Durability::Durable);
        volume.rotate().expect("seals");
        let Err(error) = fold_until_full(&volume, free, &disk) else { continue };
        assert_eq!(error.kind(), ErrorKind::Full);
        disk.inject(Fault::FailBarrier { nth, how: BarrierFailure::Spoils, kind: ErrorKind::Io });
        let _ = volume.compact();
        let disk = disk.crash_process();
        drop(volume);
        let volume = open(&disk);
        disk.start_trace();
        volume.compact().expect("folds");
        for (at, moment) in disk.take_trace().iter().enumerate() {
            moment.state.each_image(&bounds, |cut, image| {
                let context = || format!("{free} pages free, barrier {nth}, op {at}: {cut}");
                let again = Volume::open(SimDisk::from_state(image, 1), options())
                    .unwrap_or_else(|error| panic!("{}: {error}", context()));
                let view = again.snapshot().expect("open");
                for (block, stamp) in [(0, 2), (1, 1), (2, 1), (200, 2)] {
                    let mut bytes = [0; BLOCK_SIZE];
                    view.read(BlockNo(block), &mut bytes)
                        .unwrap_or_else(|error| panic!("{}: {error}", context()));
                    assert!(bytes == fill(block, stamp), "{}: block {block}", context());
                }
                true
            });
        }
    }
}

/// Every block of `base.db` as another program sees it.
fn plain(disk: &SimDisk, block: u64) -> bool {
    *bytes_of(&disk.state().visible(Area::Base, block)) == [0; BLOCK_SIZE]
}

#[test]
pub fn a_fold_that_found_no_space_leaves_no_bytes_for_plain_sqlite() {
    for (free, between) in (0..6).flat_map(|free| [false, true].map(|between| (free, between))) {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        put(&volume, &[0, 1, 2], 1, Durability::Durable);
        volume.compact().expect("folds");
        put(&volume, &[5, 7, 9], 2, Durability::Durable);
        volume.rotate().expect("seals");
        let _ = fold_until_full(&volume, free, &disk);
        let size = |blocks: u64| {
            let mut writer = volume.begin().expect("the slot is free");
            writer.set_size(blocks * BLOCK_SIZE as u64).expect("in memory");
            writer.commit(Durability::Durable).expect("there is space");
        };
        size(3);
        if between {
            volume.compact().expect("folds");
            put(&volume, &[11], 3, Durability::Durable);
        }
        size(12);
        volume.close().expect("folds");
        for block in 3..if between { 11 } else { 12 } {
            assert!(plain(&disk, block), "{free} pages free: block {block} of base.db is not zeros");
        }
    }
}
