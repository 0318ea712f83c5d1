//! No space, at the worst moment, and then something worse: each test is one attack that must fail.

use datasync::backend::sim::SimDisk;
use datasync::block::{BlockNo, Durability};
use datasync::error::{ErrorKind, Result};
use datasync::volume::Volume;

use super::attack::{holds, power_cut, put};
use crate::reference::fill;
use crate::settings::options;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_commit_over_two_segments_that_is_given_up_does_not_keep_a_store_from_closing,
    a_new_store_says_full_and_goes_on,
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
