//! The space kept ready for a recovery on a full disk: what it holds is kept, and it is not used up for nothing.

use datasync::backend::Backend;
use datasync::backend::sim::{Moment, SimDisk};
use datasync::block::{BLOCK_SIZE, Durability, Epoch, SegmentId};
use datasync::error::ErrorKind;
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Volume};

use super::attack::{holds, power_cut, put};
use super::segments::nothing_is_allocated;
use crate::settings::options;

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_recovery_on_a_full_disk_keeps_what_its_reserve_holds,
    a_recovery_that_keeps_nothing_leaves_its_reserve_alone,
    a_recovery_without_any_space_gives_nothing_up,
    a_spare_is_believed_when_it_holds_the_reserve,
    a_commit_within_the_reserve_takes_one_barrier,
];

/// Only commits that spill reach over a segment here, and none of these does.
fn unspilled() -> Options {
    options().spill_bytes(16 * PAGE)
}

fn open(disk: &SimDisk) -> Volume {
    Volume::open(disk.clone(), unspilled()).expect("only space is missing")
}

fn shows(volume: &Volume, stamp: u64) -> bool {
    holds(&volume.snapshot().expect("open"), 0, stamp)
}

/// A process that made so many proven commits of block 0, then others that nothing proves, has died.
fn died(proven: u64, others: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    for stamp in 1..=proven + others {
        let durability = if stamp <= proven { Durability::Witnessed } else { Durability::Applied };
        put(&volume, &[0], stamp, durability);
    }
    assert!(volume.stats().segments <= 1, "one segment holds them");
    disk.crash_process()
}

/// Makes a spare segment of so many pages of the one that is there; 0 for none at all.
fn cut_spare(disk: &SimDisk, pages: u32) {
    let segment = SegmentId(2);
    let made = [Op::Create(Area::Segment(segment)), Op::Reserve { segment, pages }];
    let made = made.into_iter().filter(|_| pages > 0);
    for op in [Op::Remove(segment), Op::BarrierDirectory].into_iter().chain(made) {
        disk.apply(&op).expect("nothing is wrong with the disk");
    }
}

#[test]
pub fn a_recovery_on_a_full_disk_keeps_what_its_reserve_holds() {
    for (proven, others) in [(0, 4), (0, 7), (1, 4), (1, 5), (2, 4)] {
        // Eight pages for commits of two, and what is free besides.
        let wanted = 2 * (others - 4);
        for free in 0..wanted + 2 {
            let disk = died(proven, others);
            disk.set_free_pages(Some(free));
            let volume = open(&disk);
            let kept = if free < wanted { 4 } else { others };
            let told = volume.recovery();
            assert_eq!((told.last.0, told.given_up_commits), (proven + kept, others - kept), "{free} free");
            assert!(shows(&volume, proven + kept));
            drop(volume);
            let disk = power_cut(&disk.crash_process());
            disk.set_free_pages(Some(0));
            assert!(shows(&open(&disk), proven + kept), "what was found once is gone");
            disk.set_free_pages(None);
            let volume = open(&disk.crash_process());
            put(&volume, &[0], 20, Durability::Durable);
            volume.close().expect("folds");
        }
    }
}

/// How many writes into META there are, and how many into segments.
fn writes(trace: &[Moment]) -> [usize; 2] {
    let into = |of: fn(&Area) -> bool| {
        let written = |moment: &&Moment| matches!(&moment.op, Some(Op::Write { area, .. }) if of(area));
        trace.iter().filter(written).count()
    };
    [into(|area| *area == Area::Meta), into(|area| matches!(area, Area::Segment(_)))]
}

#[test]
pub fn a_recovery_that_keeps_nothing_leaves_its_reserve_alone() {
    for proven in [0, 1] {
        let disk = died(proven, 0);
        let volume = open(&disk);
        put(&volume, &[0, 1, 2, 3, 4, 5, 6, 7], 9, Durability::Applied);
        drop(volume);
        let disk = disk.crash_process();
        disk.set_free_pages(Some(0));
        let spare = *disk.state().segments().last().expect("it is there");
        disk.start_trace();
        let volume = open(&disk);
        // The copies of META that was found, the new epoch, the cut log.
        assert_eq!(writes(&disk.take_trace()), [4, 0]);
        assert_eq!((volume.recovery().given_up_commits, volume.recovery().epoch), (1, Epoch(3)));
        assert_eq!(volume.stats().segments, proven);
        assert_eq!(disk.state().len(Area::Segment(spare)), Some(9 * PAGE));
        if proven == 1 {
            assert!(shows(&volume, 1));
        }
    }
}

#[test]
pub fn a_recovery_without_any_space_gives_nothing_up() {
    for proven in [0, 1] {
        let disk = died(proven, 2);
        cut_spare(&disk, 0);
        disk.set_free_pages(Some(0));
        for _ in 0..3 {
            let refused = Volume::open(disk.clone(), unspilled()).map(drop).expect_err("no space");
            assert_eq!(refused.kind(), ErrorKind::Full);
        }
        disk.set_free_pages(None);
        let volume = open(&disk);
        assert!(volume.recovery().given_up_commits == 0 && shows(&volume, proven + 2));
    }
}

#[test]
pub fn a_spare_is_believed_when_it_holds_the_reserve() {
    for pages in 0..=9 {
        let disk = died(1, 0);
        cut_spare(&disk, pages);
        disk.start_trace();
        let volume = open(&disk);
        for stamp in 2..6 {
            put(&volume, &[0], stamp, Durability::Applied);
        }
        let trace = disk.take_trace();
        let begun = |moment: &&Moment| moment.op == Some(Op::Create(Area::Segment(SegmentId(2))));
        assert_eq!(trace.iter().filter(begun).count(), usize::from(pages < 9), "{pages} pages");
        nothing_is_allocated(&trace);
    }
}

#[test]
pub fn a_commit_within_the_reserve_takes_one_barrier() {
    for (blocks, barriers) in [(1, 1), (7, 1), (8, 2), (9, 2)] {
        let volume = open(&SimDisk::new(1));
        put(&volume, &(0..blocks).collect::<Vec<_>>(), 1, Durability::Durable);
        assert_eq!(volume.stats().barriers, barriers, "{blocks} blocks");
    }
}
